//! Prints each message with its lane until an End record comes: `consumer KEY`
//!
//! Then it removes the channel, as `shmdemo-server` does.

use shmdemo::layout::MAX_MESSAGE;
use shmdemo::{Channel, Consumer, Deadline, Key, Kind, Options};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let key = std::env::args().nth(1).and_then(|key| key.parse().ok());
    let Some(key) = key.and_then(Key::new) else {
        eprintln!("usage: consumer KEY");
        return ExitCode::from(64);
    };
    match receive(key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("consumer: {e}");
            ExitCode::FAILURE
        }
    }
}

fn receive(key: Key) -> Result<(), Box<dyn std::error::Error>> {
    let channel = Channel::open(&Options::new(key), Deadline::Never)?;
    let mut consumer = channel.into_consumer()?;
    while !print_all(&mut consumer)? {
        // Uses no processor time, however long it takes. It may return without a record.
        // Ready or woken: the loop looks.
        let _ = consumer.wait(Deadline::Never)?;
    }
    // The producers are told, then what they sent before is taken, then all of it goes.
    consumer.announce_close()?;
    print_all(&mut consumer)?;
    Ok(consumer.channel().remove()?)
}

/// Prints what there is; true: one of the producers sent the End record.
fn print_all(consumer: &mut Consumer) -> Result<bool, Box<dyn std::error::Error>> {
    let mut message = [0; MAX_MESSAGE as usize];
    let mut out = std::io::stdout().lock();
    let mut end = false;
    loop {
        while let Some(record) = consumer.next_record()? {
            if record.kind() == Kind::End {
                end = true;
                continue;
            }
            record.copy_to(&mut message);
            write!(out, "lane {}: ", record.lane())?;
            out.write_all(&message[..record.len()])?;
            out.write_all(b"\n")?;
        }
        // Only what was written leaves the segment: a crash before this prints it again.
        out.flush()?;
        if !consumer.holds() {
            return Ok(end);
        }
        consumer.release();
    }
}
