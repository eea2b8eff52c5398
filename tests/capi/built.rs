//! The C library, built and installed by `capi/Makefile` into a folder beside the test.
#![allow(dead_code)] // each test uses a part of it

use crate::support::skipped;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What the Makefile made.
pub struct Built {
    pub stage: PathBuf,
    pub programs: PathBuf,
}

impl Built {
    pub fn lib(&self, name: &str) -> PathBuf {
        self.stage.join("usr/lib").join(name)
    }

    /// Compiles the text with the installed header.
    #[track_caller]
    pub fn compile(&self, compiler: &str, name: &str, text: &str) {
        let file = self.stage.join(name);
        std::fs::write(&file, text).expect("a source file");
        let mut cc = words(compiler);
        cc.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]);
        cc.arg("-I").arg(self.stage.join("usr/include")).arg(file);
        tool(cc);
    }
}

pub fn there(tool: &str) -> bool {
    let answer = Command::new(tool).arg("--version").output();
    answer.is_ok_and(|out| out.status.success())
}

/// The Makefile's folder, as cargo says it when it runs tests: nothing is baked in that a board
/// has not.
fn sources() -> Option<PathBuf> {
    std::env::var_os("CARGO_MANIFEST_DIR").map(|top| Path::new(&top).join("capi"))
}

/// `make -C capi GOAL`.
pub fn make(goal: &str) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(sources().expect("looked at in `built`")).arg(goal);
    make
}

/// Builds and installs into a folder, once; None where that can't be done.
pub fn built() -> Option<&'static Built> {
    static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if !sources().is_some_and(|folder| folder.exists()) {
            return Err("the C library's sources are not here".into());
        }
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        for tool in ["make", "cc", cargo.as_str()] {
            if !there(tool) {
                return Err(format!("no {tool} to build the C library with"));
            }
        }
        let test = std::env::current_exe().expect("path of this test");
        let stage = test.with_extension("stage");
        let programs = stage.join("programs");
        let mut make = make("all");
        make.args(["install", "examples", "PREFIX=/usr"]);
        make.arg(format!("CARGO={cargo}")).arg(format!("DESTDIR={}", stage.display()));
        make.arg(format!("EXAMPLES={}", programs.display()));
        tool(make);
        Ok(Built { stage, programs })
    });
    built.as_ref().map_err(|why| skipped(why)).ok()
}

/// The same with the C++ programs; None where there is no C++ compiler.
pub fn built_cpp() -> Option<&'static Built> {
    static MADE: OnceLock<bool> = OnceLock::new();
    let built = built()?;
    let made = MADE.get_or_init(|| {
        let has = there("c++");
        if has {
            let mut make = make("examples-cpp");
            make.arg("CARGO=:").arg(format!("EXAMPLES={}", built.programs.display()));
            tool(make);
        }
        has
    });
    if !made {
        skipped("no c++");
    }
    made.then_some(built)
}

/// Runs a tool to its good end; what it prints.
#[track_caller]
pub fn tool(mut command: Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {}\n{said}", out.status);
    String::from_utf8(out.stdout).expect("text")
}

pub fn words(command: &str) -> Command {
    let mut words = command.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    command
}
