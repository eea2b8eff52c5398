//! What the kernel does for a doorbell: a futex and a semaphore.

use crate::doorbell::{Rest, Wake};
use crate::sync::{step, AtomicU32};
use loom::sync::{Condvar, Mutex};

/// How long the shallow sleep of a model lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naps {
    /// Until woken. There is no time-out to fall back on, unless a peer died or stopped: a lost
    /// wake-up blocks the model for ever, and loom says so.
    Endless,
    /// No time: what follows is the deep sleep, which never ends by itself.
    None,
}

struct State {
    /// Somebody is asleep on the futex.
    asleep: bool,
    /// A shallow sleep ends at once.
    timed_out: bool,
    /// The semaphore.
    raised: u32,
}

/// The kernel's part of one doorbell.
pub(crate) struct Bell {
    state: Mutex<State>,
    woken: Condvar,
    raised: Condvar,
}

impl Bell {
    pub fn new(naps: Naps) -> Self {
        let state = State { asleep: false, timed_out: naps == Naps::None, raised: 0 };
        Self { state: Mutex::new(state), woken: Condvar::new(), raised: Condvar::new() }
    }

    /// Ends the shallow sleep that there is, and all later ones at once.
    pub fn time_out(&self) {
        let mut state = self.state.lock().unwrap();
        state.timed_out = true;
        state.asleep = false;
        self.woken.notify_all();
    }

    /// What the kernel does when a process ends that had its part in this bell: it raises the
    /// semaphore. It does not know of the futex, so shallow sleeps have to time out.
    pub fn peer_ended(&self) {
        self.raise();
        self.time_out();
    }

    fn raise(&self) {
        let mut state = self.state.lock().unwrap();
        state.raised += 1;
        self.raised.notify_all();
    }
}

impl Wake for Bell {
    fn wake_shallow(&self, _: &AtomicU32) {
        step();
        self.state.lock().unwrap().asleep = false;
        self.woken.notify_all();
    }

    fn wake_deep(&self) {
        step();
        self.raise();
    }
}

impl Rest for Bell {
    type Error = crate::ring::Damage;

    fn rest_shallow(&self, word: &AtomicU32, rung: u32) {
        step();
        // The kernel may see another value before anything orders it after the waker.
        if word.seen_by_kernel() != rung {
            return;
        }
        let mut state = self.state.lock().unwrap();
        // Under the lock, as the kernel compares: a waker that moved the word and came first is
        // seen; one that comes later finds the sleeper.
        if state.timed_out || word.seen_by_kernel() != rung {
            return;
        }
        state.asleep = true;
        while state.asleep {
            state = self.woken.wait(state).unwrap();
        }
    }

    fn rest_deep(&self) -> Result<(), Self::Error> {
        step();
        let mut state = self.state.lock().unwrap();
        while state.raised == 0 {
            state = self.raised.wait(state).unwrap();
        }
        state.raised -= 1;
        drop(state);
        // `Bell::silence`: all others at once.
        step();
        self.state.lock().unwrap().raised = 0;
        Ok(())
    }

    fn over(&self) -> bool {
        false
    }
}
