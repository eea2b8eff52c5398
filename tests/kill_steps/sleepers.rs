//! Nobody sleeps on for a peer that is dead.

use crate::support::{raw, until, Channel};
use crate::torture::aftermath::{assert_counted, look, successor};
use crate::torture::ground::*;
use crate::torture::places::kill_everywhere;
use crate::torture::trace::{mark, Tracee};
use crate::torture::{chance, fork, fork_with_code, fresh, on_stage, pipe, read_now, say, Child};
use nix::errno::Errno;
use nix::libc::{self, MS_BIND};
use shmdemo::{Deadline, Producer, Status, Waited};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Semaphores on which the server and the first lane's producer sleep.
pub const SERVER_BELL: u16 = 4;
pub const ROOM_BELL: u16 = 37;

/// Kills spread over one part, beside those around every change: each waits for somebody to fall
/// asleep first.
pub const SPREAD: usize = 30;

/// Is somebody asleep at this semaphore?
pub fn asleep(channel: &Channel, bell: u16) -> bool {
    raw::sem_look(channel.key, bell, libc::GETNCNT) == Some(1)
}

#[test]
fn a_sender_killed_at_any_instruction_leaves_no_server_asleep() {
    on_stage(|| {
        let mut random = chance();
        let start = || {
            let channel = Channel::new();
            let (from, to) = pipe();
            let server = fork(|| serve(&channel, to));
            until("the server sleeps", || asleep(&channel, SERVER_BELL));
            let tracee = Tracee::fork(|| {
                let mut to = producer(&channel);
                // Taking the lane woke it.
                until("the server sleeps again", || asleep(&channel, SERVER_BELL));
                mark();
                to.send(&text(0, 40), Deadline::Now).expect("send");
                mark();
            });
            (channel, (from, server), tracee)
        };
        let name = "send a message to a server asleep";
        // The message is sent; then the server is woken, before the sender ends or by its end.
        kill_everywhere(name, SPREAD, 1, &mut random, start, |channel, (mut from, server)| {
            let status = Status::read(&options(&channel)).expect("status");
            let committed = status.lanes[0].sent;
            assert_eq!(status.lanes[0].pid, None, "the lane of a dead process");
            let mut wanted = texts(&[40])[..committed as usize].concat();
            until("the server prints what was sent", || printed(&mut from, &mut wanted));
            fresh(|| {
                producer(&channel).send(&text(1, 20), Deadline::Now).expect("send");
                Vec::new()
            });
            let mut wanted = text(1, 20);
            until("the server prints the next one", || printed(&mut from, &mut wanted));
            server.kill();
            look(&channel);
            assert_eq!(successor(&channel), Vec::<Vec<u8>>::new());
            clear(&channel);
            committed
        });
    });
}

/// Takes what came off what is wanted; is that all?
fn printed(from: &mut File, wanted: &mut Vec<u8>) -> bool {
    let got = read_now(from);
    assert!(wanted.starts_with(&got), "not sent: {:?}", String::from_utf8_lossy(&got));
    wanted.drain(..got.len());
    wanted.is_empty()
}

pub fn serve(channel: &Channel, to: OwnedFd) {
    let (mut consumer, mut to) = (consumer(channel), File::from(to));
    loop {
        let messages = drain(&mut consumer);
        to.write_all(&messages.concat()).expect("write");
        let _ = consumer.wait(Deadline::Never).expect("wait");
    }
}

#[test]
fn a_receiver_killed_at_any_instruction_leaves_no_client_asleep() {
    on_stage(|| {
        let mut random = chance();
        let lengths = [184, 152, 152];
        let start = || {
            let (channel, _) = lay(0, &lengths, false);
            let client = fork(|| {
                producer(&channel).send(&text(3, 50), Deadline::Never).expect("send");
            });
            until("the client sleeps", || asleep(&channel, ROOM_BELL));
            let tracee = Tracee::fork(|| {
                let mut from = consumer(&channel);
                // Taking the role woke it.
                until("the client sleeps again", || asleep(&channel, ROOM_BELL));
                mark();
                while from.next_record().expect("peek").is_some() {}
                from.release();
                mark();
            });
            (channel, client, tracee)
        };
        let name = "make room for a client asleep";
        kill_everywhere(name, SPREAD, 3, &mut random, start, |channel, mut client| {
            let status = Status::read(&options(&channel)).expect("status");
            assert_eq!(status.server, None, "the role of a dead process");
            let received = status.lanes[0].received;
            let mut left = texts(&lengths);
            if received == 0 {
                assert_eq!(fresh(|| drain(&mut consumer(&channel)).concat()), left.concat());
            } else {
                assert_eq!(received, 3, "released in one");
            }
            left.clear();
            // With room it goes on by itself, whoever was killed.
            assert_eq!(client.reap(), 0, "the client");
            left.push(text(3, 50));
            assert_counted(&look(&channel).lanes[0], 4, 3, 64);
            assert_eq!(successor(&channel), left);
            clear(&channel);
            received
        });
    });
}

