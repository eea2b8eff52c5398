//! Creating, joining, claiming, giving back, mending and removing.

use crate::support::{raw, Channel, Random};
use crate::torture::aftermath::successor;
use crate::torture::ground::*;
use crate::torture::places::{at_every_place, kill_everywhere};
use crate::torture::trace::{mark, Tracee};
use crate::torture::{chance, fresh, objects, on_stage};
use nix::libc;
use shmdemo::{Deadline, Error, Status};
use std::cell::RefCell;

/// Kills spread over one part, beside those around every change.
const SPREAD: usize = 100;

/// What the messages of a channel are while somebody claims, joins or removes it.
const QUEUED: [usize; 2] = [30, 7];

#[test]
fn a_channel_removed_at_any_instruction_of_a_joiner_leaves_nothing() {
    on_stage(|| {
        let mut random = chance();
        for (name, create) in [
            ("a channel removed under a joiner that may create one", true),
            ("a channel removed under a joiner that waits for one", false),
        ] {
            let start = || {
                let (channel, _) = lay(0, &[7], false);
                let options = options(&channel).create(create);
                let tracee = Tracee::fork(move || {
                    mark();
                    let opened = shmdemo::Channel::open(&options, Deadline::Now);
                    mark();
                    match opened.and_then(|channel| channel.into_producer(Deadline::Now)) {
                        // It is the channel of the key, or it is known not to be.
                        Ok(to) => drop(to.channel().check()),
                        Err(Error::TimedOut { .. } | Error::Removed { .. }) => {}
                        Err(e) => panic!("{e}"),
                    }
                    mark();
                });
                (channel, (), tracee)
            };
            let remove = |channel: &Channel, tracee: &mut Tracee| {
                // Who removes waits for the lock, and its holder stands still.
                if !creation_locked(channel) {
                    fresh(|| {
                        shmdemo::remove(&options(channel), true).expect("remove");
                        Vec::new()
                    });
                }
                tracee.run_to_mark();
                tracee.run_to_mark();
                tracee.kill();
            };
            at_every_place(name, SPREAD, 0, &mut random, start, remove, |channel, ()| {
                let (segments, sets) = objects(channel.key);
                assert_eq!(segments, sets, "segments, semaphore sets");
                if create || segments == 1 {
                    successor(&channel);
                    clear(&channel);
                }
                0
            });
        }
    });
}

/// Kills everywhere in `act` on a channel with messages; they are all there after it, or,
/// if it `removes`, from some instant on none.
fn messages_stay(
    name: &str,
    random: &RefCell<Random>,
    prepare: impl Fn(&Channel),
    removes: bool,
    act: impl Fn(&Channel),
) {
    let start = || {
        let (channel, _) = lay(0, &QUEUED, false);
        prepare(&channel);
        let tracee = Tracee::fork(|| act(&channel));
        (channel, (), tracee)
    };
    let random = &mut random.borrow_mut();
    kill_everywhere(name, SPREAD, removes.into(), random, start, |channel, ()| {
        let got = successor(&channel);
        let gone = removes && got.is_empty();
        assert_eq!(got, if gone { Vec::new() } else { texts(&QUEUED) });
        clear(&channel);
        gone.into()
    });
}

/// Leaves a segment behind that was not finished: its maker is killed at the `calls`-th system
/// call after the one that made it.
fn half_made(channel: &Channel, calls: usize) {
    // With a call of its own between the words of the header and the last one.
    let options = options(channel).lock(true);
    let mut maker = Tracee::fork(|| {
        mark();
        drop(shmdemo::Channel::open(&options, Deadline::Now));
    });
    let making = |number: i64, arguments: [u64; 3]| {
        number == libc::SYS_shmget && arguments[2] & libc::IPC_CREAT as u64 != 0
    };
    maker.run_to_entry(making);
    for _ in 0..calls {
        maker.run_to_entry(|_, _| true);
    }
    maker.kill();
    assert_eq!(objects(channel.key), (1, 1));
    let found = Status::read(&options).err();
    assert!(matches!(found, Some(Error::NotOurs { .. })), "it is not half-made: {found:?}");
}

