//! Room for one message: written, then committed or staged.

use super::Producer;
use crate::ring::{Kind, Reserved};
use crate::segment::memory::RingMemory;
use core::ptr::NonNull;

/// Room for one message, reserved in the ring. Dropping it without a commit sends nothing.
#[derive(Debug)]
#[must_use = "a slot that is dropped sends nothing"]
pub struct Slot<'a> {
    pub(super) producer: &'a mut Producer,
    pub(super) reserved: Reserved,
}

impl Slot<'_> {
    /// How many bytes were reserved.
    #[allow(clippy::len_without_is_empty)] // a slot of 0 bytes is a message like any other
    pub fn len(&self) -> usize {
        self.reserved.len as usize
    }

    /// Copies `bytes` to `offset` in the message.
    ///
    /// # Panics
    /// If they do not fit into what was reserved.
    #[inline]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset.checked_add(bytes.len());
        assert!(end.is_some_and(|end| end <= self.len()), "beyond the reserved {}", self.len());
        self.ring_bytes().copy_in(self.reserved.offset + offset as u32, bytes);
    }

    /// The message's first byte in the segment, [`len`](Self::len) bytes long and 8-byte aligned,
    /// to be filled in place: by a driver, by `read(2)`, by C.
    ///
    /// Until the commit nobody else is meant to write there, but whoever may write the segment
    /// can: do not read back what was written and rely on it.
    pub fn as_ptr(&mut self) -> NonNull<u8> {
        self.ring_bytes().pointer(self.reserved.offset, self.reserved.len)
    }

    fn checked(&self, len: usize) -> u32 {
        assert!(len <= self.len(), "beyond the reserved {}", self.len());
        len as u32
    }

    fn ring_bytes(&self) -> &RingMemory {
        self.producer.tx.bytes()
    }

    /// Sends the first `len` bytes as one message and rings for the server if it sleeps.
    #[inline]
    pub fn commit(self, len: usize) {
        let producer = self.finish(len, Kind::Data);
        producer.ring();
    }

    /// Sends the first `len` bytes as one message without ringing: [`Producer::ring`] has to
    /// follow, once for any number of messages. Until then a server that sleeps goes on sleeping
    /// (a server awake sees the message; the end of this process rings too).
    #[inline]
    pub fn commit_quietly(self, len: usize) {
        self.finish(len, Kind::Data);
    }

    /// As [`commit_quietly`](Self::commit_quietly), but the server may not see the message before
    /// [`Producer::ring`], another commit, or an eighth of the ring staged; then it gets it with
    /// all those before it. Until then it is not sent: it is gone should this process be killed.
    ///
    /// For a sender that has many at hand, on a machine with more than one processor: each commit
    /// takes a cache line from a server that waits for it.
    #[inline]
    pub fn stage(self, len: usize) {
        let len = self.checked(len);
        if self.producer.claimant.is_this() {
            (self.producer.unrung, self.producer.unsure) = (true, true);
            self.producer.tx.stage(self.reserved, len);
        }
    }

    /// Sends the first `len` bytes as the End record, which asks the server to end, and rings.
    pub fn commit_end(self, len: usize) {
        let producer = self.finish(len, Kind::End);
        producer.ring();
    }
}

impl<'a> Slot<'a> {
    #[inline]
    fn finish(self, len: usize, kind: Kind) -> &'a mut Producer {
        let len = self.checked(len);
        if self.producer.claimant.is_this() {
            (self.producer.unrung, self.producer.unsure) = (true, true);
            self.producer.tx.commit(self.reserved, len, kind);
        }
        self.producer
    }
}
