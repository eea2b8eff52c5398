//! The two headers and the compilers: `shmdemo.hpp` by each of them, and what they warn of.

use super::built::{built, there, tool, words};
use crate::support::{run, skipped, Channel};
use std::process::Command;

/// `shmdemo.hpp`, by each compiler and standard, with exceptions and without.
#[test]
fn every_function_of_the_cpp_header() {
    let Some(built) = built() else { return };
    let source = built.stage.join("checks.cpp");
    std::fs::write(&source, include_str!("checks.cpp")).expect("a source file");
    let mut flags: Vec<String> = vec![format!("-I{}", built.stage.join("usr/include").display())];
    flags.extend(
        "-pedantic -Wall -Wextra -Wconversion -Wold-style-cast -Werror"
            .split(' ')
            .map(String::from),
    );
    for compiler in ["g++", "clang++"] {
        if !there(compiler) {
            skipped(&format!("no {compiler}"));
            continue;
        }
        for (standard, throws, fewest) in
            [("-std=c++17", true, 220), ("-std=c++20", true, 225), ("-std=c++17", false, 160)]
        {
            let checks = built.programs.join(format!("{compiler}{standard}{throws}"));
            let mut build = Command::new(compiler);
            build.arg(standard).args(&flags).arg("-o").arg(&checks).arg(&source);
            build.args(if throws { None } else { Some("-fno-exceptions") });
            build.arg(built.lib("libshmdemo.a")).args(["-lpthread", "-ldl"]);
            tool(build);
            let channel = Channel::new();
            let mut checks = Command::new(checks);
            checks.arg(channel.key.to_string());
            let out = run(checks, b"");
            let text = out.expect(0).text();
            let count = text.split(' ').next().and_then(|n| n.parse::<u32>().ok());
            assert!(count.is_some_and(|n| n >= fewest), "{compiler} {standard}: {text}");
            channel.assert_gone();
        }
    }
}

/// What nobody may forget to look at, the compiler asks for.
#[test]
fn a_result_that_is_not_looked_at_is_warned_of() {
    let Some(built) = built() else { return };
    let compile = |compiler: &str, file: &str, text: &str| {
        std::fs::write(built.stage.join(file), text).expect("a source file");
        let mut cc = words(compiler);
        cc.args(["-Wall", "-Werror", "-c", "-o", "/dev/null", "-I"]);
        cc.arg(built.stage.join("usr/include")).arg(built.stage.join(file));
        let out = cc.output().expect("a compiler");
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let c = |call: &str| {
        format!("#include <shmdemo.h>\nvoid f(shmdemo_producer *p, shmdemo_consumer *c);\n\
                 void f(shmdemo_producer *p, shmdemo_consumer *c)\n{{ (void)p, (void)c; {call}; }}\n")
    };
    let cpp = |call: &str| {
        format!("#include <shmdemo.hpp>\nvoid f(shmdemo::consumer &c, shmdemo::error &e);\n\
                 void f(shmdemo::consumer &c, shmdemo::error &e)\n{{ (void)c, (void)e; {call}; }}\n")
    };
    for (call, warned) in [
        ("shmdemo_producer_send(p, \"x\", 1, 0, -1)", true),
        ("shmdemo_producer_finish(p, -1)", true),
        ("shmdemo_consumer_release_first(c, 1)", true),
        ("shmdemo_consumer_release(c)", false),
    ] {
        let (good, said) = compile("cc", "unused.c", &c(call));
        assert_eq!((!good, said.contains("unused-result")), (warned, warned), "{call}: {said}");
    }
    if !there("c++") {
        return skipped("no c++");
    }
    for (call, warned) in [
        ("c.take()", true),
        ("c.take(shmdemo::at_once, e)", true),
        ("c.release(e)", true),
        ("c.release()", false),
    ] {
        let (good, said) = compile("c++ -std=c++17", "unused.cpp", &cpp(call));
        assert_eq!((!good, said.contains("unused-result")), (warned, warned), "{call}: {said}");
    }
}
