//! `capi/Makefile` as who packages or installs the C library uses it, and the static library beside
//! other libraries.

use super::built::{built, make, there, tool, words, Built};
use crate::support::{run, skipped, Channel, Folder};
use std::path::Path;
use std::process::Command;

/// Every file and link below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut find = words("find . ! -type d");
    find.current_dir(folder);
    tool(find).lines().map(String::from).collect()
}

/// `make` that may not build: with a cargo that fails.
fn make_without_cargo(goal: &str, to: &Folder) -> Command {
    let mut make = make(goal);
    make.args(["CARGO=false", "PREFIX=/usr"]).arg(format!("DESTDIR={}", to.0.display()));
    make
}

#[test]
fn install_copies_what_is_built_and_says_so_where_nothing_is() {
    if built().is_none() {
        return;
    }
    let (to, empty) = (Folder::new(), Folder::new());
    let mut install = make_without_cargo("install", &to);
    install.arg(format!("OUT={}", empty.0.display()));
    let out = install.output().expect("make");
    let said = String::from_utf8_lossy(&out.stderr);
    let missing = format!("make first: there is no {}/libshmdemo.a", empty.0.display());
    assert!(!out.status.success() && said.contains(&missing), "{said}");
    assert_eq!(files(&to.0), Vec::<String>::new());

    // Built already: another user, with another cargo or none, installs the same.
    tool(make_without_cargo("install", &to));
    let there = files(&to.0);
    for file in ["include/shmdemo.h", "lib/libshmdemo.so.0", "lib/pkgconfig/shmdemo.pc"] {
        assert!(there.contains(&format!("./usr/{file}")), "{there:?}");
    }
    // And takes all of it away again, but nothing of others.
    std::fs::write(to.0.join("usr/lib/other"), "").expect("a file");
    tool(make_without_cargo("uninstall", &to));
    assert_eq!(files(&to.0), ["./usr/lib/other"]);
}

#[test]
fn check_runs_the_checks_and_clean_takes_away_what_was_built() {
    let Some(built) = built() else { return };
    let out = Folder::new();
    let at = |name: &str| format!("{name}={}", out.0.join(name).display());
    std::fs::create_dir(out.0.join("OUT")).expect("a folder");
    std::fs::copy(built.lib("libshmdemo.a"), out.0.join("RUST_LIB")).expect("the library");
    let run = |goal: &str| {
        let mut make = make(goal);
        // The library that is installed has all names that the Makefile looks for.
        make.args([&at("OUT"), &at("RUST_LIB"), "CARGO=:"]);
        tool(make)
    };
    let said = run("check");
    assert!(said.lines().any(|line| line.ends_with(" checks, 0 failed")), "{said}");
    assert!(files(&out.0).contains(&"./OUT/libshmdemo.a".into()));
    std::fs::write(out.0.join("OUT/other"), "").expect("a file");
    run("clean");
    assert_eq!(files(&out.0), ["./OUT/other"]);
}

/// What pkg-config prints for a static program, with the installed folder's names.
fn static_flags(built: &Built) -> Option<Vec<String>> {
    if !there("pkg-config") {
        skipped("no pkg-config");
        return None;
    }
    let mut pkg_config = words("pkg-config --static --cflags --libs shmdemo");
    pkg_config.env("PKG_CONFIG_LIBDIR", built.stage.join("usr/lib/pkgconfig"));
    pkg_config.env("PKG_CONFIG_SYSROOT_DIR", &built.stage);
    // Else what looks like the system's own is left out.
    pkg_config.env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1");
    pkg_config.env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1");
    Some(tool(pkg_config).split_whitespace().map(String::from).collect())
}

#[test]
fn a_program_without_any_shared_library() {
    let Some(built) = built() else { return };
    let Some(flags) = static_flags(built) else { return };
    let folder = Folder::new();
    let source = folder.0.join("producer.c");
    std::fs::write(&source, include_str!("../../examples/c/producer.c")).expect("a source file");
    let program = folder.0.join("producer");
    let mut cc = words("cc -static -o");
    cc.args([&program, &source]).args(&flags);
    tool(cc);
    let mut readelf = words("readelf -d");
    readelf.arg(&program);
    assert!(!tool(readelf).contains("(NEEDED)"));

    let channel = Channel::new();
    let server = channel.running(&["--persist"]);
    let mut producer = Command::new(program);
    producer.arg(channel.key.to_string()).args(["hello", ""]);
    run(producer, b"").expect(0);
    server.wait_stdout("both", |out| out == b"hello\n\n");
}

#[test]
fn a_program_with_another_rust_library() {
    let Some(built) = built() else { return };
    let Some(flags) = static_flags(built) else { return };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    if !there(&rustc) {
        return skipped("no rustc");
    }
    let mut nm = words("nm -g --defined-only -P");
    nm.arg(built.lib("libshmdemo.a"));
    for line in tool(nm).lines().filter(|line| !line.ends_with(':')) {
        assert!(line.starts_with("shmdemo_"), "{line} is global");
    }
    let folder = Folder::new();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.0.join(name), text).expect("a source file");
    };
    write(
        "other.rs",
        "#[no_mangle]\npub extern \"C\" fn other(n: i32) -> i32 {\n    \
         std::panic::catch_unwind(|| vec![1; n as usize].iter().sum()).unwrap_or(-1)\n}\n",
    );
    write(
        "main.c",
        "#include <shmdemo.h>\n#include <stdio.h>\nint other(int n);\nint main(void)\n{\n\
         puts(shmdemo_version());\nreturn other(7) == 7 ? 0 : 1;\n}\n",
    );
    let mut compile = Command::new(&rustc);
    compile.current_dir(&folder.0).args(["--crate-type", "staticlib", "-o", "libother.a"]);
    compile.arg("other.rs");
    tool(compile);
    // Either library first.
    for order in [["-lother", "-lshmdemo"], ["-lshmdemo", "-lother"]] {
        let mut cc = words("cc -static -o main main.c -L.");
        let (folders, rest): (Vec<_>, Vec<_>) =
            flags.iter().partition(|flag| flag.starts_with("-L") || flag.starts_with("-I"));
        let rest = rest.into_iter().filter(|flag| *flag != "-lshmdemo");
        cc.current_dir(&folder.0).args(folders).args(order).args(rest);
        tool(cc);
        let said = tool(Command::new(folder.0.join("main")));
        assert_eq!(said.trim(), env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn the_examples_are_cpp_as_well() {
    let Some(built) = built() else { return };
    if !there("c++") {
        return skipped("no c++");
    }
    for standard in ["-std=c++11", "-std=c++20"] {
        for (name, text) in [
            ("consumer", include_str!("../../examples/c/consumer.c")),
            ("epoll", include_str!("../../examples/c/epoll.c")),
            ("event_loop", include_str!("../../examples/c/event_loop.c")),
            ("producer", include_str!("../../examples/c/producer.c")),
            ("zero_copy", include_str!("../../examples/c/zero_copy.c")),
        ] {
            built.compile(&format!("c++ -x c++ {standard}"), &format!("{name}.cpp"), text);
        }
    }
}
