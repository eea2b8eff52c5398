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
    for file in [
        "include/shmdemo.h",
        "include/shmdemo.hpp",
        "lib/libshmdemo.so.0",
        "lib/pkgconfig/shmdemo.pc",
        "lib/cmake/shmdemo/shmdemo-config.cmake",
    ] {
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

/// A program of another project's, which finds the library by CMake: shared and static, installed at its
/// place, moved elsewhere, and in the folder of a target system.
#[test]
fn a_program_built_with_cmake() {
    let Some(built) = built() else { return };
    if !there("cmake") || !there("c++") {
        return skipped("no cmake or no c++");
    }
    let folder = Folder::new();
    let at = |name: &str| folder.0.join(name);
    std::fs::write(
        at("CMakeLists.txt"),
        "cmake_minimum_required(VERSION 3.13)\nproject(other C CXX)\n\
         find_package(shmdemo ${WANTED} CONFIG REQUIRED)\n\
         set(CMAKE_CXX_STANDARD 17)\n\
         foreach(kind shmdemo static)\n\
         if(TARGET shmdemo::${kind})\n\
         add_executable(c_${kind} producer.c)\nadd_executable(cpp_${kind} producer.cpp)\n\
         target_link_libraries(c_${kind} shmdemo::${kind})\n\
         target_link_libraries(cpp_${kind} shmdemo::${kind})\n\
         endif()\nendforeach()\n",
    )
    .expect("a file");
    std::fs::write(at("producer.c"), include_str!("../../examples/c/producer.c")).expect("a file");
    std::fs::write(at("producer.cpp"), include_str!("../../examples/cpp/producer.cpp"))
        .expect("a file");
    let configure = |args: &[String]| {
        let _ = std::fs::remove_dir_all(at("build"));
        let mut cmake = words("cmake -S . -B build");
        cmake.current_dir(&folder.0).args(args);
        let out = cmake.output().expect("cmake");
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let version = env!("CARGO_PKG_VERSION");
    let (line, last) = version.rsplit_once('.').expect("a version");
    let newer = format!("{line}.{}", last.parse::<u32>().expect("a number") + 1);
    let prefix = |to: &Path| format!("-DCMAKE_PREFIX_PATH={}", to.join("usr").display());
    let wants = |what: &str| format!("-DWANTED={what}");
    for (wanted, found) in [(newer.as_str(), false), ("99", false), ("0.0.1", false), (line, true)]
    {
        let (good, said) = configure(&[prefix(&built.stage), wants(wanted)]);
        assert_eq!(good, found, "{wanted}: {said}");
        assert!(good || said.contains(version), "{wanted}: {said}");
    }
    // Moved, with all of it, and without the archive; then as a root file system.
    let moved = at("moved");
    std::fs::create_dir(&moved).expect("a folder");
    tool({
        let mut copy = words("cp -a");
        copy.arg(built.stage.join("usr")).arg(&moved);
        copy
    });
    let root = vec![format!("-DCMAKE_SYSROOT={}", moved.display())];
    let root = [root, vec!["-DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY".into()]].concat();
    let known = [built.stage.join("usr/lib"), moved.join("usr/lib")];
    for (args, from, kinds) in [
        (vec![prefix(&built.stage), wants(version)], &built.stage, &["shmdemo", "static"][..]),
        (vec![prefix(&moved)], &moved, &["shmdemo", "static"]),
        (vec![prefix(&moved)], &moved, &["shmdemo"]),
    ] {
        if kinds.len() == 1 {
            std::fs::remove_file(moved.join("usr/lib/libshmdemo.a")).expect("an archive");
        }
        let (good, said) = configure(&args);
        assert!(good, "{said}");
        let mut build = words("cmake --build build");
        build.current_dir(&folder.0);
        tool(build);
        for kind in ["shmdemo", "static"] {
            for face in ["c", "cpp"] {
                let program = at("build").join(format!("{face}_{kind}"));
                assert_eq!(program.exists(), kinds.contains(&kind), "{args:?}");
                if !program.exists() {
                    continue;
                }
                let mut readelf = words("readelf -d");
                readelf.arg(&program);
                let needs = tool(readelf);
                assert_eq!(needs.contains("[libshmdemo.so.0]"), kind == "shmdemo", "{needs}");
                let other = known.iter().find(|lib| !lib.starts_with(from)).expect("two");
                assert!(!needs.contains(other.to_str().expect("text")), "{needs}");
                let channel = Channel::new();
                let server = channel.running(&["--persist"]);
                let mut producer = Command::new(program);
                producer.arg(channel.key.to_string()).args(["hello", ""]);
                run(producer, b"").expect(0);
                server.wait_stdout("both", |out| out == b"hello\n\n");
            }
        }
    }
    // In a root file system without a C library nothing can be linked; what is found says enough.
    let script = "cmake_minimum_required(VERSION 3.13)\nproject(other NONE)\n\
                  find_package(shmdemo CONFIG REQUIRED)\n\
                  get_target_property(at shmdemo::shmdemo LOCATION)\nmessage(FATAL_ERROR \"at ${at}\")\n";
    std::fs::write(at("CMakeLists.txt"), script).expect("a file");
    let (_, said) = configure(&root);
    let place = format!(
        "at {}/usr/lib/libshmdemo.so.{version}",
        moved.canonicalize().expect("a folder").display()
    );
    assert!(said.contains(&place), "{said}");
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
        // It unwinds, and walks the stack: what the library puts in the place of that is its own.
        "#[no_mangle]\npub extern \"C\" fn other(n: i32) -> i32 {\n    \
         let caught = std::panic::catch_unwind(|| assert!(n < 0)).is_err();\n    \
         let frames = std::backtrace::Backtrace::force_capture().to_string();\n    \
         if caught && frames.contains(\"other\") { n } else { -1 }\n}\n",
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
