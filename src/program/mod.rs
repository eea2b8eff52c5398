//! What the two programs are made of. Not a library interface: it may change at any time.

mod advice;
mod args;
mod client;
mod client_args;
mod control;
mod damage;
mod help;
mod logging;
#[cfg(feature = "multicall")]
mod named;
mod names;
mod notify;
#[cfg(feature = "relay")]
mod relay;
mod server;
mod server_demo;
mod signals;
mod sink;
mod sizes;
mod stdio;
mod torn;
mod values;
mod watch;
mod words;

use crate::exit_status::{self as exit, code_of};
use crate::{Error, Opened};
use std::process::ExitCode;

/// A failure with an exit code of its own, or what an error of the library came in the way of. By anyhow's
/// contexts another 3 kB would be linked, of what shows them as Debug does.
struct Failure {
    code: u8,
    message: String,
    cause: Option<Error>,
}

impl Failure {
    fn error(code: u8, message: impl Into<String>) -> anyhow::Error {
        Self { code, message: message.into(), cause: None }.into()
    }

    /// What a system call of the program's own failed with.
    fn of_call(call: &str) -> impl FnOnce(nix::errno::Errno) -> anyhow::Error + '_ {
        move |errno| Self::error(exit::IO, format!("{call}: {errno}"))
    }

    /// What `cause` came in the way of.
    fn by(cause: Error, message: String) -> anyhow::Error {
        Self { code: code_of(&cause), message, cause: Some(cause) }.into()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

// Errors have to have it; nothing shows it.
impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// Says the failure, all of it, and turns it into the exit code.
fn finish(result: anyhow::Result<u8>) -> ExitCode {
    finish_behind("", result)
}

/// As [`finish`]; what is said begins with `before`.
fn finish_behind(before: &str, result: anyhow::Result<u8>) -> ExitCode {
    let code = result.unwrap_or_else(|e| {
        let error = e.chain().find_map(|cause| cause.downcast_ref::<Error>());
        let advice = error.map_or("", advice::advice);
        let separator = if advice.is_empty() { "" } else { "; here: " };
        log::error!("{before}{e:#}{separator}{advice}");
        let failure = || e.chain().find_map(|cause| cause.downcast_ref::<Failure>());
        error.map(code_of).or_else(|| failure().map(|f| f.code)).unwrap_or(exit::IO)
    });
    log::logger().flush();
    ExitCode::from(code)
}

#[cfg(feature = "multicall")]
pub use named::named;

/// `shmdemo-server`.
pub fn server() -> ExitCode {
    server_with(words::Words::of_process())
}

fn server_with(words: words::Words) -> ExitCode {
    run("shmdemo-server", words, args::server, |command| match command {
        args::ServerCommand::Serve(serve) => server::serve(&serve),
        args::ServerCommand::Status(status) => control::status(&status),
        #[cfg(feature = "relay")]
        args::ServerCommand::Relay(relay) => relay::run(&relay),
        args::ServerCommand::Set(common, change) => control::set(&common, &change),
        args::ServerCommand::Remove(common, force) => control::remove(&common, force),
    })
}

/// `shmdemo-client`.
pub fn client() -> ExitCode {
    client_with(words::Words::of_process())
}

fn client_with(words: words::Words) -> ExitCode {
    run("shmdemo-client", words, client_args::parse, |args| client::send(&args))
}

fn run<T>(
    name: &'static str,
    words: words::Words,
    parse: fn(words::Words) -> anyhow::Result<args::Parsed<T>>,
    body: fn(T) -> anyhow::Result<u8>,
) -> ExitCode {
    signals::let_writes_fail();
    match parse(words) {
        Ok(args::Parsed::Run(logging, command)) => {
            logging::start(name, logging);
            finish(body(command))
        }
        Ok(args::Parsed::Print(text)) => finish(stdio::print(&text).map(|()| exit::OK)),
        Err(e) => {
            logging::start(name, logging::Settings::default());
            finish_behind(&format!("usage error (see {name} --help): "), Err(e))
        }
    }
}

/// Says what a setting of the machine makes of the channel, once.
fn warn_of_settings() {
    if crate::sysv::limits::rmid_forced() {
        log::warn!("{}", crate::sysv::limits::RMID_FORCED);
    }
}

/// The steps that the C demo's debug log showed, and what differs from what was asked for.
fn log_opened(channel: &crate::Channel, geometry: &sizes::GeometryArgs) {
    warn_of_settings();
    let key = channel.key();
    let what = match channel.opened() {
        Opened::Created => "created",
        Opened::Joined => "joined",
        Opened::Adopted => "joined, with new semaphores since the old ones were removed,",
    };
    let found = channel.geometry();
    log::info!(
        "{what} segment id {} of key {key}: {} lanes of {} bytes, messages up to {} bytes",
        channel.id().raw(),
        found.lanes,
        found.ring_bytes,
        found.max_message
    );
    log::info!("attached at address {:#x}", channel.address());
    if let Some(before) = channel.adjusted() {
        log::warn!(
            "set mode and group of the segment of key {key} as asked for: they were {:04o} and gid \
             {}",
            before.mode,
            before.gid
        );
    }
    if channel.opened() != Opened::Created {
        let wanted = geometry.geometry();
        for (option, given, wanted, found) in [
            ("--lanes", geometry.lanes.is_some(), wanted.lanes, found.lanes),
            ("--size", geometry.size.is_some(), wanted.ring_bytes, found.ring_bytes),
            (
                "--max-message",
                geometry.max_message.is_some(),
                wanted.max_message,
                found.max_message,
            ),
        ] {
            if given && wanted != found {
                log::warn!(
                    "{option} {wanted} is not used: the segment of key {key} exists with {found}"
                );
            }
        }
    }
}
