//! The ring alone: nobody sleeps.

use crate::peers::{explore, message, Channel, Receiver, Sender};
use crate::ring::counters;
use loom::thread;

/// A producer sends `count` messages, as far as there is room; a consumer takes what it sees in
/// two looks, then, after the producer's end, the rest.
fn pass(name: &str, preemptions: usize, ring: u32, position: u32, first: u32, count: u32) {
    pass_by(Sender::try_send, name, preemptions, ring, position, first, count);
}

/// As [`pass`], each message sent by `send`.
fn pass_by(
    send: fn(&mut Sender, &[u8]) -> bool,
    name: &str,
    preemptions: usize,
    ring: u32,
    position: u32,
    first: u32,
    count: u32,
) {
    explore(name, preemptions, move || {
        let channel = Channel::new(1, ring, position);
        let mut receiver = channel.receiver();
        let producer = {
            let mut sender = channel.sender(0);
            thread::spawn(move || {
                let sent = |n: &u32| send(&mut sender, &message(*n));
                let count = (first..first + count).take_while(sent).count();
                sender.ring();
                count
            })
        };
        let mut taken = receiver.take();
        taken.extend(receiver.take());
        let sent = producer.join().unwrap();
        taken.extend(receiver.take());
        assert_eq!(taken.len(), sent);
        for ((_, payload), n) in taken.iter().zip(first..) {
            assert_eq!(*payload, message(n), "torn or out of order");
        }
        let seen = counters(channel.lanes[0].0.control(), ring).unwrap();
        assert_eq!((seen.sent, seen.received), (sent as u32, sent as u32));
    });
}

#[test]
fn messages_arrive_whole_and_in_order() {
    pass("ring of 64 bytes, 3 messages", 4, 64, 0, 0, 3);
}

#[test]
fn staged_messages_arrive_whole_and_in_order() {
    // Two of the first three take an eighth of the ring and are published by themselves.
    let stage = Sender::try_stage;
    pass_by(stage, "ring of 256 bytes, 4 messages staged", 3, 256, 0, 0, 4);
    // The last one goes over the ring's end, with a pad.
    pass_by(stage, "ring of 256 bytes, 3 messages staged, pad of 8", 3, 256, 208, 0, 3);
}

#[test]
fn room_is_used_again_only_after_its_release() {
    // Room for one: the second message overwrites the first.
    pass("ring of 16 bytes, 2 messages", 4, 16, 0, 0, 2);
    pass("ring of 32 bytes, 4 messages", 4, 32, 0, 0, 4);
}

#[test]
fn a_pad_at_the_rings_end() {
    // 40 of 64 bytes in: the record of 24 ends there, the next one needs a pad of 8.
    pass("ring of 64 bytes, pad of 8", 4, 64, 40, 1, 3);
    pass("ring of 64 bytes, pad of 16", 4, 64, 48, 2, 2);
}

#[test]
fn positions_wrap_at_2_to_the_32() {
    pass("positions from 2^32 - 16", 4, 64, 0u32.wrapping_sub(16), 0, 3);
    pass("positions from 2^32 - 16, with a pad", 4, 64, 0u32.wrapping_sub(16), 2, 2);
}

/// An onlooker while one side is at work; `full`: in the ring before.
fn onlooker(name: &str, preemptions: usize, full: u32, work: fn(&mut Sender, &mut Receiver)) {
    explore(name, preemptions, move || {
        let channel = Channel::new(1, 64, 0);
        let (mut sender, mut receiver) = (channel.sender(0), channel.receiver());
        for _ in 0..full {
            assert!(sender.try_send(&[7; 4]));
        }
        let peer = thread::spawn(move || work(&mut sender, &mut receiver));
        let seen = counters(channel.lanes[0].0.control(), 64).expect("no damage is there to see");
        // Every record takes 16 bytes.
        assert_eq!(seen.sent.wrapping_sub(seen.received) * 16, seen.queued_bytes);
        peer.join().unwrap();
    });
}

#[test]
fn an_onlooker_counts_exactly() {
    onlooker("onlooker and producer", 3, 0, |sender, _| {
        for _ in 0..3 {
            assert!(sender.try_send(&[7; 4]));
        }
    });
    onlooker("onlooker and consumer", 3, 3, |_, receiver| {
        for rx in &mut receiver.lanes {
            while rx.next().unwrap().is_some() {
                rx.release();
            }
        }
    });
    onlooker("onlooker, both at work", 2, 0, |sender, receiver| {
        for _ in 0..2 {
            assert!(sender.try_send(&[7; 4]));
            receiver.take();
        }
    });
}
