//! Messages written and read where they lie, in batches: `zero_copy KEY COUNT`
//!
//! One process, both ends. Each message is made by `read(2)` from `/dev/zero` right into the ring,
//! as a driver or DMA buffer would fill it, and consumed by `write(2)` to `/dev/null` right from
//! there: the bytes are touched by the kernel alone.
//! Both calls take pointers, so this example, unlike the library, has `unsafe` blocks.

use nix::libc;
use shmdemo::{Channel, Consumer, Deadline, Key, Options, Producer};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

/// Bytes of one message.
const BYTES: usize = 1024;
/// Messages before the consumer is rung for.
const BATCH: u32 = 8;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<i32> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let (&[key, count], 2) = (&numbers[..], args.len()) else {
        eprintln!("usage: zero_copy KEY COUNT");
        return ExitCode::from(64);
    };
    match Key::new(key).map(|key| run(key, count.unsigned_abs())) {
        Some(Ok(bytes)) => {
            println!("{count} messages, {bytes} bytes");
            ExitCode::SUCCESS
        }
        Some(Err(e)) => {
            eprintln!("zero_copy: {e}");
            ExitCode::FAILURE
        }
        None => ExitCode::from(64),
    }
}

fn run(key: Key, count: u32) -> Result<u64> {
    let mut consumer = Channel::open(&Options::new(key), Deadline::Now)?.into_consumer()?;
    let channel = Channel::open(&Options::new(key), Deadline::Now)?;
    let mut producer = channel.into_producer(Deadline::Now)?;
    let (source, sink) = (File::open("/dev/zero")?, File::create("/dev/null")?);
    let (mut sent, mut bytes) = (0, 0);
    while sent < count {
        for _ in 0..BATCH.min(count - sent) {
            fill(&mut producer, &source)?;
            sent += 1;
        }
        producer.ring(); // once for the batch
        bytes += drain(&mut consumer, &sink)?;
    }
    consumer.channel().remove()?;
    Ok(bytes)
}

fn fill(producer: &mut Producer, source: &File) -> Result<()> {
    let slot = producer.reserve(BYTES, Deadline::Never)?.slot();
    let mut slot = slot.ok_or("no room")?; // cannot be: there is no deadline and no interrupter
    let place = slot.as_ptr().as_ptr().cast();
    // SAFETY: BYTES were reserved at `place`, and nobody else writes there before the commit.
    let read = unsafe { libc::read(source.as_raw_fd(), place, BYTES) };
    let read = usize::try_from(read).map_err(|_| std::io::Error::last_os_error())?;
    slot.commit_quietly(read); // what was not filled is not sent
    Ok(())
}

fn drain(consumer: &mut Consumer, sink: &File) -> Result<u64> {
    let mut bytes = 0;
    while let Some(record) = consumer.next_record()? {
        let place = record.as_ptr().as_ptr().cast();
        // SAFETY: the record has so many bytes and stays until the release below.
        let written = unsafe { libc::write(sink.as_raw_fd(), place, record.len()) };
        bytes += u64::try_from(written).map_err(|_| std::io::Error::last_os_error())?;
    }
    consumer.release();
    Ok(bytes)
}
