//! Both sides sleep and wake each other. A lost wake-up leaves a thread asleep for ever, which
//! loom reports as a deadlock.

use crate::peers::{explore, message, of_lane, Channel};
use loom::thread;

/// `count` messages through a ring of `ring` bytes; whoever has nothing to do sleeps.
fn pass(name: &str, preemptions: usize, ring: u32, count: u32) {
    explore(name, preemptions, move || {
        let channel = Channel::new(1, ring, 0);
        let mut sender = channel.sender(0);
        let producer = thread::spawn(move || (0..count).for_each(|n| sender.send(&message(n))));
        let taken = channel.receiver().take_all(count as usize);
        producer.join().unwrap();
        let wanted: Vec<_> = (0..count).map(message).collect();
        assert_eq!(of_lane(&taken, 0), wanted);
    });
}

#[test]
fn the_server_sleeps() {
    pass("server asleep, 2 messages", 3, 64, 2);
}

#[test]
fn the_server_sleeps_until_a_batch_is_there() {
    explore("server asleep, 2 messages staged", 3, || {
        let channel = Channel::new(1, 512, 0);
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

#[test]
fn the_producer_sleeps() {
    pass("full ring", 2, 32, 3);
}

#[test]
fn both_sleep_in_turn() {
    pass("full ring of one record", 2, 16, 2);
}

/// Two producers, one message each, one consumer.
#[test]
fn two_lanes_and_a_server_asleep() {
    explore("two lanes, server asleep", 2, || {
        let channel = Channel::new(2, 32, 0);
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
