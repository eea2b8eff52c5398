//! One lane's ring: a queue of variable-length records with one producer and one consumer, each
//! in a process of its own.
//!
//! Positions are published with Release and read with Acquire; each side keeps the other's last
//! seen position and reads the shared word again only when that one is used up. What the other
//! side wrote is read once and checked here before it is used: a position must leave at most
//! `ring_bytes` queued and be a multiple of 8, a record must be of a known kind, not longer than
//! `max_message`, and end before both the published position and the ring's end.

use crate::layout::{
    record_bytes, Mark, KIND_DATA, KIND_END, KIND_PAD, RECORD_ALIGN, RECORD_HEADER,
};
use crate::memory::{Bytes, Words};
use crate::sync::fence;
use crate::sync::Ordering::{Acquire, Relaxed, Release};

/// A word of a lane that holds what it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Name as in the memory map.
    pub field: &'static str,
    /// The value read.
    pub found: u32,
    /// The bound that it breaks.
    pub bound: u32,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message.
    Data,
    /// The sender's end word.
    End,
}

/// A place in the ring that is reserved and not yet committed: `len` bytes from `offset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    /// Where the payload begins in the ring.
    pub offset: u32,
    /// How many bytes it may have.
    pub len: u32,
    /// Position of the record's first byte.
    start: u32,
}

/// A committed record: `len` bytes from `offset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Where the payload begins in the ring.
    pub offset: u32,
    /// Payload length in bytes, at most `max_message`.
    pub len: u32,
    /// What it is.
    pub kind: Kind,
}

/// `end - begin`, if that is a number of bytes the ring can hold, a multiple of 8.
fn queued(end: u32, begin: u32, ring: u32) -> Option<u32> {
    let bytes = end.wrapping_sub(begin);
    (bytes <= ring && end % RECORD_ALIGN == 0).then_some(bytes)
}

/// The message count at `position`, from whichever mark holds it.
fn count_at(marks: &[Mark; 2], position: u32) -> Option<u32> {
    marks
        .iter()
        .find(|mark| mark.position.load(Relaxed) == position)
        .map(|mark| mark.count.load(Relaxed))
}

/// Fills the mark that does not hold the published position `old`. The caller publishes `new`
/// with Release after it, so who reads `new` with Acquire finds its mark filled.
fn set_mark(marks: &[Mark; 2], old: u32, new: u32, count: u32) {
    let [first, second] = marks;
    let mark = if first.position.load(Relaxed) == old { second } else { first };
    // Release: who reads what is stored here, then fences, sees `old` published; pairs with the
    // fence in `counters`.
    fence(Release);
    // Not complete for an instant, but not in use either: `old` stands in the other one.
    mark.position.store(new, Relaxed);
    mark.count.store(count, Relaxed);
}

/// The producer's end of a ring.
pub(crate) struct Tx {
    words: Words,
    bytes: Bytes,
    max_message: u32,
    /// Own position, as published.
    tail: u32,
    /// Messages sent up to `tail`.
    sent: u32,
    /// The consumer's position when last read.
    head: u32,
    high_water: u32,
}

impl Tx {
    /// Takes up the producer's end where the last producer left it.
    ///
    /// The caller holds the lane's role, so nobody else writes the producer's words.
    pub fn new(words: Words, bytes: Bytes, max_message: u32) -> Result<Self, Damage> {
        let ring = bytes.len();
        // Acquire on both: a predecessor on another processor may have published them; pairs
        // with the Release in `commit` and in `Rx::release`.
        let tail = words.producer.tail.load(Acquire);
        let head = words.consumer.head.load(Acquire);
        if head % RECORD_ALIGN != 0 {
            return Err(Damage { field: "head", found: head, bound: tail });
        }
        let Some(used) = queued(tail, head, ring) else {
            return Err(Damage { field: "tail", found: tail, bound: head.wrapping_add(ring) });
        };
        let sent = count_at(&words.producer.marks, tail).ok_or(Damage {
            field: "tail_marks",
            found: words.producer.marks[0].position.load(Relaxed),
            bound: tail,
        })?;
        // The predecessor may have been killed between a commit and noting this.
        let high_water = words.producer.high_water.load(Relaxed).max(used);
        words.producer.high_water.store(high_water, Relaxed);
        Ok(Self { words, bytes, max_message, tail, sent, head, high_water })
    }

