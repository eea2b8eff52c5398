//! The C library as a package installs it: built by `capi/Makefile`, looked at with binutils, used
//! by C and C++ programs against the two programs.
//!
//! On a board there is no compiler: there the C programs are found like the two programs.

use super::built::{built, built_cpp, make, there, tool, words};
use crate::support::{find_program, numbered, run, skipped, Channel, Proc};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::collections::BTreeSet;
use std::process::Command;

const HEADER: &str = include_str!("../../include/shmdemo.h");

/// The languages that the examples are written in, by their names' beginning.
const FACES: [&str; 2] = ["c", "cpp"];

/// A C or C++ program: beside the test or in PATH, else built here.
fn program(name: &str, channel: &Channel, args: &[&str]) -> Option<Command> {
    let build = if name.starts_with("cpp_") { built_cpp } else { built };
    let found = find_program(name).or_else(|| build().map(|built| built.programs.join(name)));
    let mut command = Command::new(found?);
    command.arg(channel.key.to_string()).args(args);
    Some(command)
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    let code: Vec<&str> =
        HEADER.split("/*").map(|part| part.rsplit("*/").next().unwrap()).collect();
    let code = code.concat();
    code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '('))
        .filter_map(|word| word.split_once('('))
        .filter(|(name, _)| name.starts_with("shmdemo_"))
        .map(|(name, _)| name.to_string())
        .collect()
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let Some(built) = built() else { return };
    let mut nm = words("nm -D --defined-only --with-symbol-versions");
    nm.arg(built.lib("libshmdemo.so"));
    let names: Vec<String> =
        tool(nm).lines().filter_map(|line| line.split(' ').nth(2).map(String::from)).collect();
    let (versions, functions): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| name.starts_with("SHMDEMO_"));
    assert_eq!(versions, ["SHMDEMO_0.1"]);
    let exported: BTreeSet<String> = functions
        .into_iter()
        .map(|name| match name.split_once("@@") {
            Some((name, "SHMDEMO_0.1")) => name.to_string(),
            _ => panic!("{name} has another version or none"),
        })
        .collect();
    assert_eq!(exported, declared());
    assert!(exported.len() > 20, "{exported:?}");
}

