//! Where a relay's messages go.

use super::{Full, Place, END_WORD};
use crate::program::args::Protocol;
use crate::program::signals;
use crate::shared_use::{End, SharedUseSegment};
use crate::{Channel, Deadline, Error, Options, Producer, Reservation, Result, Waited};
use core::time::Duration;

/// A server that is just ending is given so long to take what it was sent.
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Sent,
    /// There was no room, and that is what is wanted then.
    Dropped,
    /// A signal came before there was room.
    Stopped,
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
        let mut options = options.clone();
        options.key = place.key;
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
    pub(super) fn takes(&self, message: &[u8]) -> Result<()> {
        match &self.way {
            Way::Ring(producer) if message.len() > producer.max_message() as usize => {
                Err(Error::TooLong { len: message.len(), max: producer.max_message() })
            }
            Way::Ring(_) => Ok(()),
            Way::SharedUse(segment) => segment.check_text(message),
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

    /// Puts a message there, to be seen at the next [`ring`](Self::ring).
    pub(super) fn put(&mut self, message: &[u8], end: bool) -> Result<Put> {
        let put = match &mut self.way {
            Way::Ring(producer) => put_ring(producer, message, end, self.full)?,
            Way::SharedUse(segment) => {
                put_text(segment, if end { END_WORD } else { message }, self.full)?
            }
        };
        if put == Put::Dropped {
            if let Way::Ring(producer) = &self.way {
                producer.count_refused();
            }
            self.dropped = self.dropped.saturating_add(1);
        }
        Ok(put)
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
            Way::Ring(producer) => producer.finish(Deadline::after(LAST_MOMENT)).map(drop),
            Way::SharedUse(_) => Ok(()),
        }
    }
}

fn put_ring(producer: &mut Producer, message: &[u8], end: bool, full: Full) -> Result<Put> {
    let mut deadline = Deadline::Now;
    loop {
        if let Reservation::Slot(mut slot) = producer.reserve(message.len(), deadline)? {
            slot.write(0, message);
            match end {
                true => slot.commit_end(message.len()),
                false => slot.stage(message.len()),
            }
            return Ok(Put::Sent);
        }
        if full == Full::Drop && !end {
            return Ok(Put::Dropped);
        }
        // Before the look at it: a signal that comes in between ends the wait.
        signals::interrupts(producer.interrupter());
        if signals::stop().is_some() {
            return Ok(Put::Stopped);
        }
        deadline = Deadline::Never;
    }
}

fn put_text(segment: &SharedUseSegment, text: &[u8], full: Full) -> Result<Put> {
    loop {
        let deadline = if full == Full::Drop { Deadline::Now } else { Deadline::Never };
        if segment.wait(false, deadline)? == Waited::Ready {
            segment.write(text)?;
            return Ok(Put::Sent);
        }
        if full == Full::Drop {
            return Ok(Put::Dropped);
        }
        if signals::stop().is_some() {
            return Ok(Put::Stopped);
        }
    }
}
