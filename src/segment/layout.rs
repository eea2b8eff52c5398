//! What stands where in the segment: the memory map, its constants and its types.
//!
//! Every number is a `u32` in the machine's byte order, so that 32- and 64-bit programs share a
//! segment; all is aligned to 64 bytes, a data cache line of the Cortex-A7 (two of the
//! Cortex-A9), so that what one side writes shares no line with what the other side writes.
//!
//! | offset | name | written by | what it is |
//! | ---: | --- | --- | --- |
//! | **header** | | | **once, at 0** |
//! | 0 | `magic` | creator, once | [`MAGIC`], the bytes `SHMD` |
//! | 4 | `layout_version` | creator, once | [`LAYOUT_VERSION`] |
//! | 8 | `state` | creator, Release, last | [`STATE_READY`]; anything else: not finished |
//! | 12 | `generation` | creator, once | id of the semaphore set that belongs to this segment |
//! | 16 | `segment_bytes` | creator, once | size of all this |
//! | 20 | `lanes` | creator, once | number of lanes, 1 to 32 |
//! | 24 | `lane_bytes` | creator, once | distance from one lane to the next |
//! | 28 | `ring_bytes` | creator, once | size of one lane's ring, a power of two |
//! | 32 | `max_message` | creator, once | longest payload of one record, in bytes |
//! | 36 | `closing` | server | [`CLOSING`] or [`CLOSING_AT_END`] while the server prints what is left before it removes all this |
//! | 40 | `writing` | server | what takes a batch of lines just now: the inode number of its pipe or socket; 0: nothing that could be torn |
//! | 64 | `server_bell` | see doorbell | where the server sleeps |
//! | **lane k** | | | **at 128 + k × `lane_bytes`** |
//! | +0 | `tail` | producer, Release | position behind the last committed record |
//! | +4 | `tail_marks` | producer | two of (position, messages sent up to there) |
//! | +20 | `too_long` | producer | messages not sent because they were longer than `max_message` |
//! | +24 | `refused` | producer | messages not sent because there was no room in time |
//! | +28 | `high_water` | producer | most bytes that ever were queued |
//! | +64 | `head` | consumer, Release | position of the first record not yet released |
//! | +68 | `head_marks` | consumer | two of (position, messages received up to there) |
//! | +84 | `set_aside` | server; producer, Release | odd: the server found the lane damaged and looks at it no more, until its next producer has made it anew |
//! | +128 | `room_bell` | see doorbell | where this lane's producer sleeps |
//! | +192 | ring | producer | the records |
//! | **doorbell** | | | |
//! | +0 | `awaiting` | both | odd: the number of the sleep announced, Release; even: nobody sleeps |
//! | +4 | `need` | who sleeps | free bytes it waits for (rooms only) |
//! | **record** | | | **8-byte aligned, never across the ring's end** |
//! | +0 | `len` | producer | payload bytes, 0 to `max_message` |
//! | +4 | `kind` | producer | [`KIND_DATA`], [`KIND_END`] or [`KIND_PAD`] |
//! | +8 | payload | producer | `len` bytes, then up to 7 unused ones |
//!
//! Positions count bytes from 0 and wrap at 2^32; a position modulo `ring_bytes` is the offset in
//! the ring. `tail - head` is what is queued. Counts wrap at 2^32 too.
//!
//! A pad record fills the ring's end where the next record would not fit there in one piece; it
//! has no payload (`len` is 0) and counts for no message.
//!
//! A mark lets a reader know the message count that belongs to a position exactly, wherever the
//! writer was killed: the writer fills the older mark first and publishes the position after, so
//! at any instant one of the two marks holds the published position.
//!
//! Whoever may write the segment may write any of these words at any time. They are read once,
//! into a local, and checked in three places only: `Geometry::from_header` (the header),
//! `ring/` (positions and records) and `wake/doorbell.rs` (which takes any value).

use super::atomic::AtomicU32;

/// First word of the segment: the bytes `SHMD` on a little-endian machine.
pub const MAGIC: u32 = u32::from_le_bytes(*b"SHMD");
/// Version of this map. It changes with any change of it; there is no mixed operation.
pub const LAYOUT_VERSION: u32 = 4;
/// Value of `state` once the creator is done.
pub const STATE_READY: u32 = u32::from_le_bytes(*b"REDY");

