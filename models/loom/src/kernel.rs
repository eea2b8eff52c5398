//! What the kernel does for a doorbell: a semaphore.

use crate::segment::atomic::step;
use crate::wake::doorbell::{Flag, Rest, Waited, Wake};
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
    type Error = core::convert::Infallible;

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

/// A descriptor, and what ends the thread that sets it.
pub(crate) struct Descriptor {
    set: Mutex<bool>,
    changed: Condvar,
    stop: Mutex<bool>,
}

impl Descriptor {
    /// Set: nobody has looked yet.
    pub fn new() -> Self {
        Self { set: Mutex::new(true), changed: Condvar::new(), stop: Mutex::new(false) }
    }

    /// poll(2).
    pub fn poll(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.changed.wait(set).unwrap();
        }
    }

    /// `Shared::carry`.
    pub fn carry(&self, bell: &Bell) {
        loop {
            let _ = bell.rest();
            if *self.stop.lock().unwrap() {
                return;
            }
            self.set();
        }
    }

    /// What ends that.
    pub fn stop(&self, bell: &Bell) {
        *self.stop.lock().unwrap() = true;
        bell.raise();
    }
}

impl Flag for Descriptor {
    fn clear(&self) {
        step();
        *self.set.lock().unwrap() = false;
    }

    fn set(&self) {
        step();
        *self.set.lock().unwrap() = true;
        self.changed.notify_all();
    }
}
