//! The two measurements, for any way between two processes.

use crate::message::{Reader, Writer, END};
use crate::pair::{self, Numbers, Place, Start};
use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::{ensure, Result};
use std::any::Any;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a measurement goes on.
#[derive(Debug, Clone, Copy)]
pub enum Extent {
    Time(Duration),
    /// The same work each time, for counting instructions.
    Messages(u64),
}

/// One measurement to make.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    pub spec: Spec,
    pub place: Place,
    pub extent: Extent,
    /// Rest between two pings, for the real-time measurement.
    pub rest: Duration,
}

/// What a measurement gave: nanoseconds, one way (half a round trip), or messages per second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub messages: u64,
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub p9999: f64,
    pub max: f64,
    /// Context switches of both processes per message, voluntary and not.
    pub switches: f64,
}

type Measure = fn(&Task) -> Result<Outcome>;

/// One way, ready to be measured.
pub struct Row {
    pub name: &'static str,
    pub batched: bool,
    pub available: fn() -> Result<()>,
    pub offers: fn(Wait) -> bool,
    pub latency: Measure,
    pub throughput: Measure,
}

impl Row {
    pub fn of<T: Transport>() -> Self {
        Self {
            name: T::NAME,
            batched: T::BATCHED,
            available: T::available,
            offers: T::offers,
            latency: latency::<T>,
            throughput: throughput::<T>,
        }
    }
}

/// Context switches of this process up to now.
fn switches() -> u64 {
    use nix::sys::resource::{getrusage, UsageWho};
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        (usage.voluntary_context_switches() + usage.involuntary_context_switches()) as u64
    })
}

type Done = Result<(Numbers, Box<dyn Any>)>;

fn throughput<T: Transport>(task: &Task) -> Result<Outcome> {
    let spec = task.spec;
    let link = T::link(&spec, 0)?;
    let result = {
        let send = |start: &mut Start| -> Done {
            let mut tx = T::tx(&spec, &link)?;
            start.together()?;
            tx.start()?;
            start.together()?;
            let before = switches();
            send_all::<T>(&mut tx, task)?;
            Ok((vec![switches() - before], Box::new(tx) as Box<dyn Any>))
        };
        let receive = |start: &mut Start| -> Done {
            let mut rx = T::rx(&spec, &link)?;
            start.together()?;
            rx.start()?;
            start.together()?;
            let before = switches();
            let (count, time) = receive_all(&mut rx, &spec)?;
            let numbers = vec![count, time.as_nanos() as u64, switches() - before];
            Ok((numbers, Box::new(rx) as Box<dyn Any>))
        };
        pair::run(&task.place, [Box::new(send), Box::new(receive)], || T::parted(&link))
    };
    T::remove(&spec, link);
    let [sent, received] = result?;
    ensure!(sent.len() == 1 && received.len() == 3, "results are missing");
    let (messages, seconds) = (received[0], received[1] as f64 / 1e9);
    ensure!(messages > 0, "no message");
    Ok(Outcome {
        messages,
        per_second: messages as f64 / seconds,
        switches: (sent[0] + received[2]) as f64 / messages as f64,
        ..Outcome::default()
    })
}

fn send_all<T: Transport>(tx: &mut T::Tx, task: &Task) -> Result<()> {
    let mut writer = Writer::new(task.spec.size);
    // The clock is looked at now and then only.
    let every = if T::SLOW { 1 } else { 64 };
    let (begin, mut number) = (Instant::now(), 0);
    loop {
        tx.send(writer.message(number))?;
        number += 1;
        let over = match task.extent {
            Extent::Messages(count) => number >= count,
            Extent::Time(time) => number % every == 0 && begin.elapsed() >= time,
        };
        if over {
            break;
        }
    }
    tx.send(writer.message(number | END))?;
    tx.flush()
}

/// Counts the messages between the first and the last one, and the time between them.
fn receive_all(rx: &mut impl Rx, spec: &Spec) -> Result<(u64, Duration)> {
    let mut reader = Reader::new(spec.size);
    let mut begin = None;
    let ended = Cell::new(false);
    while !ended.get() {
        rx.receive(|message| {
            if begin.is_none() {
                begin = Some(Instant::now());
            }
            ended.set(reader.check(message)?);
            Ok(())
        })?;
    }
    let time = begin.map_or(Duration::ZERO, |begin| begin.elapsed());
    Ok((reader.count() - 1, time))
}

