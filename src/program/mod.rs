//! What the two programs are made of. Not a library interface: it may change at any time.

mod args;
mod client;
mod control;
mod help;
mod logging;
#[cfg(feature = "multicall")]
mod named;
mod notify;
mod server;
mod server_demo;
mod signals;
mod stdio;
mod values;
mod watch;

use crate::{Error, Opened};
use std::process::ExitCode;

/// Exit codes, from `sysexits.h` where it has one that fits.
pub mod exit {
    /// All went well.
    pub const OK: u8 = 0;
    /// Bad command line.
    pub const USAGE: u8 = 64;
    /// A message longer than the channel takes.
    pub const TOO_LONG: u8 = 65;
    /// No System V IPC, no segment, or the channel was removed while in use.
    pub const UNAVAILABLE: u8 = 69;
    /// The segment or the semaphores can't be created.
    pub const CANT_CREATE: u8 = 73;
    /// Input or output failed.
    pub const IO: u8 = 74;
    /// Busy, or timed out.
    pub const BUSY: u8 = 75;
    /// The segment is not ours, of another layout version, or damaged.
    pub const NOT_OURS: u8 = 76;
    /// No permission, or a segment whose owner or mode is not accepted.
    pub const PERMISSION: u8 = 77;
    /// Added to a signal's number.
    pub const SIGNAL: u8 = 128;
}

/// A failure with an exit code of its own.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn error(code: u8, message: impl Into<String>) -> anyhow::Error {
        Self { code, message: message.into() }.into()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code that tells what a channel's error is.
pub(crate) fn code_of(error: &Error) -> u8 {
    use nix::errno::Errno;
    match error {
        Error::NoSysvIpc | Error::NoChannel(_) | Error::Removed { .. } => exit::UNAVAILABLE,
        Error::CannotCreate { source, .. } | Error::System { source, .. }
            if matches!(source.errno, Errno::EACCES | Errno::EPERM) =>
        {
            exit::PERMISSION
        }
        Error::CannotCreate { .. } | Error::System { .. } => exit::CANT_CREATE,
        Error::Forked { .. } => exit::USAGE,
        Error::NotRung { .. } => exit::PERMISSION,
        Error::Busy { .. } | Error::StillAttached { .. } | Error::TimedOut { .. } => exit::BUSY,
        Error::InUse { .. } => exit::BUSY,
        Error::NotOurs { .. } | Error::OtherProtocol { .. } => exit::NOT_OURS,
        Error::NotAccepted { .. } => exit::PERMISSION,
        Error::TooLong { .. } | Error::HoldsNul { .. } => exit::TOO_LONG,
        Error::BadGeometry(_) => exit::USAGE,
    }
}

/// Says the failure, all of it, and turns it into the exit code.
fn finish(result: anyhow::Result<u8>) -> ExitCode {
    let code = result.unwrap_or_else(|e| {
        log::error!("{e:#}");
        e.chain()
            .find_map(|cause| {
                cause
                    .downcast_ref::<Failure>()
                    .map(|f| f.code)
                    .or_else(|| cause.downcast_ref::<Error>().map(code_of))
            })
            .unwrap_or(exit::IO)
    });
    log::logger().flush();
    ExitCode::from(code)
}

#[cfg(feature = "multicall")]
pub use named::named;

/// `shmdemo-server`.
pub fn server() -> ExitCode {
    server_with(lexopt::Parser::from_env())
}

fn server_with(words: lexopt::Parser) -> ExitCode {
    run("shmdemo-server", words, args::server, |command| match command {
        args::ServerCommand::Serve(serve) => server::serve(&serve),
        args::ServerCommand::Status(status) => control::status(&status),
        args::ServerCommand::Set(common, change) => control::set(&common, &change),
        args::ServerCommand::Remove(common, force) => control::remove(&common, force),
    })
}

/// `shmdemo-client`.
pub fn client() -> ExitCode {
    client_with(lexopt::Parser::from_env())
}

fn client_with(words: lexopt::Parser) -> ExitCode {
    run("shmdemo-client", words, args::client, |args| client::send(&args))
}

fn run<T>(
    name: &'static str,
    words: lexopt::Parser,
    parse: fn(lexopt::Parser) -> anyhow::Result<args::Parsed<T>>,
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
            finish(Err(e.context(format!("usage error (see {name} --help)"))))
        }
    }
}

/// Says what a setting of the machine makes of the channel, once.
fn warn_of_settings() {
    if crate::limits::rmid_forced() {
        log::warn!("{}", crate::limits::RMID_FORCED);
    }
}

/// The steps that the C demo's debug log showed, and what differs from what was asked for.
fn log_opened(channel: &crate::Channel, geometry: &args::GeometryArgs) {
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
