//! 32-bit C programs and the 64-bit programs of this project on one segment.
//!
//! `SHMDEMO_C32_DIR`: the C examples and `c_checks`, built for a 32-bit machine with the byte order
//! of this one; `SHMDEMO_C32_RUN`: what runs them here (`qemu-arm`), if anything has to. The
//! programs of the classic C demonstration are compiled here, with `cc -m32`.

use crate::support::{numbered, run, skipped, Channel, Folder, Proc};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::path::PathBuf;
use std::process::Command;

/// A 32-bit program, and that it is one.
fn program(name: &str, channel: &Channel, args: &[&str]) -> Option<Command> {
    let Some(folder) = std::env::var_os("SHMDEMO_C32_DIR") else {
        skipped("SHMDEMO_C32_DIR names no 32-bit C programs");
        return None;
    };
    let file = PathBuf::from(folder).join(name);
    let head = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    assert_eq!(&head[..5], b"\x7fELF\x01", "{} is a 32-bit program", file.display());
    let runner = std::env::var("SHMDEMO_C32_RUN").unwrap_or_default();
    let mut words = runner.split_whitespace();
    let mut command = match words.next() {
        Some(first) => Command::new(first),
        None => Command::new(&file),
    };
    command.args(words);
    if !runner.trim().is_empty() {
        command.arg(&file);
    }
    command.arg(channel.key.to_string()).args(args);
    Some(command)
}

fn is_64_bit() -> bool {
    cfg!(target_pointer_width = "64")
}

#[test]
fn a_32_bit_producer_and_a_64_bit_server() {
    let channel = Channel::new();
    let Some(producer) = program("c_producer", &channel, &["hello", "", "from 32 bits"]) else {
        return;
    };
    assert!(is_64_bit());
    let server = channel.running(&[]);
    run(producer, b"").expect(0);
    run(channel.client(&[]), b"from 64 bits\nend\n").expect(0);
    assert_eq!(server.finish().expect(0).text(), "hello\n\nfrom 32 bits\nfrom 64 bits\n");
    channel.assert_gone();
}

#[test]
fn a_32_bit_consumer_and_a_64_bit_client() {
    let channel = Channel::new();
    // The 32-bit side makes the channel.
    let Some(consumer) = program("c_consumer", &channel, &["-1"]) else { return };
    let consumer = Proc::spawn(consumer);
    channel.await_holder(&consumer);
    // Many times the ring: both sides wait for each other.
    let wanted = numbered(20_000);
    run(channel.client(&[]), &wanted).expect(0);
    consumer.wait_stdout("all of it", |out| out == wanted);
    consumer.signal(SIGTERM);
    consumer.finish().expect(0);
    let status = channel.status();
    assert!(
        status.numbers("sent").contains(&20_000.0)
            && status.numbers("received").contains(&20_000.0)
    );
}

#[test]
fn the_kernel_frees_the_role_of_a_killed_32_bit_program() {
    let channel = Channel::new();
    let Some(consumer) = program("c_consumer", &channel, &["-1"]) else { return };
    let consumer = Proc::spawn(consumer);
    channel.await_holder(&consumer);
    consumer.stop();
    channel.filled(b"kept\n");
    consumer.signal(SIGKILL);
    assert_eq!(consumer.finish().code(), 137);
    let server = channel.running(&["--persist"]);
    server.wait_stdout("what it left", |out| out == b"kept\n");
}

#[test]
fn every_function_in_32_bits() {
    let channel = Channel::new();
    let Some(checks) = program("c_checks", &channel, &[]) else { return };
    let text = run(checks, b"").expect(0).text();
    assert!(text.ends_with(" checks, 0 failed\n"), "{text}");
    channel.assert_gone();
}

/// The demonstration's own programs, compiled for 32 bits; None where this compiler can't.
fn demo(folder: &Folder, name: &str, source: &str) -> Option<PathBuf> {
    let (file, program) = (folder.0.join(format!("{name}.c")), folder.0.join(name));
    let compile = |source: &str| {
        std::fs::write(&file, source).expect("the source");
        // The kernel's headers, which Debian has for this machine's own width alone, serve both.
        let place = Command::new("cc").arg("-print-multiarch").output()?.stdout;
        let place = format!("/usr/include/{}", String::from_utf8_lossy(&place).trim());
        let mut cc = Command::new("cc");
        cc.args(["-m32", "-O2", "-idirafter", &place, "-o"]).arg(&program).arg(&file).output()
    };
    // What it has no 32-bit library for, or no -m32.
    let can = compile("#include <stdio.h>\nint main(void) { return sizeof(void *) - 4; }\n");
    let can = can.is_ok_and(|out| out.status.success())
        && Command::new(&program).status().is_ok_and(|status| status.success());
    if !can {
        skipped("cc -m32 makes no program that runs here (Debian: gcc-12-multilib)");
        return None;
    }
    let out = compile(source).expect("cc");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(program)
}

#[test]
fn a_32_bit_demo_client_and_our_64_bit_server() {
    let (channel, folder) = (Channel::new(), Folder::new());
    let Some(client) = demo(&folder, "demo_client", include_str!("../c/demo_client.c")) else {
        return;
    };
    let mut client = Command::new(client);
    client.arg(channel.key.to_string());
    let server = Proc::spawn(channel.server(&["--protocol", "shared_use_st"]));
    run(client, b"hello\nfrom 32 bits\nend\n").expect(0);
    assert_eq!(server.finish().expect(0).text(), "hello\nfrom 32 bits\n");
    channel.assert_gone();
}

#[test]
fn a_32_bit_demo_server_and_our_64_bit_client() {
    let (channel, folder) = (Channel::new(), Folder::new());
    let Some(server) = demo(&folder, "demo_server", include_str!("../c/demo_server.c")) else {
        return;
    };
    // The C server begins by throwing away what is there: it has to have begun.
    let view = crate::support::raw::View::attach(crate::support::raw::shm_create(
        channel.key,
        2052,
        0o666,
    ));
    view.write(0, &2_i32.to_ne_bytes());
    let mut command = Command::new(server);
    command.arg(channel.key.to_string());
    let server = Proc::spawn(command);
    crate::support::until("the C server has begun", || view.bytes()[..4] == [0; 4]);
    let demo = ["--protocol", "shared_use_st"];
    run(channel.client(&demo), b"hello\nfrom 64 bits\nend\n").expect(0);
    let text = server.finish().expect(0).text();
    assert_eq!(text, "You wrote: hello\nYou wrote: from 64 bits\nYou wrote: end\n");
}
