//! File descriptors of two processes.

use crate::transport::Wait;
use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::sys::socket::{socketpair, AddressFamily, SockFlag, SockType};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

/// Both ends of one direction. Each process takes its own, which closes the other one.
pub struct Ends(RefCell<Option<(OwnedFd, OwnedFd)>>);

impl Ends {
    pub fn new(tx: OwnedFd, rx: OwnedFd) -> Self {
        Self(RefCell::new(Some((tx, rx))))
    }

    pub fn take_tx(&self) -> OwnedFd {
        self.0.borrow_mut().take().expect("taken once").0
    }

    pub fn take_rx(&self) -> OwnedFd {
        self.0.borrow_mut().take().expect("taken once").1
    }

    pub fn close(&self) {
        self.0.borrow_mut().take();
    }
}

/// A connected pair of Unix sockets.
pub fn socket_pair(kind: SockType) -> Result<Ends> {
    let (tx, rx) = socketpair(AddressFamily::Unix, kind, None, SockFlag::empty())?;
    Ok(Ends::new(tx, rx))
}

/// Non-blocking for who spins.
pub fn set_wait(fd: impl AsFd, wait: Wait) -> Result<()> {
    if wait == Wait::Spin {
        fcntl(fd.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok(())
}

/// Calls until there is no reason to try again.
#[inline]
pub fn retry<T>(wait: Wait, mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EAGAIN) if wait == Wait::Spin => core::hint::spin_loop(),
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