fn latency<T: Transport>(task: &Task) -> Result<Outcome> {
    let spec = task.spec;
    let (there, back) = (T::link(&spec, 0)?, T::link(&spec, 1)?);
    let result = {
        let ping = |start: &mut Start| -> Done {
            let (mut tx, mut rx) = (T::tx(&spec, &there)?, T::rx(&spec, &back)?);
            start.together()?;
            tx.start()?;
            rx.start()?;
            start.together()?;
            let before = switches();
            let mut times = ping_all::<T>(&mut tx, &mut rx, task)?;
            let switched = switches() - before;
            let numbers = summary(&mut times, switched)?;
            Ok((numbers, Box::new((tx, rx)) as Box<dyn Any>))
        };
        let pong = |start: &mut Start| -> Done {
            // In the other order: a first end may wait for its second one.
            let (mut rx, mut tx) = (T::rx(&spec, &there)?, T::tx(&spec, &back)?);
            start.together()?;
            tx.start()?;
            rx.start()?;
            start.together()?;
            let before = switches();
            echo_all(&mut tx, &mut rx, &spec)?;
            Ok((vec![switches() - before], Box::new((tx, rx)) as Box<dyn Any>))
        };
        let parted = || {
            T::parted(&there);
            T::parted(&back);
        };
        pair::run(&task.place, [Box::new(ping), Box::new(pong)], parted)
    };
    T::remove(&spec, there);
    T::remove(&spec, back);
    let [ping, pong] = result?;
    let ([messages, p50, p99, p999, p9999, max, total, a], [b]) = (&ping[..], &pong[..]) else {
        anyhow::bail!("results are missing")
    };
    let one_way = |round_trip: &u64| *round_trip as f64 / 2.0;
    Ok(Outcome {
        messages: *messages,
        per_second: 2.0 * *messages as f64 / (*total as f64 / 1e9),
        p50: one_way(p50),
        p99: one_way(p99),
        p999: one_way(p999),
        p9999: one_way(p9999),
        max: one_way(max),
        // Two messages make a round trip.
        switches: (a + b) as f64 / (2 * messages) as f64,
    })
}

/// Round trips in nanoseconds; the first ones, which find cold caches, are left out.
fn ping_all<T: Transport>(tx: &mut T::Tx, rx: &mut T::Rx, task: &Task) -> Result<Vec<u64>> {
    let mut writer = Writer::new(task.spec.size);
    let mut reader = Reader::new(task.spec.size);
    let warm_up = if T::SLOW { 2 } else { 200 };
    // Room from the start: growing it would be measured too.
    let mut times = Vec::with_capacity(4 << 20);
    let (begin, mut number) = (Instant::now(), 0);
    // The clock is read once a round trip: where that is a system call, as on a Cortex-A9, it is a good part of it,
    // and of one side alone, so that a scheduler gives the other one its share in vain.
    let mut before = begin;
    loop {
        tx.send(writer.message(number))?;
        tx.flush()?;
        rx.receive(|message| reader.check(message).map(drop))?;
        let now = Instant::now();
        let took = now.duration_since(core::mem::replace(&mut before, now));
        number += 1;
        ensure!(reader.count() == number, "{} answers to {number} pings", reader.count());
        if number > warm_up && times.len() < times.capacity() {
            times.push(took.as_nanos() as u64);
        }
        let over = match task.extent {
            Extent::Messages(count) => times.len() as u64 >= count,
            Extent::Time(time) => begin.elapsed() >= time && !times.is_empty(),
        };
        if over {
            break;
        }
        if !task.rest.is_zero() {
            std::thread::sleep(task.rest);
            before = Instant::now();
        }
    }
    tx.send(writer.message(number | END))?;
    tx.flush()?;
    rx.receive(|message| reader.check(message).map(drop))?;
    Ok(times)
}

/// Sends back what comes, up to and with the last message.
fn echo_all(tx: &mut impl Tx, rx: &mut impl Rx, spec: &Spec) -> Result<()> {
    let mut reader = Reader::new(spec.size);
    let ended = Cell::new(false);
    let mut answer = Vec::with_capacity(crate::message::LONGEST);
    while !ended.get() {
        rx.receive(|message| {
            ended.set(reader.check(message)?);
            answer.clear();
            answer.extend_from_slice(message);
            Ok(())
        })?;
        tx.send(&answer)?;
        tx.flush()?;
    }
    Ok(())
}

/// Count, percentiles, sum of the round trips, switches.
fn summary(times: &mut [u64], switches: u64) -> Result<Numbers> {
    ensure!(!times.is_empty(), "no round trip");
    let total = times.iter().sum();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
    let max = times[times.len() - 1];
    Ok(vec![times.len() as u64, at(0.5), at(0.99), at(0.999), at(0.9999), max, total, switches])
}
