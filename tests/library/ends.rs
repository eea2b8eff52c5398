//! The library as a program uses it, two ends in one process.

use shmdemo::{
    Channel, Consumer, Deadline, Error, Geometry, Key, Kind, Options, Producer, Reservation, Waited,
};
use std::time::Duration;

/// The semaphore that a producer of lane 0 sleeps at; those of the other lanes follow.
const ROOM_BELL_0: i32 = 37;

fn open(channel: &crate::support::Channel) -> Channel {
    let key = Key::new(channel.key).expect("a key");
    Channel::open(&Options::new(key), Deadline::Never).expect("a channel")
}

fn consumer(channel: &crate::support::Channel) -> Consumer {
    open(channel).into_consumer().expect("the server role")
}

fn producer(channel: &crate::support::Channel) -> Producer {
    open(channel).into_producer(Deadline::Now).expect("a lane")
}

/// Lane and text of all that there is to look at, in the order it comes in.
fn seen(consumer: &mut Consumer) -> Vec<(u32, String)> {
    let mut seen = Vec::new();
    while let Some(record) = consumer.next_record().expect("a sound ring") {
        assert_eq!(record.kind(), Kind::Data);
        let mut text = vec![0; record.len()];
        record.copy_to(&mut text);
        seen.push((record.lane(), String::from_utf8(text).expect("text")));
    }
    seen
}

#[test]
fn a_record_tells_its_lane() {
    let channel = crate::support::Channel::new();
    let mut producers = [producer(&channel), producer(&channel), producer(&channel)];
    for (number, producer) in producers.iter_mut().enumerate() {
        assert_eq!(producer.lane(), number as u32);
        producer.send(format!("from {number}").as_bytes(), Deadline::Now).expect("room");
    }
    let all = seen(&mut consumer(&channel));
    assert_eq!(all, [0, 1, 2].map(|lane| (lane, format!("from {lane}"))));
}

#[test]
fn a_role_dropped_is_free_for_the_next() {
    let channel = crate::support::Channel::new();
    for round in 0..3 {
        let mut producer = producer(&channel);
        assert_eq!(producer.lane(), 0, "the lane of round {round} is still held");
        producer.send(b"one", Deadline::Now).expect("room");
        let mut consumer = consumer(&channel);
        assert!(producer.server_present().expect("a channel"));
        assert_eq!(seen(&mut consumer).len(), 1);
        consumer.release();
        drop(consumer);
        assert!(!producer.server_present().expect("a channel"));
    }
}

/// A bell that nobody answered for long is full (ERANGE), and rings already.
#[test]
fn a_full_bell_is_no_error() {
    use crate::support::raw;
    const SEMVMX: i32 = 32_767;
    const SERVER_BELL: i32 = 4;
    const SERVER_AWAITS: usize = 64;
    let place = crate::support::Channel::new();
    drop(open(&place));
    let set = raw::sem_id(place.key).expect("a set");
    let view = raw::View::attach(place.segment().id);
    let fill = |bell| raw::sem_set(set, bell, SEMVMX);
    // Roles are claimed, and given back.
    for _ in 0..2 {
        fill(SERVER_BELL);
        let lane = producer(&place);
        fill(ROOM_BELL_0);
        let role = consumer(&place);
        fill(SERVER_BELL);
        drop(lane);
        fill(ROOM_BELL_0);
        drop(role);
    }
    let mut producer = producer(&place);
    for _ in 0..2 {
        fill(SERVER_BELL);
        view.write(SERVER_AWAITS, &1_u32.to_ne_bytes()); // it tells of a sleeper
        producer.send(b"one", Deadline::Now).expect("sent, and rung for");
        assert_eq!(view.word(SERVER_AWAITS), 2, "answered");
        assert_eq!(raw::sem_get(set, SERVER_BELL), SEMVMX);
    }
    let mut consumer = consumer(&place);
    assert_eq!(seen(&mut consumer).len(), 2);
    consumer.release();
    assert_eq!(consumer.wait(Deadline::Now).expect("a channel"), Waited::TimedOut);
}

/// Whatever became of the words by which producers are rung for: who was woken and finds nothing rings for
/// all of them, once.
#[test]
fn a_woken_consumer_rings_for_every_lane_that_is_held() {
    use crate::support::raw;
    let place = crate::support::Channel::new();
    let lanes = Geometry { lanes: 20, ring_bytes: 256, max_message: 100 };
    let options = Options::new(Key::new(place.key).expect("a key")).geometry(lanes);
    let open = || Channel::open(&options, Deadline::Never).expect("a channel");
    let mut consumer = open().into_consumer().expect("the server role");
    let lane = |_| open().into_producer(Deadline::Now).expect("a lane");
    let mut held: Vec<Producer> = (0..17).map(lane).collect();
    drop(held.remove(3));
    let set = raw::sem_id(place.key).expect("a set");
    for _ in 0..2 {
        consumer.interrupter().wake();
        assert_eq!(consumer.wait(Deadline::Never).expect("a channel"), Waited::Woken);
        for lane in 0..20 {
            let wanted = i32::from(lane < 17 && lane != 3);
            assert_eq!(raw::sem_get(set, ROOM_BELL_0 + lane), wanted, "lane {lane}");
        }
    }
}

