//! Doorbells: one sleeper, any number of ringers, two words and a semaphore between them.
//!
//! To who knows futexes: the semaphore is what the sleeper waits on, and it remembers a wake that
//! comes too early; the word `awaiting` says whether a wake is needed at all. The sleeper makes it
//! odd, looks for work once more, and takes 1 from the semaphore, which sleeps while that is 0. A
//! ringer publishes its work and then reads the word. Even: nobody sleeps, and that was all. Odd:
//! it adds 1 to the semaphore, and only then moves the word on to the next, even number, so that
//! one system call answers one sleep, whatever the number of messages and ringers. Each sleep has
//! a number of its own, so a ringer that was held up answers none but the one it saw. The kernel
//! adds 1 as well when a ringer dies (`SEM_UNDO`), and ends the sleep with `EIDRM` when the channel
//! is removed; who is stopped halfway leaves the number odd, and the next ringer adds another 1. So
//! the sleep needs no time limit.
//!
//! No lost wake-up: the sleeper stores `awaiting`, then fences, then looks for work; the ringer
//! publishes work, then fences, then loads `awaiting`. Both fences are SeqCst, so one comes
//! first: either the sleeper sees the work or the ringer sees the announcement.
//!
//! Any value of the two words is accepted. A peer that scribbles here can cause needless wakes, and
//! make a ringer miss a sleeper; who must not depend on the words has `Bell::remind`.

use crate::segment::atomic::{fence, Ordering};
use crate::segment::layout::Doorbell;

/// The system call of who rings.
pub(crate) trait Wake {
    /// What became of it.
    type Outcome;
    /// Adds 1 to the semaphore.
    fn wake(&self) -> Self::Outcome;
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a wait may end before there is what was waited for"]
pub enum Waited {
    /// There is what was waited for.
    Ready,
    /// There is not, but something else was to be seen to: an
    /// [`Interrupter`](crate::Interrupter) was used, a signal came, or a peer ended. Look at that,
    /// then wait again.
    Woken,
    /// The deadline has passed.
    TimedOut,
}

/// The system calls of who sleeps.
pub(crate) trait Rest {
    /// What can go wrong.
    type Error;
    /// Takes 1 from the semaphore, sleeping while it is 0; [`Waited::Ready`] is none of its answers.
    fn rest(&self) -> Result<Waited, Self::Error>;
    /// Lowers the semaphore to 0.
    fn silence(&self);
}

/// What the sleeper looks at in place of a sleep of its own: set or not, as an eventfd(2).
pub(crate) trait Flag {
    /// It is not set after this.
    fn clear(&self);
    /// It is set after this.
    fn set(&self);
}

impl Doorbell {
    /// First values of a new doorbell: nobody sleeps.
    pub(crate) fn init(&self) {
        self.awaiting.store(0, Ordering::Relaxed);
        self.need.store(0, Ordering::Relaxed);
    }

    /// Announces a sleep; returns its number. The caller must look for work once more before it
    /// sleeps, and [`withdraw`](Self::withdraw) after.
    fn announce(&self, need: u32) -> u32 {
        self.need.store(need, Ordering::Relaxed);
        // Release, with the Acquire in `sleeper`: who sees the announcement sees `need`. In one step,
        // as in `withdraw`: behind an answer that came in between, never in its place.
        let next = || self.awaiting.fetch_add(1, Ordering::Release).wrapping_add(1);
        let mut number = next();
        if number % 2 == 0 {
            // A sleeper was killed here: its number is not used again.
            number = next();
        }
        // Pairs with the fence in `sleeper`.
        fence(Ordering::SeqCst);
        number
    }

    /// Takes the announcement back.
    pub(super) fn withdraw(&self, number: u32) {
        self.awaiting.swap(number.wrapping_add(1), Ordering::Relaxed);
    }

