//! `shmdemo`: both programs in one executable. The name it is called by says which.
#![deny(unsafe_code)]

#[cfg(all(panic = "abort", not(any(feature = "backtrace", feature = "c-library"))))]
#[path = "../program/no_unwinder.rs"]
mod no_unwinder;

fn main() -> std::process::ExitCode {
    shmdemo::program::named()
}
