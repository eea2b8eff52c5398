//! The C demo's protocol: one buffer and a flag that says whose turn it is.
//!
//! | offset | name | written by | what it is |
//! | ---: | --- | --- | --- |
//! | 0 | `written_by_you` | both | `int`: not 0 while there is a text nobody has read |
//! | 4 | `some_text` | client, while the flag is 0 | a C string; 2048 bytes where this library makes it |
//!
//! Any C program of the demo can be at the other end, unchanged. Such a program rings no bell, so
//! a wait here looks at the flag every 20 ms; a peer of this library's is woken at once. Nothing
//! but the order of the two stores protects the text: use the ring where both ends are ours.
#![allow(unsafe_code)]

use crate::channel::admin::remove_both;
use crate::channel::claimant::Claimant;
use crate::channel::named::NamedSegment;
use crate::channel::roles::{Roles, LOCK_WAIT};
use crate::channel::Options;
use crate::deadline::Deadline;
use crate::error::{Awaited, Error, Object, Result, Role};
use crate::segment::atomic::AtomicU32;
use crate::segment::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sysv::shm::{Attach, ShmId};
use crate::sysv::Key;
use crate::wake::{SpinPolicy, Waited};
use core::cell::Cell;
use core::time::Duration;
use nix::errno::Errno;

mod admin;
mod futex;
mod seen;
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
    roles: Roles,
    held: Held,
    claimant: Claimant,
    /// Size of `some_text`, in bytes.
    text: u32,
    /// How long to look before sleeping.
    spin: Cell<SpinPolicy>,
    /// Open to everybody, as the C programs make it.
    pub open_to_all: bool,
}

