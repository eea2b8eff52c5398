//! Holding records: releasing the oldest of them, waiting for more meanwhile.

use crate::support::raw::View;
use crate::support::{Channel as Place, Random};
use shmdemo::{Channel, Consumer, Deadline, Error, Geometry, Key, Options, Producer, Waited};
use std::collections::VecDeque;
use std::time::Duration;

const GEOMETRY: Geometry = Geometry { lanes: 4, ring_bytes: 1024, max_message: 100 };

fn options(place: &Place) -> Options {
    Options::new(Key::new(place.key).expect("a key")).geometry(GEOMETRY)
}

fn consumer(options: &Options) -> Consumer {
    let channel = Channel::open(options, Deadline::Never).expect("a channel");
    channel.into_consumer().expect("the server role")
}

fn producer(options: &Options) -> Producer {
    let channel = Channel::open(options, Deadline::Never).expect("a channel");
    channel.into_producer(Deadline::Now).expect("a lane")
}

fn next(consumer: &mut Consumer) -> Option<(u32, Vec<u8>)> {
    let record = consumer.next_record().expect("sound rings")?;
    let mut text = vec![0; record.len()];
    record.copy_to(&mut text);
    Some((record.lane(), text))
}

#[test]
fn the_oldest_are_released_and_the_others_held() {
    let place = Place::new();
    let options = options(&place);
    let mut producers = [producer(&options), producer(&options), producer(&options)];
    let mut server = consumer(&options);
    let mut random = Random(7);
    // What was sent, by lane, and what is held, in the order it was looked at.
    let mut sent: [VecDeque<Vec<u8>>; 3] = Default::default();
    let mut held: VecDeque<(u32, Vec<u8>)> = VecDeque::new();
    let mut received = 0_u32;
    for number in 0..20_000_u32 {
        match random.below(4) {
            0 | 1 => {
                let lane = random.below(3);
                let text = vec![number as u8; random.below(100)];
                if producers[lane].send(&text, Deadline::Now).is_ok() {
                    sent[lane].push_back(text);
                }
            }
            2 => {
                if let Some((lane, text)) = next(&mut server) {
                    assert_eq!(sent[lane as usize].pop_front().as_ref(), Some(&text));
                    held.push_back((lane, text));
                }
            }
            _ => {
                let count = random.below(5);
                server.release_first(count).expect("sound rings");
                let done: Vec<_> = held.drain(..count.min(held.len())).collect();
                received += done.len() as u32;
                assert_eq!(server.holds(), !held.is_empty());
            }
        }
        if number % 1000 == 0 {
            // A server that is killed here, and the next one begins with what was held; or it goes back.
            let status = place.status();
            let counted: f64 = status.numbers("received").iter().sum();
            assert_eq!((counted as u32, server.held()), (received, held.len()));
            if number % 2000 == 0 {
                drop(server);
                server = consumer(&options);
            } else {
                server.rewind().expect("its own role");
            }
            for (lane, text) in held.drain(..).rev() {
                sent[lane as usize].push_front(text);
            }
        }
    }
    assert!(received > 3_000, "{received}");
}

#[test]
fn it_waits_for_what_is_newer_than_what_it_holds() {
    let place = Place::new();
    let options = options(&place);
    let mut sender = producer(&options);
    let mut server = consumer(&options);
    sender.send(b"first", Deadline::Now).expect("room");
    assert_eq!(server.wait(Deadline::Never).expect("a channel"), Waited::Ready);
    assert!(next(&mut server).is_some());
    let soon = || Deadline::after(Duration::from_millis(20));
    assert_eq!(server.wait(soon()).expect("a channel"), Waited::TimedOut, "only what is held");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            sender.send(b"second", Deadline::Now).expect("room");
        });
        while server.wait(Deadline::Never).expect("a channel") != Waited::Ready {}
        assert_eq!(next(&mut server).expect("the second").1, b"second");
    });
    server.release_first(1).expect("sound rings");
    drop(server);
    assert_eq!(next(&mut consumer(&options)).expect("it was held").1, b"second");
}

