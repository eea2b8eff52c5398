//! The producer's end of a ring: reserve, write, commit (or stage, and publish some at once).

use super::{count_at, queued, set_mark, Kind, Reserved};
use crate::segment::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::segment::layout::{
    record_bytes, BadField, LaneControl, KIND_DATA, KIND_END, KIND_PAD, RECORD_ALIGN, RECORD_HEADER,
};
use crate::segment::memory::{LaneMemory, RingMemory};

/// The producer's end of a ring.
#[derive(Debug)]
pub(crate) struct Tx {
    lane: LaneMemory,
    max_message: u32,
    /// Own position.
    tail: u32,
    /// Messages sent up to `tail`.
    sent: u32,
    /// The position that the consumer sees. From there to `tail`: staged.
    published: u32,
    /// The consumer's position when last read.
    head: u32,
    high_water: u32,
}

impl Tx {
    /// Takes up the producer's end where the last producer left it.
    ///
    /// The caller holds the lane's role, so nobody else writes the producer's words.
    pub(crate) fn new(lane: LaneMemory, max_message: u32) -> Result<Self, BadField> {
        let ring = lane.ring().len();
        // Acquire on both: a predecessor on another processor may have published them; pairs
        // with the Release in `commit` and in `Rx::release`.
        let tail = lane.producer.tail.load(Acquire);
        let head = lane.consumer.head.load(Acquire);
        if head % RECORD_ALIGN != 0 {
            return Err(BadField { field: "head", found: head, expected: tail });
        }
        let Some(used) = queued(tail, head, ring) else {
            return Err(BadField { field: "tail", found: tail, expected: head.wrapping_add(ring) });
        };
        let sent = count_at(&lane.producer.marks, tail).ok_or(BadField {
            field: "tail_marks",
            found: lane.producer.marks[0].position.load(Relaxed),
            expected: tail,
        })?;
        // The predecessor may have been killed between a commit and noting this.
        let high_water = lane.producer.high_water.load(Relaxed).max(used);
        lane.producer.high_water.store(high_water, Relaxed);
        let published = tail;
        Ok(Self { lane, max_message, tail, sent, published, head, high_water })
    }

    /// Reserves room for a payload of `len` bytes; `None`: there is none now.
    ///
    /// `len` must be at most `max_message` (the caller has told its user otherwise).
    #[inline]
    pub(crate) fn reserve(&mut self, len: u32) -> Result<Option<Reserved>, BadField> {
        debug_assert!(len <= self.max_message);
        let ring = self.lane.ring().len();
        let need = record_bytes(len.min(self.max_message));
        let at = self.tail & (ring - 1);
        let to_end = ring - at;
        // In one piece: where it does not fit before the ring's end, that end is padded.
        let pad = if need <= to_end { 0 } else { to_end };
        if pad + need > ring - self.tail.wrapping_sub(self.head) && !self.has_room(pad + need)? {
            return Ok(None);
        }
        let mut start = self.tail;
        if pad != 0 {
            self.lane.ring().store_pair(at, 0, KIND_PAD);
            start = start.wrapping_add(pad);
        }
        let offset = (start & (ring - 1)) + RECORD_HEADER;
        Ok(Some(Reserved { offset, len, start }))
    }

    /// Is there room for so many bytes, by the consumer's position of now? Where there is none,
    /// all is published: room comes only from what the consumer sees.
    #[cold]
    fn has_room(&mut self, bytes: u32) -> Result<bool, BadField> {
        self.reload_head()?;
        let room = bytes <= self.lane.ring().len() - self.tail.wrapping_sub(self.head);
        if !room {
            self.publish();
        }
        Ok(room)
    }

    /// Publishes the first `len` bytes of what was reserved as one message, and with it those
    /// staged before.
    #[inline]
    pub(crate) fn commit(&mut self, reserved: Reserved, len: u32, kind: Kind) {
        self.put(reserved, len, kind);
        self.publish();
    }