#[test]
fn the_library_has_its_soname_and_needs_what_every_board_has() {
    let Some(built) = built() else { return };
    let mut readelf = words("readelf -dW");
    readelf.arg(built.lib("libshmdemo.so"));
    let text = tool(readelf);
    let all = |tag: &str| -> Vec<&str> {
        let lines = text.lines().filter(|line| line.contains(tag));
        lines.filter_map(|line| line.split(['[', ']']).nth(1)).collect()
    };
    assert_eq!(all("(SONAME)"), ["libshmdemo.so.0"]);
    for needed in all("(NEEDED)") {
        let usual = ["libc.so", "libgcc_s.so", "ld-linux", "libpthread.so", "libdl.so"];
        assert!(usual.iter().any(|name| needed.starts_with(name)), "needs {needed}");
    }
    let whole = built.lib(&format!("libshmdemo.so.{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(built.lib("libshmdemo.so.0").canonicalize().unwrap(), whole.canonicalize().unwrap());
}

#[test]
fn the_header_stands_alone_in_c_and_cpp() {
    let Some(built) = built() else { return };
    let text = "#include <shmdemo.h>\n#include <shmdemo.h>\n\
                int main(void) { return shmdemo_version_number() == SHMDEMO_VERSION_NUMBER; }\n";
    for standard in ["-std=c99", "-std=c11", "-std=gnu17"] {
        built.compile(&format!("cc {standard}"), "alone.c", text);
    }
    if !there("c++") {
        return skipped("no c++ to compile the header with");
    }
    for standard in ["-std=c++11", "-std=c++20"] {
        built.compile(&format!("c++ {standard}"), "alone.cpp", text);
    }
}

#[test]
fn a_program_built_with_pkg_config_runs_with_the_shared_library() {
    let Some(built) = built() else { return };
    if !there("pkg-config") {
        return skipped("no pkg-config");
    }
    let stage = &built.stage;
    let asked = |what: &str| {
        let mut pkg_config = words(&format!("pkg-config {what} shmdemo"));
        pkg_config.env("PKG_CONFIG_LIBDIR", stage.join("usr/lib/pkgconfig"));
        pkg_config.env("PKG_CONFIG_SYSROOT_DIR", stage);
        // Else what looks like the system's own is left out.
        pkg_config.env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1");
        pkg_config.env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1");
        tool(pkg_config)
    };
    assert_eq!(asked("--modversion").trim(), env!("CARGO_PKG_VERSION"));
    let source = stage.join("pkg.c");
    std::fs::write(&source, include_str!("../../examples/c/producer.c")).expect("a source file");
    for (name, linking, shared) in
        [("shared", "--libs", true), ("static", "--static --libs", false)]
    {
        if !shared {
            // Without the shared one beside it the linker takes the archive.
            std::fs::rename(built.lib("libshmdemo.so"), built.lib("aside")).unwrap();
        }
        let mut cc = Command::new("cc");
        cc.arg("-o").arg(stage.join(name)).arg(&source);
        cc.args(asked(&format!("--cflags {linking}")).split_whitespace());
        tool(cc);
        if !shared {
            std::fs::rename(built.lib("aside"), built.lib("libshmdemo.so")).unwrap();
        }
        let mut readelf = words("readelf -d");
        readelf.arg(stage.join(name));
        assert_eq!(tool(readelf).contains("[libshmdemo.so.0]"), shared, "{name}");

        let channel = Channel::new();
        let server = channel.running(&["--persist"]);
        let mut producer = Command::new(stage.join(name));
        producer.arg(channel.key.to_string()).args(["hello", ""]);
        producer.env("LD_LIBRARY_PATH", stage.join("usr/lib"));
        run(producer, b"").expect(0);
        server.wait_stdout("both", |out| out == b"hello\n\n");
    }
}

#[test]
fn every_function_used_rightly_and_wrongly() {
    let channel = Channel::new();
    let Some(checks) = program("c_checks", &channel, &[]) else { return };
    let out = run(checks, b"");
    let text = out.expect(0).text();
    let count = text.split(' ').next().and_then(|n| n.parse::<u32>().ok());
    assert!(count.is_some_and(|n| n > 300), "{text}");
    channel.assert_gone();
}

#[test]
fn c_sends_to_our_server() {
    FACES.into_iter().for_each(c_sends_to_our_server_by);
}

fn c_sends_to_our_server_by(face: &str) {
    let channel = Channel::new();
    let Some(producer) =
        program(&format!("{face}_producer"), &channel, &["hello", "", "two words"])
    else {
        return;
    };
    let server = channel.running(&[]);
    run(producer, b"").expect(0);
    run(channel.client(&[]), b"end\n").expect(0);
    assert_eq!(server.finish().expect(0).text(), "hello\n\ntwo words\n");
    channel.assert_gone();
}

#[test]
fn c_sends_before_there_is_a_server() {
    let channel = Channel::new();
    let Some(producer) = program("c_producer", &channel, &["early", "bird"]) else { return };
    run(producer, b"").expect(0);
    assert!(channel.status().numbers("sent").contains(&2.0));
    let server = channel.running(&["--persist"]);
    server.wait_stdout("both", |out| out == b"early\nbird\n");
}

#[test]
fn c_receives_from_our_client_until_it_is_told_to_stop() {
    FACES.into_iter().for_each(c_receives_from_our_client_until_it_is_told_to_stop_by);
}

fn c_receives_from_our_client_until_it_is_told_to_stop_by(face: &str) {
    let channel = Channel::new();
    let Some(consumer) = program(&format!("{face}_consumer"), &channel, &["-1"]) else { return };
    let consumer = Proc::spawn(consumer);
    channel.await_holder(&consumer);
    let wanted = numbered(5000);
    run(channel.client(&[]), &wanted).expect(0);
    consumer.wait_stdout("all of it", |out| out == wanted);
    consumer.signal(SIGTERM);
    let out = consumer.finish();
    assert_eq!((out.expect(0).stdout.len(), &out.stderr[..]), (wanted.len(), ""));
    // The channel stays for the next one, and a time without messages ends that.
    run(channel.client(&[]), b"late\n").expect(0);
    let next = program(&format!("{face}_consumer"), &channel, &["0"]).expect("found before");
    assert_eq!(run(next, b"").expect(0).text(), "late\n");
}

#[test]
fn a_killed_c_consumer_leaves_its_role_and_every_message() {
    FACES.into_iter().for_each(a_killed_c_consumer_leaves_its_role_and_every_message_by);
}

fn a_killed_c_consumer_leaves_its_role_and_every_message_by(face: &str) {
    let channel = Channel::new();
    let Some(consumer) = program(&format!("{face}_consumer"), &channel, &["-1"]) else { return };
    let consumer = Proc::spawn(consumer);
    channel.await_holder(&consumer);
    let producer = program(&format!("{face}_producer"), &channel, &["one"]).expect("built with it");
    run(producer, b"").expect(0);
    consumer.wait_stdout("the first", |out| out == b"one\n");
    consumer.stop();
    run(channel.client(&[]), &numbered(100)).expect(0);
    consumer.signal(SIGKILL);
    assert_eq!(consumer.finish().code(), 137);
    let server = channel.running(&["--persist"]);
    server.wait_stdout("the others", |out| out.ends_with(&numbered(100)));
}

#[test]
fn in_place_and_in_batches() {
    FACES.into_iter().for_each(in_place_and_in_batches_by);
}

fn in_place_and_in_batches_by(face: &str) {
    let channel = Channel::new();
    let Some(zero_copy) = program(&format!("{face}_zero_copy"), &channel, &["100000"]) else {
        return;
    };
    let out = run(zero_copy, b"");
    // 15 values from n to n + 14 for every n below 100000.
    let sum: u64 = (0..100_000_u64).map(|n| 15 * n + 105).sum();
    assert_eq!(out.expect(0).text(), format!("100000 samples, sum {sum}\n"));
    channel.assert_gone();
}

#[test]
fn in_an_event_loop() {
    FACES.into_iter().for_each(in_an_event_loop_by);
}

fn in_an_event_loop_by(face: &str) {
    let channel = Channel::new();
    let Some(event_loop) = program(&format!("{face}_event_loop"), &channel, &[]) else { return };
    let mut event_loop = Proc::spawn(event_loop);
    channel.await_holder(&event_loop);
    run(channel.client(&[]), b"one\n").expect(0);
    event_loop.wait_stdout("the first", |out| out == b"one\n");
    // Its other events.
    event_loop.write(b"something else\n");
    let wanted = [b"one\n".to_vec(), numbered(5000)].concat();
    run(channel.client(&[]), &numbered(5000)).expect(0);
    event_loop.wait_stdout("all of it", |out| out == wanted);
    let out = event_loop.finish();
    assert_eq!((out.expect(0).stdout == wanted, &out.stderr[..]), (true, ""));
    // And when the channel goes away.
    let mut event_loop =
        Proc::spawn(program(&format!("{face}_event_loop"), &channel, &[]).expect("found before"));
    channel.await_holder(&event_loop);
    run(channel.sub("remove", &["--force"]), b"").expect(0);
    event_loop.finish_with_stdin().fails(69, &["eidrm"]);
}

#[test]
fn among_a_socket_and_a_timer() {
    let channel = Channel::new();
    let Ok(free) = std::net::UdpSocket::bind("127.0.0.1:0") else {
        return skipped("no loopback interface");
    };
    let port = free.local_addr().expect("its number").port().to_string();
    drop(free);
    let Some(epoll) = program("c_epoll", &channel, &[&port]) else { return };
    let mut epoll = Proc::spawn(epoll);
    channel.await_holder(&epoll);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let has = |proc: &Proc, text: &str| {
        let text = text.as_bytes().to_vec();
        proc.wait_stdout("its event", move |out| out.windows(text.len()).any(|seen| seen == text));
    };
    run(channel.client(&[]), b"one\n").expect(0);
    has(&epoll, "channel: one\n");
    socket.send_to(b"two", format!("127.0.0.1:{port}")).expect("sent");
    has(&epoll, "socket: two\n");
    has(&epoll, "timer: tick\n");
    run(channel.client(&[]), &numbered(2000)).expect(0);
    has(&epoll, "channel: 1999\n");
    run(channel.client(&[]), b"end\n").expect(0);
    let out = epoll.finish_with_stdin();
    let text = out.expect(0).text();
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("channel: ")).collect();
    let wanted = numbered(2000);
    let wanted = String::from_utf8_lossy(&wanted);
    let wanted: Vec<&str> = ["one"].into_iter().chain(wanted.lines()).chain(["end"]).collect();
    assert_eq!(lines, wanted);
}

/// The event loops that other libraries have; where they are not installed, nothing is tried.
#[test]
fn in_the_event_loops_of_other_libraries() {
    let Some(built) = built() else { return };
    for (name, package) in [("c_sd_event", "libsystemd"), ("c_glib", "glib-2.0")] {
        let has = Command::new("pkg-config").args(["--exists", package]).status();
        if !has.is_ok_and(|status| status.success()) {
            skipped(&format!("no {package} to build with"));
            continue;
        }
        let target = built.programs.join(name);
        let mut make = make(target.to_str().expect("text"));
        make.arg(format!("EXAMPLES={}", built.programs.display()));
        tool(make);
        for end in [true, false] {
            let channel = Channel::new();
            let mut program = Command::new(&target);
            program.arg(channel.key.to_string());
            let mut program = Proc::spawn(program);
            channel.await_holder(&program);
            run(channel.client(&[]), b"one\n").expect(0);
            program.wait_stdout("the first", |out| out == b"one\n");
            run(channel.client(&[]), &numbered(3000)).expect(0);
            let wanted = [b"one\n".to_vec(), numbered(3000)].concat();
            program.wait_stdout("all of it", |out| out == wanted);
            if end {
                run(channel.client(&[]), b"end\n").expect(0);
            } else {
                program.signal(SIGTERM);
            }
            program.finish_with_stdin().expect(0);
        }
    }
}

#[test]
fn failures_have_the_exit_codes_of_the_programs() {
    FACES.into_iter().for_each(failures_have_the_exit_codes_of_the_programs_by);
}

fn failures_have_the_exit_codes_of_the_programs_by(face: &str) {
    let channel = Channel::new();
    let Some(consumer) = program(&format!("{face}_consumer"), &channel, &["0"]) else { return };
    let server = channel.running(&["--max-message", "5"]);
    run(consumer, b"").fails(75, &["shmdemo consumer open", &server.pid().to_string()]);
    let producer = program(&format!("{face}_producer"), &channel, &["12345", "123456"])
        .expect("built with it");
    run(producer, b"").fails(65, &["6 bytes", "5 bytes"]);
    server.wait_stdout("what fits", |out| out == b"12345\n");
    // A segment of somebody else's.
    let other = Channel::new();
    crate::support::raw::shm_create(other.key, 4096, 0o600);
    let producer = program(&format!("{face}_producer"), &other, &["x"]).expect("built with it");
    run(producer, b"").fails(76, &["magic"]);
}
