//! What is left of a panic in the programs as they are shipped: its message and its place.
//!
//! The programs have no panic to provoke, so a small one is built with the same replacement for the
//! unwinder, in the same way. Needs a Rust compiler where the test runs.

use crate::support::{skipped, Folder};
use std::process::{Command, Output};

/// Builds a program that panics, with src/program/no_unwinder.rs in it and these switches of rustc.
fn build(folder: &Folder, switches: &[&str]) -> Option<Output> {
    let source = folder.0.join("panics.rs");
    let stubs = concat!(env!("CARGO_MANIFEST_DIR"), "/src/program/no_unwinder.rs");
    let text = format!(
        "#[path = {stubs:?}]\nmod no_unwinder;\nfn main() {{\n    let none: Option<u8> = \
         std::env::args().nth(1).map(|_| 0);\n    none.expect(\"nobody is here\");\n}}\n"
    );
    std::fs::write(&source, text).expect("a source file");
    let mut rustc = Command::new("rustc");
    rustc.args(switches).arg("-o").arg(folder.0.join("panics")).arg(&source);
    rustc.output().ok()
}

#[test]
fn a_panic_names_message_and_place_and_aborts() {
    let folder = Folder::new();
    let switches = ["-Copt-level=s", "-Clto=fat", "-Cpanic=abort", "-Ccodegen-units=1"];
    let Some(built) = build(&folder, &switches) else { return skipped("no rustc here") };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for backtrace in ["0", "1", "full"] {
        let mut program = Command::new(folder.0.join("panics"));
        let out = program.env("RUST_BACKTRACE", backtrace).output().expect("it runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(said.contains("panics.rs:5") && said.contains("nobody is here"), "{said}");
        let signal = std::os::unix::process::ExitStatusExt::signal(&out.status);
        assert_eq!(signal, Some(nix::libc::SIGABRT), "{said}");
    }
    // What it is all for: std's reader of debug information is not in the program.
    let size = std::fs::metadata(folder.0.join("panics")).expect("it was built").len();
    let folder = Folder::new();
    let source = folder.0.join("panics.rs");
    std::fs::write(&source, "fn main() { None::<u8>.expect(\"nobody is here\"); }\n")
        .expect("a file");
    let mut rustc = Command::new("rustc");
    let with = folder.0.join("with-unwinder");
    let built = rustc.args(switches).arg("-o").arg(&with).arg(&source).status().expect("rustc");
    assert!(built.success());
    let with = std::fs::metadata(with).expect("it was built").len();
    assert!(size * 10 < with * 9, "{size} bytes, and {with} with the unwinder");
}

#[test]
fn a_program_that_can_unwind_is_not_built_with_it() {
    let folder = Folder::new();
    let Some(built) = build(&folder, &["-Cpanic=unwind"]) else { return skipped("no rustc here") };
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(!built.status.success() && said.contains("panic = \"abort\" is not set"), "{said}");
}