    /// Reserves room for a payload of `len` bytes; `None`: there is none now.
    ///
    /// `len` must be at most `max_message` (the caller has told its user otherwise).
    #[inline]
    pub fn reserve(&mut self, len: u32) -> Result<Option<Reserved>, Damage> {
        debug_assert!(len <= self.max_message);
        let ring = self.bytes.len();
        let need = record_bytes(len.min(self.max_message));
        let at = self.tail & (ring - 1);
        let to_end = ring - at;
        // In one piece: where it does not fit before the ring's end, that end is padded.
        let pad = if need <= to_end { 0 } else { to_end };
        if pad + need > ring - self.tail.wrapping_sub(self.head) {
            self.reload_head()?;
            if pad + need > ring - self.tail.wrapping_sub(self.head) {
                return Ok(None);
            }
        }
        let mut start = self.tail;
        if pad != 0 {
            self.bytes.store_pair(at, 0, KIND_PAD);
            start = start.wrapping_add(pad);
        }
        let offset = (start & (ring - 1)) + RECORD_HEADER;
        Ok(Some(Reserved { offset, len, start }))
    }

    /// Publishes the first `len` bytes of what was reserved as one message.
    #[inline]
    pub fn commit(&mut self, reserved: Reserved, len: u32, kind: Kind) {
        let len = len.min(reserved.len);
        let word = match kind {
            Kind::Data => KIND_DATA,
            Kind::End => KIND_END,
        };
        self.bytes.store_pair(reserved.offset - RECORD_HEADER, len, word);
        let tail = reserved.start.wrapping_add(record_bytes(len));
        self.sent = self.sent.wrapping_add(1);
        set_mark(&self.words.producer.marks, self.tail, tail, self.sent);
        self.tail = tail;
        // The one instant at which the message becomes the consumer's. Release: record and mark
        // before it; pairs with the Acquire in `Rx::reload_tail`.
        self.words.producer.tail.store(tail, Release);
        let used = tail.wrapping_sub(self.head);
        if used > self.high_water {
            self.note_high_water();
        }
    }

    #[cold]
    fn note_high_water(&mut self) {
        // The known head may be old: look again before a new mark is set.
        if self.reload_head().is_ok() {
            let used = self.tail.wrapping_sub(self.head);
            if used > self.high_water {
                self.high_water = used;
                self.words.producer.high_water.store(used, Relaxed);
            }
        }
    }

    fn reload_head(&mut self) -> Result<(), Damage> {
        // Acquire: the consumer is done with the bytes before it; pairs with `Rx::release`.
        let head = self.words.consumer.head.load(Acquire);
        let ring = self.bytes.len();
        if head % RECORD_ALIGN != 0 || queued(self.tail, head, ring).is_none() {
            return Err(Damage { field: "head", found: head, bound: self.tail });
        }
        self.head = head;
        Ok(())
    }

    /// The reserved bytes' memory.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The lane's words.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Longest message, in bytes.
    pub fn max_message(&self) -> u32 {
        self.max_message
    }

    /// Messages sent through this lane since the channel was made, this one's and its
    /// predecessors'; wraps at 2^32.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// Publishes the own position again, should somebody else have written there.
    pub fn republish(&self) {
        self.words.producer.tail.store(self.tail, Release);
    }

    /// Is everything released that was committed?
    pub fn drained(&mut self) -> Result<bool, Damage> {
        self.reload_head()?;
        Ok(self.tail == self.head)
    }
}

