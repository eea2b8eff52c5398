//! Producers and consumers as `producer.rs` and `consumer.rs` make them of `Tx`, `Rx` and
//! doorbells, and the run of a model.

use crate::kernel::{Bell, Descriptor};
use crate::ring::{Found, Kind, Reserved, Rx, Tx};
use crate::segment::layout::{record_bytes, Header};
use crate::segment::memory::{header, Lane, RingMemory};
use crate::wake::doorbell::Waited;
use loom::model::Builder;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

/// Longest message of the models, in bytes.
pub(crate) const MAX: u32 = 12;

/// Runs `model` in all its orders with at most `preemptions` of them; says how many there were.
pub(crate) fn explore(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    let bound = *builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 100_000;
    let runs = Arc::new(AtomicUsize::new(0));
    let (count, begin) = (runs.clone(), Instant::now());
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let (runs, seconds) = (runs.load(Ordering::Relaxed), begin.elapsed().as_secs_f32());
    println!("{name}: {runs} interleavings, at most {bound} preemptions, {seconds:.1} s");
}

/// As [`explore`] for each step at which one of the threads may die; `model` gets the number of
/// steps that thread has and returns whether it outlived them. Ends once it always does.
pub(crate) fn explore_deaths(
    name: &str,
    preemptions: usize,
    model: impl Fn(usize) -> bool + Send + Sync + 'static,
) {
    let model = Arc::new(model);
    let (mut total, begin) = (0, Instant::now());
    for steps in 0.. {
        let mut builder = Builder::new();
        builder.preemption_bound.get_or_insert(preemptions);
        builder.max_branches = 100_000;
        let (runs, deaths) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, dead, model) = (runs.clone(), deaths.clone(), model.clone());
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            dead.fetch_add(usize::from(!model(steps)), Ordering::Relaxed);
        });
        total += runs.load(Ordering::Relaxed);
        if deaths.load(Ordering::Relaxed) == 0 {
            let seconds = begin.elapsed().as_secs_f32();
            println!(
                "{name}: {total} interleavings, death before each of {steps} steps, {seconds:.1} s"
            );
            assert!(steps > 10, "it hardly did anything");
            return;
        }
    }
}

/// A channel of the models.
pub(crate) struct Channel {
    pub header: Header,
    pub server: Bell,
    pub lanes: Vec<(Lane, Bell)>,
}

impl Channel {
    /// `ring` bytes in each of `lanes` lanes, positions from `position`.
    pub fn new(lanes: usize, ring: u32, position: u32) -> Arc<Self> {
        let lanes = (0..lanes).map(|_| (Lane::new(ring, position), Bell::new())).collect();
        Arc::new(Self { header: header(), server: Bell::new(), lanes })
    }

    pub fn sender(self: &Arc<Self>, lane: usize) -> Sender {
        let tx = Tx::new(self.lanes[lane].0.memory(), MAX).unwrap();
        let mut sender = Sender { channel: self.clone(), lane, tx, unrung: true };
        // As `Channel::into_producer`: what a predecessor committed and did not ring for.
        sender.ring();
        sender
    }

    pub fn receiver(self: &Arc<Self>) -> Receiver {
        let rx = |lane: &(Lane, Bell)| Rx::new(lane.0.memory(), MAX).0;
        let receiver =
            Receiver { channel: self.clone(), lanes: self.lanes.iter().map(rx).collect() };
        // As `Channel::into_consumer`: what a predecessor released and did not ring for.
        for (rx, (_, bell)) in receiver.lanes.iter().zip(&self.lanes) {
            let _ = rx.control().room_bell.ring(bell);
        }
        receiver
    }
}

/// The words of message `n`: the lengths 4, 8 and 12 in turn, so records of 16, 16 and 24 bytes.
pub(crate) fn message(n: u32) -> Vec<u8> {
    let words = (0..=n % 3).map(|i| n.wrapping_mul(0x0101_0101).wrapping_add(i + 1));
    words.flat_map(u32::to_ne_bytes).collect()
}

pub(crate) struct Sender {
    channel: Arc<Channel>,
    lane: usize,
    pub tx: Tx,
    unrung: bool,
}

impl Sender {
    /// `Producer::ring`.
    pub fn ring(&mut self) {
        if self.unrung {
            self.unrung = false;
            self.tx.publish();
            let _ = self.channel.header.server_bell.ring(&self.channel.server);
        }
    }

    /// Sends without waiting and without ringing; false: no room.
    pub fn try_send(&mut self, message: &[u8]) -> bool {
        let Some(reserved) = self.write(message) else { return false };
        self.unrung = true;
        self.tx.commit(reserved, message.len() as u32, Kind::Data);
        true
    }

