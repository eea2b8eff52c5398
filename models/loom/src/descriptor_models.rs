//! A server that polls: it takes one message each time its descriptor is readable, and never looks
//! otherwise. One that is missed leaves it at poll(2) for ever, which loom reports as a deadlock.

use crate::kernel::Descriptor;
use crate::peers::{explore, message, Channel, Sender};
use loom::thread;
use std::sync::Arc;

fn poll(
    name: &str,
    preemptions: usize,
    count: u32,
    send: impl Fn(&mut Sender) + Clone + Send + Sync + 'static,
) {
    explore(name, preemptions, move || {
        let (channel, descriptor) = (Channel::new(1, 512, 0), Arc::new(Descriptor::new()));
        let carrier = {
            let (channel, descriptor) = (channel.clone(), descriptor.clone());
            thread::spawn(move || descriptor.carry(&channel.server))
        };
        let (mut sender, send) = (channel.sender(0), send.clone());
        let producer = thread::spawn(move || send(&mut sender));
        let (mut receiver, mut armed, mut next) = (channel.receiver(), None, 0);
        while next < count {
            descriptor.poll();
            if let Some(payload) = receiver.take_one(&descriptor, &mut armed) {
                assert_eq!(payload, message(next));
                next += 1;
            }
        }
        producer.join().unwrap();
        descriptor.stop(&channel.server);
        carrier.join().unwrap();
    });
}

#[test]
fn a_server_that_polls_takes_what_is_sent_at_a_time() {
    poll("server polls, 2 messages", 2, 2, |sender| (0..2).for_each(|n| sender.send(&message(n))));
}

/// Both are there before the ring, and the first may be found before it.
#[test]
fn a_server_that_polls_takes_one_of_a_batch_at_a_time() {
    poll("server polls, a batch of 2", 3, 2, |sender| {
        assert!(sender.try_send(&message(0)) && sender.try_send(&message(1)));
        sender.ring();
    });
}

/// The ring comes late: what was found by chance leaves the rest readable without it.
#[test]
fn what_is_not_rung_for_is_readable_once_one_of_it_was_found() {
    explore("server polls, found by chance", 3, || {
        let (channel, descriptor) = (Channel::new(1, 512, 0), Arc::new(Descriptor::new()));
        let mut sender = channel.sender(0);
        let producer = thread::spawn(move || {
            assert!(sender.try_send(&message(0)) && sender.try_send(&message(1)));
            // And is stopped for good before it rings.
        });
        let (mut receiver, mut armed) = (channel.receiver(), None);
        let mut taken = receiver.take_one(&descriptor, &mut armed).is_some();
        producer.join().unwrap();
        taken |= receiver.take_one(&descriptor, &mut armed).is_some();
        assert!(taken);
        descriptor.poll();
    });
}
