//! Both sides sleep and wake each other. A lost wake-up leaves a thread asleep for ever, which
//! loom reports as a deadlock.

use crate::kernel::Naps::{self, Endless, None};
use crate::peers::{explore, message, of_lane, Channel};
use loom::thread;

/// `count` messages through a ring of `ring` bytes; whoever has nothing to do sleeps.
fn pass(name: &str, preemptions: usize, ring: u32, count: u32, server: Naps, room: Naps) {
    explore(name, preemptions, move || {
        let channel = Channel::new(1, ring, 0, server, room);
        let mut sender = channel.sender(0);
        let producer = thread::spawn(move || (0..count).for_each(|n| sender.send(&message(n))));
        let taken = channel.receiver().take_all(count as usize);
        producer.join().unwrap();
        let wanted: Vec<_> = (0..count).map(message).collect();
        assert_eq!(of_lane(&taken, 0), wanted);
    });
}

#[test]
fn the_server_sleeps_shallowly() {
    pass("server in shallow sleep, 2 messages", 3, 64, 2, Endless, Endless);
}

#[test]
fn the_server_sleeps_deeply() {
    pass("server in deep sleep, 2 messages", 3, 64, 2, None, None);
}

#[test]
fn the_server_sleeps_until_a_batch_is_there() {
    for (name, naps) in [("shallow", Endless), ("deep", None)] {
        explore(&format!("server in {name} sleep, 2 messages staged"), 3, move || {
            let channel = Channel::new(1, 512, 0, naps, naps);
            let mut sender = channel.sender(0);
            let producer = thread::spawn(move || {
                assert!(sender.try_stage(&message(0)) && sender.try_stage(&message(1)));
                sender.ring();
            });
            let taken = channel.receiver().take_all(2);
            producer.join().unwrap();
            assert_eq!(of_lane(&taken, 0), [message(0), message(1)]);
        });
    }
}

#[test]
fn the_producer_sleeps_shallowly() {
    pass("full ring, shallow sleep", 2, 32, 3, Endless, Endless);
}

#[test]
fn the_producer_sleeps_deeply() {
    pass("full ring, deep sleep", 2, 32, 3, None, None);
}

#[test]
fn one_sleeps_deeply_and_the_other_shallowly() {
    pass("full ring, server shallow, producer deep", 2, 16, 2, Endless, None);
    pass("full ring, server deep, producer shallow", 2, 16, 2, None, Endless);
}

/// Two producers, one message each, one consumer.
fn two_lanes(name: &str, preemptions: usize, server: Naps) {
    explore(name, preemptions, move || {
        let channel = Channel::new(2, 32, 0, server, None);
        let producers = [0, 1].map(|lane| {
            let mut sender = channel.sender(lane);
            thread::spawn(move || sender.send(&message(lane as u32)))
        });
        let taken = channel.receiver().take_all(2);
        for producer in producers {
            producer.join().unwrap();
        }
        for lane in [0, 1] {
            assert_eq!(of_lane(&taken, lane), [message(lane as u32)]);
        }
    });
}

#[test]
fn two_lanes_and_a_server_in_shallow_sleep() {
    two_lanes("two lanes, server in shallow sleep", 2, Endless);
}

#[test]
fn two_lanes_and_a_server_in_deep_sleep() {
    two_lanes("two lanes, server in deep sleep", 2, None);
}