    /// Stages a message without waiting and without ringing, as the client does; false: no room.
    pub fn try_stage(&mut self, message: &[u8]) -> bool {
        let (before, mut given) = (self.tx.sent(), Some(message));
        self.tx.stage_each(|| given.take());
        if self.tx.sent() != before {
            self.unrung = true;
            return true;
        }
        let Some(reserved) = self.write(message) else { return false };
        self.unrung = true;
        self.tx.stage(reserved, message.len() as u32);
        true
    }

    fn write(&mut self, message: &[u8]) -> Option<Reserved> {
        let reserved = self.tx.reserve(message.len() as u32).unwrap()?;
        self.tx.bytes().copy_in(reserved.offset, message);
        Some(reserved)
    }

    /// `Producer::send`.
    pub fn send(&mut self, message: &[u8]) {
        let len = message.len() as u32;
        let channel = self.channel.clone();
        let (lane, bell) = &channel.lanes[self.lane];
        while !self.try_send(message) {
            self.ring();
            let need = (2 * record_bytes(len)).max(self.tx.bytes().len() / 2);
            let (control, tx) = (lane.control(), &mut self.tx);
            let room = control.room_bell.sleep(need, bell, || tx.reserve(len).unwrap().is_some());
            let _ = room.unwrap();
        }
        self.ring();
    }
}

pub(crate) struct Receiver {
    channel: Arc<Channel>,
    pub lanes: Vec<Rx>,
}

impl Receiver {
    /// Takes and releases all there is, as `Consumer::next_record`, `copy_lines` and `release`.
    pub fn take_each(&mut self, mut each: impl FnMut(usize, Vec<u8>)) {
        for (lane, rx) in self.lanes.iter_mut().enumerate() {
            let mut take = |bytes: &RingMemory, found: Found| {
                let mut payload = vec![0; found.len as usize];
                bytes.copy_out(found.offset, &mut payload);
                each(lane, payload);
                true
            };
            while let Some(found) = rx.next().unwrap() {
                take(rx.bytes(), found);
                rx.each_message(u32::MAX, &mut take);
            }
        }
        for (rx, (_, bell)) in self.lanes.iter_mut().zip(&self.channel.lanes) {
            if rx.holds() {
                let (free, most) = (rx.release(), rx.bytes().len());
                rx.control().room_bell.ring_for_room(free, most, bell);
            }
        }
    }

    /// As [`take_each`](Self::take_each): all of them, with their lanes.
    pub fn take(&mut self) -> Vec<(usize, Vec<u8>)> {
        let mut taken = Vec::new();
        self.take_each(|lane, payload| taken.push((lane, payload)));
        taken
    }

    /// `Consumer::wait`.
    pub fn wait(&mut self) -> bool {
        let (bell, lanes) = (&self.channel.header.server_bell, &mut self.lanes);
        let end =
            bell.sleep(0, &self.channel.server, || lanes.iter_mut().any(|rx| rx.ready().unwrap()));
        end.unwrap() == Waited::Ready
    }

    /// `Consumer::next_record` with a descriptor, and `release`; at most one.
    pub fn take_one(
        &mut self,
        descriptor: &Descriptor,
        armed: &mut Option<u32>,
    ) -> Option<Vec<u8>> {
        let channel = self.channel.clone();
        let (bell, rx) = (&channel.header.server_bell, &mut self.lanes[0]);
        let mut found = rx.next().unwrap();
        if found.is_none() {
            *armed = bell.arm(0, descriptor, || rx.ready().unwrap());
            if armed.is_none() {
                found = rx.next().unwrap();
            }
        }
        let found = found?;
        if let Some(number) = armed.take() {
            bell.disarm(number, descriptor);
        }
        let mut payload = vec![0; found.len as usize];
        rx.bytes().copy_out(found.offset, &mut payload);
        let (free, most) = (rx.release(), rx.bytes().len());
        rx.control().room_bell.ring_for_room(free, most, &channel.lanes[0].1);
        Some(payload)
    }

    /// Takes `count` messages, sleeping where there is none.
    pub fn take_all(&mut self, count: usize) -> Vec<(usize, Vec<u8>)> {
        let mut taken = self.take();
        while taken.len() < count {
            self.wait();
            taken.extend(self.take());
        }
        assert_eq!(taken.len(), count);
        taken
    }
}

/// The payloads of one lane, in order.
pub(crate) fn of_lane(taken: &[(usize, Vec<u8>)], lane: usize) -> Vec<Vec<u8>> {
    taken.iter().filter(|(from, _)| *from == lane).map(|(_, payload)| payload.clone()).collect()
}
