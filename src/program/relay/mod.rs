//! `shmdemo-server relay`: takes from one channel, gives to others, and lets go of a message only when
//! all of them have it. So whoever is killed, none is lost; some may come twice.

mod args;
mod target;

pub(super) use args::parse;

use super::args::Protocol;
use super::damage::DamagedLanes;
use super::notify::Notify;
use super::{exit, signals, Failure};
use crate::shared_use::{End, SharedUseSegment};
use crate::{Channel, Consumer, Deadline, Key, Kind, Options, Waited};
use anyhow::{Context, Result};
use target::{Put, Target};

/// So much is put to the targets before they are rung and the source is let go of it.
const BATCH: usize = 32 << 10;

/// What to do where a target has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Wait,
    Drop,
}

/// A key and who is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    key: Key,
    protocol: Protocol,
    full: Full,
    semaphore: bool,
}

/// `shmdemo-server relay`.
pub(super) struct Relay {
    options: Options,
    from: Place,
    to: heapless::Vec<Place, 8>,
    /// The text that ends C programs of the demo.
    end_word: Vec<u8>,
    /// The C programs that are sent to compare whole lines with it.
    end_whole: bool,
    persist: bool,
    skip: bool,
}

impl Place {
    /// How to open what is there.
    fn options(&self, common: &Options) -> Options {
        let mut options = common.clone();
        options.key = self.key;
        options.foreign_semaphore = self.semaphore;
        options
    }
}

/// Why a relay is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    EndWord,
    Signal,
}

/// The targets, and what is told of them.
struct Targets<'a> {
    relay: &'a Relay,
    all: Vec<Target>,
    notify: Notify,
}

pub(super) fn run(relay: &Relay) -> Result<u8> {
    signals::install().map_err(Failure::of_call("sigaction"))?;
    let from = relay.from.key;
    // The source first: who has it is the one relay of it.
    let options = relay.from.options(&relay.options);
    let open = || Source::open(&options, relay.from.protocol);
    let source = signals::at_once_if(relay.from.semaphore, open)
        .with_context(|| format!("--from {}", from.raw()))?;
    let mut targets = Targets { relay, all: Vec::new(), notify: Notify::from_environment() };
    for place in &relay.to {
        // Nothing is in hand: a signal ends it on the spot.
        let target = signals::at_once_if(true, || Target::open(&relay.options, place));
        targets.all.push(target.with_context(|| format!("--to {}", place.key.raw()))?);
    }
    targets.notify.ready(&format!("relaying from key {from}"));
    log::info!("relaying from key {from} to {} other(s)", relay.to.len());
    let done = match source {
        Source::Ring(consumer) => FromRing::new(consumer).run(&mut targets)?,
        Source::SharedUse(segment) => from_text(&segment, &mut targets)?,
    };
    targets.tell_all();
    Ok(match done {
        Done::EndWord => exit::OK,
        Done::Signal => signals::stop().map_or(exit::OK, signals::server_exit),
    })
}

enum Source {
    Ring(Box<Consumer>),
    SharedUse(Box<SharedUseSegment>),
}

impl Source {
    fn open(options: &Options, protocol: Protocol) -> crate::Result<Self> {
        Ok(match protocol {
            Protocol::Ring => {
                let channel = Channel::open(options, Deadline::Never)?;
                Self::Ring(Box::new(channel.into_consumer()?))
            }
            Protocol::SharedUse => {
                let segment = SharedUseSegment::open(options, End::Server, Deadline::Never)?;
                Self::SharedUse(Box::new(segment))
            }
        })
    }
}

impl Targets<'_> {
    /// Puts one message to all. `Full`: a signal came before all had it.
    fn put(&mut self, message: &[u8], end: bool) -> Result<Put> {
        for n in 0..self.all.len() {
            let (target, relay) = (&mut self.all[n], self.relay);
            let to = || format!("--to {}", relay.to[n].key.raw());
            // The end word goes to all, whatever it is here.
            let unfit = if end { None } else { target.takes(message, relay).err() };
            match unfit {
                None => {
                    let mut put = target.put(message, end).with_context(to)?;
                    while put == Put::Full {
                        // What the others have is not held up by this one's wait.
                        self.ring()?;
                        self.notify.alive();
                        if signals::stop().is_some() {
                            return Ok(Put::Full);
                        }
                        let until = self.notify.deadline();
                        put = self.all[n].wait(message, end, until).with_context(to)?;
                    }
                    if put == Put::Dropped && self.all[n].dropped.is_power_of_two() {
                        log::warn!("{}: no room, dropped (the {}th)", to(), self.all[n].dropped);
                    }
                }
                Some(unfit) if relay.skip => {
                    let times = target.count_unfit();
                    if times.is_power_of_two() {
                        log::warn!("{}: skipped (the {times}th): {unfit}", to());
                    }
                }
                Some(unfit) => {
                    target.count_unfit();
                    return Err(Failure::error(
                        exit::TOO_LONG,
                        format!(
                            "{}: {unfit}; the message is still in the segment of key {}: give \
                             --skip-too-long, or make the target take it",
                            to(),
                            relay.from.key
                        ),
                    ));
                }
            }
        }
        Ok(Put::Sent)
    }

    /// Passes the end word on, when all else is. `false`: a signal came before all had it.
    fn end(&mut self) -> Result<bool> {
        let relay = self.relay;
        let put = self.put(&relay.end_word, true)?;
        self.ring()?;
        Ok(put != Put::Full)
    }

    fn ring(&mut self) -> Result<()> {
        for (target, place) in self.all.iter_mut().zip(&self.relay.to) {
            target.ring().with_context(|| format!("--to {}", place.key.raw()))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        for (target, place) in self.all.iter_mut().zip(&self.relay.to) {
            target.finish().with_context(|| format!("--to {}", place.key.raw()))?;
        }
        Ok(())
    }

    fn tell_all(&self) {
        for (target, place) in self.all.iter().zip(&self.relay.to) {
            if target.dropped > 0 || target.unfit > 0 {
                let (dropped, unfit, key) = (target.dropped, target.unfit, place.key);
                log::warn!("to key {key}: {dropped} message(s) dropped, {unfit} skipped");
            }
        }
    }
}