/// The consumer's end of a ring.
pub(crate) struct Rx {
    words: Words,
    bytes: Bytes,
    max_message: u32,
    /// Own position, as published.
    head: u32,
    /// Messages received up to `head`.
    released: u32,
    /// Messages received up to `cursor`.
    received: u32,
    /// Position of the next record to look at; from `head` up to here all is looked at.
    cursor: u32,
    /// The producer's position when last read.
    tail: u32,
    /// What is committed from now on is not looked at.
    frozen: bool,
}

impl Rx {
    /// Takes up the consumer's end where the last consumer left it.
    ///
    /// The caller holds the server's role, so nobody else writes the consumer's words.
    pub fn new(words: Words, bytes: Bytes, max_message: u32) -> Result<Self, Damage> {
        // Acquire: a predecessor on another processor may have published it.
        let head = words.consumer.head.load(Acquire);
        if head % RECORD_ALIGN != 0 {
            return Err(Damage { field: "head", found: head, bound: 0 });
        }
        let received = count_at(&words.consumer.marks, head).ok_or(Damage {
            field: "head_marks",
            found: words.consumer.marks[0].position.load(Relaxed),
            bound: head,
        })?;
        let mut rx = Self {
            words,
            bytes,
            max_message,
            head,
            released: received,
            received,
            cursor: head,
            tail: head,
            frozen: false,
        };
        rx.reload_tail()?;
        Ok(rx)
    }

    fn reload_tail(&mut self) -> Result<(), Damage> {
        // Acquire: the records before it are complete; pairs with the Release in `Tx::commit`.
        let tail = self.words.producer.tail.load(Acquire);
        let ring = self.bytes.len();
        let bound = self.head.wrapping_add(ring);
        let damage = Damage { field: "tail", found: tail, bound };
        let all = queued(tail, self.head, ring).ok_or(damage)?;
        // Never back behind what was seen already.
        if all < self.tail.wrapping_sub(self.head) {
            return Err(Damage { bound: self.tail, ..damage });
        }
        self.tail = tail;
        Ok(())
    }

    /// Is there a record to look at? Reads the shared word only if none is known.
    #[inline]
    pub fn ready(&mut self) -> Result<bool, Damage> {
        if self.cursor == self.tail && !self.frozen {
            self.reload_tail()?;
        }
        Ok(self.cursor != self.tail)
    }

    /// The next record, which stays in the ring until [`release`](Self::release).
    #[inline]
    pub fn next(&mut self) -> Result<Option<Found>, Damage> {
        if !self.ready()? {
            return Ok(None);
        }
        let ring = self.bytes.len();
        let mut at = self.cursor & (ring - 1);
        let mut left = self.tail.wrapping_sub(self.cursor);
        let (mut len, mut kind) = self.bytes.load_pair(at);
        if kind == KIND_PAD {
            let to_end = ring - at;
            if len != 0 {
                return Err(Damage { field: "len", found: len, bound: 0 });
            }
            // A pad is published together with the record behind it, never alone.
            if left <= to_end {
                return Err(Damage { field: "kind", found: kind, bound: KIND_DATA });
            }
            self.cursor = self.cursor.wrapping_add(to_end);
            left -= to_end;
            at = 0;
            (len, kind) = self.bytes.load_pair(at);
        }
        let kind = match kind {
            KIND_DATA => Kind::Data,
            KIND_END => Kind::End,
            found => return Err(Damage { field: "kind", found, bound: KIND_DATA }),
        };
        if len > self.max_message {
            return Err(Damage { field: "len", found: len, bound: self.max_message });
        }
        let whole = record_bytes(len);
        let bound = left.min(ring - at);
        if whole > bound {
            return Err(Damage { field: "len", found: len, bound: bound - RECORD_HEADER });
        }
        self.cursor = self.cursor.wrapping_add(whole);
        self.received = self.received.wrapping_add(1);
        Ok(Some(Found { offset: at + RECORD_HEADER, len, kind }))
    }

    /// Where the next [`next`](Self::next) looks, for [`seek`](Self::seek).
    pub fn position(&self) -> (u32, u32) {
        (self.cursor, self.received)
    }

