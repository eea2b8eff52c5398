//! Ending a wait from a signal handler or another thread.

use crate::Interrupter;
use core::sync::atomic::{AtomicBool, Ordering};
use nix::errno::Errno;

/// Ends the waits of one handle.
#[derive(Debug)]
pub(super) struct Waker {
    interrupter: Interrupter,
    /// Set before the semaphore is raised, so who was woken by it finds this set.
    woken: AtomicBool,
}

impl Waker {
    pub(super) fn new(interrupter: Interrupter) -> Self {
        Self { interrupter, woken: AtomicBool::new(false) }
    }

    /// Async-signal-safe: one store and one system call; errno stays what it was.
    pub(super) fn wake(&self) {
        let errno = Errno::last_raw();
        self.woken.store(true, Ordering::SeqCst);
        self.interrupter.wake();
        Errno::set_raw(errno);
    }

    /// Was it woken since the last time this said so?
    pub(super) fn take(&self) -> bool {
        self.is_set() && self.woken.swap(false, Ordering::SeqCst)
    }

    pub(super) fn is_set(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }
}
