//! A peer is killed, or stopped, between any two of its steps.

use crate::peers::{explore_deaths, message, of_lane, Channel};
use crate::ring::counters;
use crate::segment::atomic::mortal;
use crate::segment::layout::record_bytes;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use loom::thread;
use std::sync::{Arc, Mutex};

/// A producer that is to send `count` messages is killed; with a successor, that one sends one
/// more. What was committed arrives, and nothing else.
fn killed_producer(name: &str, preemptions: usize, count: u32, succeeded: bool) {
    const NEXT: u32 = 8;
    explore_deaths(name, preemptions, move |steps| {
        let channel = Channel::new(1, 64, 0);
        // Set before the kernel wakes the server: what it can learn of the lane's role.
        let over = Arc::new(AtomicBool::new(false));
        let producer = {
            let (channel, over) = (channel.clone(), over.clone());
            thread::spawn(move || {
                let mut sender = channel.sender(0);
                let lived = mortal(steps, || (0..count).for_each(|n| sender.send(&message(n))));
                let tail = channel.lanes[0].0.control().producer.tail.load(Relaxed);
                if succeeded {
                    channel.server.raise();
                    channel.sender(0).send(&message(NEXT));
                }
                over.store(true, Release);
                channel.server.raise();
                (lived, tail / record_bytes(4)) // 0 and 1 take as much
            })
        };
        let (mut receiver, mut taken) = (channel.receiver(), Vec::new());
        while !over.load(Acquire) {
            receiver.wait();
            taken.extend(receiver.take());
        }
        taken.extend(receiver.take());
        let (lived, sent) = producer.join().unwrap();
        assert!(!lived || sent == count);
        let mut wanted: Vec<_> = (0..sent).map(message).collect();
        wanted.extend(succeeded.then(|| message(NEXT)));
        assert_eq!(of_lane(&taken, 0), wanted);
        let seen = counters(channel.lanes[0].0.control(), 64).unwrap();
        assert_eq!((seen.sent, seen.received), (wanted.len() as u32, wanted.len() as u32));
        lived
    });
}

#[test]
fn what_a_killed_producer_committed_arrives() {
    killed_producer("producer killed", 1, 2, false);
}

#[test]
fn a_killed_producer_has_a_successor() {
    killed_producer("producer killed and succeeded", 1, 1, true);
}

/// A server is killed while a producer sends more than the ring holds; its successor goes on.
fn killed_server(name: &str, preemptions: usize) {
    const COUNT: u32 = 2;
    explore_deaths(name, preemptions, move |steps| {
        let channel = Channel::new(1, 16, 0);
        let mut sender = channel.sender(0);
        let producer = thread::spawn(move || (0..COUNT).for_each(|n| sender.send(&message(n))));
        let before = Mutex::new(Vec::new());
        let lived = mortal(steps, || {
            let mut receiver = channel.receiver();
            while before.lock().unwrap().len() < COUNT as usize {
                receiver.wait();
                receiver.take_each(|_, payload| before.lock().unwrap().push(payload));
            }
        });
        channel.lanes[0].1.raise();
        let mut taken = before.into_inner().unwrap();
        let (control, known) = (channel.lanes[0].0.control(), taken.len() as u32);
        let released = counters(control, 16).unwrap().received;
        assert!(released <= known, "{released} released, {known} seen");
        let mut successor = channel.receiver();
        // What was seen and not released comes again.
        taken.truncate(released as usize);
        let rest = successor.take_all((COUNT - released) as usize);
        taken.extend(of_lane(&rest, 0));
        producer.join().unwrap();
        let wanted: Vec<_> = (0..COUNT).map(message).collect();
        assert_eq!(taken, wanted);
        let seen = counters(control, 16).unwrap();
        assert_eq!((seen.sent, seen.received, seen.queued_bytes), (COUNT, COUNT, 0));
        lived
    });
}

#[test]
fn a_killed_server_has_a_successor() {
    killed_server("server killed", 1);
}

/// The producer of lane 0 stops for good: no signal to anybody. The message of
/// lane 1 arrives none the less.
fn stopped_producer(name: &str, preemptions: usize) {
    explore_deaths(name, preemptions, move |steps| {
        let channel = Channel::new(2, 32, 0);
        let producers = {
            let channel = channel.clone();
            thread::spawn(move || {
                let mut stopped = channel.sender(0);
                let lived = mortal(steps, || stopped.send(&message(0)));
                channel.sender(1).send(&message(1));
                lived
            })
        };
        let (mut receiver, mut taken) = (channel.receiver(), Vec::new());
        while of_lane(&taken, 1).is_empty() {
            receiver.wait();
            taken.extend(receiver.take());
        }
        assert_eq!(of_lane(&taken, 1), [message(1)]);
        producers.join().unwrap()
    });
}

#[test]
fn a_stopped_producer_delays_nobody() {
    stopped_producer("producer stopped", 2);
}
