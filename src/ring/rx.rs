//! The consumer's end of a ring: peek, read, release.

use super::{count_at, queued, set_mark, Found, Kind};
use crate::segment::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::segment::layout::{
    record_bytes, BadField, LaneControl, KIND_DATA, KIND_END, KIND_PAD, RECORD_ALIGN, RECORD_HEADER,
};
use crate::segment::memory::{LaneMemory, RingMemory};

/// The consumer's end of a ring.
#[derive(Debug)]
pub(crate) struct Rx {
    lane: LaneMemory,
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
    stopped: bool,
    /// And that is for good.
    ended: bool,
    /// The number under which the lane is set aside; `None`: it is in use.
    aside: Option<u32>,
    /// Bytes released since the producer was last seen to: see [`in_doubt`](Self::in_doubt).
    moved: u32,
}

impl Rx {
    /// Takes up the consumer's end where the last consumer left it. A lane that is damaged is set
    /// aside; that it was already, when the last consumer ended, is no news.
    ///
    /// The caller holds the server's role, so nobody else writes the consumer's words.
    pub(crate) fn new(lane: LaneMemory, max_message: u32) -> (Self, Result<(), BadField>) {
        let mut rx = Self {
            lane,
            max_message,
            head: 0,
            released: 0,
            received: 0,
            cursor: 0,
            tail: 0,
            stopped: false,
            ended: false,
            aside: None,
            // What a predecessor did is not known.
            moved: u32::MAX,
        };
        if rx.lane.is_set_aside() {
            rx.set_aside();
            return (rx, Ok(()));
        }
        let taken = rx.take_up();
        if taken.is_err() {
            rx.set_aside();
        }
        (rx, taken)
    }

    /// Takes up what stands in the lane's words.
    fn take_up(&mut self) -> Result<(), BadField> {
        // Acquire: a predecessor on another processor may have published it.
        let head = self.lane.consumer.head.load(Acquire);
        if head % RECORD_ALIGN != 0 {
            return Err(BadField { field: "head", found: head, expected: 0 });
        }
        let received = count_at(&self.lane.consumer.marks, head).ok_or(BadField {
            field: "head_marks",
            found: self.lane.consumer.marks[0].position.load(Relaxed),
            expected: head,
        })?;
        (self.head, self.cursor, self.tail) = (head, head, head);
        (self.released, self.received) = (received, received);
        self.reload_tail()
    }

    /// Looks at the lane no more, until it is made anew, and writes nothing there: from here on it may
    /// be somebody's new one. So what was looked at counts as released.
    pub(crate) fn set_aside(&mut self) {
        (self.head, self.tail) = (self.cursor, self.cursor);
        self.released = self.received;
        self.stopped = true;
        self.aside = Some(self.lane.put_aside());
    }

    /// Is the lane set aside?
    pub(crate) fn is_aside(&self) -> bool {
        self.aside.is_some()
    }

    /// What is wrong with a lane that is set aside, as it stands there now.
    pub(crate) fn damage(&mut self) -> BadField {
        let found = self.aside.unwrap_or(0);
        let now = self.take_up().err();
        self.tail = self.cursor;
        now.unwrap_or(BadField { field: "set_aside", found, expected: found.wrapping_sub(1) })
    }

    /// Was the lane set aside, and made anew since?
    pub(crate) fn is_made_anew(&self) -> bool {
        !self.ended && self.aside.is_some_and(|number| self.lane.is_made_anew(number))
    }

    /// Takes up a lane that was made anew.
    pub(crate) fn take_up_anew(&mut self) -> Result<(), BadField> {
        self.aside = None;
        self.stopped = false;
        self.moved = u32::MAX;
        self.take_up()
    }

    /// The producer's position of now, unchecked.
    #[inline]
    fn load_tail(&self) -> u32 {
        // Acquire: the records before it are complete; pairs with the Release in `Tx::publish`.
        self.lane.producer.tail.load(Acquire)
    }

