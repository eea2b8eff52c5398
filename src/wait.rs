//! Waiting: how long at most, and in which steps.

use crate::doorbell::{Rest, Wake};
use crate::error::{Error, Result};
use crate::futex;
use crate::layout::Doorbell;
use crate::roles::Bell;
use crate::sync::AtomicU32;
use crate::sysv::sem;
use core::time::Duration;
use std::time::Instant;

/// Until when to wait, by the monotonic clock: setting the time of day changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// Not at all.
    Now,
    /// Until then.
    At(Instant),
    /// As long as it takes.
    Never,
}

impl Deadline {
    /// So long from now; zero is [`Deadline::Now`]. What the clock can't hold is forever.
    pub fn after(longest: Duration) -> Self {
        if longest.is_zero() {
            return Deadline::Now;
        }
        Instant::now().checked_add(longest).map_or(Deadline::Never, Deadline::At)
    }

    /// Time left; `None`: no limit.
    pub fn left(&self) -> Option<Duration> {
        match self {
            Deadline::Now => Some(Duration::ZERO),
            Deadline::At(when) => Some(when.saturating_duration_since(Instant::now())),
            Deadline::Never => None,
        }
    }

    /// Is it over?
    pub fn passed(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    pub(crate) fn for_sem(self) -> sem::Wait {
        match self.left() {
            None => sem::Wait::Forever,
            Some(left) if left.is_zero() => sem::Wait::Never,
            Some(left) => sem::Wait::For(left),
        }
    }
}

/// How long the shallow sleep lasts before the deep one: what a ringer killed at the worst
/// instant can cost, and the only timer of a pair that falls idle, once.
const SHALLOW: Duration = Duration::from_millis(20);

/// How often to look, and after how many looks to let others run, before sleeping where another
/// processor may bring the work: some tens of microseconds, what a wake-up there costs.
const ROUNDS: u32 = 32;
const LOOKS: u32 = 64;

/// What a waiter does before it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// One processor: let the others run once. Nothing spins.
    Yield,
    /// More than one: look again some times. The other side may have been put on this very
    /// processor, so it is let run in between.
    Spin,
}

impl Patience {
    /// By the number of processors that are online.
    pub fn for_this_machine() -> Self {
        match nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN) {
            Ok(Some(online)) if online > 1 => Patience::Spin,
            _ => Patience::Yield,
        }
    }

    /// Looks for work without sleeping; bounded.
    fn look(self, ready: &mut impl FnMut(bool) -> Result<bool>) -> Result<bool> {
        if self == Patience::Spin {
            for _ in 0..ROUNDS {
                std::thread::yield_now();
                for _ in 0..LOOKS {
                    if ready(false)? {
                        return Ok(true);
                    }
                    core::hint::spin_loop();
                }
            }
        }
        std::thread::yield_now();
        ready(false)
    }
}

/// Sleeps at `bell` until `ready`, a signal, an end of a peer, or the deadline, and at times for
/// less; returns whether it is ready. `need`: see `Doorbell::ring_for_room`; what `ready` is
/// told: see `Doorbell::sleep`.
///
/// # Errors
/// What `ready` returns, and [`crate::Error::Removed`] where the semaphores are gone.
pub(crate) fn sleep(
    doorbell: &Doorbell,
    bell: Bell,
    need: u32,
    patience: Patience,
    deadline: Deadline,
    mut ready: impl FnMut(bool) -> Result<bool>,
) -> Result<bool> {
    if ready(false)? {
        return Ok(true);
    }
    if deadline.passed() {
        return Ok(false);
    }
    if patience.look(&mut ready)? {
        return Ok(true);
    }
    doorbell.sleep(need, &Bed { bell, deadline }, ready)
}

/// The system calls of one sleep.
struct Bed {
    bell: Bell,
    deadline: Deadline,
}

impl Rest for Bed {
    type Error = Error;

    fn rest_shallow(&self, word: &AtomicU32, rung: u32) {
        futex::wait(word, rung, self.deadline.left().map_or(SHALLOW, |left| left.min(SHALLOW)));
    }

    fn rest_deep(&self) -> Result<()> {
        self.bell.sleep(self.deadline)?;
        // All that rang up to now has one answer: the caller looks at everything again.
        self.bell.silence();
        Ok(())
    }

    fn over(&self) -> bool {
        self.deadline.passed()
    }
}

impl Wake for Bell {
    fn wake_shallow(&self, word: &AtomicU32) {
        futex::wake(word);
    }

    fn wake_deep(&self) {
        self.post();
    }
}