/// Whether [`on_one_processor`] can be had, which takes root, and a root directory that is a mount
/// point; says so if not.
pub fn one_processor_can_be_shown() -> bool {
    let code =
        fork_with_code(|| raw::private_mounts().err().map_or(0, |error| error as i32)).reap();
    if code != 0 {
        let error = Errno::from_raw(code);
        say(&format!("skipped: no mounts of its own, to show one processor: {error}"));
    }
    code == 0
}

/// From here on this process looks for work once before it sleeps, as where one processor is
/// online: the path is short, and the same each time.
pub fn on_one_processor() {
    // A file of the kernel's that holds "0", as `online` does there.
    let (one, online) = ("cpu0/topology/physical_package_id", "online");
    let folder = Path::new("/sys/devices/system/cpu");
    let zero = std::fs::read_to_string(folder.join(one)).expect(one);
    assert_eq!(zero.trim(), "0", "{one}");
    raw::private_mounts().expect("mounts of its own");
    let from = folder.join(one);
    let from = from.to_str().expect("text");
    raw::mount(from, &folder.join(online), "none", MS_BIND, "").expect(online);
    let count = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
    assert_eq!(count, Ok(Some(1)));
}

/// Takes off what those who made the channel have rung when they ended: the next sleep is one.
pub fn silence(channel: &Channel, bell: u16) {
    let set = raw::sem_id(channel.key).expect("its set");
    let rings = raw::sem_get(set, i32::from(bell)) as i16;
    if rings > 0 {
        raw::sem_add(set, bell, -rings);
    }
}

/// Wakes whoever falls asleep at this semaphore, again and again, for as long as `nothing` has happened.
pub fn waker(channel: &Channel, bell: u16, nothing: impl Fn(&Channel) -> bool) -> Child {
    fork(|| loop {
        if asleep(channel, bell) && nothing(channel) {
            raw::sem_add(raw::sem_id(channel.key).expect("its set"), bell, 1);
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    })
}

/// A client that waits for room behind messages of these lengths, stopped before that; what wakes it
/// as long as `nothing` has happened, and what it does `after`, told whether it got the room.
pub fn client_that_falls_asleep(
    lengths: &[usize],
    nothing: impl Fn(&Channel) -> bool,
    after: impl FnOnce(&mut Producer, bool),
) -> (Channel, Child, Tracee) {
    let (channel, _) = lay(0, lengths, false);
    let tracee = Tracee::fork(|| {
        on_one_processor();
        let mut to = producer(&channel);
        silence(&channel, ROOM_BELL);
        mark();
        let room = to.reserve(50, Deadline::Never).expect("reserve").slot().is_some();
        mark();
        after(&mut to, room);
    });
    let waker = waker(&channel, ROOM_BELL, nothing);
    (channel, waker, tracee)
}

#[test]
fn a_server_killed_at_any_instruction_of_falling_asleep_leaves_a_channel_that_works() {
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
                assert_eq!(
                    from.wait(Deadline::Never).expect("wait"),
                    Waited::Woken,
                    "there is no message"
                );
                mark();
            });
            let waker = waker(&channel, SERVER_BELL, |_| true);
            (channel, (moved, waker), tracee)
        };
        let name = "a server falls asleep and is woken";
        kill_everywhere(name, SPREAD, 0, &mut chance(), start, |channel, (moved, waker)| {
            drop(waker);
            assert_counted(&look(&channel).lanes[0], moved + 1, moved + 1, 0);
            // One message to the sleeper that is dead, the next one to its successor asleep.
            fresh(|| {
                producer(&channel).send(&text(0, 40), Deadline::Now).expect("send");
                Vec::new()
            });
            let (mut from, to) = pipe();
            let server = fork(|| serve(&channel, to));
            let mut wanted = text(0, 40);
            until("the next server prints it", || printed(&mut from, &mut wanted));
            until("the next server sleeps", || asleep(&channel, SERVER_BELL));
            fresh(|| {
                producer(&channel).send(&text(1, 20), Deadline::Now).expect("send");
                Vec::new()
            });
            let mut wanted = text(1, 20);
            until("it is woken", || printed(&mut from, &mut wanted));
            server.kill();
            assert_eq!(successor(&channel), Vec::<Vec<u8>>::new());
            clear(&channel);
            0
        });
    });
}

#[test]
fn a_client_killed_at_any_instruction_of_falling_asleep_leaves_a_lane_that_works() {
    on_stage(|| {
        if !one_processor_can_be_shown() {
            return;
        }
        let lengths = [184, 152, 152];
        let start = || client_that_falls_asleep(&lengths, |_| true, |_, room| assert!(!room));
        let name = "a client falls asleep for want of room and is woken";
        kill_everywhere(name, SPREAD, 0, &mut chance(), start, |channel, waker| {
            drop(waker);
            assert_counted(&look(&channel).lanes[0], 3, 0, 512);
            // The next one in this lane is woken when there is room.
            let mut client = fork(|| {
                producer(&channel).send(&text(3, 50), Deadline::Never).expect("send");
            });
            until("the next client sleeps", || asleep(&channel, ROOM_BELL));
            let got = fresh(|| drain(&mut consumer(&channel)).concat());
            assert_eq!(got, texts(&lengths).concat());
            assert_eq!(client.reap(), 0, "the next client");
            assert_eq!(successor(&channel), [text(3, 50)]);
            clear(&channel);
            0
        });
    });
}
