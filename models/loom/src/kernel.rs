//! What the kernel does for a doorbell: a semaphore.

use crate::segment::atomic::step;
use crate::wake::doorbell::{Rest, Waited, Wake};
use loom::sync::{Condvar, Mutex};

/// The semaphore of one doorbell. Its sleeps have no time limit: a lost wake-up blocks a model for
/// ever, and loom says so.
pub(crate) struct Bell {
    value: Mutex<u32>,
    raised: Condvar,
}

impl Bell {
    pub fn new() -> Self {
        Self { value: Mutex::new(0), raised: Condvar::new() }
    }

    /// What the kernel does when a process ends that had its part in this bell, and
    /// `roles::Bell::remind`.
    pub fn raise(&self) {
        *self.value.lock().unwrap() += 1;
        self.raised.notify_all();
    }
}

impl Wake for Bell {
    type Outcome = ();

    fn wake(&self) {
        step();
        self.raise();
    }
}

impl Rest for Bell {
    type Error = crate::segment::layout::BadField;

    fn rest(&self) -> Result<Waited, Self::Error> {
        step();
        let mut value = self.value.lock().unwrap();
        while *value == 0 {
            value = self.raised.wait(value).unwrap();
        }
        *value -= 1;
        Ok(Waited::Woken)
    }

    fn silence(&self) {
        step();
        *self.value.lock().unwrap() = 0;
    }
}
