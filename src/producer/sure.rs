//! How often who waits for room makes sure that the server does not sleep past what was sent, whatever became
//! of the words by which it is rung for: soon at first, and ever more rarely while nothing more is sent. A
//! server may hold what fills the ring, and has nothing to see to then; each would keep the other awake.

use core::time::Duration;

/// How long it sleeps before the first time.
const NAP: Duration = Duration::from_millis(20);

/// [`NAP`] doubled so often is the longest, 10 seconds.
const DOUBLINGS: u32 = 9;

/// What was done for the messages sent so far.
#[derive(Debug)]
pub(super) struct Sure {
    /// By `Tx::sent`.
    sent: u32,
    times: u32,
}

impl Sure {
    /// Nothing yet.
    pub(super) const fn new() -> Self {
        Self { sent: 0, times: 0 }
    }

    /// A wait begins with so many sent: how long until it is time.
    pub(super) fn nap(&mut self, sent: u32) -> Duration {
        if self.sent != sent {
            *self = Self { sent, times: 0 };
        }
        NAP * (1 << self.times.min(DOUBLINGS))
    }

    /// It was time: counted. Of calls that do not wait, each a look when it was woken, these are the first,
    /// the second, the fourth and so on: true.
    pub(super) fn count(&mut self) -> bool {
        self.times = self.times.saturating_add(1);
        self.times.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_ever_more_rarely_until_there_is_more() {
        let mut sure = Sure::new();
        for sent in [7, 8, u32::MAX, 0] {
            let mut naps = Vec::new();
            let mut when = Vec::new();
            for call in 1..=17 {
                naps.push(sure.nap(sent).as_millis());
                if sure.count() {
                    when.push(call);
                }
            }
            assert_eq!(naps[..5], [20, 40, 80, 160, 320]);
            assert!(naps[9..].iter().all(|nap| *nap == 10_240), "{naps:?}");
            assert_eq!(when, [1, 2, 4, 8, 16]);
        }
    }
}
