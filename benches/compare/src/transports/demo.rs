//! The C demo's way: one buffer, a flag that says whose turn it is, and sleeps of a millisecond
//! between looks, on both sides, just as `tests/c` has them. Spinning: the same without sleeps.

use crate::message::LONGEST;
use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub struct Demo;

/// `struct { int written_by_you; char some_text[2048]; }`. The text begins with its length here,
/// where the demo ends it with a NUL: messages may hold any byte.
#[repr(C)]
pub struct SharedUse {
    written_by_you: AtomicU32,
    len: u32,
    text: [u8; LONGEST],
}

const NAP: Duration = Duration::from_millis(1);

pub struct End {
    shared: *mut SharedUse,
    wait: Wait,
    buffer: [u8; LONGEST],
}

impl End {
    fn new(spec: &Spec, shared: *mut SharedUse) -> Self {
        Self { shared, wait: spec.wait, buffer: [0; LONGEST] }
    }

    fn nap(&self) {
        match self.wait {
            Wait::Block => std::thread::sleep(NAP),
            Wait::Spin => core::hint::spin_loop(),
        }
    }

    fn flag(&self) -> &AtomicU32 {
        // SAFETY: the attach lives as long as the process; an atomic takes any value.
        unsafe { &(*self.shared).written_by_you }
    }
}

impl Transport for Demo {
    const NAME: &'static str = "C demo";
    const SLOW: bool = true;
    type Link = *mut SharedUse;
    type Tx = End;
    type Rx = End;

    fn link(_spec: &Spec, _direction: u32) -> Result<*mut SharedUse> {
        let size = size_of::<SharedUse>();
        // SAFETY: no pointers go in; the attach is a new segment of that size, or fails. Marked
        // for removal at once, it goes with the last process attached.
        let shared = unsafe {
            let id = libc::shmget(libc::IPC_PRIVATE, size, 0o600);
            let id = Errno::result(id).context("shmget")?;
            let shared = libc::shmat(id, ptr::null(), 0);
            libc::shmctl(id, libc::IPC_RMID, ptr::null_mut());
            shared
        };
        anyhow::ensure!(shared as isize != -1, "shmat: {}", Errno::last());
        Ok(shared.cast())
    }
    fn tx(spec: &Spec, shared: &*mut SharedUse) -> Result<End> {
        Ok(End::new(spec, *shared))
    }
    fn rx(spec: &Spec, shared: &*mut SharedUse) -> Result<End> {
        Ok(End::new(spec, *shared))
    }
    fn remove(_spec: &Spec, shared: *mut SharedUse) {
        // SAFETY: the address of an attach that nobody uses any more.
        unsafe { libc::shmdt(shared.cast()) };
    }
}

impl Tx for End {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        while self.flag().load(Ordering::Acquire) != 0 {
            self.nap();
        }
        // SAFETY: the flag says that the buffer is ours; no message is longer than LONGEST.
        unsafe {
            (&raw mut (*self.shared).len).write(message.len() as u32);
            let text = (&raw mut (*self.shared).text).cast::<u8>();
            ptr::copy_nonoverlapping(message.as_ptr(), text, message.len().min(LONGEST));
        }
        self.flag().store(1, Ordering::Release);
        Ok(())
    }
}

impl Rx for End {
    #[inline]
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while self.flag().load(Ordering::Acquire) == 0 {
            self.nap();
        }
        // SAFETY: the flag says that the buffer is ours; the length is cut to what both hold.
        let len = unsafe {
            let len = (*self.shared).len.min(LONGEST as u32) as usize;
            let text = (&raw const (*self.shared).text).cast::<u8>();
            ptr::copy_nonoverlapping(text, self.buffer.as_mut_ptr(), len);
            len
        };
        // "Make the other process wait for us", says the demo.
        self.nap();
        self.flag().store(0, Ordering::Release);
        each(&self.buffer[..len])
    }
}
