//! Sends each argument as one message: `producer KEY TEXT...`
//!
//! Waits five seconds at the most for a lane, and as long as it takes for room.

use shmdemo::{Channel, Deadline, Key, Options};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(key) = args.next().and_then(|key| key.parse().ok()).and_then(Key::new) else {
        eprintln!("usage: producer KEY TEXT...");
        return ExitCode::from(64);
    };
    match send(key, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("producer: {e}");
            ExitCode::FAILURE
        }
    }
}

fn send(key: Key, texts: impl Iterator<Item = String>) -> shmdemo::Result<()> {
    // Whoever comes first creates the channel.
    let channel = Channel::open(&Options::new(key), Deadline::Never)?;
    let mut producer = channel.into_producer(Deadline::after(Duration::from_secs(5)))?;
    for text in texts {
        // Once this returns the message is in the segment: it outlives this process.
        producer.send(text.as_bytes(), Deadline::Never)?;
    }
    Ok(())
}
