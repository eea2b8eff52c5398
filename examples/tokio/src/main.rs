//! Passes on what comes in one channel, line by line, to another one, among timers and signals of
//! tokio's: `shmdemo-tokio FROM TO`
//!
//! Each record is released when it is in the other channel: killed at any instant it loses nothing, and
//! passes some on twice. SIGINT and SIGTERM end it.

use shmdemo::{Channel, Consumer, Deadline, Descriptor, Error, Key, Options, Producer};
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;
use tokio::signal::unix::{signal, SignalKind};

fn polled(fd: Descriptor) -> std::io::Result<AsyncFd<Descriptor>> {
    // SAFETY: a `Descriptor` keeps its eventfd open for as long as it lives, and hands it out to nobody.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? })
}

/// A consumer whose records are awaited.
struct Receiver {
    consumer: Consumer,
    fd: AsyncFd<Descriptor>,
}

impl Receiver {
    fn new(mut consumer: Consumer) -> Result<Self, Box<dyn std::error::Error>> {
        let fd = polled(consumer.fd()?)?;
        Ok(Self { consumer, fd })
    }

    /// Waits for a record, and copies it to `buffer`; it is still held then. May be cancelled.
    async fn next(&mut self, buffer: &mut Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
        loop {
            // AsyncFd is told of edges: so look until there is nothing, and only then say so.
            if let Some(record) = self.consumer.next_record()? {
                buffer.resize(record.len(), 0);
                record.copy_to(buffer);
                return Ok(());
            }
            self.fd.readable().await?.clear_ready();
            // What came between the look and that is not forgotten: this look is behind it.
        }
    }
}

/// A producer whose room is awaited.
struct Sender {
    producer: Producer,
    fd: AsyncFd<Descriptor>,
}

impl Sender {
    fn new(mut producer: Producer) -> Result<Self, Box<dyn std::error::Error>> {
        let fd = polled(producer.fd()?)?;
        Ok(Self { producer, fd })
    }

    /// Sends a message, as soon as there is room. Cancelled, it has sent nothing of it.
    async fn send(&mut self, message: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
        loop {
            match self.producer.send(message, Deadline::Now) {
                Err(Error::TimedOut { .. }) => self.fd.readable().await?.clear_ready(),
                sent => return Ok(sent?),
            }
        }
    }
}

async fn pass_on(
    from: &mut Receiver,
    to: &mut Sender,
    passed: &mut u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut message = Vec::new();
    loop {
        from.next(&mut message).await?;
        to.send(&message).await?;
        from.consumer.release();
        *passed += 1;
    }
}

async fn run(from: Key, to: Key) -> Result<(), Box<dyn std::error::Error>> {
    let opened = |key| Channel::open(&Options::new(key), Deadline::Now);
    let mut from = Receiver::new(opened(from)?.into_consumer()?)?;
    let mut to = Sender::new(opened(to)?.into_producer(Deadline::Now)?)?;
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut passed = 0;
    loop {
        tokio::select! {
            // What it was about is not lost when something else comes first: it is held, and looked at again.
            ended = pass_on(&mut from, &mut to, &mut passed) => return ended,
            _ = second.tick() => {
                eprintln!("passed {passed}");
                from.consumer.rewind()?;
            }
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut keys = std::env::args().skip(1).map(|key| key.parse().ok().and_then(Key::new));
    let (Some(Some(from)), Some(Some(to))) = (keys.next(), keys.next()) else {
        eprintln!("usage: shmdemo-tokio FROM TO");
        return ExitCode::from(64);
    };
    match run(from, to).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("shmdemo-tokio: {e}");
            ExitCode::FAILURE
        }
    }
}