struct FromRing {
    consumer: Box<Consumer>,
    /// One message; made once, and not on the stack.
    message: Vec<u8>,
    /// The end word was passed on: it is not again.
    ending: bool,
    damaged: DamagedLanes,
}

impl FromRing {
    fn new(consumer: Box<Consumer>) -> Self {
        let message = vec![0; consumer.channel().geometry().max_message as usize];
        Self { consumer, message, ending: false, damaged: DamagedLanes::default() }
    }

    fn run(mut self, targets: &mut Targets<'_>) -> Result<Done> {
        if targets.relay.persist {
            self.consumer.forget_end();
        }
        // One that a predecessor took, who was killed before it had ended.
        self.ending = self.consumer.end_pending();
        while !self.ending {
            match self.pass_on(targets)? {
                Some(Done::EndWord) => break,
                Some(Done::Signal) => return Ok(Done::Signal),
                None => {}
            }
            signals::interrupts(self.consumer.interrupter());
            if signals::stop().is_some() {
                return Ok(Done::Signal);
            }
            targets.notify.alive();
            match self.consumer.wait(targets.notify.deadline()) {
                Err(e) if e.is_removed() => {
                    // What is still in the segment nobody else can get at any more.
                    if let Err(e) = self.consumer.stop_looking() {
                        self.damaged.tell(e)?;
                    }
                    self.pass_on(targets)?;
                    return Err(e.into());
                }
                Err(e) => self.damaged.tell(e)?,
                Ok(_) => {}
            }
        }
        // As a server: what is there is passed on, then the end word, and the channel goes.
        targets.notify.stopping();
        self.ending = true;
        if let Err(e) = self.consumer.announce_close() {
            self.damaged.tell(e)?;
        }
        if self.pass_on(targets)?.is_some() || !targets.end()? {
            return Ok(Done::Signal);
        }
        self.consumer.channel().remove()?;
        log::info!("a client sent the end word, which was passed on");
        targets.finish()?;
        Ok(Done::EndWord)
    }

    /// Passes on all that is there, and releases what all targets have.
    fn pass_on(&mut self, targets: &mut Targets<'_>) -> Result<Option<Done>> {
        loop {
            // Each as if it took a byte more, so that an empty one counts.
            let (mut looked, mut put) = (0, 0);
            let mut done = None;
            let mut failed = None;
            while looked < BATCH {
                let record = match self.consumer.next_record() {
                    Ok(Some(record)) => record,
                    Ok(None) => break,
                    Err(e) => {
                        failed = Some(e);
                        break;
                    }
                };
                let (len, end) = (record.len(), record.kind() == Kind::End);
                record.copy_to(&mut self.message);
                looked += len + 1;
                if end {
                    put = looked;
                    if targets.relay.persist || self.ending {
                        continue;
                    }
                    // Before it is released: whoever is killed in between, the end is not lost.
                    self.consumer.note_end();
                    done = Some(Done::EndWord);
                    break;
                }
                match targets.put(&self.message[..len], false) {
                    Ok(Put::Full) => {
                        done = Some(Done::Signal);
                        break;
                    }
                    Ok(_) => put = looked,
                    Err(e) => {
                        // What came before it, all targets have.
                        targets.ring()?;
                        self.consumer.release_within(put, 1)?;
                        return Err(e);
                    }
                }
            }
            targets.ring()?;
            match put == looked {
                true => self.consumer.release(),
                false => self.consumer.release_within(put, 1)?,
            }
            if let Some(e) = failed {
                self.damaged.tell(e)?;
                continue;
            }
            if done.is_some() || looked == 0 {
                return Ok(done);
            }
            targets.notify.alive();
            if signals::stop().is_some() {
                return Ok(Some(Done::Signal));
            }
        }
    }
}

/// From the C demo's segment: one text after the other.
fn from_text(segment: &SharedUseSegment, targets: &mut Targets<'_>) -> Result<Done> {
    let mut text = vec![0; segment.text_bytes()];
    loop {
        targets.notify.alive();
        if segment.wait(true, Deadline::Never)? == Waited::Ready {
            let len = segment.read(&mut text);
            let word = &targets.relay.end_word;
            let end = !word.is_empty() && text[..len] == word[..];
            if !(end && targets.relay.persist) {
                if targets.put(&text[..len], end)? == Put::Full {
                    return Ok(Done::Signal);
                }
                targets.ring()?;
            }
            while segment.taken()? != Waited::Ready {
                targets.notify.alive();
                if signals::stop().is_some() {
                    return Ok(Done::Signal);
                }
            }
            if end && !targets.relay.persist {
                log::info!("a client sent the end word, which was passed on");
                targets.notify.stopping();
                targets.finish()?;
                segment.remove()?;
                return Ok(Done::EndWord);
            }
        }
        if signals::stop().is_some() {
            return Ok(Done::Signal);
        }
    }
}
