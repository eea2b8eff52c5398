//! SIGTERM, SIGINT and SIGHUP: the first one asks the program to stop at a good moment, a second
//! one of the same kind ends it at once (which loses nothing either).
#![allow(unsafe_code)]

use crate::Interrupter;
use core::time::Duration;
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::libc;
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::stat::Mode;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{compiler_fence, AtomicBool, AtomicI32, Ordering};

/// Number of the signal that came; 0: none yet.
static STOP: AtomicI32 = AtomicI32::new(0);

/// What ends the sleep that the program may be in: the semaphore's set and number; -1: nothing.
static SLEEP: [AtomicI32; 2] = [AtomicI32::new(-1), AtomicI32::new(-1)];

/// A signal ends the program on the spot.
static AT_ONCE: AtomicBool = AtomicBool::new(false);

/// A signal ends a write that stands still, too.
static ENDS_WRITES: AtomicBool = AtomicBool::new(false);

/// What takes the place of stdin when a signal has come; -1: nothing.
static INSTEAD_OF_STDIN: AtomicI32 = AtomicI32::new(-1);

/// From now on a signal also ends the reading of stdin, whenever it comes: in a read, which it
/// interrupts, or just before one, which then finds a folder (or a pipe at its end) in stdin's place
/// and returns at once. So a read needs no other signal mask, and no poll(2) before it. Only the
/// number 0 of this process changes: who shares the file that was stdin sees nothing of it.
pub(super) fn end_reads() -> nix::Result<()> {
    let instead = match open("/", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(folder) => folder.into_raw_fd(),
        // Not to be opened by everybody; a pipe that nobody writes to takes one descriptor more.
        Err(_) => nix::unistd::pipe2(OFlag::O_CLOEXEC)?.0.into_raw_fd(),
    };
    INSTEAD_OF_STDIN.store(instead, Ordering::Relaxed);
    Ok(())
}

/// Interrupts the write that began just before the signal came, and the next one, and so on.
extern "C" fn on_alarm(_: i32) {
    if stop().is_some() {
        // SAFETY: as in `on_signal`.
        unsafe { libc::alarm(1) };
    }
}

/// From now on a write that stands still is interrupted so often, whether or not a signal has come;
/// `None`: not any more. After [`end_writes`].
///
/// Source: [setitimer(2)](https://man7.org/linux/man-pages/man2/setitimer.2.html); alarm(2) has the same
/// timer.
pub(super) fn interrupt_writes(every: Option<Duration>) {
    if stop().is_some() {
        return; // the alarms of that go on
    }
    let every = every.unwrap_or_default();
    let time = libc::timeval { tv_sec: every.as_secs() as _, tv_usec: every.subsec_micros() as _ };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the timer lives through the call, which reads it and writes nothing.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, core::ptr::null_mut()) };
    if stop().is_some() {
        on_alarm(libc::SIGALRM); // it came just now, and its alarm was that timer
    }
}

