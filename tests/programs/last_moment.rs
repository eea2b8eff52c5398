//! When one of the two ends: what the other waits for, how long, and what comes of messages that nobody
//! rang for.

use crate::support::raw::{self, View};
use crate::support::{again_where_it_stood_still, no_relay, run, sem_row, until, Channel, Proc};
use nix::sys::signal::Signal::{SIGCONT, SIGTERM};
use shmdemo::{Deadline, Key, Options};
use std::time::{Duration, Instant};

/// Word of the header that says that the server is about to remove the channel.
const CLOSING: usize = 36;

/// A server that is about to remove the channel and stopped before it took the last line, which is this
/// client's.
fn closing(channel: &Channel, timeout: &[&str]) -> (Proc, Proc) {
    let server = channel.running(&[]);
    server.stop();
    View::attach(channel.segment().id).write(CLOSING, &1_u32.to_ne_bytes());
    let mut client = Proc::spawn(channel.client(timeout));
    client.write(b"last\n");
    client.close_stdin();
    let set = sem_row(channel.key).expect("the semaphores").id;
    let asleep = |client: &Proc| {
        client.check_alive();
        raw::sem_waiters(set, 37) == 1
    };
    until("the client waits for what it sent to be taken", || asleep(&client));
    (server, client)
}

#[test]
fn a_client_that_waits_for_its_last_line_to_be_taken_ends_by_signal() {
    let channel = Channel::new();
    let (mut server, mut client) = closing(&channel, &[]);
    client.signal(SIGTERM);
    client.finish_with_stdin().expect(143);
    server.signal(SIGCONT);
    server.signal(SIGTERM);
    assert_eq!(server.finish_with_stdin().expect(0).text(), "last\n");
}

/// However short its timeout is, it gives a server that is just ending a second; and all of a longer one.
#[test]
fn a_server_that_is_just_ending_has_a_second_or_all_of_the_timeout() {
    for (timeout, pause) in [("0.05", 300), ("0", 300), ("20", 1500)] {
        again_where_it_stood_still(|| {
            let channel = Channel::new();
            let begin = Instant::now();
            let (mut server, mut client) = closing(&channel, &["--timeout", timeout]);
            std::thread::sleep(Duration::from_millis(pause));
            server.signal(SIGCONT);
            let out = client.finish_with_stdin();
            server.signal(SIGTERM);
            assert_eq!(server.finish_with_stdin().expect(0).text(), "last\n", "{timeout}");
            (begin, out)
        })
        .expect(0);
    }
}

/// The channel goes while the server sleeps, and there is a message that was not rung for.
#[test]
fn what_nobody_rang_for_is_printed_when_the_channel_goes() {
    let channel = Channel::new();
    let mut server = channel.running(&[]);
    let options = Options::new(Key::new(channel.key).expect("a key")).create(false);
    let opened = shmdemo::Channel::open(&options, Deadline::Now).expect("the channel");
    let mut producer = opened.into_producer(Deadline::Now).expect("a lane");
    let set = sem_row(channel.key).expect("the semaphores").id;
    until("the server sleeps", || raw::sem_waiters(set, 4) == 1);
    let mut slot = producer.try_reserve(5).expect("no damage").expect("room");
    slot.write(0, b"quiet");
    slot.commit_quietly(5);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(server.stdout(), b"", "rung for after all");
    raw::sem_remove(set);
    let out = server.finish_with_stdin();
    out.fails(69, &["removed"]);
    assert_eq!(out.text(), "quiet\n");
}

/// Stopped and continued, a system call that sleeps ends with EINTR, as by a signal.
#[test]
fn who_is_suspended_while_it_waits_for_a_lane_or_the_lock_goes_on_waiting() {
    const CREATE: i32 = 0;
    for lock in [false, true] {
        let channel = Channel::new();
        let server = channel.running(&["--lanes", "1"]);
        let mut first = Proc::spawn(channel.client(&[]));
        first.write(b"first\n");
        server.wait_stdout("the first", |out| out == b"first\n");
        let set = sem_row(channel.key).expect("the semaphores").id;
        let (held, look) = match lock {
            true => (CREATE, nix::libc::GETZCNT),
            false => (2, nix::libc::GETNCNT),
        };
        if lock {
            first.close_stdin();
            first.finish_with_stdin().expect(0);
            raw::sem_set(set, CREATE, 1);
        }
        let mut second = Proc::spawn(channel.client(&[]));
        second.feed(b"second\n".to_vec());
        let waits = || raw::sem_look(channel.key, held as u16, look) == Some(1);
        until("the second waits", waits);
        for _ in 0..3 {
            second.stop();
            second.signal(SIGCONT);
            until("it waits again", || {
                second.check_alive();
                waits()
            });
        }
        match lock {
            true => raw::sem_set(set, CREATE, 0),
            false => first.close_stdin(),
        }
        second.finish_with_stdin().expect(0);
        server.wait_stdout("the second", |out| out == b"first\nsecond\n");
    }
}

fn relay(from: &Channel, to: &Channel, args: &[&str]) -> Proc {
    let mut command = crate::support::server();
    let keys = [from, to].map(|channel| channel.key.to_string());
    command.args(["relay", "-v", "--from", &keys[0], "--to", &keys[1]]).args(args);
    Proc::spawn(command)
}

/// A relay waits for its target as a client does: what the end word was sent after is safe then, or not.
#[test]
fn a_relay_says_that_its_target_did_not_take_the_last_line() {
    if no_relay() {
        return;
    }
    let (from, to) = (Channel::new(), Channel::new());
    let mut server = to.running(&[]);
    server.stop();
    View::attach(to.segment().id).write(CLOSING, &1_u32.to_ne_bytes());
    let mut relay = relay(&from, &to, &[]);
    relay.wait_stderr("it has both", |err| err.contains("relaying from key"));
    run(from.client(&[]), b"last\nend\n").expect(0);
    relay.finish_with_stdin().fails(75, &["about to remove the channel", "ETIMEDOUT"]);
    server.signal(SIGCONT);
    assert_eq!(server.finish_with_stdin().expect(0).text(), "last\n");
}

/// Of several clients each may send it; and where the relay stays, it is passed over.
#[test]
fn a_relay_ends_once_by_the_end_words_of_all_or_by_none() {
    if no_relay() {
        return;
    }
    for persist in [false, true] {
        let (from, to) = (Channel::new(), Channel::new());
        let server = to.running(&["--persist"]);
        let mut relay = relay(&from, &to, if persist { &["--persist"] } else { &[] });
        relay.wait_stderr("it has both", |err| err.contains("relaying from key"));
        relay.stop();
        let clients = ["one\nend\n", "two\nend\n"].map(|lines| {
            let mut client = Proc::spawn(from.client(&[]));
            client.feed(lines.as_bytes().to_vec());
            client
        });
        until("both were sent", || {
            let status = run(from.sub("status", &["--json"]), b"");
            let status = crate::support::Json::parse(&status.text()).expect("status");
            status.numbers("sent").iter().sum::<f64>() == 4.0
        });
        relay.signal(SIGCONT);
        for mut client in clients {
            client.finish_with_stdin().expect(0);
        }
        let mut lines = 2;
        if persist {
            run(from.client(&[]), b"three\n").expect(0);
            lines = 3;
        } else {
            relay.finish_with_stdin().expect(0);
        }
        server.wait_stdout("all lines", |out| {
            out.iter().filter(|byte| **byte == b'\n').count() == lines
        });
        if persist {
            assert!(relay.alive());
            relay.signal(SIGTERM);
            relay.finish_with_stdin().expect(0);
        }
    }
}
