//! `shmdemo-client`: all it does is in the library's `program` module.
#![deny(unsafe_code)]

#[cfg(all(panic = "abort", not(any(feature = "backtrace", feature = "c-library"))))]
#[path = "../program/no_unwinder.rs"]
mod no_unwinder;

fn main() -> std::process::ExitCode {
    shmdemo::program::client()
}