    fn reload_tail(&mut self) -> Result<(), BadField> {
        self.see_tail(self.load_tail())
    }

    /// Takes a position of the producer's for known, if it can be one.
    fn see_tail(&mut self, tail: u32) -> Result<(), BadField> {
        let ring = self.lane.ring().len();
        let expected = self.head.wrapping_add(ring);
        let damage = BadField { field: "tail", found: tail, expected };
        let all = queued(tail, self.head, ring).ok_or(damage)?;
        // Never back behind what was seen already.
        if all < self.tail.wrapping_sub(self.head) {
            return Err(BadField { expected: self.tail, ..damage });
        }
        self.tail = tail;
        Ok(())
    }

    /// Is there a record to look at? Reads the shared word only if none is known.
    #[inline]
    pub(crate) fn ready(&mut self) -> Result<bool, BadField> {
        if self.cursor != self.tail {
            return Ok(true);
        }
        if self.stopped {
            return Ok(false);
        }
        let tail = self.load_tail();
        // The same was checked when it was seen first, and `head` has only come nearer since.
        if tail == self.tail {
            return Ok(false);
        }
        self.see_tail(tail).map(|()| true)
    }

    /// The next record, which stays in the ring until [`release`](Self::release).
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Found>, BadField> {
        if !self.ready()? {
            return Ok(None);
        }
        let ring = self.lane.ring().len();
        let mut at = self.cursor & (ring - 1);
        let mut left = self.tail.wrapping_sub(self.cursor);
        let (mut len, mut kind) = self.lane.ring().load_pair(at);
        if kind == KIND_PAD {
            let to_end = ring - at;
            if len != 0 {
                return Err(BadField { field: "len", found: len, expected: 0 });
            }
            // A pad is published together with the record behind it, never alone.
            if left <= to_end {
                return Err(BadField { field: "kind", found: kind, expected: KIND_DATA });
            }
            self.cursor = self.cursor.wrapping_add(to_end);
            left -= to_end;
            at = 0;
            (len, kind) = self.lane.ring().load_pair(at);
        }
        let kind = match kind {
            KIND_DATA => Kind::Data,
            KIND_END => Kind::End,
            found => return Err(BadField { field: "kind", found, expected: KIND_DATA }),
        };
        if len > self.max_message {
            return Err(BadField { field: "len", found: len, expected: self.max_message });
        }
        let whole = record_bytes(len);
        let most = left.min(ring - at);
        if whole > most {
            return Err(BadField { field: "len", found: len, expected: most - RECORD_HEADER });
        }
        self.cursor = self.cursor.wrapping_add(whole);
        self.received = self.received.wrapping_add(1);
        Ok(Some(Found { offset: at + RECORD_HEADER, len, kind }))
    }

    /// Looks at messages one after another, up to `most`, and gives each to `take`, for as long as that takes
    /// it (else it was not looked at) and their records are known to be there; returns how many it took.
    /// What ends it, [`next`](Self::next) tells.
    #[allow(dead_code)] // the programs' alone
    #[inline]
    pub(crate) fn each_message(
        &mut self,
        most: u32,
        mut take: impl FnMut(&RingMemory, Found) -> bool,
    ) -> u32 {
        let ring = self.lane.ring().len();
        let (mut cursor, mut taken) = (self.cursor, 0);
        while taken < most && cursor != self.tail {
            let at = cursor & (ring - 1);
            let (len, kind) = self.lane.ring().load_pair(at);
            if kind != KIND_DATA || len > self.max_message {
                break;
            }
            let whole = record_bytes(len);
            if whole > self.tail.wrapping_sub(cursor).min(ring - at) {
                break;
            }
            let found = Found { offset: at + RECORD_HEADER, len, kind: Kind::Data };
            if !take(self.lane.ring(), found) {
                break;
            }
            (cursor, taken) = (cursor.wrapping_add(whole), taken + 1);
        }
        self.cursor = cursor;
        self.received = self.received.wrapping_add(taken);
        taken
    }