/// Value of `closing` while a server that was told to stop ends.
pub const CLOSING: u32 = 1;
/// Value of `closing` from before an End record is released: a server killed then is followed by
/// one that ends too.
pub const CLOSING_AT_END: u32 = 2;

/// A message.
pub const KIND_DATA: u32 = 1;
/// The end word: the sender is done and asks the server to end.
pub const KIND_END: u32 = 2;
/// No message: the rest of the ring up to its end is unused.
pub const KIND_PAD: u32 = 3;

/// Alignment of everything that one side alone writes, in bytes.
pub const LINE: usize = 64;
/// Bytes before a record's payload.
pub const RECORD_HEADER: u32 = 8;
/// Records begin at multiples of this.
pub const RECORD_ALIGN: u32 = 8;

/// Most lanes of one segment.
pub const MAX_LANES: u32 = 32;
/// Smallest ring of one lane, in bytes.
pub const MIN_RING: u32 = 256;
/// Largest ring of one lane, in bytes.
pub const MAX_RING: u32 = 16 << 20;
/// Longest message of all, in bytes: the programs' buffers are made for it.
pub const MAX_MESSAGE: u32 = 64 << 10;

/// Lanes where the creator does not say.
pub const DEFAULT_LANES: u32 = 4;
/// Ring bytes of one lane where the creator does not say.
pub const DEFAULT_RING: u32 = 16 << 10;
/// Longest message where the creator does not say, in bytes: the C demo's buffer.
pub const DEFAULT_MAX_MESSAGE: u32 = 2048;

/// The segment's first 128 bytes.
#[repr(C, align(64))]
pub(crate) struct Header {
    pub magic: AtomicU32,
    pub layout_version: AtomicU32,
    pub state: AtomicU32,
    pub generation: AtomicU32,
    pub segment_bytes: AtomicU32,
    pub lanes: AtomicU32,
    pub lane_bytes: AtomicU32,
    pub ring_bytes: AtomicU32,
    pub max_message: AtomicU32,
    pub closing: AtomicU32,
    pub writing: AtomicU32,
    pub server_bell: Doorbell,
}

/// Where one sleeper waits and others wake it: see `wake/doorbell.rs`.
#[repr(C, align(64))]
pub(crate) struct Doorbell {
    pub awaiting: AtomicU32,
    pub need: AtomicU32,
}

/// A position and the message count that belongs to it.
#[repr(C)]
pub(crate) struct Mark {
    pub position: AtomicU32,
    pub count: AtomicU32,
}

/// What a lane's producer alone writes.
#[repr(C, align(64))]
pub(crate) struct ProducerLine {
    pub tail: AtomicU32,
    pub marks: [Mark; 2],
    pub too_long: AtomicU32,
    pub refused: AtomicU32,
    pub high_water: AtomicU32,
}

/// What the consumer writes of a lane; `set_aside` also who makes the lane anew.
#[repr(C, align(64))]
pub(crate) struct ConsumerLine {
    pub head: AtomicU32,
    pub marks: [Mark; 2],
    pub set_aside: AtomicU32,
}

/// A lane without its ring, which follows it.
#[repr(C, align(64))]
pub(crate) struct LaneControl {
    pub producer: ProducerLine,
    pub consumer: ConsumerLine,
    pub room_bell: Doorbell,
}

/// Size of the header, in bytes.
pub const HEADER_BYTES: u32 = 128;
/// Size of a lane's words before its ring, in bytes.
pub const LANE_CONTROL_BYTES: u32 = 192;