#[derive(Debug)]
enum Held {
    Server,
    Lane(u32),
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
    /// Opens or creates the segment and takes one end of it. Of this library's programs one may
    /// be at each end; C programs of the demo know no roles.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] and [`Error::NotOurs`] where a text can't have the size of
    /// [`Options::text_bytes`], or the segment has not; [`Error::NotAccepted`] by owner (a
    /// mode open to all is only noted); [`Error::Busy`], [`Error::TimedOut`],
    /// [`Error::CannotCreate`], [`Error::System`].
    pub fn open(options: &Options, end: End, deadline: Deadline) -> Result<Self> {
        text::wanted(options)?; // before anything is made
        loop {
            match Self::attempt(options, end, deadline) {
                Ok(Some(segment)) => return Ok(segment),
                Ok(None) if deadline.passed() => {
                    let awaited = Awaited::Channel;
                    return Err(Error::TimedOut { key: options.key, awaited });
                }
                Ok(None) => std::thread::sleep(LOOK),
                Err(Error::Removed { object: Object::Semaphores, .. }) => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn attempt(options: &Options, end: End, deadline: Deadline) -> Result<Option<Self>> {
        let key = options.key;
        if let Some(found) = NamedSegment::find(key)? {
            accept(found, options)?;
        } else if !options.create {
            return Ok(None);
        }
        let mode = options.mode.unwrap_or(0o600);
        let roles = match Roles::find(key)? {
            Some(roles) => roles,
            None => match Roles::create(key, mode)? {
                Some(roles) => {
                    options.give_over(None, &roles)?;
                    roles
                }
                None => return Ok(None),
            },
        };
        roles.accept(options, false)?;
        roles.lock(Deadline::after(LOCK_WAIT))?;
        let ready = Self::under_lock(options, mode, &roles);
        roles.unlock();
        let (attach, text, open_to_all) = ready?;
        let claimant = Claimant::this();
        let held = match end {
            End::Server => {
                roles.claim_server(1)?;
                Held::Server
            }
            End::Client => Held::Lane(roles.claim_lane(1, deadline)?),
        };
        Ok(Some(Self {
            options: options.clone(),
            attach,
            roles,
            held,
            claimant,
            text,
            spin: Cell::new(SpinPolicy::new()),
            open_to_all,
        }))
    }

    fn under_lock(options: &Options, mode: u32, roles: &Roles) -> Result<(Attach, u32, bool)> {
        let key = options.key;
        let new_text = text::wanted(options)?.unwrap_or(TEXT_BYTES);
        let size = segment_bytes(new_text);
        if roles.in_use()?.is_none() {
            roles.set_free_lanes(1)?;
        }
        let mut made = false;
        let segment = match NamedSegment::find(key)? {
            Some(found) => found,
            None => match NamedSegment::create(key, size, mode) {
                Ok(new) => {
                    if let Err(e) = options.give_over(Some(new), roles) {
                        let _ = new.remove();
                        return Err(e);
                    }
                    made = true;
                    new
                }
                // A C program was faster.
                Err(e) if e.errno == Errno::EEXIST => {
                    let removed = Error::Removed { key, object: Object::Segment };
                    NamedSegment::find(key)?.ok_or(removed)?
                }
                Err(source) => {
                    return Err(Error::cannot_create(key, size as u32, source));
                }
            },
        };
        let (text, open_to_all) = match made {
            // A look at it would take it away again, with kernel.shm_rmid_forced.
            true => (new_text, mode & 0o002 != 0),
            false => accept(segment, options)?,
        };
        let attach = segment.attach(options.place)?;
        if options.lock {
            segment.lock()?;
        }
        Ok((attach, text, open_to_all))
    }

    /// Fails in a process that was forked from the one that took this end.
    fn check_claimant(&self) -> Result<()> {
        let role = match self.held {
            Held::Server => Role::Server,
            Held::Lane(lane) => Role::Lane(lane),
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
    /// # Errors
    /// [`Error::Removed`].
    pub fn wait(&self, written: bool, deadline: Deadline) -> Result<Waited> {
        self.check_claimant()?;
        // Acquire: the text before the flag; pairs with the Release in `write` or `taken`.
        let value = self.flag().load(Acquire);
        if (value != 0) != written {
            // A C program that looks all the time has its turn done in less than a sleep takes.
            let mut spin = self.spin.get();
            let found = spin.look(&mut |_| Ok((self.flag().load(Acquire) != 0) == written));
            self.spin.set(spin);
            if found? {
                return Ok(Waited::Ready);
            }
            let longest = deadline.left().map_or(LOOK, |left| left.min(LOOK));
            futex::wait(self.flag(), value, longest);
            if (self.flag().load(Acquire) != 0) != written {
                self.check()?;
                return Ok(if deadline.passed() { Waited::TimedOut } else { Waited::Woken });
            }
        }
        Ok(Waited::Ready)
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
        match to[..len].last() {
            Some(b'\n') => len - 1,
            _ => len,
        }
    }

    /// Gives the buffer back: the text is taken.
    pub fn taken(&self) {
        if self.check_claimant().is_err() {
            return;
        }
        // Release: the reads before it; pairs with the Acquire in `wait`.
        self.flag().store(0, Release);
        futex::wake(self.flag());
    }

    /// Can `text` pass whole?
    ///
    /// # Errors
    /// [`Error::TooLong`] above [`longest`](Self::longest) bytes; [`Error::HoldsNul`].
    pub fn check_text(&self, text: &[u8]) -> Result<()> {
        match memchr::memchr(0, text) {
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
    /// As [`check_text`](Self::check_text).
    pub fn write(&self, text: &[u8]) -> Result<()> {
        self.check_claimant()?;
        self.check_text(text)?;
        // An array of one byte has no room for the newline.
        let ends = if self.text > 1 { &[b'\n', 0][..] } else { &[0] };
        for (i, byte) in text.iter().chain(ends).enumerate() {
            // SAFETY: inside `some_text`; nobody reads it before the flag is set.
            unsafe { self.byte(i).write_volatile(*byte) };
        }
        // Release: the text before it; pairs with the Acquire in `wait`.
        self.flag().store(1, Release);
        futex::wake(self.flag());
        Ok(())
    }

    /// Removes the segment and the semaphores beside it.
    ///
    /// # Errors
    /// [`Error::System`] with EPERM for anybody but owner, creator and root.
    pub fn remove(&self) -> Result<()> {
        remove_both(Some(self.named()), Some(&self.roles))
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
        match self.held {
            Held::Server => self.roles.release_server(1),
            Held::Lane(lane) => self.roles.release_lane(lane),
        }
    }
}

/// Checks owner and size; returns the size of the text, and whether it is open to everybody.
fn accept(segment: NamedSegment, options: &Options) -> Result<(u32, bool)> {
    let stat = segment.stat_as(options)?;
    options.accepts(Object::Segment, &stat.perm, stat.bytes, false)?;
    let text = text::check(segment, stat.bytes, text::wanted(options)?)?;
    Ok((text, stat.perm.mode & 0o002 != 0))
}
