//! One bad lane is one bad lane: it is set aside, and made anew by its next producer.
//!
//! The word `set_aside` counts. Even: the lane is in use. Odd: its server found it damaged and looks at
//! it no more; what was in it is lost. The next one to claim the lane makes it anew, under the
//! creation lock, and moves the word on, which the server sees.

use super::init;
use crate::segment::atomic::{load_acquire, Ordering::Relaxed, Ordering::Release};
use crate::segment::layout::{BadField, LaneControl};

impl LaneControl {
    /// Is it set aside? Only reads: the attach may be read-only.
    pub(crate) fn is_set_aside(&self) -> bool {
        self.consumer.set_aside.load(Relaxed) % 2 == 1
    }

    /// What a producer is told whose lane is.
    pub(crate) fn aside_field(&self) -> Option<BadField> {
        let found = self.consumer.set_aside.load(Relaxed);
        (found % 2 == 1).then(|| BadField { field: "set_aside", found, expected: found - 1 })
    }

    /// Sets it aside; returns the number under which it is. By who has the server's role.
    pub(super) fn put_aside(&self) -> u32 {
        let number = self.consumer.set_aside.load(Relaxed) | 1;
        // Relaxed: it tells nothing of other words.
        self.consumer.set_aside.store(number, Relaxed);
        number
    }

    /// Was it made anew since it was set aside under that number?
    pub(super) fn is_made_anew(&self, number: u32) -> bool {
        // Acquire: the words of the new lane; pairs with the Release in `make_anew`.
        load_acquire(&self.consumer.set_aside) != number
    }

    /// Makes it anew, empty. By who has the lane, under the creation lock, while no server uses it.
    pub(crate) fn make_anew(&self) {
        let number = self.put_aside();
        init(self, 0);
        // Release: all of the above; pairs with the Acquire in `is_made_anew`.
        self.consumer.set_aside.store(number.wrapping_add(1), Release);
    }

    /// Damages the lane for good, so that a server that has not seen it yet sets it aside. By who has
    /// the lane.
    pub(crate) fn condemn(&self) {
        let tail = self.producer.tail.load(Relaxed);
        // No position is odd.
        self.producer.tail.store(tail | 1, Release);
    }
}
