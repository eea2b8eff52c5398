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

/// Where looking has not paid lately, one sleep of so many looks all the same: the other side may
/// have become quick.
const PROBE: u32 = 32;

/// What a waiter does before it sleeps, private to it.
///
/// With one processor online it lets the others run once; nothing spins. With more it looks again
/// and again for as long as that has paid lately: a look that finds work earns all [`ROUNDS`] for the
/// next, one in vain leaves half. So two busy processors always look, and where a message comes now and
/// then nobody does, but for one sleep of [`PROBE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Rounds of the next look. The other side may have been put on this very processor, so it is let
    /// run in between.
    rounds: u32,
    /// Sleeps without a look since the last one; `None`: one processor, never.
    unseen: Option<u32>,
}

impl Patience {
    /// By the number of processors that are online, not those of this process's affinity: one that
    /// is kept to a single processor has its peer on another, as a rule.
    pub fn for_this_machine() -> Self {
        match nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN) {
            Ok(Some(online)) if online > 1 => Self { rounds: ROUNDS, unseen: Some(0) },
            _ => Self { rounds: 0, unseen: None },
        }
    }

    /// How many rounds to look this time.
    fn next_rounds(&mut self) -> u32 {
        let Some(unseen) = &mut self.unseen else { return 0 };
        if self.rounds > 0 {
            return self.rounds;
        }
        *unseen += 1;
        if *unseen < PROBE {
            return 0;
        }
        *unseen = 0;
        ROUNDS
    }

    /// Looks for work without sleeping; bounded.
    fn look(&mut self, ready: &mut impl FnMut(bool) -> Result<bool>) -> Result<bool> {
        for _ in 0..self.next_rounds() {
            std::thread::yield_now();
            for _ in 0..LOOKS {
                if ready(false)? {
                    self.rounds = ROUNDS;
                    return Ok(true);
                }
                core::hint::spin_loop();
            }
        }
        self.rounds /= 2;
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
    patience: &mut Patience,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks that find nothing, or something at once.
    fn look(patience: &mut Patience, finds: bool) -> u32 {
        let mut asked = 0;
        let found = patience.look(&mut |_| {
            asked += 1;
            Ok(finds)
        });
        assert_eq!(found.unwrap_or(!finds), finds);
        asked
    }

    #[test]
    fn with_one_processor_nothing_spins() {
        let mut patience = Patience { rounds: 0, unseen: None };
        for _ in 0..2 * PROBE {
            assert_eq!(look(&mut patience, false), 1);
        }
    }

    #[test]
    fn looking_in_vain_ends_but_for_a_rare_probe_and_one_that_pays_begins_anew() {
        let all = ROUNDS * LOOKS + 1;
        let mut patience = Patience { rounds: ROUNDS, unseen: Some(0) };
        assert_eq!(look(&mut patience, false), all);
        let asked: Vec<u32> = (0..10).map(|_| look(&mut patience, false)).collect();
        assert!(asked.windows(2).all(|pair| pair[1] <= pair[0]), "{asked:?}");
        assert_eq!(asked[9], 1, "no look, and the one before the sleep: {asked:?}");
        let probes = (0..4 * PROBE).filter(|_| look(&mut patience, false) > 1).count();
        assert_eq!(probes, 4);
        while look(&mut patience, true) != 1 || patience.rounds != ROUNDS {}
        assert_eq!(look(&mut patience, false), all);
    }
}
