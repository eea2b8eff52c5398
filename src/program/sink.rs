//! Where the client's lines go: a lane of a ring, or the C demo's buffer.

use super::{signals, stdio};
use crate::shared_use::SharedUseSegment;
use crate::{Deadline, Error, Producer, Reservation, Waited};
use core::time::Duration;

/// Where lines go.
pub(super) trait Sink {
    /// Longest line that can go.
    fn longest(&self) -> usize;
    /// Sends lines from the begin of `bytes`, for as long as each is a message, none is the end word, and
    /// nothing has to be waited for; returns how many lines and bytes that were.
    fn send_ahead(&mut self, _bytes: &[u8], _separator: u8, _end_word: &[u8]) -> (u64, usize) {
        (0, 0)
    }
    /// Sends one line. `Ok(false)`: a signal asked to stop before it was sent.
    fn send(&mut self, line: &[u8]) -> crate::Result<bool>;
    /// Sends the end word.
    fn send_end(&mut self, word: &[u8]) -> crate::Result<bool>;
    /// A batch begins: is the other side still there?
    fn begin(&mut self) -> crate::Result<()>;
    /// A batch is done: the other side is to see it, and may be asleep.
    fn ring(&mut self) -> crate::Result<()>;
    /// All is sent: fails if the channel went away before the server had it all. `Ok(false)`: a
    /// signal came before that was known.
    fn finish(&mut self) -> crate::Result<bool>;
    /// How many of the lines sent did the server not take yet?
    fn untaken(&self) -> u64;
    /// A line was too long.
    fn count_too_long(&self);
    /// How lines that long can go.
    fn larger(&self) -> &'static str {
        "create the channel with a larger --max-message"
    }
    /// Would the line end the other side, which is not meant to?
    fn ends_peer(&self, _line: &[u8]) -> bool {
        false
    }
}

/// Why a text that begins with the end word does not go to C programs of the demo, and what to do.
pub(super) fn would_end(word: &[u8]) -> String {
    let word = String::from_utf8_lossy(word);
    format!(
        "it begins with the end word '{word}', and C programs of the demo compare no further and would \
         end (EILSEQ): give --end-whole if this one compares whole lines, or another --end-word"
    )
}

/// A server that is just ending is given so long, however short `--timeout` is: it prints what it has
/// taken.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Waits until all that was sent is safe. `Ok(false)`: a signal came before that was known.
pub(super) fn finish(producer: &mut Producer, deadline: Deadline) -> crate::Result<bool> {
    loop {
        match producer.finish(deadline)? {
            Waited::Ready => return Ok(true),
            _ if signals::stop().is_some() => return Ok(false),
            Waited::Woken => {}
            Waited::TimedOut => {
                let (key, lane) = (producer.channel().key(), producer.lane());
                return Err(Error::TimedOut { key, awaited: crate::Awaited::Taken(lane) });
            }
        }
    }
}

/// The ring: a lane of its own.
pub(super) struct RingSink<'a> {
    pub(super) producer: Producer,
    pub(super) deadline: &'a dyn Fn() -> Deadline,
}

impl RingSink<'_> {
    fn push(&mut self, line: &[u8], end: bool) -> crate::Result<bool> {
        // Mostly there is room; only a wait needs to know until when.
        let mut deadline = Deadline::Now;
        loop {
            if let Reservation::Slot(mut slot) = self.producer.reserve(line.len(), deadline)? {
                slot.write(0, line);
                if end {
                    slot.commit_end(line.len());
                } else {
                    slot.stage(line.len());
                }
                return Ok(true);
            }
            if signals::stop().is_some() {
                return Ok(false);
            }
            if deadline == Deadline::Now {
                deadline = (self.deadline)();
            }
            if deadline.passed() {
                self.producer.count_refused();
                let (key, lane) = (self.producer.channel().key(), self.producer.lane());
                return Err(Error::TimedOut { key, awaited: crate::Awaited::Room(lane) });
            }
        }
    }
}

impl Sink for RingSink<'_> {
    fn longest(&self) -> usize {
        self.producer.max_message() as usize
    }

    fn send_ahead(&mut self, bytes: &[u8], separator: u8, end_word: &[u8]) -> (u64, usize) {
        self.producer.stage_lines(bytes, |rest| {
            let len = stdio::find(separator, rest)?;
            (end_word.is_empty() || &rest[..len] != end_word).then_some(len)
        })
    }

    fn send(&mut self, line: &[u8]) -> crate::Result<bool> {
        self.push(line, false)
    }

    fn send_end(&mut self, word: &[u8]) -> crate::Result<bool> {
        self.push(word, true)
    }

    fn begin(&mut self) -> crate::Result<()> {
        self.producer.check_before_batch()
    }

    fn ring(&mut self) -> crate::Result<()> {
        self.producer.ring_surely();
        self.producer.check_rung()
    }

    fn finish(&mut self) -> crate::Result<bool> {
        let mut deadline = (self.deadline)();
        if deadline.left().is_some_and(|left| left < LAST_MOMENT) {
            deadline = Deadline::after(LAST_MOMENT);
        }
        finish(&mut self.producer, deadline)
    }

    fn untaken(&self) -> u64 {
        self.producer.queued().map_or(0, u64::from)
    }

    fn count_too_long(&self) {
        self.producer.count_too_long();
    }
}

/// The C demo's buffer: one line at a time.
pub(super) struct SharedUseSink<'a> {
    pub(super) segment: SharedUseSegment,
    pub(super) deadline: &'a dyn Fn() -> Deadline,
    /// What ends the C program at any line that begins with it; empty: nothing does.
    pub(super) end_word: &'a [u8],
}

impl Sink for SharedUseSink<'_> {
    fn longest(&self) -> usize {
        self.segment.longest()
    }

    fn send(&mut self, line: &[u8]) -> crate::Result<bool> {
        self.segment.check_text(line)?;
        let deadline = (self.deadline)();
        while self.segment.wait(false, deadline)? != Waited::Ready {
            if signals::stop().is_some() {
                return Ok(false);
            }
            if deadline.passed() {
                let awaited = crate::Awaited::Room(0);
                return Err(Error::TimedOut { key: self.segment.key(), awaited });
            }
        }
        self.segment.check()?;
        self.segment.write(line)?;
        Ok(true)
    }

    fn send_end(&mut self, word: &[u8]) -> crate::Result<bool> {
        self.send(word)
    }

    fn begin(&mut self) -> crate::Result<()> {
        self.segment.check()
    }

    fn ring(&mut self) -> crate::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> crate::Result<bool> {
        Ok(true)
    }

    fn untaken(&self) -> u64 {
        0
    }

    fn count_too_long(&self) {}

    fn larger(&self) -> &'static str {
        "give programs and segment a larger text (--text-size)"
    }

    fn ends_peer(&self, line: &[u8]) -> bool {
        !self.end_word.is_empty() && line.starts_with(self.end_word)
    }
}
