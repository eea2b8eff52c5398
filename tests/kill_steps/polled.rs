//! A server in an event loop, which sleeps in poll(2) and by its descriptor's thread.

use super::sleepers::{asleep, silence, SERVER_BELL, SPREAD};
use crate::support::{raw, until, Channel};
use crate::torture::aftermath::{assert_counted, look, successor};
use crate::torture::ground::*;
use crate::torture::places::kill_everywhere;
use crate::torture::trace::{mark, Tracee};
use crate::torture::{chance, fork, fresh, on_stage, pipe, read_now};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use shmdemo::{Deadline, Status};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

/// Where the server's doorbell has the number of the sleep announced: see the memory map.
const AWAITING: usize = 64;

fn serve(channel: &Channel, to: OwnedFd) {
    let (mut consumer, mut to) = (consumer(channel), File::from(to));
    let fd = consumer.fd().expect("a descriptor");
    loop {
        let messages = drain(&mut consumer);
        to.write_all(&messages.concat()).expect("write");
        poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).expect("poll");
    }
}

/// Has the server announced a sleep, and its thread fallen asleep?
fn polls(channel: &Channel) -> bool {
    let announced = |id| raw::View::attach(id).word(AWAITING) % 2 == 1;
    asleep(channel, SERVER_BELL) && raw::shm_id(channel.key).is_some_and(announced)
}

fn send(channel: &Channel, number: usize, length: usize) {
    fresh(|| {
        producer(channel).send(&text(number, length), Deadline::Now).expect("send");
        Vec::new()
    });
}

/// Does the server print just this?
fn prints(from: &mut File, mut wanted: Vec<u8>) {
    until("the server prints what was sent", || {
        let got = read_now(from);
        assert!(wanted.starts_with(&got), "not sent: {:?}", String::from_utf8_lossy(&got));
        wanted.drain(..got.len());
        wanted.is_empty()
    });
}

#[test]
fn a_sender_killed_at_any_instruction_leaves_no_polling_server_asleep() {
    on_stage(|| {
        let start = || {
            let channel = Channel::new();
            let (from, to) = pipe();
            let server = fork(|| serve(&channel, to));
            until("the server polls", || polls(&channel));
            let tracee = Tracee::fork(|| {
                let mut to = producer(&channel);
                // Taking the lane woke it.
                until("the server polls again", || polls(&channel));
                mark();
                to.send(&text(0, 40), Deadline::Now).expect("send");
                mark();
            });
            (channel, (from, server), tracee)
        };
        let name = "send a message to a server in an event loop";
        kill_everywhere(name, SPREAD, 1, &mut chance(), start, |channel, (mut from, server)| {
            let status = Status::read(&options(&channel)).expect("status");
            let committed = status.lanes[0].sent;
            prints(&mut from, texts(&[40])[..committed as usize].concat());
            send(&channel, 1, 20);
            prints(&mut from, text(1, 20));
            server.kill();
            look(&channel);
            assert_eq!(successor(&channel), Vec::<Vec<u8>>::new());
            clear(&channel);
            committed
        });
    });
}

#[test]
fn a_polling_server_killed_at_any_instruction_leaves_a_channel_that_works() {
    on_stage(|| {
        let lengths = [40, 60];
        let start = || {
            let (channel, moved) = lay(0, &lengths, false);
            let tracee = Tracee::fork(|| {
                let mut from = consumer(&channel);
                silence(&channel, SERVER_BELL);
                let fd = from.fd().expect("a descriptor");
                until("its thread sleeps", || asleep(&channel, SERVER_BELL));
                mark();
                // Takes what there is, finds nothing more, announces its sleep, and releases.
                assert_eq!(drain(&mut from).len(), lengths.len());
                let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
                assert_eq!(poll(&mut fds, PollTimeout::ZERO).expect("poll"), 0);
                mark();
            });
            (channel, moved, tracee)
        };
        let name = "a server in an event loop takes two messages and goes back to it";
        kill_everywhere(name, SPREAD, 2, &mut chance(), start, |channel, moved| {
            let status = Status::read(&options(&channel)).expect("status");
            assert_eq!(status.server, None, "the role of a dead process");
            let released = status.lanes[0].received - moved;
            let left = &texts(&lengths)[released as usize..];
            // A message to the dead sleeper, then one to its successor, which polls as well.
            send(&channel, 2, 30);
            let (mut from, to) = pipe();
            let server = fork(|| serve(&channel, to));
            prints(&mut from, [left.concat(), text(2, 30)].concat());
            until("the next server polls", || polls(&channel));
            send(&channel, 3, 20);
            prints(&mut from, text(3, 20));
            server.kill();
            assert_counted(&look(&channel).lanes[0], moved + 4, moved + 4, 0);
            clear(&channel);
            released
        });
    });
}