/// From now on, once a signal has come, a write that stands still is interrupted each second.
pub(super) fn end_writes() -> nix::Result<()> {
    // No SA_RESTART: writes end.
    let action = SigAction::new(SigHandler::Handler(on_alarm), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler makes an async-signal-safe call only.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    let mut alarm = SigSet::empty();
    alarm.add(Signal::SIGALRM);
    alarm.thread_unblock()?;
    ENDS_WRITES.store(true, Ordering::Relaxed);
    Ok(())
}

extern "C" fn on_signal(number: i32) {
    if AT_ONCE.load(Ordering::Relaxed) {
        end(number);
    }
    // The interrupted code may be about to look at errno.
    let errno = Errno::last_raw();
    STOP.store(number, Ordering::Relaxed);
    if ENDS_WRITES.load(Ordering::Relaxed) {
        // SAFETY: alarm takes a number and may be called in a signal handler.
        unsafe { libc::alarm(1) };
    }
    let ended = INSTEAD_OF_STDIN.load(Ordering::Relaxed);
    if ended != -1 {
        // SAFETY: dup2 takes numbers and may be called in a signal handler.
        unsafe { libc::dup2(ended, 0) };
    }
    let [set, num] = &SLEEP;
    // Acquire: with the Release in `interrupts`, so that the number belongs to the set.
    let set = set.load(Ordering::Acquire);
    if set != -1 {
        // One system call, no allocation: it may be made in a signal handler.
        Interrupter::from_raw(set, num.load(Ordering::Relaxed)).wake();
    }
    Errno::set_raw(errno);
}

/// Ends the program by the shell's convention; the kernel frees what it held.
fn end(number: i32) -> ! {
    // SAFETY: _exit does not return and may be called in a signal handler.
    unsafe { libc::_exit(i32::from(super::exit::SIGNAL) + number) }
}

/// Does what `wait` does, which holds nothing that a sudden end could spoil; if `at_once`, a signal
/// ends the program meanwhile.
pub(super) fn at_once_if<T>(at_once: bool, wait: impl FnOnce() -> T) -> T {
    AT_ONCE.store(at_once, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst); // with the handler, which runs on this thread
    if let (true, Some(number)) = (at_once, stop()) {
        end(number); // it came before
    }
    let result = wait();
    AT_ONCE.store(false, Ordering::Relaxed);
    result
}

/// Signals that stop a program.
const STOPPING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Was the signal ignored when the program began?
fn ignored(signal: Signal) -> bool {
    // SAFETY: sigaction is plain data; all zero is a valid value of it.
    let mut now: libc::sigaction = unsafe { core::mem::zeroed() };
    // SAFETY: without a new action the call only writes the present one to `now`.
    let looked = unsafe { libc::sigaction(signal as i32, core::ptr::null(), &mut now) };
    looked == 0 && now.sa_sigaction == libc::SIG_IGN
}

/// Begins to take the signals, whatever the parent had blocked. SIGINT and SIGHUP that were
/// ignored stay so: a shell's `server &` is not to end at a Ctrl-C meant for another program, and
/// `nohup` means what it says. SIGTERM is always taken: a service that ignores it can't be stopped.
pub(super) fn install() -> nix::Result<()> {
    // SA_RESETHAND: the second one has the default action. No SA_RESTART: waits end.
    let action =
        SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESETHAND, SigSet::empty());
    for signal in STOPPING {
        if signal == Signal::SIGTERM || !ignored(signal) {
            // SAFETY: the handler touches atomics and makes an async-signal-safe system call only.
            unsafe { sigaction(signal, &action) }?;
        }
    }
    stopping().thread_unblock()
}

fn stopping() -> SigSet {
    STOPPING.into_iter().collect()
}

/// A reader that is gone and a file that must not grow are errors of a write, not deaths.
pub(super) fn let_writes_fail() {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: no handler is installed. Fails for no signal that there is.
        let _ = unsafe { sigaction(signal, &ignore) };
    }
}

/// The exit code of a server that a signal stopped: it did all it had to, but for SIGHUP, where the
/// terminal it wrote to is gone: nobody asked it to end, and who started it is told.
pub(super) fn server_exit(number: i32) -> u8 {
    match number {
        libc::SIGHUP => super::exit::SIGNAL + libc::SIGHUP as u8,
        _ => super::exit::OK,
    }
}

/// From now on a signal also ends the sleep of this one.
pub(super) fn interrupts(sleep: Interrupter) {
    let [set, num] = &SLEEP;
    let (raw_set, raw_num) = sleep.into_raw();
    num.store(raw_num, Ordering::Relaxed);
    set.store(raw_set, Ordering::Release);
}

/// The signal that asked to stop, if one came.
pub(super) fn stop() -> Option<i32> {
    match STOP.load(Ordering::Relaxed) {
        0 => None,
        number => Some(number),
    }
}

/// Its name.
pub(super) fn name(number: i32) -> &'static str {
    Signal::try_from(number).map_or("a signal", Signal::as_str)
}

/// Holds these signals back while the value lives, so that one that comes between looking at
/// [`stop`] and waiting is not missed; returns the mask to wait with.
pub(super) struct HeldBack {
    before: SigSet,
}

impl HeldBack {
    pub(super) fn new() -> nix::Result<Self> {
        Ok(Self { before: stopping().thread_swap_mask(SigmaskHow::SIG_BLOCK)? })
    }

    /// The mask without them held back.
    pub(super) fn mask(&self) -> SigSet {
        self.before
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        // Can't fail: the mask was the kernel's own.
        let _ = self.before.thread_set_mask();
    }
}
