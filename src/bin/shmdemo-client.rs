//! `shmdemo-client`: all it does is in the library's `program` module.
#![deny(unsafe_code)]

fn main() -> std::process::ExitCode {
    shmdemo::program::client()
}
