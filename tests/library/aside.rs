//! A damaged lane by the library's calls: told once, whichever call comes first, and taken up again.

use crate::support::raw::{self, View};
use crate::support::{until, Channel as Place};
use shmdemo::{Channel, Consumer, Deadline, Error, Geometry, Key, Options, Producer, Waited};

const GEOMETRY: Geometry = Geometry { lanes: 2, ring_bytes: 256, max_message: 60 };
/// Offsets of the lanes' tails, behind each two marks of it: see the memory map.
const TAILS: [usize; 2] = [128, 128 + 192 + 256];
/// The semaphore that a producer of lane 0 sleeps at; those of the other lanes follow.
const ROOM_BELL_0: i32 = 37;

fn open(place: &Place) -> Channel {
    let options = Options::new(Key::new(place.key).expect("a key")).geometry(GEOMETRY);
    Channel::open(&options, Deadline::Never).expect("a channel")
}

fn consumer(place: &Place) -> Consumer {
    open(place).into_consumer().expect("the server role")
}

fn producer(place: &Place) -> Producer {
    open(place).into_producer(Deadline::Now).expect("a lane")
}

fn spoil(place: &Place, lane: usize) {
    View::attach(place.segment().id).write(TAILS[lane], &4097_u32.to_ne_bytes());
}

/// The header of the record at the ring's begin, which its producer does not write again as it does the tail.
fn spoil_record(place: &Place, lane: usize) {
    View::attach(place.segment().id).write(TAILS[lane] + 192, &99_u32.to_ne_bytes());
}

/// The lane that an error is about.
fn lane<T: std::fmt::Debug>(result: shmdemo::Result<T>) -> u32 {
    match result {
        Err(Error::NotOurs { lane: Some(lane), field, .. }) => {
            // The mark itself is odd while the lane is aside.
            let mark = field.field == "set_aside";
            assert!(!mark || field.expected == field.found - 1, "{field:?}");
            lane
        }
        other => panic!("{other:?}"),
    }
}

fn told_by_next(consumer: &mut Consumer) -> u32 {
    lane(consumer.next_record().map(|record| record.is_some()))
}

fn text(consumer: &mut Consumer) -> Option<Vec<u8>> {
    let record = consumer.next_record().expect("sound lanes")?;
    let mut text = vec![0; record.len()];
    record.copy_to(&mut text);
    Some(text)
}

#[test]
fn damage_from_before_is_told_by_the_first_call() {
    for spoilt in 0..2 {
        let place = Place::new();
        drop((consumer(&place), producer(&place), producer(&place)));
        spoil(&place, spoilt);
        let mut by_wait = consumer(&place);
        assert_eq!(lane(by_wait.wait(Deadline::Now)), spoilt as u32);
        assert_eq!(by_wait.wait(Deadline::Now).expect("told once"), Waited::TimedOut);
        let place = Place::new();
        drop((consumer(&place), producer(&place), producer(&place)));
        spoil(&place, spoilt);
        let mut by_next = consumer(&place);
        assert_eq!(told_by_next(&mut by_next), spoilt as u32);
        assert!(by_next.next_record().expect("told once").is_none());
    }
}

/// A server that is never idle does not wait between the lane's end and its next beginning.
#[test]
fn a_lane_made_anew_is_taken_up_without_a_wait() {
    let place = Place::new();
    let mut server = consumer(&place);
    let mut first = producer(&place);
    first.send(b"before", Deadline::Now).expect("room");
    assert_eq!(text(&mut server).expect("a record"), b"before");
    server.release();
    let second = producer(&place);
    let told = [0, 1].map(|lane| {
        spoil(&place, lane);
        told_by_next(&mut server)
    });
    assert_eq!((told, text(&mut server)), ([0, 1], None));
    assert_eq!(lane(first.check()), 0);
    drop((first, second));
    // Each by itself: the other's damage stays what it is.
    let mut next = [(); 2].map(|()| {
        let mut producer = producer(&place);
        producer.send(&producer.lane().to_ne_bytes(), Deadline::Now).expect("room");
        assert_eq!(text(&mut server).expect("a record"), producer.lane().to_ne_bytes());
        producer
    });
    assert!(next.iter().map(Producer::lane).eq(0..2));
    server.release();
    next[0].send(b"goes on", Deadline::Now).expect("room");
    assert_eq!(text(&mut server).expect("a record"), b"goes on");
}

/// Room that its producer waits for never comes: it is told, and does not sleep on.
#[test]
fn who_waits_for_room_in_a_damaged_lane_is_told() {
    let place = Place::new();
    let mut server = consumer(&place);
    let (_other, mut full) = (producer(&place), producer(&place));
    while full.send(&[b'x'; 60], Deadline::Now).is_ok() {}
    let waits = std::thread::spawn(move || full.send(&[b'x'; 60], Deadline::Never));
    let set = raw::sem_id(place.key).expect("a set");
    until("it sleeps", || raw::sem_waiters(set, ROOM_BELL_0 + 1) == 1);
    spoil_record(&place, 1);
    assert_eq!(told_by_next(&mut server), 1);
    assert_eq!(lane(waits.join().expect("a thread")), 1);
}

/// A consumer that holds one record of either lane, and their producers.
fn holding_one_of_each(place: &Place) -> (Consumer, [Producer; 2]) {
    let mut server = consumer(place);
    let mut producers = [producer(place), producer(place)];
    for producer in &mut producers {
        producer.send(b"held", Deadline::Now).expect("room");
        assert!(text(&mut server).is_some());
    }
    (server, producers)
}

/// What is held of a damaged lane is void, the other lane's records are released by their number.
#[test]
fn a_lane_damaged_under_held_records_takes_no_others_place() {
    let place = Place::new();
    let (mut server, mut producers) = holding_one_of_each(&place);
    spoil(&place, 0);
    assert_eq!(told_by_next(&mut server), 0);
    producers[1].send(b"more", Deadline::Now).expect("room");
    assert_eq!(text(&mut server).expect("of lane 1"), b"more");
    server.release_first(2).expect("the first two");
    assert_eq!(place.status().numbers("received")[1], 1.0);
    server.release_first(1).expect("the third");
    assert_eq!(place.status().numbers("received")[1], 2.0);
}

/// Two lanes spoiled while they are held: each is told of.
#[test]
fn of_two_lanes_spoiled_at_once_both_are_told() {
    let place = Place::new();
    let (mut server, _producers) = holding_one_of_each(&place);
    for lane in 0..2 {
        spoil_record(&place, lane);
    }
    assert_eq!(lane(server.release_first(2)), 0);
    assert_eq!(told_by_next(&mut server), 1);
    assert!(server.next_record().expect("told once").is_none());
}
