//! Doorbells: one sleeper, any number of ringers, nothing but three words between them.
//!
//! The sleeper announces each sleep with a number of its own, the value that it moves `rung` to;
//! a ringer that finds that value still there moves `rung` on and wakes it, and the next ringers
//! see from the two values that the announcement is answered. So a ring costs a system call once
//! per sleep, not per message, nobody but the sleeper ever takes an announcement back, and a
//! ringer that was held up answers no later announcement than the one it saw.
//!
//! There are two depths of sleep. The shallow one is on the futex word `rung`, for a short time;
//! the deep one, without a limit, is on a semaphore, which the kernel also raises when a peer
//! dies and which ends with `EIDRM` when the channel is removed. A ringer killed or stopped
//! between moving `rung` and waking costs a shallow sleeper the rest of the short time at most;
//! for a deep one the semaphore is raised first.
//!
//! No lost wake-up: the sleeper stores `awaiting`, then fences, then looks for work; the ringer
//! publishes work, then fences, then loads `awaiting`. Both fences are SeqCst, so one comes
//! first: either the sleeper sees the work or the ringer sees the announcement.
//!
//! Any value of the three words is accepted. A peer that scribbles here can cause needless wakes,
//! and make a ringer miss a sleeper. So whoever is about to rest without a limit makes sure, with
//! the semaphores alone, that no other sleeps past what it has done: `Bell::remind`.

use crate::layout::Doorbell;
use crate::sync::{fence, AtomicU32, Ordering};

/// How a sleeper sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// On the futex word, for a short time.
    Shallow,
    /// On the semaphore, without a limit.
    Deep,
}

/// The system calls of who rings.
pub(crate) trait Wake {
    /// Wakes who sleeps on the futex `word`.
    fn wake_shallow(&self, word: &AtomicU32);
    /// Raises the semaphore.
    fn wake_deep(&self);
}

/// The system calls of who sleeps.
pub(crate) trait Rest {
    /// What can go wrong.
    type Error;
    /// Sleeps on the futex `word` while it holds `rung`, for a short time.
    fn rest_shallow(&self, word: &AtomicU32, rung: u32);
    /// Sleeps until the semaphore is raised, and lowers it to 0.
    fn rest_deep(&self) -> Result<(), Self::Error>;
    /// Is there no time left to sleep?
    fn over(&self) -> bool;
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
    fn announce(&self, depth: Depth, need: u32) -> u32 {
        self.need.store(need, Ordering::Relaxed);
        let rung = self.rung.fetch_add(2, Ordering::Relaxed).wrapping_add(2);
        // Release, with the Acquire in `sleeper`: who sees the announcement sees `need` and the
        // new `rung`.
        self.awaiting.store((rung & !1) | u32::from(depth == Depth::Deep), Ordering::Release);
        // Pairs with the fence in `sleeper`.
        fence(Ordering::SeqCst);
        rung
    }

    /// Takes the announcement back.
    fn withdraw(&self) {
        let rung = self.rung.load(Ordering::Relaxed);
        self.awaiting.store((rung & !1).wrapping_sub(2), Ordering::Relaxed);
    }

    /// Sleeps until rung, or until `rest` ends it; returns whether there is work. `ready` looks
    /// for it, and is told whether it is the last look before a sleep without a limit.
    pub fn sleep<R: Rest>(
        &self,
        need: u32,
        rest: &R,
        mut ready: impl FnMut(bool) -> Result<bool, R::Error>,
    ) -> Result<bool, R::Error> {
        let rung = self.announce(Depth::Shallow, need);
        if !ready(false)? {
            rest.rest_shallow(&self.rung, rung);
        }
        if !ready(false)? && !rest.over() {
            self.announce(Depth::Deep, need);
            if !ready(true)? {
                rest.rest_deep()?;
            }
        }
        self.withdraw();
        ready(false)
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

    /// Rings if somebody sleeps.
    #[inline]
    pub fn ring(&self, wake: &impl Wake) {
        if let Some((rung, depth)) = self.sleeper() {
            self.answer(rung, depth, wake);
        }
    }

    /// As [`ring`](Self::ring), but only if `free` bytes are enough for what the sleeper needs.
    /// A `need` that no ring can have (`most` bytes) counts as `most`.
    #[inline]
    pub fn ring_for_room(&self, free: u32, most: u32, wake: &impl Wake) {
        if let Some((rung, depth)) = self.sleeper() {
            if free >= self.need.load(Ordering::Relaxed).min(most) {
                self.answer(rung, depth, wake);
            }
        }
    }

    /// Answers the announcement of `rung`, unless it is answered or taken back meanwhile.
    #[cold]
    fn answer(&self, rung: u32, depth: Depth, wake: &impl Wake) {
        // The semaphore remembers, so it is raised first: who is stopped here leaves the
        // announcement to the next ringer. The futex does not: the word has to move first.
        if depth == Depth::Deep {
            wake.wake_deep();
        }
        let next = rung.wrapping_add(2);
        let moved = self.rung.compare_exchange(rung, next, Ordering::Release, Ordering::Relaxed);
        if depth == Depth::Shallow && moved.is_ok() {
            wake.wake_shallow(&self.rung);
        }
    }
}
