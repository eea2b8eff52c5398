//! A server that is about to remove the channel, and a producer that goes on sending.

use crate::peers::{explore, message, Channel};
use loom::thread;

#[test]
fn a_message_is_seen_by_the_server_or_its_sender_is_told() {
    explore("closing, 2 messages", 4, || {
        let channel = Channel::new(1, 64, 0);
        let mut sender = channel.sender(0);
        let mut receiver = channel.receiver();
        let other = channel.clone();
        let producer = thread::spawn(move || {
            // As the client's: it asks once, after its last commit.
            assert!(sender.try_send(&message(0)));
            assert!(sender.try_send(&message(1)));
            other.header.is_closing()
        });
        // `Consumer::close`, then all that is left is taken.
        channel.header.announce_close();
        for rx in &mut receiver.lanes {
            rx.stop_looking().unwrap();
        }
        let taken = receiver.take();
        let told = producer.join().unwrap();
        assert!(told || taken.len() == 2, "{} of 2 taken, and nobody was told", taken.len());
    });
}
