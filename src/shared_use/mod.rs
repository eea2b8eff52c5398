//! The C demo's protocol: one buffer and a flag that says whose turn it is.
//!
//! | offset | name | written by | what it is |
//! | ---: | --- | --- | --- |
//! | 0 | `written_by_you` | both | `int`: not 0 while there is a text nobody has read |
//! | 4 | `some_text` | client, while the flag is 0 | a C string; 2048 bytes where this library makes it |
//!
//! Any C program of the demo can be at the other end, unchanged. Such a program rings no bell, so
//! a wait here looks at the flag every 20 ms; a peer of this library's is woken at once. Nothing
//! but the order of the two stores protects the text, and where the C programs have one, their
//! semaphore: use the ring where both ends are ours.
#![allow(unsafe_code)]

use crate::channel::admin::remove_both;
use crate::channel::claimant::Claimant;
use crate::channel::named::NamedSegment;
use crate::channel::roles::Roles;
use crate::channel::Options;
use crate::deadline::Deadline;
use crate::error::{Error, Object, Result, Role};
use crate::segment::atomic::AtomicU32;
use crate::segment::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sysv::shm::{Attach, ShmId};
use crate::sysv::Key;
use crate::wake::{SpinPolicy, Waited};
use core::cell::Cell;
use core::time::Duration;
use semaphore::ForeignSemaphore;

mod admin;
mod futex;
mod open;
mod seen;
mod semaphore;
pub(crate) mod text;

pub use crate::segment::shared_use_st::{segment_bytes, MAX_TEXT_BYTES, TEXT_BYTES};
pub use admin::{remove, set};
pub use seen::{look, Seen};
#[cfg(feature = "programs")]
pub(crate) use text::begin;

/// How often the flag of a peer that rings no bell is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// An attached segment of the C demo's kind.
#[derive(Debug)]
pub struct SharedUseSegment {
    options: Options,
    attach: Attach,
    end: End,
    guard: Guard,
    claimant: Claimant,
    /// Size of `some_text`, in bytes.
    text: u32,
    /// How long to look before sleeping.
    spin: Cell<SpinPolicy>,
    /// Open to everybody, as the C programs make it.
    pub open_to_all: bool,
}

/// What keeps others from this end of the segment.
#[derive(Debug)]
enum Guard {
    /// A role in a set of this library's, which holds for its programs; the lane is 0.
    Roles(Roles),
    /// The C programs' own semaphore, around each access; nothing tells two programs at one end apart.
    Semaphore(ForeignSemaphore),
}

/// Which end to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Reads texts.
    Server,
    /// Writes texts.
    Client,
}

impl SharedUseSegment {
    /// Fails in a process that was forked from the one that took this end.
    fn check_claimant(&self) -> Result<()> {
        let role = match self.end {
            End::Server => Role::Server,
            End::Client => Role::Lane(0),
        };
        self.claimant.check(self.options.key, role)
    }

    fn named(&self) -> NamedSegment {
        NamedSegment { key: self.options.key, id: self.attach.id() }
    }

    fn flag(&self) -> &AtomicU32 {
        // SAFETY: the attach holds the flag and `text` bytes (checked in `accept`), page aligned, and
        // lives as long as `self`; the flag is an atomic, valid for any bits.
        unsafe { self.attach.base().cast::<AtomicU32>().as_ref() }
    }

    /// The address of byte `i` of the text.
    fn byte(&self, i: usize) -> *mut u8 {
        assert!(i < self.text as usize);
        // SAFETY: `text` bytes follow the flag in the attach (checked in `accept`).
        unsafe { self.attach.base().as_ptr().add(4 + i) }
    }

    /// Size of `some_text`, in bytes.
    pub fn text_bytes(&self) -> usize {
        self.text as usize
    }

    /// Longest text that can be sent, in bytes: a newline and a NUL follow it, as `fgets(3)` leaves
    /// them.
    pub fn longest(&self) -> usize {
        self.text_bytes().saturating_sub(2)
    }

    /// Waits until the flag is set (or not), a signal, or `deadline`; [`Waited::Woken`] after each
    /// look, so that the caller can see to its signals.
    ///
    /// With [`Options::foreign_semaphore`], [`Waited::Ready`] holds that semaphore, which
    /// [`read`](Self::read) or [`write`](Self::write) is to give back at once; somebody else's turn
    /// at it is waited for 20 ms even where `deadline` comes before.
    ///
    /// # Errors
    /// [`Error::Removed`]; with a semaphore, also [`Error::NotOurs`], [`Error::NotAccepted`] and
    /// [`Error::System`] of it.
    pub fn wait(&self, written: bool, deadline: Deadline) -> Result<Waited> {
        self.check_claimant()?;
        // Acquire: the text before the flag; pairs with the Release in `write` or `taken`.
        let value = self.flag().load(Acquire);
        if (value != 0) != written {
            // A C program that looks all the time has its turn done in less than a sleep takes.
            let mut spin = self.spin.get();
            let found = spin.look(&mut |_| (self.flag().load(Acquire) != 0) == written);
            self.spin.set(spin);
            if !found {
                let longest = deadline.left().map_or(LOOK, |left| left.min(LOOK));
                futex::wait(self.flag(), value, longest);
            }
            if (self.flag().load(Acquire) != 0) != written {
                return self.not_yet(deadline);
            }
        }
        let Guard::Semaphore(semaphore) = &self.guard else { return Ok(Waited::Ready) };
        if !semaphore.enter()? {
            return self.not_yet(deadline);
        }
        if (self.flag().load(Acquire) != 0) != written {
            semaphore.leave(); // somebody else was faster
            return self.not_yet(deadline);
        }
        Ok(Waited::Ready)
    }