    /// Where the next [`next`](Self::next) looks, for [`seek`](Self::seek).
    pub(crate) fn position(&self) -> (u32, u32) {
        (self.cursor, self.received)
    }

    /// Goes back to an earlier [`position`](Self::position) behind `head`.
    pub(crate) fn seek(&mut self, (cursor, received): (u32, u32)) {
        (self.cursor, self.received) = (cursor, received);
    }

    /// Are there records looked at and not yet released?
    pub(crate) fn holds(&self) -> bool {
        self.cursor != self.head
    }

    /// Gives the room of all records looked at back to the producer; the payloads are the
    /// producer's from here on. Returns how many bytes are free now, at least.
    pub(crate) fn release(&mut self) -> u32 {
        self.release_to(self.position())
    }

    /// The same of the `count` oldest of them. Their headers are read once more, and checked against
    /// the end of what was looked at: a producer that changed them since has damaged its lane.
    pub(crate) fn release_first(&mut self, count: u32) -> Result<u32, BadField> {
        let (seen, tail, stopped) = (self.position(), self.tail, self.stopped);
        // Nothing behind what was looked at is read.
        (self.tail, self.stopped) = (self.cursor, true);
        self.rewind();
        let mut walked = Ok(());
        for _ in 0..count {
            walked = match self.next() {
                Ok(Some(_)) => continue,
                Ok(None) => {
                    Err(BadField { field: "records", found: self.cursor, expected: seen.0 })
                }
                Err(field) => Err(field),
            };
            break;
        }
        let first = self.position();
        self.seek(seen);
        (self.tail, self.stopped) = (tail, stopped);
        walked.map(|()| self.release_to(first))
    }

    fn release_to(&mut self, (cursor, received): (u32, u32)) -> u32 {
        set_mark(&self.lane.consumer.marks, self.head, cursor, received);
        self.moved = self.moved.saturating_add(cursor.wrapping_sub(self.head));
        self.head = cursor;
        self.released = received;
        // Release: all reads of the payloads before it; pairs with the Acquire in
        // `Tx::reload_head`.
        self.lane.consumer.head.store(self.head, Release);
        self.lane.ring().len() - self.tail.wrapping_sub(self.head)
    }

    /// May the producer be asleep for room that there is, should a peer have spoiled the words by which
    /// it is rung for? To be asked before a sleep, with all released; the caller then publishes again
    /// and reminds it. Costs no system call.
    ///
    /// It sleeps only if less than two of the longest records are free by a position that it has
    /// seen, so what was released since that one comes to nearly a whole ring. Or it has seen
    /// another position than ours.
    pub(crate) fn in_doubt(&mut self) -> bool {
        if self.aside.is_some() {
            return false; // there is nothing to publish
        }
        let least = self.lane.ring().len().saturating_sub(2 * record_bytes(self.max_message));
        let moved = core::mem::take(&mut self.moved);
        moved > least || self.lane.consumer.head.load(Relaxed) != self.head
    }

    /// Publishes the own position again, should somebody else have written there.
    pub(crate) fn republish(&self) {
        self.lane.consumer.head.store(self.head, Release);
    }

    /// Goes back to the first record not yet released: the next [`next`](Self::next) gives it
    /// again.
    pub(crate) fn rewind(&mut self) {
        self.received = self.released;
        self.cursor = self.head;
    }

    /// Looks at nothing that is committed after this call: an end that a busy producer can't
    /// put off.
    pub(crate) fn stop_looking(&mut self) -> Result<(), BadField> {
        self.ended = true;
        if self.aside.is_none() {
            self.reload_tail()?;
        }
        self.stopped = true;
        Ok(())
    }

    /// The records' memory.
    pub(crate) fn bytes(&self) -> &RingMemory {
        self.lane.ring()
    }

    /// The lane's words.
    pub(crate) fn control(&self) -> &LaneControl {
        &self.lane
    }
}