/// All rings up to a wake have one answer; who does not sleep any more says so.
#[test]
fn a_sleep_that_is_over_leaves_nothing_behind() {
    const SERVER_AWAITS: usize = 64;
    let place = crate::support::Channel::new();
    let mut consumer = consumer(&place);
    let view = crate::support::raw::View::attach(place.segment().id);
    let awake = || view.word(SERVER_AWAITS) % 2 == 0;
    let soon = || Deadline::after(Duration::from_millis(20));
    for _ in 0..3 {
        for _ in 0..5 {
            consumer.interrupter().wake();
        }
        assert_eq!(consumer.wait(Deadline::Never).expect("a channel"), Waited::Woken);
        assert!(awake(), "after a wake");
        assert_eq!(consumer.wait(soon()).expect("a channel"), Waited::TimedOut);
        assert!(awake(), "when its time is over");
    }
}

/// Somebody else's store into `head`: the consumer says again where it is before it sleeps.
#[test]
fn a_head_that_is_taken_back_keeps_no_producer_asleep() {
    const LANE_0_HEAD: usize = 128 + 64;
    let place = crate::support::Channel::new();
    let (mut producer, mut consumer) = (producer(&place), consumer(&place));
    while let Some(slot) = producer.try_reserve(2000).expect("a sound ring") {
        slot.commit(2000);
    }
    assert!(!seen(&mut consumer).is_empty());
    consumer.release();
    let view = crate::support::raw::View::attach(place.segment().id);
    assert_ne!(view.word(LANE_0_HEAD), 0);
    view.write(LANE_0_HEAD, &[0; 4]);
    let waiter = std::thread::spawn(move || {
        let enough = Deadline::after(crate::support::patience());
        loop {
            match producer.reserve(2000, enough).expect("a sound ring") {
                Reservation::Slot(_) => return true,
                Reservation::Woken => {}
                Reservation::TimedOut => return false,
            }
        }
    });
    while !waiter.is_finished() {
        let soon = Deadline::after(Duration::from_millis(20));
        assert_ne!(consumer.wait(soon).expect("a channel"), Waited::Ready);
    }
    assert!(waiter.join().expect("no panic"), "no room, with nothing in the ring");
}

/// semop(2) is never begun anew by the kernel after a signal.
#[test]
fn a_signal_that_is_handled_ends_no_wait_for_a_lane() {
    use crate::support::{raw, until};
    let place = crate::support::Channel::new();
    let geometry = Geometry { lanes: 1, ..Geometry::default() };
    let options = Options::new(Key::new(place.key).expect("a key")).geometry(geometry);
    let lane = move || {
        let channel = Channel::open(&options, Deadline::Never).expect("a channel");
        channel.into_producer(Deadline::Never)
    };
    let first = lane().expect("the lane");
    let waiter = std::thread::spawn(move || lane().map(|second| second.lane()));
    let set = raw::sem_id(place.key).expect("a set");
    for _ in 0..5 {
        until("it waits for the lane", || raw::sem_waiters(set, 2) == 1 || waiter.is_finished());
        raw::interrupt(&waiter);
    }
    drop(first);
    assert_eq!(waiter.join().expect("the waiter").expect("the lane"), 0);
}

#[test]
fn a_signal_that_is_handled_ends_no_wait_for_the_lock() {
    use crate::support::{raw, until};
    const CREATE: u16 = 0;
    let place = crate::support::Channel::new();
    let options = Options::new(Key::new(place.key).expect("a key"));
    drop(Channel::open(&options, Deadline::Never).expect("a channel"));
    let set = raw::sem_id(place.key).expect("a set");
    raw::sem_add(set, CREATE, 1);
    let waiter = std::thread::spawn(move || Channel::open(&options, Deadline::Never).map(drop));
    let waits = || raw::sem_look(place.key, CREATE, nix::libc::GETZCNT) == Some(1);
    for _ in 0..30 {
        until("it waits for the lock", || waits() || waiter.is_finished());
        raw::interrupt(&waiter);
    }
    // Longer than what is given behind a deadline.
    std::thread::sleep(Duration::from_millis(400));
    raw::sem_add(set, CREATE, -1);
    waiter.join().expect("the waiter").expect("the lock");
}

#[test]
fn staged_messages_are_sent_when_the_producer_is_dropped() {
    let channel = crate::support::Channel::new();
    let mut producer = producer(&channel);
    for text in ["one", "two"] {
        let mut slot = producer.try_reserve(3).expect("a sound ring").expect("room");
        slot.write(0, text.as_bytes());
        slot.stage(3);
    }
    let mut consumer = consumer(&channel);
    assert_eq!(seen(&mut consumer), [], "staged is not sent");
    drop(producer);
    let sent: Vec<String> = seen(&mut consumer).into_iter().map(|(_, text)| text).collect();
    assert_eq!(sent, ["one", "two"]);
}

