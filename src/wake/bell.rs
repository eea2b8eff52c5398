//! Bells: semaphores of a channel's set on which one process sleeps and others ring. When anybody
//! does which is decided by the words beside it: `doorbell.rs`.
//!
//! Source: [semop(2)](https://man7.org/linux/man-pages/man2/semop.2.html).

use super::doorbell::Waited;
use crate::error::{Error, Object, Result};
use crate::sysv::sem::{self, Op, SemId, Wait, SEMVMX};
use crate::sysv::{Key, SysError};
use nix::errno::Errno;

/// Adds 1 to a bell. A full one (ERANGE) rings already.
fn post(id: SemId, num: u16) -> core::result::Result<(), SysError> {
    match sem::operate(id, &[Op::new(num, 1)], Wait::Never) {
        Err(e) if e.errno == Errno::ERANGE => Ok(()),
        result => result,
    }
}

/// Wakes the holder of a role from its sleep. Copied freely; usable in a signal handler.
#[derive(Debug, Clone, Copy)]
pub struct Interrupter {
    id: SemId,
    num: u16,
}

impl Interrupter {
    /// Ends the sleep of the role's holder, now or the next time it sleeps. Makes one system
    /// call and allocates nothing.
    pub fn wake(&self) {
        let _ = post(self.id, self.num); // a removed one ends the sleep itself
    }

    /// The semaphore's set and number, to be kept in two atomics for a signal handler.
    pub fn into_raw(self) -> (i32, i32) {
        (self.id.raw(), i32::from(self.num))
    }

    /// From what [`into_raw`](Self::into_raw) gave.
    pub fn from_raw(set: i32, num: i32) -> Self {
        Self { id: SemId::from_raw(set), num: num as u16 }
    }
}

/// One bell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bell {
    /// For errors.
    key: Key,
    id: SemId,
    num: u16,
}

impl Bell {
    /// Semaphore `num` of the set `id`, which is that of `key`.
    pub(crate) const fn new(key: Key, id: SemId, num: u16) -> Self {
        Self { key, id, num }
    }

    /// Wakes who sleeps here.
    pub(crate) fn post(&self) -> core::result::Result<(), SysError> {
        post(self.id, self.num)
    }

    /// Wakes who sleeps here or is about to, unless a ring is pending already: for what must not
    /// depend on the doorbell's words, which a peer can spoil.
    pub(crate) fn remind(&self) -> core::result::Result<(), SysError> {
        match sem::value(self.id, self.num)? {
            0 => self.post(),
            _ => Ok(()),
        }
    }

    /// Takes off what was rung before: the caller looks for work after this.
    pub(crate) fn silence(&self) {
        if let Ok(rings @ 1..) = sem::value(self.id, self.num) {
            let all = Op::new(self.num, -(rings.min(SEMVMX) as i16));
            let _ = sem::operate(self.id, &[all], Wait::Never);
        }
    }

    /// Sleeps until it rings, a signal comes or the time is over.
    ///
    /// # Errors
    /// [`Error::Removed`] where the set is gone.
    pub(crate) fn sleep(&self, wait: Wait) -> Result<Waited> {
        match sem::operate(self.id, &[Op::new(self.num, -1)], wait) {
            Ok(()) => Ok(Waited::Woken),
            Err(e) if e.errno == Errno::EINTR => Ok(Waited::Woken),
            Err(e) if e.errno == Errno::EAGAIN => Ok(Waited::TimedOut),
            Err(e) => Err(self.failure(e)),
        }
    }

    /// A call that failed here.
    pub(crate) fn failure(&self, source: SysError) -> Error {
        Error::from_sys(self.key, Object::Semaphores, source)
    }

    /// What [`sleep`](Self::sleep) failed with, by its number.
    pub(crate) fn error(&self, errno: Errno) -> Error {
        self.failure(SysError { call: "semop", errno })
    }

    /// A handle that wakes the sleeper from a signal handler.
    pub(crate) fn interrupter(&self) -> Interrupter {
        Interrupter { id: self.id, num: self.num }
    }
}
