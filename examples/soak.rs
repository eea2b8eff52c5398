//! Sends numbered messages of mixed sizes from one process to another through a real segment and
//! checks every byte of each: `soak COUNT [--one-core]`.
//!
//! The library alone, without the two programs. Prints the rate; fails at the first message that
//! is lost, doubled, out of order or torn, when nothing comes for ten seconds, and if the
//! channel's counters are not exact at the end.

use shmdemo::layout::DEFAULT_MAX_MESSAGE;
use shmdemo::{Channel, Consumer, Deadline, Geometry, Key, Kind, Options, Status, Waited};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

/// Longer than any message is on its way.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first argument of the sending process.
const SEND: &str = "--send";

const LONGEST: usize = DEFAULT_MAX_MESSAGE as usize;

type Result<T> = anyhow::Result<T>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        [SEND, key, count] => numbers(key, count).and_then(|(key, count)| send(key, count)),
        [count] => numbers("1", count).and_then(|(_, count)| soak(count, false)),
        [count, "--one-core"] | ["--one-core", count] => {
            numbers("1", count).and_then(|(_, count)| soak(count, true))
        }
        _ => Err(anyhow::anyhow!("usage: soak COUNT [--one-core]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("soak: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn numbers(key: &str, count: &str) -> Result<(Key, u64)> {
    let key = Key::new(key.parse()?).ok_or_else(|| anyhow::anyhow!("key 0"))?;
    Ok((key, count.parse()?))
}

/// What messages are cut from.
struct Text([u8; LONGEST + 256]);

impl Text {
    fn new() -> Self {
        let mut x = 1_u32;
        Self([0; LONGEST + 256].map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        }))
    }

    /// Message `n`: mostly short, now and then empty or the longest there is. Its number comes
    /// first, where it has room for that.
    fn message<'a>(&self, n: u64, into: &'a mut [u8; LONGEST]) -> &'a [u8] {
        let hash = (n ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let len = match hash % 1024 {
            0 => LONGEST,
            1..=31 => (hash >> 10) as usize % (LONGEST + 1),
            _ => (hash >> 10) as usize % 97,
        };
        let from = n as usize % 251;
        let message = &mut into[..len];
        message.copy_from_slice(&self.0[from..from + len]);
        if let Some(head) = message.get_mut(..8) {
            head.copy_from_slice(&n.to_ne_bytes());
        }
        message
    }
}

fn send(key: Key, count: u64) -> Result<()> {
    let options = Options::new(key).create(false);
    let mut producer = Channel::open(&options, Deadline::Now)?.into_producer(Deadline::Now)?;
    let (text, mut buffer) = (Text::new(), [0; LONGEST]);
    for n in 0..count {
        let message = text.message(n, &mut buffer);
        producer.send(message, Deadline::after(PATIENCE))?;
    }
    Ok(())
}

fn soak(count: u64, one_core: bool) -> Result<()> {
    if one_core {
        let mut one = nix::sched::CpuSet::new();
        let all = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
        let first = (0..nix::sched::CpuSet::count()).find(|cpu| all.is_set(*cpu) == Ok(true));
        one.set(first.unwrap_or(0))?;
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one)?;
    }
    // A key of this process; the channel is made here or not at all.
    let key = 0x736f_0000 | (std::process::id() as i32 & 0xffff);
    let key = Key::new(key).ok_or_else(|| anyhow::anyhow!("key 0"))?;
    let options = Options::new(key).geometry(Geometry { lanes: 1, ..Default::default() });
    let mut consumer = Channel::open(&options, Deadline::Now)?.into_consumer()?;
    let sender = Command::new(std::env::current_exe()?)
        .args([SEND, &key.raw().to_string(), &count.to_string()])
        .spawn()?;
    let begin = Instant::now();
    let received = receive(&mut consumer, count, sender);
    let seconds = begin.elapsed().as_secs_f64();
    let counters = Status::read(&options);
    consumer.channel().remove()?;
    let bytes = received?;
    let lane = counters?.lanes[0];
    let whole = (count as u32, count as u32, 0, 0, 0);
    let counted = (lane.sent, lane.received, lane.queued_bytes, lane.refused, lane.too_long);
    anyhow::ensure!(counted == whole, "the counters are {counted:?}, not {whole:?}");
    println!(
        "{count} messages, {bytes} bytes, {}: {seconds:.1} s, {:.0} messages/s, {:.1} MB/s",
        if one_core { "one core" } else { "all cores" },
        count as f64 / seconds,
        bytes as f64 / seconds / 1e6
    );
    Ok(())
}

/// Takes and checks all messages; returns the number of their bytes.
fn receive(consumer: &mut Consumer, count: u64, mut sender: Child) -> Result<u64> {
    let text = Text::new();
    let (mut wanted, mut got) = ([0; LONGEST], [0; LONGEST]);
    let (mut n, mut bytes) = (0, 0);
    while n < count {
        while let Some(record) = consumer.next_record()? {
            let message = text.message(n, &mut wanted);
            record.copy_to(&mut got);
            let same = record.kind() == Kind::Data && got[..record.len()] == *message;
            anyhow::ensure!(same, "message {n} is not what was sent, {} bytes", record.len());
            n += 1;
            bytes += record.len() as u64;
        }
        consumer.release();
        let since = Instant::now();
        while n < count && consumer.wait(Deadline::after(PATIENCE))? != Waited::Ready {
            let late = since.elapsed() >= PATIENCE;
            anyhow::ensure!(!late, "no message after {n} for {PATIENCE:?}");
        }
    }
    anyhow::ensure!(consumer.wait(Deadline::Now)? != Waited::Ready, "more than {count} messages");
    let status = sender.wait()?;
    anyhow::ensure!(status.success(), "the sender: {status}");
    Ok(bytes)
}
