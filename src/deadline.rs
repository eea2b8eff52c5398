//! How long to wait.

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
