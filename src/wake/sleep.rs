//! Waiting: looking for a while where that pays, then sleeping.

use super::bell::Bell;
use super::doorbell::{Rest, Waited, Wake};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::segment::layout::Doorbell;
use crate::sysv::{sem, SysError};
use core::time::Duration;

/// Rounds of looks where another processor may bring the work, and looks of one round, after each of
/// which others may run: some tens of microseconds, what a wake-up there costs.
const ROUNDS: u32 = 32;
const LOOKS: u32 = 64;

/// Rounds on one processor, of one look each. Two: a scheduler that gives each its share may hand the
/// processor straight back to who is behind with its own, which then has used some of it.
const YIELDS: u32 = 2;

/// What a look that pays adds to the worth of looking on one processor, one in vain taking 1 away, and
/// how much it can be: giving the processor away costs a third of what it saves.
const GAIN: u32 = 2;
const MOST: u32 = 64;

/// Where looking has not paid lately, one sleep of so many looks all the same, for so many rounds: the
/// other side may have become quick.
const PROBE: u32 = 64;
const PROBE_ROUNDS: u32 = 4;

/// How far a look goes that is taken before a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Where there was something before.
    Quick,
    /// Everywhere.
    Full,
    /// Everywhere, and for the last time: whoever waits for what was done here is seen to.
    Last,
}

/// What a waiter does before it sleeps, private to it.
///
/// It looks again for as long as that has paid lately, and lets others run in between: with one
/// processor online they alone can bring the work, and with more the other side may have been put on
/// this very one. So two that are busy always look, and where a message comes now and then nobody
/// does, but for one sleep of [`PROBE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpinPolicy {
    /// More than one processor is online; not asked yet before the first sleep.
    several: Option<bool>,
    /// What looking was worth lately: rounds of the next look (several), or a score (one).
    worth: u32,
    /// Sleeps without a look since the last one.
    unseen: u32,
}

/// By the number of processors that are online, not those of this process's affinity: one that is kept
/// to a single processor has its peer on another, as a rule.
fn several_processors() -> bool {
    let online = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
    matches!(online, Ok(Some(online)) if online > 1)
}

impl SpinPolicy {
    pub(crate) const fn new() -> Self {
        Self { several: None, worth: MOST, unseen: 0 }
    }

    /// Is it time to look, be it for a probe?
    fn looks(&mut self) -> bool {
        self.unseen = if self.worth > 0 { 0 } else { (self.unseen + 1) % PROBE };
        self.unseen == 0
    }

    /// Looks for work without sleeping; bounded. Not before the first sleep: that is for somebody who is
    /// still to begin.
    #[inline(never)] // once, for all who wait
    pub(crate) fn look(&mut self, ready: &mut dyn FnMut(Look) -> bool) -> bool {
        let Some(several) = self.several else {
            self.several = Some(several_processors());
            return false;
        };
        if !self.looks() {
            return false;
        }
        let (rounds, looks) = match several {
            true if self.worth > 0 => (self.worth.min(ROUNDS), LOOKS),
            true => (PROBE_ROUNDS, LOOKS),
            false => (YIELDS, 1),
        };
        for _ in 0..rounds {
            std::thread::yield_now();
            let mut how = Look::Full;
            for _ in 0..looks {
                if ready(how) {
                    self.worth = if several { ROUNDS } else { MOST.min(self.worth + GAIN) };
                    return true;
                }
                how = Look::Quick;
                core::hint::spin_loop();
            }
        }
        self.worth =
            if several { self.worth.min(ROUNDS) / 2 } else { self.worth.saturating_sub(1) };
        false
    }
}

/// Sleeps in `bed` until `ready`, a signal, an end of a peer, or its time is over, and at times for
/// less. `need`: see `Doorbell::ring_for_room`. A look that finds damage is `ready` too: the caller, who
/// made `ready`, knows.
///
/// # Errors
/// [`crate::Error::Removed`] where the semaphores are gone.
pub(crate) fn sleep(
    doorbell: &Doorbell,
    bed: &Bed,
    need: u32,
    spin: &mut SpinPolicy,
    ready: &mut dyn FnMut(Look) -> bool,
) -> Result<Waited> {
    if ready(Look::Full) {
        return Ok(Waited::Ready);
    }
    if bed.deadline.passed() {
        return Ok(Waited::TimedOut);
    }
    if spin.look(ready) {
        return Ok(Waited::Ready);
    }
    doorbell.sleep(need, bed, || ready(Look::Last))
}

/// Where and how long one sleeps.
pub(crate) struct Bed {
    pub bell: Bell,
    pub deadline: Deadline,
    /// And no longer than this.
    pub longest: Option<Duration>,
}

impl Rest for Bed {
    type Error = Error;

    fn rest(&self) -> Result<Waited> {
        self.bell.sleep(match (self.deadline.for_sem(), self.longest) {
            (sem::Wait::Forever, Some(longest)) => sem::Wait::For(longest),
            (sem::Wait::For(left), Some(longest)) => sem::Wait::For(left.min(longest)),
            (wait, _) => wait,
        })
    }

    fn silence(&self) {
        self.bell.silence();
    }
}

impl Wake for Bell {
    type Outcome = core::result::Result<(), SysError>;

    fn wake(&self) -> Self::Outcome {
        self.post()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks that find nothing, or something at once: how many.
    fn look(spin: &mut SpinPolicy, finds: bool) -> u32 {
        let mut asked = 0;
        let found = spin.look(&mut |_| {
            asked += 1;
            finds
        });
        assert_eq!(found, finds && asked > 0);
        asked
    }

    #[test]
    fn with_one_processor_it_is_given_away_twice_at_most_and_not_where_that_brings_nothing() {
        let mut spin = SpinPolicy { several: Some(false), ..SpinPolicy::new() };
        for _ in 0..MOST {
            assert_eq!(look(&mut spin, false), YIELDS);
        }
        let asked: Vec<u32> = (0..3 * PROBE).map(|_| look(&mut spin, false)).collect();
        assert_eq!(asked.iter().filter(|n| **n > 0).count(), 3, "{asked:?}");
        // One probe that pays is followed by looks, until they were in vain as often as it gained.
        while look(&mut spin, true) == 0 {}
        let paid: Vec<u32> = (0..4).map(|_| look(&mut spin, false)).collect();
        assert_eq!(paid, [YIELDS, YIELDS, 0, 0]);
    }

    #[test]
    fn looking_in_vain_ends_but_for_a_rare_probe_and_one_that_pays_begins_anew() {
        let all = ROUNDS * LOOKS;
        let mut spin = SpinPolicy { several: Some(true), ..SpinPolicy::new() };
        assert_eq!(look(&mut spin, false), all);
        let asked: Vec<u32> = (0..10).map(|_| look(&mut spin, false)).collect();
        assert!(asked.windows(2).all(|pair| pair[1] <= pair[0]), "{asked:?}");
        assert_eq!(asked[9], 0, "{asked:?}");
        let probes = (0..4 * PROBE).filter(|_| look(&mut spin, false) > 0).count();
        assert_eq!(probes, 4);
        while look(&mut spin, true) == 0 {}
        assert_eq!(look(&mut spin, false), all);
    }
}