#[test]
fn a_producer_that_waits_for_room_has_it_by_the_oldest() {
    let place = Place::new();
    let options = options(&place);
    let mut sender = producer(&options);
    let mut server = consumer(&options);
    while sender.send(&[b'x'; 100], Deadline::Now).is_ok() {}
    let mut held = 0;
    while next(&mut server).is_some() {
        held += 1;
    }
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| sender.send(&[b'y'; 100], Deadline::Never));
        std::thread::sleep(Duration::from_millis(50));
        assert!(held > 4, "{held}");
        // Less than the half of the ring that it is usually rung for.
        server.release_first(2).expect("sound rings");
        waiting.join().expect("the producer").expect("room");
    });
    assert_eq!(next(&mut server).expect("the new one").1, [b'y'; 100]);
    // Looked at and not released: who goes to sleep with it rings for what room there is.
    server.release_first(3).expect("sound rings");
    while sender.send(&[b'x'; 100], Deadline::Now).is_ok() {}
    server.release();
    std::thread::scope(|scope| {
        let mut full = producer(&options);
        while full.send(&[b'z'; 100], Deadline::Now).is_ok() {}
        let waiting = scope.spawn(move || full.send(&[b'w'; 100], Deadline::Never));
        std::thread::sleep(Duration::from_millis(50));
        while next(&mut server).is_some() {}
        let until = Deadline::after(Duration::from_secs(20));
        // The one with room for it is waited for, all else being held.
        server.release_first(13).expect("sound rings");
        while server.wait(until).expect("a channel") != Waited::Ready {
            assert!(!until.passed(), "the producer has room, and sleeps");
        }
        waiting.join().expect("the producer").expect("room");
    });
    while next(&mut server).is_some() {}
    server.release_first(usize::MAX).expect("sound rings");
    assert!(!server.holds());
}

#[test]
fn changes_of_lane_are_as_many_as_were_asked_for() {
    let place = Place::new();
    let options = options(&place).lane_changes(5);
    let mut producers = [producer(&options), producer(&options)];
    let mut server = consumer(&options);
    let mut one_of = |server: &mut Consumer, lane: usize| {
        producers[lane].send(b"", Deadline::Now).expect("room");
        next(server).map(|(lane, _)| lane as usize)
    };
    for lane in [0, 1, 0, 1, 0] {
        assert_eq!(one_of(&mut server, lane), Some(lane));
        assert!(!server.must_release());
    }
    assert_eq!(one_of(&mut server, 0), Some(0), "the same lane is no change");
    assert_eq!(one_of(&mut server, 1), None);
    assert!(server.must_release());
    match server.wait(Deadline::Now) {
        Err(Error::ReleaseFirst { changes: 5, .. }) => {}
        other => panic!("{other:?}"),
    }
    server.release_first(1).expect("sound rings");
    assert_eq!(server.wait(Deadline::Now).expect("a channel"), Waited::Ready);
    assert_eq!(next(&mut server).expect("room for a change").0, 1);
    assert_eq!(server.wait(Deadline::Now).expect("a channel"), Waited::TimedOut);
    assert_eq!(one_of(&mut server, 0), None);
    server.release();
    assert!(!server.must_release());
    assert_eq!(next(&mut server).expect("all room").0, 0);
}

/// The headers of what is held are the producer's to spoil: its lane goes, the others' records do not.
#[test]
fn a_lane_that_is_spoiled_while_it_is_held_is_set_aside() {
    let place = Place::new();
    let options = options(&place);
    let mut producers = [producer(&options), producer(&options)];
    let mut server = consumer(&options);
    for producer in &mut producers {
        producer.send(b"held", Deadline::Now).expect("room");
        producer.send(b"held, too", Deadline::Now).expect("room");
    }
    let mut all = Vec::new();
    while let Some(record) = next(&mut server) {
        all.push(record);
    }
    assert_eq!(all.len(), 4);
    // Lane 0's ring is the last part of the first lane: its first record's length.
    let view = View::attach(place.segment().id);
    let ring = 128 + 192;
    assert_eq!(view.word(ring), 4, "the first record's header");
    view.write(ring, &99_u32.to_ne_bytes());
    match server.release_first(4) {
        Err(Error::NotOurs { lane: Some(0), .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(!server.holds());
    producers[1].send(b"goes on", Deadline::Now).expect("room");
    assert_eq!(next(&mut server).expect("the other lane").1, b"goes on");
    server.release_first(1).expect("the other lane");
    assert_eq!(place.status().numbers("received")[1], 3.0);
}