    /// Goes back to an earlier [`position`](Self::position) behind `head`.
    pub fn seek(&mut self, (cursor, received): (u32, u32)) {
        (self.cursor, self.received) = (cursor, received);
    }

    /// Are there records looked at and not yet released?
    pub fn holds(&self) -> bool {
        self.cursor != self.head
    }

    /// Gives the room of all records looked at back to the producer; the payloads are the
    /// producer's from here on. Returns how many bytes are free now, at least.
    pub fn release(&mut self) -> u32 {
        set_mark(&self.words.consumer.marks, self.head, self.cursor, self.received);
        self.head = self.cursor;
        self.released = self.received;
        // Release: all reads of the payloads before it; pairs with the Acquire in
        // `Tx::reload_head`.
        self.words.consumer.head.store(self.head, Release);
        self.bytes.len() - self.tail.wrapping_sub(self.head)
    }

    /// Publishes the own position again, should somebody else have written there.
    pub fn republish(&self) {
        self.words.consumer.head.store(self.head, Release);
    }

    /// Goes back to the first record not yet released: the next [`next`](Self::next) gives it
    /// again.
    pub fn rewind(&mut self) {
        self.received = self.released;
        self.cursor = self.head;
    }

    /// Looks at nothing that is committed after this call: an end that a busy producer can't
    /// put off.
    pub fn freeze(&mut self) -> Result<(), Damage> {
        self.reload_tail()?;
        self.frozen = true;
        Ok(())
    }

    /// The records' memory.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The lane's words.
    pub fn words(&self) -> &Words {
        &self.words
    }
}

/// First values of a new lane: empty, at `position` (0; tests begin near the wrap).
pub(crate) fn init(words: &Words, position: u32) {
    for marks in [&words.producer.marks, &words.consumer.marks] {
        for mark in marks {
            mark.position.store(position, Relaxed);
            mark.count.store(0, Relaxed);
        }
    }
    let counters = [&words.producer.too_long, &words.producer.refused, &words.producer.high_water];
    for counter in counters {
        counter.store(0, Relaxed);
    }
    words.consumer.head.store(position, Relaxed);
    words.producer.tail.store(position, Relaxed);
    words.room_bell.init();
}

/// A lane as an onlooker sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub sent: u32,
    pub received: u32,
    pub queued_bytes: u32,
    pub too_long: u32,
    pub refused: u32,
    pub high_water: u32,
}

/// Reads a lane's counters without a role; while both sides run, a consistent pair of positions
/// is looked for a few times, then the last one taken.
pub(crate) fn counters(words: &Words, ring: u32) -> Result<Counters, Damage> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Acquire: the marks of these positions are filled.
        let head = words.consumer.head.load(Acquire);
        let tail = words.producer.tail.load(Acquire);
        let sent = count_at(&words.producer.marks, tail);
        let received = count_at(&words.consumer.marks, head);
        let bytes = queued(tail, head, ring);
        // The marks above are read before the positions are read again.
        fence(Acquire);
        let steady =
            words.consumer.head.load(Acquire) == head && words.producer.tail.load(Acquire) == tail;
        let (Some(sent), Some(received), Some(queued_bytes)) = (sent, received, bytes) else {
            if steady || tries > 1000 {
                let bad = |field, found, bound| Err(Damage { field, found, bound });
                return match (bytes, sent) {
                    (None, _) => bad("tail", tail, head.wrapping_add(ring)),
                    (_, None) => {
                        bad("tail_marks", words.producer.marks[0].position.load(Relaxed), tail)
                    }
                    _ => bad("head_marks", words.consumer.marks[0].position.load(Relaxed), head),
                };
            }
            continue;
        };
        if steady || tries > 1000 {
            return Ok(Counters {
                sent,
                received,
                queued_bytes,
                too_long: words.producer.too_long.load(Relaxed),
                refused: words.producer.refused.load(Relaxed),
                // Noted after the commit: not yet, if the producer was killed in between.
                high_water: words.producer.high_water.load(Relaxed).max(queued_bytes),
            });
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "ring/tests.rs"] // also from where the models include this file
mod tests;
