//! `shmdemo-server`: all it does is in the library's `program` module.
#![deny(unsafe_code)]

// Before std's own libgcc_s, which then is not needed: see Cargo.toml.
#[cfg(all(feature = "static-libgcc", target_env = "gnu"))]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
extern "C" {}

fn main() -> std::process::ExitCode {
    shmdemo::program::server()
}