    /// Sleeps until rung, or until `rest` ends it. `ready` looks for work, or for what else is to be seen to.
    pub(crate) fn sleep<R: Rest>(
        &self,
        need: u32,
        rest: &R,
        mut ready: impl FnMut() -> bool,
    ) -> Result<Waited, R::Error> {
        let number = self.announce(need);
        let end = match ready() {
            false => rest.rest(),
            true => Ok(Waited::Ready),
        };
        self.withdraw(number);
        match end? {
            Waited::Ready => Ok(Waited::Ready),
            _ if ready() => Ok(Waited::Ready),
            Waited::TimedOut => Ok(Waited::TimedOut),
            Waited::Woken => {
                // All that was added up to now has one answer, one look at everything after it.
                rest.silence();
                Ok(if ready() { Waited::Ready } else { Waited::Woken })
            }
        }
    }

    /// Announces a sleep that somebody else sleeps: who `rest`s here sets `flag` each time that ends. The
    /// number of that sleep; `None`: there is work, the announcement is taken back and `flag` is set.
    ///
    /// No lost wake-up, as above: a ringer that the look behind the announcement does not see is one that
    /// sees the announcement, and what it rings for sets `flag` behind the clearing. An announcement that
    /// nobody answered stays; the next one has another number.
    pub(crate) fn arm(
        &self,
        need: u32,
        flag: &impl Flag,
        mut ready: impl FnMut() -> bool,
    ) -> Option<u32> {
        flag.clear();
        let number = self.announce(need);
        if !ready() {
            return Some(number);
        }
        self.withdraw(number);
        flag.set();
        None
    }

    /// Ends the sleep of that number, should nobody have answered it: there was work before it was rung
    /// for. `flag` is set then, and nobody needs to ring.
    pub(crate) fn disarm(&self, number: u32, flag: &impl Flag) {
        if !self.is_answered(number) {
            self.withdraw(number);
            flag.set();
        }
    }

    /// Did somebody answer the sleep of that number, which this thread announced?
    pub(crate) fn is_answered(&self, number: u32) -> bool {
        // Relaxed, as in `answer`.
        self.awaiting.load(Ordering::Relaxed) != number
    }

    /// Does somebody sleep here, as far as the words tell? A hint: nothing is ordered by it.
    #[allow(dead_code)] // the programs' alone
    pub(crate) fn has_sleeper(&self) -> bool {
        self.awaiting.load(Ordering::Relaxed) % 2 == 1
    }

    /// The number of the sleep that is announced here and was not answered yet.
    ///
    /// The caller has published the work before.
    #[inline]
    fn sleeper(&self) -> Option<u32> {
        // Pairs with the fence in `announce`.
        fence(Ordering::SeqCst);
        let number = self.awaiting.load(Ordering::Acquire); // with the Release in `announce`
        (number % 2 == 1).then_some(number)
    }

    /// Rings if somebody sleeps.
    #[inline]
    pub(crate) fn ring<W: Wake>(&self, wake: &W) -> Option<W::Outcome> {
        self.sleeper().map(|number| self.answer(number, wake))
    }

    /// As [`ring`](Self::ring), but only if `free` bytes are enough for what the sleeper needs.
    /// A `need` that no ring can have (`most` bytes) counts as `most`.
    #[inline]
    pub(crate) fn ring_for_room<W: Wake>(&self, free: u32, most: u32, wake: &W) {
        if let Some(number) = self.sleeper() {
            if free >= self.need.load(Ordering::Relaxed).min(most) {
                self.answer(number, wake);
            }
        }
    }

    /// Answers the sleep of that number, unless it is answered or over meanwhile.
    #[cold]
    fn answer<W: Wake>(&self, number: u32, wake: &W) -> W::Outcome {
        // First the semaphore, which remembers: who is stopped or killed in between has rung.
        let outcome = wake.wake();
        let next = number.wrapping_add(1);
        // Relaxed: the words tell of the sleep alone; what is published has its own Release.
        let _ = self.awaiting.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
        outcome
    }
}
