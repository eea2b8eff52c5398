//! A descriptor for poll(2), for who has an event loop of its own.
//!
//! System V semaphores can't be polled. So a thread of the library's own, started by who first asks for
//! the descriptor, sleeps on the bell in the owner's stead; each time that rings, it sets an eventfd(2).
//! That is all it does: it touches neither the segment nor anything private to the owner. The owner's own
//! calls do the rest: a look that finds nothing arms, see [`Doorbell::arm`](super::doorbell), and the one that is
//! rung for finds the eventfd set. No call is made for a message that comes while the owner is awake.
//!
//! What is rung that answers no sleep of the owner's is for itself alone: an
//! [`Interrupter`](super::Interrupter), or a process that ended. It has to end a wait, even one that
//! begins after the thread has set the eventfd: so the owner counts, as the eventfd does.
//!
//! The thread has a stack of 32 KiB and all signals blocked. It ends with its owner, and when the
//! semaphores are removed, which the owner's next look tells.
//!
//! Source: [eventfd(2)](https://man7.org/linux/man-pages/man2/eventfd.2.html),
//! [poll(2)](https://man7.org/linux/man-pages/man2/poll.2.html).

use super::bell::Bell;
use super::doorbell::{Flag, Waited};
use super::sleep::{self, Bed, Look, SpinPolicy};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::segment::layout::Doorbell;
use crate::sysv::{sem, SysError};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{pthread_sigmask, SigSet, SigmaskHow};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::thread::JoinHandle;

/// The thread's stack, in bytes.
const STACK: usize = 32 << 10;

/// What poll(2), epoll(7) and their kin take: see [`Consumer::fd`](crate::Consumer::fd) and
/// [`Producer::fd`](crate::Producer::fd). Its owner alone reads and writes it.
///
/// It stays open for as long as one of its clones lives, but is set by its owner's alone.
#[derive(Debug, Clone)]
pub struct Descriptor(Arc<Shared>);

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd.as_fd().as_raw_fd()
    }
}

/// What owner and thread share.
#[derive(Debug)]
struct Shared {
    fd: EventFd,
    bell: Bell,
    /// The owner is about to end.
    stop: AtomicBool,
    /// The errno that ended the thread; 0: none did.
    failed: AtomicI32,
    /// How often the eventfd had been set when it was cleared last. The owner's alone.
    cleared: AtomicU32,
}

impl Shared {
    /// The thread.
    fn carry(&self) {
        loop {
            let end = self.bell.sleep(sem::Wait::Forever);
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            if let Err(e) = &end {
                // Before the descriptor is set: who has cleared that looks here.
                self.failed.store(e.errno(), Ordering::SeqCst);
            }
            self.set();
            if end.is_err() {
                return;
            }
        }
    }

    /// Clears the eventfd: how often it was set since the last time.
    fn take(&self) -> u32 {
        // EAGAIN: it was not set.
        u32::try_from(self.fd.read().unwrap_or(0)).unwrap_or(u32::MAX)
    }

    fn check(&self) -> Result<()> {
        match self.failed.load(Ordering::SeqCst) {
            0 => Ok(()),
            errno => Err(self.bell.error(Errno::from_raw(errno))),
        }
    }
}

impl Flag for Shared {
    fn clear(&self) {
        self.cleared.store(self.take(), Ordering::Relaxed);
    }

    fn set(&self) {
        // EAGAIN: it is as full as it can be, and set.
        let _ = self.fd.write(1);
    }
}

/// Sleeping by a descriptor. A trait, so that a program which never asks for one is linked without it.
pub(crate) trait Polled: core::fmt::Debug + Send {
    /// As `wake::sleep`; with [`Deadline::Now`] it arms.
    ///
    /// # Errors
    /// [`Error::Removed`](crate::Error::Removed) where the semaphores are gone.
    fn sleep(
        &mut self,
        doorbell: &Doorbell,
        deadline: Deadline,
        need: u32,
        ready: &mut dyn FnMut(Look) -> bool,
    ) -> Result<Waited>;
    /// There was work before it was rung for: the descriptor is set nevertheless.
    fn disarm(&mut self, doorbell: &Doorbell);
    /// The descriptor.
    fn descriptor(&self) -> Descriptor;
}

/// Sleeps as `wake::sleep`, or by the descriptor of who has one.
pub(crate) fn sleep_or_poll(
    polled: &mut Option<Box<dyn Polled>>,
    doorbell: &Doorbell,
    bed: &Bed,
    need: u32,
    spin: &mut SpinPolicy,
    ready: &mut dyn FnMut(Look) -> bool,
) -> Result<Waited> {
    match polled {
        None => sleep::sleep(doorbell, bed, need, spin, ready),
        Some(polled) => polled.sleep(doorbell, bed.deadline, need, ready),
    }
}

