//! Which process is this? A role belongs to the one that claimed it: the kernel takes it back when
//! that one ends, and a child made by fork(2) has the memory and the handles, but not the role.
//!
//! The kernel's answer, getpid(2), is a system call, too dear for each message. So the C library
//! counts the forks on the way from the claimant to here; where no call is made that often, the
//! pid is looked at too, which also notices a child made by a bare clone(2).
//!
//! Source: [semop(2)](https://man7.org/linux/man-pages/man2/semop.2.html): "semadj values are not
//! inherited by the child of a fork(2) but are inherited across an execve(2)".
#![allow(unsafe_code)]

use crate::error::{Error, Result, Role};
use crate::sysv::Key;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::Once;

/// How many forks made this process out of the one that began to count.
static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    // Relaxed: the child of a fork has one thread; nothing else is published with it.
    FORKS.fetch_add(1, Relaxed);
}

/// The process that claimed a role.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claimant {
    forks: u32,
    pid: u32,
}

impl Claimant {
    /// This process, which is about to claim a role.
    pub(crate) fn this() -> Self {
        static COUNTS: Once = Once::new();
        COUNTS.call_once(|| {
            // SAFETY: the handler is a function that lives as long as the program and touches one
            // atomic. Without memory for it (ENOMEM) the pid is still looked at.
            unsafe { nix::libc::pthread_atfork(None, None, Some(in_child)) };
        });
        Self { forks: FORKS.load(Relaxed), pid: std::process::id() }
    }

    /// Is it this process? One load: for every message.
    #[inline]
    pub(crate) fn is_this(&self) -> bool {
        FORKS.load(Relaxed) == self.forks
    }

    /// Fails where it is another one. Makes a system call: for what is not done at every message.
    pub(crate) fn check(&self, key: Key, role: Role) -> Result<()> {
        match self.is_this() && self.pid == std::process::id() {
            true => Ok(()),
            false => Err(self.error(key, role)),
        }
    }

    #[cold]
    pub(crate) fn error(&self, key: Key, role: Role) -> Error {
        Error::Forked { key, role, pid: self.pid as i32 }
    }
}
