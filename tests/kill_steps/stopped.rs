//! A process that is stopped between any two steps of ringing or of falling asleep (SIGSTOP, or a
//! processor that others have) while its peer goes on: nobody else waits for it, and when it goes on
//! it misses nothing.

use super::sleepers::*;
use crate::support::{until, Channel};
use crate::torture::aftermath::{look, successor};
use crate::torture::ground::*;
use crate::torture::places::at_every_place;
use crate::torture::trace::{mark, Tracee};
use crate::torture::{chance, fork, on_stage, pipe, Child};
use shmdemo::{Deadline, Status};
use std::fs::File;
use std::io::{Read, Write};

/// Messages sent and received through a lane.
fn counts(channel: &Channel, lane: usize) -> (u32, u32) {
    let lane = &Status::read(&options(channel)).expect("status").lanes[lane];
    (lane.sent, lane.received)
}

/// A process that does this and stays until it is dropped: its end would wake others.
fn staying(act: impl FnOnce()) -> Child {
    let (mut done, to) = pipe();
    let child = fork(|| {
        act();
        File::from(to.try_clone().expect("dup")).write_all(b".").expect("the pipe to the stage");
        loop {
            nix::unistd::pause();
        }
    });
    done.read_exact(&mut [0]).expect("it did its part");
    child
}

/// Sends a message and keeps the lane.
fn sender(channel: &Channel, number: usize, length: usize) -> Child {
    staying(|| {
        let mut to = producer(channel);
        to.send(&text(number, length), Deadline::Now).expect("send");
        std::mem::forget(to);
    })
}

#[test]
fn a_sender_stopped_at_any_instruction_of_ringing_delays_no_other() {
    on_stage(|| {
        let start = || {
            let channel = Channel::new();
            let (from, to) = pipe();
            let server = fork(|| serve(&channel, to));
            until("the server sleeps", || asleep(&channel, SERVER_BELL));
            let tracee = Tracee::fork(|| {
                let mut to = producer(&channel);
                until("the server sleeps again", || asleep(&channel, SERVER_BELL));
                mark();
                to.send(&text(0, 40), Deadline::Now).expect("send");
                mark();
            });
            (channel, (from, server), tracee)
        };
        let act = |channel: &Channel, tracee: &mut Tracee| {
            let other = sender(channel, 1, 20);
            until("the other's message is taken", || counts(channel, 1) == (1, 1));
            other.kill();
            tracee.kill();
        };
        let name = "another sends while one is stopped";
        at_every_place(
            name,
            SPREAD,
            1,
            &mut chance(),
            start,
            act,
            |channel, (mut from, server)| {
                let committed = counts(&channel, 0).0;
                // The other's came while the first was stopped, be that before its own or after it.
                let mut wanted =
                    [texts(&[40])[..committed as usize].concat(), text(1, 20)].concat();
                let mut got = Vec::new();
                until("the server prints what was sent", || {
                    got.extend(crate::torture::read_now(&mut from));
                    got.len() >= wanted.len()
                });
                got.sort_unstable();
                wanted.sort_unstable();
                assert_eq!(got, wanted);
                server.kill();
                look(&channel);
                clear(&channel);
                committed
            },
        );
    });
}

#[test]
fn a_server_stopped_at_any_instruction_of_falling_asleep_misses_no_message() {
    on_stage(|| {
        if !one_processor_can_be_shown() {
            return;
        }
        let start = || {
            let (channel, moved) = lay(0, &[9], false);
            let tracee = Tracee::fork(|| {
                on_one_processor();
                let mut from = consumer(&channel);
                drain(&mut from);
                silence(&channel, SERVER_BELL);
                mark();
                let _ = from.wait(Deadline::Never).expect("wait");
                mark();
                while drain(&mut from).is_empty() {
                    let _ = from.wait(Deadline::Never).expect("wait");
                }
            });
            let waker =
                waker(&channel, SERVER_BELL, move |channel| counts(channel, 0).0 == moved + 1);
            (channel, (moved, waker), tracee)
        };
        let act = |channel: &Channel, tracee: &mut Tracee| {
            let sender = sender(channel, 0, 40);
            // Nobody wakes it any more but the message.
            assert_eq!(tracee.run_past_marks(), 0);
            sender.kill();
        };
        let name = "a message comes while the server is stopped on its way to sleep";
        at_every_place(name, SPREAD, 0, &mut chance(), start, act, |channel, (moved, waker)| {
            drop(waker);
            assert_eq!(counts(&channel, 0), (moved + 2, moved + 2));
            assert_eq!(successor(&channel), Vec::<Vec<u8>>::new());
            clear(&channel);
            0
        });
    });
}

#[test]
fn a_client_stopped_at_any_instruction_of_falling_asleep_misses_no_room() {
    on_stage(|| {
        if !one_processor_can_be_shown() {
            return;
        }
        let lengths = [184, 152, 152];
        let start = || {
            client_that_falls_asleep(
                &lengths,
                |channel| counts(channel, 0).1 == 0,
                |to, _| {
                    to.send(&text(3, 50), Deadline::Never).expect("send");
                },
            )
        };
        let act = |channel: &Channel, tracee: &mut Tracee| {
            let server = staying(|| {
                let mut from = consumer(channel);
                assert_eq!(drain(&mut from), texts(&lengths));
                std::mem::forget(from);
            });
            assert_eq!(tracee.run_past_marks(), 0);
            server.kill();
        };
        let name = "room is made while the client is stopped on its way to sleep";
        at_every_place(name, SPREAD, 0, &mut chance(), start, act, |channel, waker| {
            drop(waker);
            assert_eq!(counts(&channel, 0), (4, 3));
            assert_eq!(successor(&channel), [text(3, 50)]);
            clear(&channel);
            0
        });
    });
}
