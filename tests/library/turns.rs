//! What one end does for the other, lane by lane: turns, room, and reminders where the words by which
//! sleepers are rung for were spoiled.

use crate::support::raw::{self, View};
use crate::support::{until, Channel as Place};
use nix::libc;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use shmdemo::{Channel, Consumer, Deadline, Error, Geometry, Key, Options, Producer, Waited};
use std::os::fd::AsFd;
use std::thread::{scope, sleep};
use std::time::Duration;

/// Semaphores that the server sleeps at, and the producer of lane 0, and offset of the doorbell's first word in a lane.
const SERVER_BELL: i32 = 4;
const ROOM_BELL_0: i32 = 37;
const ROOM_BELL: usize = 128;
const FIRST_LANE: usize = 128;

fn pair(place: &Place, geometry: Geometry, lanes: usize) -> (Consumer, Vec<Producer>) {
    let options = Options::new(Key::new(place.key).expect("a key")).geometry(geometry);
    let open = || Channel::open(&options, Deadline::Never).expect("a channel");
    let consumer = open().into_consumer().expect("the server role");
    let lane = |_| open().into_producer(Deadline::Now).expect("a lane");
    (consumer, (0..lanes).map(lane).collect())
}

fn next(consumer: &mut Consumer) -> u32 {
    consumer.next_record().expect("sound rings").expect("a record").lane()
}

/// How often this thread has slept.
fn switches() -> libc::c_long {
    let used = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD);
    used.expect("getrusage").voluntary_context_switches()
}

/// A test that fails must not wait for its threads for ever.
fn a_minute() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// Sends until there is no room.
fn fill(producer: &mut Producer) -> usize {
    (0..).take_while(|_| producer.send(&[1; 100], Deadline::Now).is_ok()).count()
}

/// Sends one more, waiting for room by a descriptor.
fn send_by_poll(producer: &mut Producer) {
    let fd = producer.fd().expect("a descriptor");
    while let Err(e) = producer.send(&[2; 100], Deadline::Now) {
        assert!(matches!(e, Error::TimedOut { .. }), "{e}");
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(60_000_u16)), Ok(1), "a minute");
    }
}

/// All that was there when its turn began, or 256 records: then it is another one's.
#[test]
fn a_busy_lane_gives_the_others_their_turn() {
    let place = Place::new();
    let geometry = Geometry { lanes: 2, ring_bytes: 16_384, max_message: 100 };
    let (mut consumer, mut producers) = pair(&place, geometry, 2);
    for _ in 0..600 {
        producers[0].send(b"busy", Deadline::Now).expect("room");
    }
    producers[1].send(b"rare", Deadline::Now).expect("room");
    let mut before = 0;
    while next(&mut consumer) == 0 {
        before += 1;
    }
    assert_eq!(before, 256);
    for _ in 0..600 - 256 {
        assert_eq!(next(&mut consumer), 0);
    }
    assert!(consumer.next_record().expect("sound rings").is_none());
    // Both are in turn again.
    consumer.release();
    for _ in 0..3 {
        producers[1].send(b"rare", Deadline::Now).expect("room");
        producers[0].send(b"busy", Deadline::Now).expect("room");
        let mut lanes = [next(&mut consumer), next(&mut consumer)];
        lanes.sort_unstable();
        assert_eq!(lanes, [0, 1]);
    }
}

/// A few records free would be taken at once: it is woken when there is much to do.
#[test]
fn who_waits_for_room_is_woken_when_half_of_the_ring_is_free() {
    let place = Place::new();
    let geometry = Geometry { lanes: 1, ring_bytes: 2048, max_message: 100 };
    let (mut consumer, mut producers) = pair(&place, geometry, 1);
    let all = fill(&mut producers[0]);
    let set = raw::sem_id(place.key).expect("a set");
    scope(|threads| {
        raw::sem_set(set, SERVER_BELL, 0);
        let waits = threads.spawn(|| producers[0].send(&[2; 100], a_minute()));
        // Behind the one sleep with a limit the server is reminded.
        until("that sleep is over", || raw::sem_get(set, SERVER_BELL) == 1);
        until("it sleeps", || raw::sem_waiters(set, ROOM_BELL_0) == 1);
        for _ in 0..3 {
            next(&mut consumer);
        }
        consumer.release();
        sleep(Duration::from_millis(100));
        assert!(!waits.is_finished(), "woken for a few");
        until("it sleeps on", || raw::sem_waiters(set, ROOM_BELL_0) == 1);
        for _ in 3..=all / 2 {
            next(&mut consumer);
        }
        consumer.release();
        until("it is woken, and sends", || waits.is_finished());
        waits.join().expect("no panic").expect("room");
    });
}

