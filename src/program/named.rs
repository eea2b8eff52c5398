//! One executable, `shmdemo`, for both programs: links to it have their names.

use super::values::escaped;
use super::{exit, finish, logging, stdio, Failure};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

const HELP: &str = "\
Both programs of shmdemo in one executable.

Usage: shmdemo server ...   as shmdemo-server, see shmdemo server --help
       shmdemo client ...   as shmdemo-client, see shmdemo client --help

Called by a link of the name shmdemo-server or shmdemo-client it is that program.
";

#[derive(Debug, PartialEq)]
enum Program {
    Server,
    Client,
    /// Neither: the executable's own name, and what is not a program.
    Neither,
}

/// The program that a word means: with `prefix` the name of a link, without it a command.
fn program_of(prefix: &str, word: &OsStr) -> Program {
    match word.to_str().and_then(|word| word.strip_prefix(prefix)) {
        Some("server") => Program::Server,
        Some("client") => Program::Client,
        _ => Program::Neither,
    }
}

/// The program that the name it is called by says, else the first word.
pub fn named() -> ExitCode {
    let mut words = std::env::args_os();
    let path = words.next().unwrap_or_default();
    let called_by = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let called_by = OsStr::from_bytes(called_by);
    let (mut program, mut first) = (program_of("shmdemo-", called_by), None);
    if program == Program::Neither {
        first = words.next();
        program = program_of("", first.as_deref().unwrap_or_default());
    }
    match program {
        Program::Server => super::server_with(super::words::Words::new(words)),
        Program::Client => super::client_with(super::words::Words::new(words)),
        Program::Neither => neither(first),
    }
}

/// `shmdemo` alone, with a word that is not a program.
fn neither(word: Option<OsString>) -> ExitCode {
    super::signals::let_writes_fail();
    let word = word.unwrap_or_default();
    let text = match word.to_str() {
        Some("--help" | "-h") => HELP,
        Some("--version" | "-V") => concat!("shmdemo ", env!("CARGO_PKG_VERSION"), "\n"),
        _ => {
            logging::start("shmdemo", logging::Settings::default());
            let message = if word.is_empty() {
                "usage error (see shmdemo --help): server or client is missing".into()
            } else {
                format!(
                    "usage error (see shmdemo --help): '{}' is neither server nor client",
                    escaped(&word.to_string_lossy())
                )
            };
            return finish(Err(Failure::error(exit::USAGE, message)));
        }
    };
    finish(stdio::print(text).map(|()| exit::OK))
}