/// The owner's end.
#[derive(Debug)]
struct Carried {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// The process that has the thread: a child made by fork(2) has none.
    pid: u32,
    /// The sleep that was announced last, unless it is over.
    number: Option<u32>,
    /// How often the eventfd was set since it was cleared, or will be in a moment, by the owner itself
    /// or in answer to a sleep that it announced.
    answered: u32,
}

/// Starts the thread that sleeps at `bell`. The descriptor is set: there may be something to see to.
///
/// # Errors
/// [`Error::System`](crate::Error::System) where there can be no descriptor (`EMFILE`, `ENFILE`) or no thread (`EAGAIN`).
pub(crate) fn start(bell: Bell) -> Result<Box<dyn Polled>> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let fd = EventFd::from_value_and_flags(1, flags)
        .map_err(|errno| bell.failure(SysError { call: "eventfd", errno }))?;
    let (stop, failed) = (AtomicBool::new(false), AtomicI32::new(0));
    let shared = Arc::new(Shared { fd, bell, stop, failed, cleared: AtomicU32::new(0) });
    // A thread begins with the mask of who starts it.
    let mut before = SigSet::empty();
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before));
    let theirs = shared.clone();
    let builder = std::thread::Builder::new().name("shmdemo-fd".into()).stack_size(STACK);
    let thread = builder.spawn(move || theirs.carry());
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    let thread = thread.map_err(|e| {
        let errno = Errno::from_raw(e.raw_os_error().unwrap_or(Errno::EAGAIN as i32));
        bell.failure(SysError { call: "clone", errno })
    })?;
    let (thread, pid) = (Some(thread), std::process::id());
    Ok(Box::new(Carried { shared, thread, pid, number: None, answered: 1 }))
}

impl Carried {
    /// Forgets the sleep that was announced last, if it was answered.
    fn count_answer(&mut self, doorbell: &Doorbell) {
        if self.number.is_some_and(|number| doorbell.is_answered(number)) {
            self.number = None;
            self.answered += 1;
        }
    }

    /// Sets the eventfd by itself.
    fn set(&mut self) {
        self.shared.set();
        self.answered += 1;
    }
}

impl Polled for Carried {
    fn sleep(
        &mut self,
        doorbell: &Doorbell,
        deadline: Deadline,
        need: u32,
        ready: &mut dyn FnMut(Look) -> bool,
    ) -> Result<Waited> {
        if ready(Look::Full) {
            self.disarm(doorbell);
            return Ok(Waited::Ready);
        }
        self.count_answer(doorbell);
        self.number = doorbell.arm(need, &*self.shared, || ready(Look::Last));
        let interrupted = self.shared.cleared.load(Ordering::Relaxed) > self.answered;
        // Where it was set again, that is the owner's; but what interrupts is still to be heard of.
        self.answered = u32::from(self.number.is_none() && !interrupted);
        if self.number.is_none() {
            return Ok(Waited::Ready);
        }
        if let Err(e) = self.shared.check() {
            self.shared.set(); // there is something to hear of, for good
            return Err(e);
        }
        let left = match deadline.left() {
            Some(left) if left.is_zero() => {
                if interrupted {
                    self.set(); // for the poll that comes next
                }
                return Ok(Waited::TimedOut);
            }
            _ if interrupted => return Ok(Waited::Woken),
            // Rounded up, and as long as it takes.
            Some(left) => PollTimeout::try_from(left + core::time::Duration::from_micros(999))
                .unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        match poll(&mut [PollFd::new(self.shared.fd.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) if deadline.passed() => Ok(Waited::TimedOut),
            _ if ready(Look::Full) => {
                self.disarm(doorbell);
                Ok(Waited::Ready)
            }
            _ => {
                // Whatever set it is heard of now; and it stays set, until a look finds nothing. Who rang may
                // not have noted yet that it did: with this sleep over, that is not counted later.
                self.answered = 0;
                if self.shared.take() > 0 {
                    if let Some(number) = self.number.take() {
                        doorbell.withdraw(number);
                    }
                    self.set();
                }
                self.shared.check().map(|()| Waited::Woken)
            }
        }
    }

    fn disarm(&mut self, doorbell: &Doorbell) {
        self.count_answer(doorbell);
        if let Some(number) = self.number.take() {
            doorbell.disarm(number, &*self.shared);
            self.answered += 1;
        }
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor(self.shared.clone())
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.pid != std::process::id() {
            // The parent's.
            core::mem::forget(thread);
            return;
        }
        self.shared.stop.store(true, Ordering::SeqCst);
        match self.shared.bell.post() {
            // It may not be rung for any more, and so not be waited for either.
            Err(e) if e.is_refusal() => drop(thread),
            // Rung, or gone, which ends it as well.
            _ => drop(thread.join()),
        }
    }
}
