//! Doorbells: one sleeper, any number of ringers, nothing but three words between them.
//!
//! The sleeper announces the value of `rung` at which it sleeps; a ringer that finds that value
//! still there moves `rung` on and wakes it, and the next ringers see from the two values that
//! the announcement is served. So a ring costs a system call once per sleep, not per message,
//! and nobody but the sleeper ever takes an announcement back.
//!
//! There are two depths of sleep. The shallow one is on the futex word `rung`, for a short time;
//! the deep one, without a limit, is on a semaphore, which the kernel also raises when a peer
//! dies and which ends with `EIDRM` when the channel is removed. A ringer killed between moving
//! `rung` and waking therefore costs the sleeper the rest of the short time at most.
//!
//! No lost wake-up: the sleeper stores `awaiting`, then fences, then looks for work; the ringer
//! publishes work, then fences, then loads `awaiting`. Both fences are SeqCst, so one comes
//! first: either the sleeper sees the work or the ringer sees the announcement.
//!
//! Any value of the three words is accepted: a peer that scribbles here can cause needless wakes
//! or delay itself and its fellow writers, no more.

use crate::layout::Doorbell;
use crate::sync::{fence, Ordering};

/// How a sleeper sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// On the futex word, for a short time.
    Shallow,
    /// On the semaphore, without a limit.
    Deep,
}

impl Doorbell {
    /// First values of a new doorbell: nobody sleeps.
    pub fn init(&self) {
        self.rung.store(2, Ordering::Relaxed);
        self.awaiting.store(0, Ordering::Relaxed);
        self.need.store(0, Ordering::Relaxed);
    }

    /// Announces a sleep and returns the value of `rung` to sleep at. The caller must look for
    /// work once more before it sleeps, and call [`withdraw`](Self::withdraw) after.
    pub fn announce(&self, depth: Depth, need: u32) -> u32 {
        self.need.store(need, Ordering::Relaxed);
        let rung = self.rung.load(Ordering::Relaxed);
        // Release, with the Acquire in `sleeper`: who sees the announcement sees `need`, and no
        // `rung` older than the one loaded above.
        self.awaiting.store((rung & !1) | u32::from(depth == Depth::Deep), Ordering::Release);
        // Pairs with the fence in `sleeper`.
        fence(Ordering::SeqCst);
        rung
    }

    /// Takes the announcement back.
    pub fn withdraw(&self) {
        let rung = self.rung.load(Ordering::Relaxed);
        self.awaiting.store((rung & !1).wrapping_sub(2), Ordering::Relaxed);
    }

    /// Somebody sleeps here and has not been rung for yet: since when, how deeply.
    ///
    /// The caller has published the work before.
    #[inline]
    fn sleeper(&self) -> Option<(u32, Depth)> {
        // Pairs with the fence in `announce`.
        fence(Ordering::SeqCst);
        let awaiting = self.awaiting.load(Ordering::Acquire); // with the Release in `announce`
        let rung = self.rung.load(Ordering::Relaxed);
        if (awaiting ^ rung) & !1 != 0 {
            return None;
        }
        Some((rung, if awaiting & 1 == 1 { Depth::Deep } else { Depth::Shallow }))
    }

    /// Rings if somebody sleeps; says which wake the caller must make now, if any.
    #[inline]
    pub fn ring(&self) -> Option<Depth> {
        let (rung, depth) = self.sleeper()?;
        self.answer(rung).then_some(depth)
    }

    /// As [`ring`](Self::ring), but only if `free` bytes are enough for what the sleeper needs.
    /// A `need` that no ring can have (`most` bytes) counts as `most`.
    #[inline]
    pub fn ring_for_room(&self, free: u32, most: u32) -> Option<Depth> {
        let (rung, depth) = self.sleeper()?;
        if free < self.need.load(Ordering::Relaxed).min(most) {
            return None;
        }
        self.answer(rung).then_some(depth)
    }

    /// Moves `rung` on; false: another ringer did.
    #[cold]
    fn answer(&self, rung: u32) -> bool {
        self.rung
            .compare_exchange(rung, rung.wrapping_add(2), Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }
}
