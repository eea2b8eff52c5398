//! What waiting is like: deadlines, and how another thread ends a wait: `timeouts KEY`
//!
//! One process plays every part, without a server, and removes the channel at the end.

use shmdemo::{Awaited, Channel, Deadline, Error, Geometry, Key, Options, Reservation};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let key = std::env::args().nth(1).and_then(|key| key.parse().ok());
    let Some(key) = key.and_then(Key::new) else {
        eprintln!("usage: timeouts KEY");
        return ExitCode::from(64);
    };
    match run(key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("timeouts: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(key: Key) -> shmdemo::Result<()> {
    // A channel that is not there, and that we do not create, is waited for.
    let options = Options::new(key).create(false);
    match Channel::open(&options, Deadline::after(Duration::from_millis(50))) {
        Err(Error::TimedOut { awaited: Awaited::Channel, .. }) => println!("no channel in 50 ms"),
        Ok(_) => return Err(Error::Busy { key, role: shmdemo::Role::Creator, pid: 0 }),
        Err(e) => return Err(e),
    }

    // One lane for one producer: a second one waits for it.
    let geometry = Geometry { lanes: 1, ring_bytes: 256, max_message: 100 };
    let options = Options::new(key).geometry(geometry);
    let mut producer = Channel::open(&options, Deadline::Now)?.into_producer(Deadline::Now)?;
    match Channel::open(&options, Deadline::Now)?.into_producer(Deadline::Now).map(drop) {
        Err(Error::TimedOut { awaited: Awaited::Lane(1), .. }) => println!("no free lane"),
        other => other?,
    }

    // Nobody consumes: the ring is full at some time, and an absolute deadline passes.
    let deadline = Deadline::At(Instant::now() + Duration::from_millis(50));
    let mut sent = 0;
    loop {
        match producer.send(&[0; 100], deadline) {
            Ok(()) => sent += 1,
            Err(Error::TimedOut { awaited: Awaited::Room(lane), .. }) => {
                println!("lane {lane} is full after {sent} messages");
                break;
            }
            Err(e) => return Err(e),
        }
    }

    // A wait without a limit ends when somebody says so. Others wake it, too, so who ends it
    // leaves word before.
    let (stop, interrupter) = (AtomicBool::new(false), producer.interrupter());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stop.store(true, Ordering::SeqCst);
            interrupter.wake();
        });
        while let Reservation::Woken = producer.reserve(100, Deadline::Never)? {
            if stop.load(Ordering::SeqCst) {
                println!("told to stop waiting");
                return Ok(());
            }
        }
        Ok(())
    })?;
    producer.channel().remove()
}