#[test]
fn what_is_not_released_comes_again_to_the_next_consumer() {
    let channel = crate::support::Channel::new();
    let mut producer = producer(&channel);
    producer.send(b"released", Deadline::Now).expect("room");
    let mut first = consumer(&channel);
    seen(&mut first);
    first.release();
    producer.send(b"looked at", Deadline::Now).expect("room");
    assert_eq!(seen(&mut first).len(), 1);
    assert!(first.holds());
    drop(first);
    assert_eq!(seen(&mut consumer(&channel)), [(0, "looked at".to_string())]);
}

#[test]
fn a_frozen_consumer_looks_at_nothing_newer() {
    let channel = crate::support::Channel::new();
    let mut producer = producer(&channel);
    let mut consumer = consumer(&channel);
    producer.send(b"before", Deadline::Now).expect("room");
    consumer.stop_looking().expect("a sound ring");
    producer.send(b"after", Deadline::Now).expect("room");
    assert_eq!(seen(&mut consumer), [(0, "before".to_string())]);
}

#[test]
fn a_producer_is_told_that_its_channel_is_about_to_go() {
    let channel = crate::support::Channel::new();
    let mut producer = producer(&channel);
    let mut server = consumer(&channel);
    assert!(!producer.closing());
    server.announce_close().expect("a sound ring");
    assert!(producer.closing());
    producer.send(b"too late for this server", Deadline::Now).expect("room");
    assert!(!producer.is_drained().expect("a sound ring"));
    let lane = producer.lane();
    // Nobody knows what becomes of the message.
    let soon = Deadline::after(Duration::from_millis(20));
    assert_eq!(producer.finish(soon).expect("a sound channel"), Waited::TimedOut);
    producer.interrupter().wake();
    assert_eq!(producer.finish(Deadline::Never).expect("a sound channel"), Waited::Woken);
    // The server goes without removing: the next one takes it back, and has the message.
    drop(server);
    let mut next = consumer(&channel);
    assert!(!producer.closing());
    assert_eq!(seen(&mut next), [(lane, "too late for this server".to_string())]);
}

#[test]
fn an_end_that_was_taken_is_the_next_consumers_until_it_is_forgotten() {
    let channel = crate::support::Channel::new();
    let first = consumer(&channel);
    assert!(!first.end_pending());
    first.note_end();
    drop(first);
    let second = consumer(&channel);
    assert!(second.end_pending());
    second.forget_end();
    drop(second);
    assert!(!consumer(&channel).end_pending());
}

#[test]
fn a_size_that_no_text_of_the_c_demo_has_makes_nothing() {
    use shmdemo::shared_use::{look, End, SharedUseSegment, MAX_TEXT_BYTES};
    let channel = crate::support::Channel::new();
    let options = Options::new(Key::new(channel.key).expect("a key"));
    for (bytes, nearest) in
        [(0, 1), (MAX_TEXT_BYTES + 1, MAX_TEXT_BYTES), (u32::MAX, MAX_TEXT_BYTES)]
    {
        let options = options.clone().text_bytes(bytes);
        match SharedUseSegment::open(&options, End::Server, Deadline::Now).map(drop) {
            Err(Error::BadGeometry(field)) => assert_eq!(field.expected, nearest),
            other => panic!("{bytes}: {other:?}"),
        }
        channel.assert_gone();
    }
    // The largest that there is, written and read to its last byte.
    let options = options.text_bytes(MAX_TEXT_BYTES);
    let server = SharedUseSegment::open(&options, End::Server, Deadline::Now).expect("a segment");
    let client = SharedUseSegment::open(&options, End::Client, Deadline::Now).expect("the same");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let begin = format!("{:08x}-", client.address());
    assert!(maps.lines().any(|line| line.starts_with(&begin) && line.contains("SYSV")), "{maps}");
    assert_eq!(client.others().expect("a segment"), (1, std::process::id() as i32));
    assert!(matches!(
        client.check_text(&vec![b'x'; client.longest() + 1]),
        Err(Error::TooLong { .. })
    ));
    let text = vec![b'x'; client.longest()];
    client.write(&text).expect("write");
    let mut got = vec![0; server.text_bytes()];
    let length = server.read(&mut got);
    assert_eq!((length, &got[..length]), (MAX_TEXT_BYTES as usize - 2, &text[..]));
    assert!(matches!(look(&options.clone().text_bytes(0)).map(drop), Err(Error::BadGeometry(_))));
    // Each end is free when it is dropped.
    let open = |end| SharedUseSegment::open(&options, end, Deadline::Now);
    assert!(open(End::Server).is_err() && open(End::Client).is_err());
    drop((server, client));
    let server = open(End::Server).expect("nobody has it");
    drop(open(End::Client).expect("nor that"));
    server.remove().expect("remove");
}