/// The map above, checked where the real atomics are used.
#[cfg(not(loom))]
#[allow(unsafe_code)]
const _: () = {
    use core::mem::{align_of, size_of, MaybeUninit};
    // core's own is of Rust 1.77.
    macro_rules! offset_of {
        ($of:ty, $field:ident) => {{
            // As bytes: before Rust 1.83 no constant may borrow an atomic.
            let place = MaybeUninit::<[u8; size_of::<$of>()]>::uninit();
            let start: *const u8 = place.as_ptr().cast();
            // SAFETY: an address inside `place`, which is as large as the type; nothing is read.
            let field = unsafe { core::ptr::addr_of!((*start.cast::<$of>()).$field) };
            // SAFETY: both are addresses inside `place`.
            unsafe { field.cast::<u8>().offset_from(start) as usize }
        }};
    }
    assert!(size_of::<Header>() == HEADER_BYTES as usize);
    assert!(align_of::<Header>() == LINE);
    assert!(offset_of!(Header, magic) == 0);
    assert!(offset_of!(Header, layout_version) == 4);
    assert!(offset_of!(Header, state) == 8);
    assert!(offset_of!(Header, generation) == 12);
    assert!(offset_of!(Header, segment_bytes) == 16);
    assert!(offset_of!(Header, lanes) == 20);
    assert!(offset_of!(Header, lane_bytes) == 24);
    assert!(offset_of!(Header, ring_bytes) == 28);
    assert!(offset_of!(Header, max_message) == 32);
    assert!(offset_of!(Header, closing) == 36);
    assert!(offset_of!(Header, writing) == 40);
    assert!(offset_of!(Header, server_bell) == 64);
    assert!(size_of::<LaneControl>() == LANE_CONTROL_BYTES as usize);
    assert!(align_of::<LaneControl>() == LINE);
    assert!(offset_of!(LaneControl, producer) == 0);
    assert!(offset_of!(ProducerLine, tail) == 0);
    assert!(offset_of!(ProducerLine, marks) == 4);
    assert!(offset_of!(ProducerLine, too_long) == 20);
    assert!(offset_of!(ProducerLine, refused) == 24);
    assert!(offset_of!(ProducerLine, high_water) == 28);
    assert!(offset_of!(LaneControl, consumer) == 64);
    assert!(offset_of!(ConsumerLine, head) == 0);
    assert!(offset_of!(ConsumerLine, marks) == 4);
    assert!(offset_of!(ConsumerLine, set_aside) == 20);
    assert!(offset_of!(LaneControl, room_bell) == 128);
    assert!(offset_of!(Doorbell, awaiting) == 0);
    assert!(offset_of!(Doorbell, need) == 4);
    assert!(size_of::<Mark>() == 8);
};

/// Bytes that a record with a payload of `len` takes in the ring; `len` at most [`MAX_RING`].
pub const fn record_bytes(len: u32) -> u32 {
    (RECORD_HEADER + len + (RECORD_ALIGN - 1)) & !(RECORD_ALIGN - 1)
}

/// Smallest ring that always has room for a message of `max_message` once it is empty, whatever
/// the position: a pad of nearly one such record and the record itself.
pub const fn min_ring_for(max_message: u32) -> u32 {
    let twice = 2 * record_bytes(max_message);
    let power = twice.next_power_of_two();
    if power < MIN_RING {
        MIN_RING
    } else {
        power
    }
}

/// The sizes of a channel, fixed by whoever creates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Number of lanes: how many producers there can be at once.
    pub lanes: u32,
    /// Size of one lane's ring, in bytes, a power of two.
    pub ring_bytes: u32,
    /// Longest message, in bytes.
    pub max_message: u32,
}

impl Default for Geometry {
    fn default() -> Self {
        Self { lanes: DEFAULT_LANES, ring_bytes: DEFAULT_RING, max_message: DEFAULT_MAX_MESSAGE }
    }
}

/// A header field that does not hold what it must: its name, what was found, what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadField {
    /// Name as in the memory map.
    pub field: &'static str,
    /// The value read.
    pub found: u32,
    /// What would have been right (of several right values, the nearest bound).
    pub expected: u32,
}

impl Geometry {
    /// Distance from one lane to the next, in bytes.
    pub const fn lane_bytes(&self) -> u32 {
        LANE_CONTROL_BYTES + self.ring_bytes
    }

    /// Size of the whole segment, in bytes; at most 33 × 16 MiB, so it always fits.
    pub const fn segment_bytes(&self) -> u32 {
        HEADER_BYTES + self.lanes * self.lane_bytes()
    }