    fn not_yet(&self, deadline: Deadline) -> Result<Waited> {
        self.check()?;
        Ok(if deadline.passed() { Waited::TimedOut } else { Waited::Woken })
    }

    fn leave(&self) {
        if let Guard::Semaphore(semaphore) = &self.guard {
            semaphore.leave();
        }
    }

    /// Is the segment still that of its key?
    ///
    /// # Errors
    /// [`Error::Removed`].
    pub fn check(&self) -> Result<()> {
        let key = self.options.key;
        if self.named().stat()?.removed {
            return Err(Error::Removed { key, object: Object::Segment });
        }
        Ok(())
    }

    /// Copies the text to the begin of `to`, up to its NUL or its array's end, without the newline
    /// at its end; returns its length. The flag is set.
    ///
    /// # Panics
    /// If `to` is shorter than the text.
    pub fn read(&self, to: &mut [u8]) -> usize {
        let mut len = 0;
        while len < self.text_bytes() {
            // SAFETY: inside `some_text`. Volatile: the peer may change it; each byte is read once.
            let byte = unsafe { self.byte(len).read_volatile() };
            if byte == 0 {
                break;
            }
            to[len] = byte;
            len += 1;
        }
        self.leave();
        match to[..len].last() {
            Some(b'\n') => len - 1,
            _ => len,
        }
    }

    /// Gives the buffer back: the text is taken. [`Waited::Woken`]: not yet, since the C programs'
    /// semaphore was held all the time, for 20 ms; call again.
    ///
    /// # Errors
    /// [`Error::Forked`]; as [`wait`](Self::wait), of a semaphore.
    pub fn taken(&self) -> Result<Waited> {
        self.check_claimant()?;
        if let Guard::Semaphore(semaphore) = &self.guard {
            // Without a semaphore any more, there is nobody to be kept away.
            if !semaphore.enter()? && semaphore.is_there() {
                return Ok(Waited::Woken);
            }
        }
        // Release: the reads before it; pairs with the Acquire in `wait`.
        self.flag().store(0, Release);
        self.leave();
        futex::wake(self.flag());
        Ok(Waited::Ready)
    }

    /// Can `text` pass whole?
    ///
    /// # Errors
    /// [`Error::TooLong`] above [`longest`](Self::longest) bytes; [`Error::HoldsNul`].
    pub fn check_text(&self, text: &[u8]) -> Result<()> {
        match text.iter().position(|byte| *byte == 0) {
            _ if text.len() > self.longest() => {
                Err(Error::TooLong { len: text.len(), max: self.longest() as u32 })
            }
            Some(at) => Err(Error::HoldsNul { at }),
            None => Ok(()),
        }
    }

    /// Is there a text that nobody has read?
    pub fn is_written(&self) -> bool {
        self.flag().load(Relaxed) != 0
    }

    /// How many other programs are attached, and which attached or detached last.
    ///
    /// # Errors
    /// [`Error::Removed`].
    pub fn others(&self) -> Result<(u64, i32)> {
        let stat = self.named().stat()?;
        Ok((stat.attaches.saturating_sub(1), stat.last_pid))
    }

    /// Writes `text`, a newline and a NUL, and sets the flag. The flag is not set.
    ///
    /// # Errors
    /// [`Error::Forked`]; as [`check_text`](Self::check_text).
    pub fn write(&self, text: &[u8]) -> Result<()> {
        self.check_claimant()?;
        if let Err(e) = self.check_text(text) {
            self.leave();
            return Err(e);
        }
        // An array of one byte has no room for the newline.
        let ends = if self.text > 1 { &[b'\n', 0][..] } else { &[0] };
        for (i, byte) in text.iter().chain(ends).enumerate() {
            // SAFETY: inside `some_text`; nobody reads it before the flag is set.
            unsafe { self.byte(i).write_volatile(*byte) };
        }
        // Release: the text before it; pairs with the Acquire in `wait`.
        self.flag().store(1, Release);
        self.leave();
        futex::wake(self.flag());
        Ok(())
    }

    /// Removes the segment and this library's semaphores beside it; the C programs' own stay.
    ///
    /// # Errors
    /// [`Error::System`] with EPERM for anybody but owner, creator and root.
    pub fn remove(&self) -> Result<()> {
        let roles = match &self.guard {
            Guard::Roles(roles) => Some(roles),
            Guard::Semaphore(_) => None,
        };
        remove_both(Some(self.named()), roles)
    }

    /// Its key.
    pub fn key(&self) -> Key {
        self.options.key
    }

    /// The kernel's number of the segment.
    pub fn id(&self) -> ShmId {
        self.attach.id()
    }

    /// Where it is attached.
    pub fn address(&self) -> usize {
        self.attach.base().as_ptr() as usize
    }
}

impl Drop for SharedUseSegment {
    fn drop(&mut self) {
        if self.check_claimant().is_err() {
            return; // the parent's: this process only detaches
        }
        match (&self.guard, self.end) {
            (Guard::Roles(roles), End::Server) => roles.release_server(1),
            (Guard::Roles(roles), End::Client) => roles.release_lane(0),
            (Guard::Semaphore(semaphore), _) => semaphore.leave(),
        }
    }
}
