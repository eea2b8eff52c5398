//! Finding, making and joining the segment, and taking an end of it.

use super::semaphore::ForeignSemaphore;
use super::{segment_bytes, text, End, Guard, SharedUseSegment, LOOK, TEXT_BYTES};
use crate::channel::claimant::Claimant;
use crate::channel::named::NamedSegment;
use crate::channel::roles::{lock_wait, Roles};
use crate::channel::Options;
use crate::deadline::Deadline;
use crate::error::{Awaited, Error, Object, Result};
use crate::sysv::shm::Attach;
use crate::wake::SpinPolicy;
use core::cell::Cell;
use nix::errno::Errno;

impl SharedUseSegment {
    /// Opens or creates the segment and takes one end of it. Of this library's programs one may
    /// be at each end; C programs of the demo know no roles. With [`Options::foreign_semaphore`] it
    /// also waits for the C programs to make theirs, and nothing counts who is at which end.
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
                    let missing =
                        options.foreign_semaphore && ForeignSemaphore::find(options)?.is_none();
                    let awaited = if missing { Awaited::Semaphore } else { Awaited::Channel };
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
        if options.foreign_semaphore {
            let Some(semaphore) = ForeignSemaphore::find(options)? else { return Ok(None) };
            let found = Self::attach(options, mode, None)?;
            return Ok(Some(Self::of(options, end, Guard::Semaphore(semaphore), found)));
        }
        let roles = match Roles::find(key)? {
            Some(roles) => roles,
            None => match Roles::create(key, mode)? {
                Some(roles) => {
                    options.give_over(|change| roles.set(change))?;
                    roles
                }
                None => return Ok(None),
            },
        };
        roles.accept(options, false)?;
        roles.lock(lock_wait(deadline))?;
        let found = Self::attach(options, mode, Some(&roles));
        roles.unlock();
        let found = found?;
        match end {
            End::Server => roles.claim_server(1)?,
            End::Client => drop(roles.claim_lane(1, deadline)?),
        }
        Ok(Some(Self::of(options, end, Guard::Roles(roles), found)))
    }

    fn of(options: &Options, end: End, guard: Guard, found: (Attach, u32, bool)) -> Self {
        let (attach, text, open_to_all) = found;
        Self {
            options: options.clone(),
            attach,
            end,
            guard,
            claimant: Claimant::this(),
            text,
            spin: Cell::new(SpinPolicy::new()),
            open_to_all,
        }
    }

    /// Finds or makes the segment; where there are roles, under their lock.
    fn attach(options: &Options, mode: u32, roles: Option<&Roles>) -> Result<(Attach, u32, bool)> {
        let key = options.key;
        let new_text = text::wanted(options)?.unwrap_or(TEXT_BYTES);
        let size = segment_bytes(new_text);
        if let Some(roles) = roles {
            if roles.in_use()?.is_none() {
                roles.set_free_lanes(1)?;
            }
        }
        let mut made = false;
        let segment = match NamedSegment::find(key)? {
            Some(found) => found,
            None => match NamedSegment::create(key, size, mode) {
                Ok(new) => {
                    if let Err(e) = options.give_over(|change| new.set(change)) {
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
}

/// Checks owner and size; returns the size of the text, and whether it is open to everybody.
pub(super) fn accept(segment: NamedSegment, options: &Options) -> Result<(u32, bool)> {
    let stat = segment.stat_as(options)?;
    options.accepts(Object::Segment, &stat.perm, stat.bytes, false)?;
    let text = text::check(segment, stat.bytes, text::wanted(options)?)?;
    Ok((text, stat.perm.mode & 0o002 != 0))
}