    /// Checks the bounds, and that an empty ring always has room for the longest message.
    ///
    /// # Errors
    /// The first field that is out of its bounds, with the nearest value that would do.
    pub fn check(&self) -> Result<(), BadField> {
        let range = |field, found: u32, low: u32, high: u32| match found {
            n if n < low => Err(BadField { field, found, expected: low }),
            n if n > high => Err(BadField { field, found, expected: high }),
            _ => Ok(()),
        };
        range("lanes", self.lanes, 1, MAX_LANES)?;
        range("ring_bytes", self.ring_bytes, MIN_RING, MAX_RING)?;
        if !self.ring_bytes.is_power_of_two() {
            let expected = self.ring_bytes.next_power_of_two();
            return Err(BadField { field: "ring_bytes", found: self.ring_bytes, expected });
        }
        range("max_message", self.max_message, 1, MAX_MESSAGE)?;
        let least = min_ring_for(self.max_message);
        range("ring_bytes", self.ring_bytes, least, MAX_RING)
    }

    /// Reads the sizes from a header that anybody may have written, each word once, and checks
    /// them against each other and against the segment's true size.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub(crate) fn from_header(header: &Header, true_bytes: usize) -> Result<Self, BadField> {
        use super::atomic::Ordering::Relaxed;
        // Relaxed: the caller has read `state` with Acquire, which pairs with the creator's
        // Release of STATE_READY.
        let exact = |field, found: u32, expected: u32| match found == expected {
            true => Ok(()),
            false => Err(BadField { field, found, expected }),
        };
        exact("magic", header.magic.load(Relaxed), MAGIC)?;
        exact("layout_version", header.layout_version.load(Relaxed), LAYOUT_VERSION)?;
        let geometry = Self {
            lanes: header.lanes.load(Relaxed),
            ring_bytes: header.ring_bytes.load(Relaxed),
            max_message: header.max_message.load(Relaxed),
        };
        geometry.check()?;
        exact("lane_bytes", header.lane_bytes.load(Relaxed), geometry.lane_bytes())?;
        let segment_bytes = header.segment_bytes.load(Relaxed);
        exact("segment_bytes", segment_bytes, geometry.segment_bytes())?;
        let true_bytes = u32::try_from(true_bytes).unwrap_or(u32::MAX);
        exact("segment_bytes", segment_bytes, true_bytes)?;
        Ok(geometry)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_ring_takes_its_longest_message_from_every_position() {
        for max in [1, 7, 8, 120, 2048, 4096, MAX_MESSAGE] {
            let ring = min_ring_for(max);
            let need = record_bytes(max);
            // Worst case: one 8-byte step too little at the ring's end.
            assert!(need - RECORD_ALIGN + need <= ring, "max_message {max}, ring {ring}");
        }
        assert_eq!(min_ring_for(DEFAULT_MAX_MESSAGE), 8192);
        assert_eq!(min_ring_for(1), MIN_RING);
    }

    #[test]
    fn geometry_bounds() {
        assert_eq!(Geometry::default().check(), Ok(()));
        assert_eq!(Geometry::default().segment_bytes(), 128 + 4 * (192 + 16384));
        let largest = Geometry { lanes: 32, ring_bytes: MAX_RING, max_message: MAX_MESSAGE };
        assert_eq!(largest.check(), Ok(()));
        assert!(u64::from(largest.segment_bytes()) == 128 + 32 * (192 + u64::from(MAX_RING)));
        for (bad, field) in [
            (Geometry { lanes: 0, ..Default::default() }, "lanes"),
            (Geometry { lanes: 33, ..Default::default() }, "lanes"),
            (Geometry { ring_bytes: 128, ..Default::default() }, "ring_bytes"),
            (Geometry { ring_bytes: 16385, ..Default::default() }, "ring_bytes"),
            (Geometry { max_message: 0, ..Default::default() }, "max_message"),
            (Geometry { max_message: 8192, ..Default::default() }, "ring_bytes"),
            (Geometry { max_message: u32::MAX, ..Default::default() }, "max_message"),
        ] {
            assert_eq!(bad.check().unwrap_err().field, field);
        }
    }
}
