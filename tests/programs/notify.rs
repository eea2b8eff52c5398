//! What a service manager hears of the server: sd_notify(3), over a real socket.

use crate::support::proc::asleep;
use crate::support::{patience, raw, run, shm_row, streams, until, Channel, Proc, ShmRow};
use nix::sys::signal::Signal::SIGTERM;
use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// A service manager. It reads what comes at once: the socket holds no more than a few datagrams.
struct Manager {
    name: String,
    heard: Receiver<String>,
}

/// A socket of this name, in the abstract namespace.
fn socket(channel: &Channel) -> (UnixDatagram, SocketAddr, String) {
    let name = format!("shmdemo-test-{}", channel.key);
    let address = SocketAddr::from_abstract_name(&name).expect("an abstract name");
    (UnixDatagram::bind_addr(&address).expect("a socket"), address, format!("@{name}"))
}

impl Manager {
    fn new(channel: &Channel) -> Manager {
        let (socket, _, name) = socket(channel);
        let (to, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut message = [0; 200];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8(message[..length].to_vec()).expect("text");
                if to.send(text).is_err() {
                    break;
                }
            }
        });
        Manager { name, heard }
    }

    fn of<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("NOTIFY_SOCKET", &self.name).env_remove("WATCHDOG_USEC")
    }

    fn next(&self) -> String {
        self.heard.recv_timeout(patience()).expect("a message in time")
    }

    fn hears_nothing_more(&self) {
        let more = self.heard.recv_timeout(Duration::from_millis(300));
        assert!(more.is_err(), "one more message: {more:?}");
    }
}

#[test]
fn it_is_ready_once_it_holds_its_role_and_says_when_it_stops() {
    for protocol in ["ring", "shared_use_st"] {
        let channel = Channel::new();
        let manager = Manager::new(&channel);
        let mut command = channel.server(&["--protocol", protocol]);
        manager.of(&mut command);
        let mut server = Proc::spawn(command);
        let ready = manager.next();
        assert!(ready.starts_with("READY=1\nSTATUS=serving key "), "{ready}");
        // No watchdog was asked for: an idle server sends nothing.
        manager.hears_nothing_more();
        server.signal(SIGTERM);
        server.finish_with_stdin().expect(0);
        assert_eq!(manager.next(), "STOPPING=1");
    }
}

#[test]
fn signs_of_life_come_in_time_idle_and_at_work() {
    let channel = Channel::new();
    let manager = Manager::new(&channel);
    let mut command = channel.server(&[]);
    manager.of(&mut command).env("WATCHDOG_USEC", "200000");
    let mut server = Proc::spawn(command);
    assert!(manager.next().starts_with("READY=1"));
    let begin = Instant::now();
    for _ in 0..5 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    // The first at once, the others every 100 ms.
    assert!(begin.elapsed() >= Duration::from_millis(350), "{:?}", begin.elapsed());
    let mut client = Proc::spawn(channel.client(&[]));
    client.feed(b"busy\n".repeat(200_000));
    assert_eq!(manager.next(), "WATCHDOG=1");
    client.finish_with_stdin().expect(0);
    server.signal(SIGTERM);
    server.finish_with_stdin().expect(0);
    while manager.next() != "STOPPING=1" {}
}

/// Whoever reads its output may take his time: the server is alive, and can be ended.
#[test]
fn signs_of_life_come_while_stdout_takes_nothing() {
    for (protocol, text) in [("ring", &b"one\ntwo\n"[..]), ("shared_use_st", b"one\n")] {
        let channel = Channel::new();
        let manager = Manager::new(&channel);
        let (reader, writer) = streams::full_pipe();
        let mut command = channel.server(&["--protocol", protocol, "--persist"]);
        manager.of(&mut command).env("WATCHDOG_USEC", "400000");
        let server = Proc::spawn_with(command, Stdio::null(), writer.into());
        assert!(manager.next().starts_with("READY=1"));
        run(channel.client(&["--protocol", protocol]), text).expect(0);
        let taken = |row: ShmRow| raw::shm_bytes(row.id)[0] != 0;
        if protocol == "ring" {
            until("it has the lines in hand", || asleep(server.pid()));
        } else {
            until("the text is there", || shm_row(channel.key).is_some_and(taken));
        }
        std::thread::sleep(Duration::from_millis(200)); // in the write, by then
        while manager.heard.try_recv().is_ok() {}
        let begin = Instant::now();
        for _ in 0..4 {
            assert_eq!(manager.next(), "WATCHDOG=1");
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(300), "{protocol}: {took:?}");
        server.check_alive();
        // What it could not write, it writes then, once.
        let mut all = Vec::new();
        let mut reader = std::fs::File::from(reader);
        let mut part = [0; 4096];
        while !all.ends_with(text) {
            let length = reader.read(&mut part).expect("the pipe");
            all.extend(part[..length].iter().filter(|byte| **byte != b'.'));
        }
        assert_eq!(all, text);
        server.signal(SIGTERM);
        server.finish().expect(0);
    }
}

#[test]
fn signs_of_life_come_before_the_manager_loses_patience() {
    let channel = Channel::new();
    let manager = Manager::new(&channel);
    let mut command = channel.server(&[]);
    manager.of(&mut command).env("WATCHDOG_USEC", "4000000");
    let _server = Proc::spawn(command);
    assert!(manager.next().starts_with("READY=1"));
    assert_eq!(manager.next(), "WATCHDOG=1");
    let begin = Instant::now();
    assert_eq!(manager.next(), "WATCHDOG=1");
    // Every half of it: sd_watchdog_enabled(3).
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[test]
fn a_watchdog_of_another_process_or_of_no_time_is_not_ours() {
    for (usec, pid) in [("20000", Some("1")), ("0", None), ("soon", None)] {
        let channel = Channel::new();
        let manager = Manager::new(&channel);
        let mut command = channel.server(&[]);
        manager.of(&mut command).env("WATCHDOG_USEC", usec);
        pid.map(|pid| command.env("WATCHDOG_PID", pid));
        let server = Proc::spawn(command);
        assert!(manager.next().starts_with("READY=1"));
        manager.hears_nothing_more();
        server.check_alive();
    }
}

#[test]
fn a_manager_that_is_gone_stops_nobody() {
    let channel = Channel::new();
    let mut command = channel.server(&[]);
    command.env("NOTIFY_SOCKET", "/nowhere/notify").env("WATCHDOG_USEC", "20000");
    let server = Proc::spawn(command);
    channel.await_holder(&server);
    crate::support::run(channel.client(&[]), b"one\nend\n").expect(0);
    let out = server.finish();
    assert_eq!(out.expect(0).text(), "one\n");
    assert_eq!(out.stderr.matches("manager is not told").count(), 1, "said once: {}", out.stderr);
    assert!(out.stderr.contains("No such file"), "and why: {}", out.stderr);
}

#[test]
fn a_manager_that_does_not_read_stops_nobody() {
    let channel = Channel::new();
    let (_socket, address, name) = socket(&channel);
    let full = UnixDatagram::unbound().expect("a socket");
    full.set_nonblocking(true).expect("O_NONBLOCK");
    while full.send_to_addr(b"more", &address).is_ok() {}
    let mut command = channel.server(&[]);
    command.env("NOTIFY_SOCKET", &name).env("WATCHDOG_USEC", "20000");
    let server = Proc::spawn(command);
    channel.await_holder(&server);
    crate::support::run(channel.client(&[]), b"one\nend\n").expect(0);
    assert_eq!(server.finish().expect(0).text(), "one\n");
}