/// Before it sleeps, the consumer rings once more for each lane of which it has released all.
#[test]
fn both_of_two_whose_words_were_spoiled_are_reminded() {
    for lanes in [1, 2] {
        let place = Place::new();
        let geometry = Geometry { lanes: 2, ring_bytes: 1024, max_message: 100 };
        let (mut consumer, mut producers) = pair(&place, geometry, lanes);
        let all: usize = producers.iter_mut().map(fill).sum();
        let set = raw::sem_id(place.key).expect("a set");
        let view = View::attach(place.segment().id);
        scope(|threads| {
            let waits: Vec<_> = producers
                .iter_mut()
                .map(|producer| threads.spawn(|| send_by_poll(producer)))
                .collect();
            sleep(Duration::from_millis(100));
            for _ in 0..all {
                next(&mut consumer);
            }
            // What was rung for before, and so all of them reminded, is over.
            let soon = || Deadline::after(Duration::from_millis(50));
            while consumer.wait(soon()).expect("a channel") != Waited::TimedOut {}
            sleep(Duration::from_millis(100));
            raw::sem_set(set, SERVER_BELL, 0);
            for lane in 0..lanes {
                let bell = ROOM_BELL_0 + lane as i32;
                until("it sleeps", || raw::sem_waiters(set, bell) == 1);
                view.write(FIRST_LANE + lane * (192 + 1024) + ROOM_BELL, &2_u32.to_ne_bytes());
            }
            consumer.release();
            sleep(Duration::from_millis(100));
            assert!(!waits.iter().any(|waits| waits.is_finished()), "rung for after all");
            for _ in 0..lanes {
                let soon = Deadline::after(Duration::from_secs(30));
                assert_eq!(consumer.wait(soon).expect("a channel"), Waited::Ready);
                next(&mut consumer);
                consumer.release();
            }
            for waits in waits {
                waits.join().expect("room");
            }
        });
    }
}

/// Who holds records that fill a ring, and waits for newer ones, has none to wait for; who waits for room has
/// told it once. Neither keeps the other from sleeping.
#[test]
fn a_full_ring_that_is_held_costs_nothing() {
    for polls in [false, true] {
        let place = Place::new();
        let geometry = Geometry { lanes: 1, ring_bytes: 1024, max_message: 100 };
        let (mut consumer, mut producers) = pair(&place, geometry, 1);
        let all = fill(&mut producers[0]);
        for _ in 0..all {
            next(&mut consumer);
        }
        scope(|threads| {
            let sends = threads.spawn(|| {
                let before = switches();
                match polls {
                    true => send_by_poll(&mut producers[0]),
                    false => producers[0].send(&[2; 100], a_minute()).expect("room"),
                }
                switches() - before
            });
            let waits = threads.spawn(|| {
                let before = switches();
                let end = Deadline::after(Duration::from_secs(1));
                while consumer.wait(end).expect("a channel") != Waited::TimedOut {}
                let waited = switches() - before;
                consumer.release();
                waited
            });
            let waited = waits.join().expect("no panic");
            let sent = sends.join().expect("no panic");
            assert!(waited < 20 && sent < 40, "polls: {polls}, switches: {waited} and {sent}");
        });
    }
}

/// A producer in an event loop may be long in coming again: before it goes, the server is woken for what fills
/// the ring, whatever became of the words.
#[test]
fn a_full_ring_is_rung_for_before_a_poll() {
    const SERVER_AWAITS: usize = 64;
    let place = Place::new();
    let geometry = Geometry { lanes: 1, ring_bytes: 1024, max_message: 100 };
    let (consumer, mut producers) = pair(&place, geometry, 1);
    let producer = &mut producers[0];
    let _fd = producer.fd().expect("a descriptor");
    let set = raw::sem_id(place.key).expect("a set");
    let view = View::attach(place.segment().id);
    // Rings since the last time; the words say that nobody sleeps.
    let rung = || {
        let rings = raw::sem_get(set, SERVER_BELL);
        raw::sem_set(set, SERVER_BELL, 0);
        view.write(SERVER_AWAITS, &2_u32.to_ne_bytes());
        rings
    };
    rung();
    fill(producer);
    assert_eq!(rung(), 1);
    let mut refused = |rings| {
        assert!(producer.send(&[1; 100], Deadline::Now).is_err());
        assert_eq!(rung(), rings);
    };
    for rings in [1, 0, 1, 0, 0, 0, 1, 0] {
        refused(rings);
    }
    // Somebody wrote where its position stands.
    let tail = view.word(FIRST_LANE);
    view.write(FIRST_LANE, &0_u32.to_ne_bytes());
    refused(1);
    assert_eq!(view.word(FIRST_LANE), tail);
    drop(consumer);
}
