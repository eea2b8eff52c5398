//! `shmdemo-mqtt`: takes the messages of a channel to an MQTT broker (`out`), or those of a broker into a
//! channel (`in`), each at least once, whoever is killed.
//!
//! * `outward`: a message is released when its PUBACK has come, and sent again over each new connection.
//! * `inward`: a message is acknowledged when it is committed.
//! * `dial`: the way to a connection; `session`: one connection, from CONNECT to its end; `link`: its bytes.
//!
//! Source: [MQTT 3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html).
#![deny(unsafe_code)]

#[cfg(panic = "abort")]
#[path = "../../src/program/no_unwinder.rs"]
mod no_unwinder;

mod args;
mod dial;
mod inward;
mod link;
mod outward;
mod session;
mod status;

// Of the two programs, whose options, log and signals are the same.
#[allow(dead_code)]
#[path = "../../src/program/logging.rs"]
mod logging;
#[allow(dead_code)]
#[path = "../../src/program/names.rs"]
mod names;
#[allow(dead_code)]
#[path = "../../src/program/notify.rs"]
mod notify;
#[allow(dead_code)]
#[path = "../../src/program/signals.rs"]
mod signals;
#[allow(dead_code)]
#[path = "../../src/program/values.rs"]
mod values;
#[allow(dead_code)]
#[path = "../../src/program/words.rs"]
mod words;

// Where those look for them.
use shmdemo::{Deadline, Interrupter};
mod sysv {
    pub use shmdemo::Key;
}

use args::{Direction, Parsed};
use std::process::ExitCode;

const NAME: &str = "shmdemo-mqtt";

/// Exit codes: those of the two programs.
#[allow(dead_code)]
mod exit {
    pub const OK: u8 = 0;
    pub const USAGE: u8 = 64;
    pub const UNAVAILABLE: u8 = 69;
    pub const CANT_CREATE: u8 = 73;
    pub const IO: u8 = 74;
    pub const BUSY: u8 = 75;
    pub const NOT_OURS: u8 = 76;
    pub const PERMISSION: u8 = 77;
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

fn main() -> ExitCode {
    signals::let_writes_fail();
    let result = match args::parse(words::Words::of_process()) {
        Ok(Parsed::Run(args)) => {
            logging::start(NAME, args.log);
            match args.direction {
                Direction::Out => outward::run(&args),
                Direction::In => inward::run(&args),
            }
        }
        Ok(Parsed::Print(text)) => {
            use std::io::Write;
            let mut out = std::io::stdout().lock();
            let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            printed.map(|()| exit::OK).map_err(|e| Failure::error(exit::IO, format!("stdout: {e}")))
        }
        Err(e) => {
            logging::start(NAME, logging::Settings::default());
            Err(e.context(format!("usage error (see {NAME} --help)")))
        }
    };
    let code = result.unwrap_or_else(|e| {
        log::error!("{e:#}");
        let channel = e.chain().find_map(|cause| cause.downcast_ref::<shmdemo::Error>());
        let own = || e.chain().find_map(|cause| cause.downcast_ref::<Failure>());
        channel
            .map(shmdemo::Error::exit_status)
            .or_else(|| own().map(|f| f.code))
            .unwrap_or(exit::IO)
    });
    log::logger().flush();
    ExitCode::from(code)
}
