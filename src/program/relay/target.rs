//! Where a relay's messages go.

use super::{Full, Place, Relay};
use crate::program::args::Protocol;
use crate::program::signals;
use crate::program::sink::{finish, would_end};
use crate::program::{exit, Failure};
use crate::shared_use::{End, SharedUseSegment};
use crate::{Channel, Deadline, Error, Options, Producer, Result, Waited};
use core::time::Duration;

/// A server that is just ending is given so long to take what it was sent.
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Sent,
    /// There was no room, and that is what is wanted then.
    Dropped,
    /// There is no room yet.
    Full,
}

enum Way {
    Ring(Producer),
    SharedUse(SharedUseSegment),
}

/// One of the places that a relay sends to.
pub(super) struct Target {
    way: Way,
    full: Full,
    /// Messages that did not fit, and those for which there was no room.
    pub unfit: u32,
    pub dropped: u32,
}

impl Target {
    pub(super) fn open(options: &Options, place: &Place) -> Result<Self> {
        let options = place.options(options);
        let way = match place.protocol {
            Protocol::Ring => {
                let channel = Channel::open(&options, Deadline::Never)?;
                Way::Ring(channel.into_producer(Deadline::Never)?)
            }
            Protocol::SharedUse => {
                Way::SharedUse(SharedUseSegment::open(&options, End::Client, Deadline::Never)?)
            }
        };
        Ok(Self { way, full: place.full, unfit: 0, dropped: 0 })
    }

    /// Can this message go there at all?
    pub(super) fn takes(&self, message: &[u8], relay: &Relay) -> anyhow::Result<()> {
        match &self.way {
            Way::Ring(producer) if message.len() > producer.max_message() as usize => {
                Err(Error::TooLong { len: message.len(), max: producer.max_message() }.into())
            }
            Way::Ring(_) => Ok(()),
            Way::SharedUse(segment) => {
                segment.check_text(message)?;
                let word = &relay.end_word[..];
                match message.strip_prefix(word) {
                    Some(rest) if rest.is_empty() || !relay.end_whole => {
                        Err(Failure::error(exit::TOO_LONG, would_end(word)))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// A message that can't go there; how many that were.
    pub(super) fn count_unfit(&mut self) -> u32 {
        if let Way::Ring(producer) = &self.way {
            producer.count_too_long();
        }
        self.unfit = self.unfit.saturating_add(1);
        self.unfit
    }

    /// Puts a message there, to be seen at the next [`ring`](Self::ring), if there is room now. Where
    /// there is none and it may be dropped, it is; the end word never is.
    pub(super) fn put(&mut self, message: &[u8], end: bool) -> Result<Put> {
        let put = self.wait(message, end, Deadline::Now)?;
        if put == Put::Full && self.full == Full::Drop && !end {
            if let Way::Ring(producer) = &self.way {
                producer.count_refused();
            }
            self.dropped = self.dropped.saturating_add(1);
            return Ok(Put::Dropped);
        }
        Ok(put)
    }

    /// The same, waiting for room until then, or until a signal or something else is to be seen to.
    pub(super) fn wait(&mut self, message: &[u8], end: bool, until: Deadline) -> Result<Put> {
        match &mut self.way {
            Way::Ring(producer) => {
                if until != Deadline::Now {
                    // Before the look at it: a signal that comes in between ends the wait.
                    signals::interrupts(producer.interrupter());
                    if signals::stop().is_some() {
                        return Ok(Put::Full);
                    }
                }
                let Some(mut slot) = producer.reserve(message.len(), until)?.slot() else {
                    return Ok(Put::Full);
                };
                slot.write(0, message);
                match end {
                    true => slot.commit_end(message.len()),
                    false => slot.stage(message.len()),
                }
            }
            Way::SharedUse(segment) => {
                if segment.wait(false, until)? != Waited::Ready {
                    return Ok(Put::Full);
                }
                segment.write(message)?;
            }
        }
        Ok(Put::Sent)
    }

    /// Who reads there is to see what was put.
    pub(super) fn ring(&mut self) -> Result<()> {
        match &mut self.way {
            Way::Ring(producer) => {
                producer.ring_surely();
                producer.check_rung()?;
                producer.check()
            }
            Way::SharedUse(segment) => match segment.check() {
                // The last text was taken: who took the end word removes the segment at once.
                Err(e) if e.is_removed() && !segment.is_written() => Ok(()),
                other => other,
            },
        }
    }

    /// All that was put is taken, or waits there.
    pub(super) fn finish(&mut self) -> Result<()> {
        match &mut self.way {
            Way::Ring(producer) => finish(producer, Deadline::after(LAST_MOMENT)).map(drop),
            Way::SharedUse(_) => Ok(()),
        }
    }
}
