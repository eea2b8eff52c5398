//! A segment made of loom's atomics.

use crate::ring;
use crate::segment::atomic::{AtomicU32, Ordering::Relaxed};
use crate::segment::layout::{ConsumerLine, Doorbell, Header, LaneControl, Mark, ProducerLine};
use std::ops::Deref;
use std::sync::Arc;

fn word() -> AtomicU32 {
    AtomicU32::new(0)
}

fn doorbell() -> Doorbell {
    Doorbell { awaiting: word(), need: word() }
}

fn marks() -> [Mark; 2] {
    [0, 1].map(|_| Mark { position: word(), count: word() })
}

/// A header, with no peer about.
pub(crate) fn header() -> Header {
    let header = Header {
        magic: word(),
        layout_version: word(),
        state: word(),
        generation: word(),
        segment_bytes: word(),
        lanes: word(),
        lane_bytes: word(),
        ring_bytes: word(),
        max_message: word(),
        closing: word(),
        writing: word(),
        server_bell: doorbell(),
    };
    header.server_bell.init();
    header
}

/// One lane: its words and its ring.
pub(crate) struct Lane {
    control: Arc<LaneControl>,
    ring: Arc<[AtomicU32]>,
}

impl Lane {
    /// An empty lane with a ring of `bytes`, a power of two, whose positions begin at `position`.
    pub fn new(bytes: u32, position: u32) -> Self {
        assert!(bytes.is_power_of_two());
        let control = LaneControl {
            producer: ProducerLine {
                tail: word(),
                marks: marks(),
                too_long: word(),
                refused: word(),
                high_water: word(),
            },
            consumer: ConsumerLine { head: word(), marks: marks(), set_aside: word() },
            room_bell: doorbell(),
        };
        let lane =
            Self { control: Arc::new(control), ring: (0..bytes / 4).map(|_| word()).collect() };
        ring::init(&lane.control, position);
        lane
    }

    pub fn control(&self) -> &LaneControl {
        &self.control
    }

    pub fn memory(&self) -> LaneMemory {
        LaneMemory { control: self.control.clone(), ring: RingMemory(self.ring.clone()) }
    }
}

/// One lane, its words and its ring, for whoever has a role in it.
pub(crate) struct LaneMemory {
    control: Arc<LaneControl>,
    ring: RingMemory,
}

impl LaneMemory {
    pub fn ring(&self) -> &RingMemory {
        &self.ring
    }
}

impl Deref for LaneMemory {
    type Target = LaneControl;

    fn deref(&self) -> &LaneControl {
        &self.control
    }
}

/// The bytes of one ring, in words: what is copied begins at a multiple of 4 and is one long.
pub(crate) struct RingMemory(Arc<[AtomicU32]>);

impl RingMemory {
    pub fn len(&self) -> u32 {
        self.0.len() as u32 * 4
    }

    /// The words of `len` bytes from `offset`: all inside the ring, or it panics.
    fn at(&self, offset: u32, len: usize) -> &[AtomicU32] {
        assert!(offset % 4 == 0 && len % 4 == 0);
        &self.0[offset as usize / 4..][..len / 4]
    }

    pub fn load_pair(&self, offset: u32) -> (u32, u32) {
        let pair = self.at(offset & !7, 8);
        (pair[0].load(Relaxed), pair[1].load(Relaxed))
    }

    pub fn store_pair(&self, offset: u32, first: u32, second: u32) {
        let pair = self.at(offset & !7, 8);
        pair[0].store(first, Relaxed);
        pair[1].store(second, Relaxed);
    }

    pub fn store_record(&self, offset: u32, kind: u32, payload: &[u8]) {
        self.store_pair(offset, payload.len() as u32, kind);
        self.copy_in(offset + 8, payload);
    }

    pub fn copy_in(&self, offset: u32, from: &[u8]) {
        for (word, bytes) in self.at(offset, from.len()).iter().zip(from.chunks_exact(4)) {
            word.store(u32::from_ne_bytes(bytes.try_into().unwrap()), Relaxed);
        }
    }

    pub fn copy_out(&self, offset: u32, to: &mut [u8]) {
        for (word, bytes) in self.at(offset, to.len()).iter().zip(to.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
    }
}

impl std::fmt::Debug for LaneMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LaneMemory")
    }
}