#[test]
fn a_creator_killed_at_any_instruction_leaves_what_the_next_one_mends() {
    on_stage(|| {
        let mut random = chance();
        // How many system calls a maker got to make after it had made the segment.
        let before = [
            ("create a channel", None),
            ("create a channel over one whose maker did no more", Some(1)),
            ("create a channel over one that was all but ready", Some(4)),
        ];
        for (name, left) in before {
            let start = || {
                let channel = Channel::new();
                if let Some(calls) = left {
                    half_made(&channel, calls);
                }
                let tracee = Tracee::fork(|| {
                    mark();
                    let opened = open(&channel);
                    mark();
                    drop(opened);
                });
                (channel, (), tracee)
            };
            kill_everywhere(name, SPREAD, 1, &mut random, start, |channel, ()| {
                let (segments, sets) = objects(channel.key);
                assert!(segments <= 1 && sets <= 1, "{segments} segments, {sets} sets");
                let made = Status::read(&options(&channel)).is_ok();
                assert_eq!(successor(&channel), Vec::<Vec<u8>>::new());
                clear(&channel);
                made.into()
            });
        }
    });
}

#[test]
fn a_claimer_killed_at_any_instruction_holds_nothing() {
    on_stage(|| {
        let random = &RefCell::new(chance());
        let nothing = |_: &Channel| {};
        messages_stay("join a channel", random, nothing, false, |channel| {
            mark();
            let opened = open(channel);
            mark();
            drop(opened);
        });
        messages_stay("claim a lane", random, nothing, false, |channel| {
            let opened = open(channel);
            mark();
            let claimed = opened.into_producer(Deadline::Now);
            mark();
            drop(claimed);
        });
        messages_stay("give a lane back", random, nothing, false, |channel| {
            let claimed = producer(channel);
            mark();
            drop(claimed);
            mark();
        });
        messages_stay("claim the server role", random, nothing, false, |channel| {
            let opened = open(channel);
            mark();
            let claimed = opened.into_consumer();
            mark();
            drop(claimed);
        });
        messages_stay("give the server role back", random, nothing, false, |channel| {
            let claimed = consumer(channel);
            mark();
            drop(claimed);
            mark();
        });
    });
}

/// With more than a few lanes the role and the bells take more than one call.
#[test]
fn a_server_of_32_lanes_killed_at_any_instruction_gives_all_back() {
    const LANES: u32 = 32;
    fn wide(channel: &Channel) -> shmdemo::Channel {
        let geometry = shmdemo::Geometry { lanes: LANES, ..GEOMETRY };
        let options = options(channel).geometry(geometry);
        shmdemo::Channel::open(&options, Deadline::Now).expect("open")
    }
    fn bells(channel: &Channel) -> Vec<i32> {
        let id = raw::sem_id(channel.key).expect("its set");
        let last = shmdemo::SEMAPHORES;
        let first = last - LANES as u16;
        (first..last).map(|bell| raw::sem_get(id, i32::from(bell))).collect()
    }
    on_stage(|| {
        let mut random = chance();
        for (name, claims) in [("claim 32 lanes", true), ("give 32 lanes back", false)] {
            let start = || {
                let channel = Channel::new();
                fresh(|| {
                    drop(wide(&channel));
                    Vec::new()
                });
                let tracee = Tracee::fork(|| {
                    let opened = wide(&channel);
                    if claims {
                        mark();
                    }
                    let server = opened.into_consumer().expect("the server role");
                    mark();
                    drop(server);
                    if !claims {
                        mark();
                    }
                });
                (channel, (), tracee)
            };
            kill_everywhere(name, SPREAD, 0, &mut random, start, |channel, ()| {
                assert_eq!(Status::read(&options(&channel)).expect("status").server, None);
                // The end of the next one, which holds all, rings for every lane, each once.
                let before = bells(&channel);
                fresh(|| {
                    core::mem::forget(wide(&channel).into_consumer().expect("the server role"));
                    Vec::new()
                });
                let after = bells(&channel);
                let rung = before.iter().zip(&after).map(|(before, after)| after - before);
                assert_eq!(rung.collect::<Vec<_>>(), [1; LANES as usize], "{before:?} {after:?}");
                clear(&channel);
                0
            });
        }
    });
}

#[test]
fn a_mender_or_remover_killed_at_any_instruction_leaves_what_the_next_one_mends() {
    on_stage(|| {
        let random = &RefCell::new(chance());
        let without_set = |channel: &Channel| {
            raw::sem_remove(raw::sem_id(channel.key).expect("its set"));
        };
        messages_stay("give a channel new semaphores", random, without_set, false, |channel| {
            mark();
            let opened = open(channel);
            mark();
            drop(opened);
        });
        messages_stay(
            "remove a channel",
            random,
            |_| {},
            true,
            |channel| {
                let opened = open(channel);
                mark();
                opened.remove().expect("remove");
                drop(opened);
                mark();
            },
        );
    });
}