    /// Makes the first `len` bytes of what was reserved the next message, to be published with
    /// others: by the next [`publish`](Self::publish), or here once they are an eighth of the ring.
    ///
    /// Each publication takes the line of `tail` from a consumer on another processor that waits
    /// for it; so it pays to make few.
    #[inline]
    pub(crate) fn stage(&mut self, reserved: Reserved, len: u32) {
        self.put(reserved, len, Kind::Data);
        if self.tail.wrapping_sub(self.published) >= self.lane.ring().len() / 8 {
            self.publish();
        }
    }

    /// Stages the messages that `next` gives, for as long as each takes no more than a copy: it is not longer
    /// than a message may be, and its room is known and in one piece. To be asked for another tells `next`
    /// that the one before is staged.
    #[allow(dead_code)] // the programs' alone
    #[inline]
    pub(crate) fn stage_each<'m>(&mut self, mut next: impl FnMut() -> Option<&'m [u8]>) {
        let ring = self.lane.ring().len();
        let (mut tail, mut sent) = (self.tail, self.sent);
        while let Some(message) = next() {
            if message.len() > self.max_message as usize {
                break;
            }
            let need = record_bytes(message.len() as u32);
            let at = tail & (ring - 1);
            if need > ring - at || need > ring - tail.wrapping_sub(self.head) {
                break;
            }
            self.lane.ring().store_record(at, KIND_DATA, message);
            (tail, sent) = (tail.wrapping_add(need), sent.wrapping_add(1));
            if tail.wrapping_sub(self.published) >= ring / 8 {
                (self.tail, self.sent) = (tail, sent);
                self.publish();
            }
        }
        (self.tail, self.sent) = (tail, sent);
    }

    /// Writes a record behind the last one.
    #[inline]
    fn put(&mut self, reserved: Reserved, len: u32, kind: Kind) {
        let len = len.min(reserved.len);
        let word = match kind {
            Kind::Data => KIND_DATA,
            Kind::End => KIND_END,
        };
        self.lane.ring().store_pair(reserved.offset - RECORD_HEADER, len, word);
        self.tail = reserved.start.wrapping_add(record_bytes(len));
        self.sent = self.sent.wrapping_add(1);
    }

    /// Publishes what is staged.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        set_mark(&self.lane.producer.marks, self.published, self.tail, self.sent);
        self.published = self.tail;
        // The one instant at which the messages become the consumer's. Release: records and mark
        // before it; pairs with the Acquire in `Rx::load_tail`.
        self.lane.producer.tail.store(self.tail, Release);
        let used = self.tail.wrapping_sub(self.head);
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
                self.lane.producer.high_water.store(used, Relaxed);
            }
        }
    }

    fn reload_head(&mut self) -> Result<(), BadField> {
        // Acquire: the consumer is done with the bytes before it; pairs with `Rx::release`.
        let head = self.lane.consumer.head.load(Acquire);
        let ring = self.lane.ring().len();
        let staged = self.tail.wrapping_sub(self.published);
        let used = queued(self.tail, head, ring).filter(|used| *used >= staged);
        if head % RECORD_ALIGN != 0 || used.is_none() {
            return Err(BadField { field: "head", found: head, expected: self.published });
        }
        self.head = head;
        Ok(())
    }

    /// The reserved bytes' memory.
    pub(crate) fn bytes(&self) -> &RingMemory {
        self.lane.ring()
    }

    /// The lane's words.
    pub(crate) fn control(&self) -> &LaneControl {
        &self.lane
    }

    /// Longest message, in bytes.
    pub(crate) fn max_message(&self) -> u32 {
        self.max_message
    }

    /// Messages sent through this lane since the channel was made, this one's and its
    /// predecessors'; wraps at 2^32.
    pub(crate) fn sent(&self) -> u32 {
        self.sent
    }

    /// Publishes what is staged, and the own position again, should somebody else have written
    /// there.
    pub(crate) fn republish(&mut self) {
        self.publish();
        self.lane.producer.tail.store(self.tail, Release);
    }

    /// Does the shared word say what was published last? Somebody else may have written there.
    pub(crate) fn is_published(&self) -> bool {
        // Relaxed: this end's own word.
        self.lane.producer.tail.load(Relaxed) == self.published
    }

    /// Is everything released that was committed or staged?
    pub(crate) fn is_drained(&mut self) -> Result<bool, BadField> {
        self.reload_head()?;
        Ok(self.tail == self.head)
    }
}
