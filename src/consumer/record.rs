//! One message, looked at where it lies.

use crate::ring::{Found, Kind};
use crate::segment::memory::RingMemory;
use core::ptr::NonNull;

/// One message in the ring. It stays there until it is released.
#[derive(Debug)]
pub struct Record<'a> {
    pub(super) bytes: &'a RingMemory,
    pub(super) found: Found,
    pub(super) lane: u32,
}

impl Record<'_> {
    /// Payload length in bytes, at most the channel's `max_message`.
    #[allow(clippy::len_without_is_empty)] // an empty message is a message like any other
    pub fn len(&self) -> usize {
        self.found.len as usize
    }

    /// A message or an End record.
    pub fn kind(&self) -> Kind {
        self.found.kind
    }

    /// The lane it came through.
    pub fn lane(&self) -> u32 {
        self.lane
    }

    /// Copies the whole payload to the start of `to`.
    ///
    /// # Panics
    /// If `to` is shorter than the payload.
    #[inline]
    pub fn copy_to(&self, to: &mut [u8]) {
        self.bytes.copy_out(self.found.offset, &mut to[..self.found.len as usize]);
    }

    /// The payload's first byte in the segment, [`len`](Self::len) bytes long and 8-byte aligned,
    /// to be read in place: by `write(2)`, by a driver, by C.
    ///
    /// Whoever may write the segment can change it at any time until and after the release: what
    /// is read twice may differ, so check a copy, not the original.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.bytes.pointer(self.found.offset, self.found.len)
    }
}
