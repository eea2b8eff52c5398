//! The segment's memory behind safe doors: words as atomics, ring bytes by checked offset.
//!
//! This is the one place that turns an address of the segment into something Rust can use. A
//! peer may write any byte at any time, so ring bytes are never lent out as slices to safe code:
//! they are copied, each once.
#![allow(unsafe_code)]

use super::layout::{
    Geometry, Header, LaneControl, HEADER_BYTES, LANE_CONTROL_BYTES, RECORD_HEADER,
};
use crate::sysv::shm::Attach;
use core::ops::Deref;
use core::ptr::NonNull;
use std::sync::Arc;

/// One lane, its words and its ring, for whoever has a role in it. It holds the attach that it points
/// into.
#[derive(Debug)]
pub(crate) struct LaneMemory {
    control: NonNull<LaneControl>,
    ring: RingMemory,
    /// Nobody in tests that use memory of their own.
    _holder: Option<Arc<Attach>>,
}

// SAFETY: what it points to are atomics, and bytes behind checked offsets, in memory of the process, see
// `Attach`.
unsafe impl Send for LaneMemory {}

impl LaneMemory {
    /// The ring's bytes.
    #[inline]
    pub(crate) fn ring(&self) -> &RingMemory {
        &self.ring
    }
}

impl Deref for LaneMemory {
    type Target = LaneControl;

    fn deref(&self) -> &LaneControl {
        // SAFETY: `Segment::lane` made it from an aligned address inside the attach, which lives as
        // long as `_holder`. LaneControl is made of atomics alone, valid for any bits and for writes
        // by others.
        unsafe { self.control.as_ref() }
    }
}

/// The bytes of one ring; only ever lent out by the [`LaneMemory`] that holds them.
#[derive(Debug)]
pub(crate) struct RingMemory {
    base: NonNull<u8>,
    len: u32,
}

impl RingMemory {
    /// Size of the ring.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The address of `len` bytes from `offset`.
    ///
    /// # Panics
    /// If they are not all inside the ring: the callers have checked that, this is the wall.
    #[inline]
    fn at(&self, offset: u32, len: u32) -> *mut u8 {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: offset <= len, so the result is inside the ring or one past its end.
        unsafe { self.base.as_ptr().add(offset as usize) }
    }

    /// Reads the two words of a record's header, each once.
    #[inline]
    pub(crate) fn load_pair(&self, offset: u32) -> (u32, u32) {
        let at = self.at(offset & !7, 8).cast::<u32>();
        // SAFETY: `at` is 8-byte aligned (the ring is 64-byte aligned, the offset masked) and 8
        // bytes are inside the ring. Volatile: a peer may change them, so each is read once.
        unsafe { (at.read_volatile(), at.add(1).read_volatile()) }
    }

    /// Writes the two words of a record's header.
    #[inline]
    pub(crate) fn store_pair(&self, offset: u32, first: u32, second: u32) {
        let at = self.at(offset & !7, 8).cast::<u32>();
        // SAFETY: as in `load_pair`; only this lane's producer writes here, before it publishes.
        unsafe {
            at.write_volatile(first);
            at.add(1).write_volatile(second);
        }
    }

    /// Writes a record: the two words of its header, the payload's length and `kind`, then the payload.
    #[allow(dead_code)] // the programs' alone
    #[inline]
    pub(crate) fn store_record(&self, offset: u32, kind: u32, payload: &[u8]) {
        // A longer slice than 4 GiB can't be inside the ring: `at` refuses it.
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let at = self.at(offset & !7, len.saturating_add(RECORD_HEADER)).cast::<u32>();
        // SAFETY: `at` is 8-byte aligned, as in `load_pair`; header and payload behind it are inside the
        // ring, and `payload` is private memory of this process, which can't overlap the segment. Only
        // this lane's producer writes here, before it publishes.
        unsafe {
            at.write_volatile(len);
            at.add(1).write_volatile(kind);
            core::ptr::copy_nonoverlapping(payload.as_ptr(), at.add(2).cast(), payload.len());
        }
    }

    /// Copies `from` into the ring.
    #[inline]
    pub(crate) fn copy_in(&self, offset: u32, from: &[u8]) {
        // A longer slice than 4 GiB can't be inside the ring: `at` refuses it.
        let len = u32::try_from(from.len()).unwrap_or(u32::MAX);
        let at = self.at(offset, len);
        // SAFETY: `len` bytes at `at` are inside the ring; `from` is private memory of this
        // process, which can't overlap the segment.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), at, from.len()) };
    }

    /// Copies out of the ring.
    #[inline]
    pub(crate) fn copy_out(&self, offset: u32, to: &mut [u8]) {
        let len = u32::try_from(to.len()).unwrap_or(u32::MAX);
        let at = self.at(offset, len);
        // SAFETY: as in `copy_in`, the other way. A peer that writes here at the same time
        // changes which bytes come out, nothing else: they are not interpreted.
        unsafe { core::ptr::copy_nonoverlapping(at, to.as_mut_ptr(), to.len()) };
    }

    /// The address of `len` bytes from `offset`, for zero-copy use under the caller's own proof.
    pub(crate) fn pointer(&self, offset: u32, len: u32) -> NonNull<u8> {
        // SAFETY: `at` returns an address inside the segment, which is never null.
        unsafe { NonNull::new_unchecked(self.at(offset, len)) }
    }
}

/// An attached segment that is large enough for its geometry.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Counted, by handles of lanes: detached when the last of them is gone.
    attach: Arc<Attach>,
}

impl Segment {
    /// Takes an attach over; `None` where it is smaller than a header.
    pub(crate) fn new(attach: Attach) -> Option<Self> {
        (attach.bytes() >= HEADER_BYTES as usize).then(|| Self { attach: Arc::new(attach) })
    }

    /// The attach.
    pub(crate) fn attach(&self) -> &Attach {
        &self.attach
    }

    /// The header's words.
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: shmat gives page-aligned memory of `bytes()` bytes, at least a header (checked
        // in `new`); Header is made of atomics alone, valid for any bits. A read-only attach is
        // read only: the code that stores is never reached with one (see `channel/status.rs`).
        unsafe { self.attach.base().cast::<Header>().as_ref() }
    }

    /// Where lane `number` begins.
    ///
    /// # Panics
    /// If the segment is too small for it, or there is no such lane: `Geometry::from_header` has
    /// checked the geometry against the segment's true size.
    fn lane_at(&self, geometry: &Geometry, number: u32) -> NonNull<u8> {
        assert!(number < geometry.lanes);
        assert!(geometry.segment_bytes() as usize <= self.attach.bytes());
        let offset = (HEADER_BYTES + number * geometry.lane_bytes()) as usize;
        // SAFETY: number < lanes, so the lane ends at or before segment_bytes, which the attach
        // holds (both asserted above).
        unsafe { NonNull::new_unchecked(self.attach.base().as_ptr().add(offset)) }
    }

    /// Lane `number`'s words, for a look.
    ///
    /// # Panics
    /// Where there is no such lane: see `lane_at`.
    pub(crate) fn control(&self, geometry: &Geometry, number: u32) -> &LaneControl {
        // SAFETY: an aligned address of a lane inside the attach, which outlives the reference.
        // LaneControl is made of atomics alone, valid for any bits and for writes by others.
        unsafe { self.lane_at(geometry, number).cast().as_ref() }
    }

    /// Lane `number`, to be kept.
    ///
    /// # Panics
    /// As [`control`](Self::control).
    pub(crate) fn lane(&self, geometry: &Geometry, number: u32) -> LaneMemory {
        let words = self.lane_at(geometry, number);
        // SAFETY: the ring follows the words inside the same lane.
        let base =
            unsafe { NonNull::new_unchecked(words.as_ptr().add(LANE_CONTROL_BYTES as usize)) };
        let ring = RingMemory { base, len: geometry.ring_bytes };
        LaneMemory { control: words.cast(), ring, _holder: Some(self.attach.clone()) }
    }
}

/// One lane in private memory, for tests.
#[cfg(test)]
pub(crate) struct Lane {
    memory: Vec<core::mem::MaybeUninit<LaneControl>>,
    ring: u32,
}

#[cfg(test)]
impl Lane {
    /// A lane with a ring of `ring` bytes, a multiple of [`LANE_CONTROL_BYTES`] rounded up.
    pub(crate) fn alone(ring: u32) -> Self {
        let count = 1 + ring.div_ceil(LANE_CONTROL_BYTES) as usize;
        // All zero is what the kernel gives.
        let memory = (0..count).map(|_| core::mem::MaybeUninit::zeroed()).collect();
        Self { memory, ring }
    }

    pub(crate) fn control(&self) -> &LaneControl {
        // SAFETY: `alone` made it of zeros, which are atomics, aligned as the type.
        unsafe { self.memory[0].assume_init_ref() }
    }

    pub(crate) fn bytes(&self) -> RingMemory {
        let base = self.memory.as_ptr().cast_mut().cast::<u8>();
        // SAFETY: `alone` allocated the words and at least `ring` bytes behind them.
        let base = unsafe { base.add(LANE_CONTROL_BYTES as usize) };
        RingMemory { base: NonNull::new(base).unwrap(), len: self.ring }
    }

    /// Valid as long as the lane lives.
    pub(crate) fn memory(&self) -> LaneMemory {
        LaneMemory { control: self.control().into(), ring: self.bytes(), _holder: None }
    }
}
