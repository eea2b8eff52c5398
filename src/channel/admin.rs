//! Mending: changing owner, group or mode, and removing, without taking part.

use super::named::NamedSegment;
use super::roles::Roles;
use super::{inspect, Channel, Opened, Options};
use crate::deadline::Deadline;
use crate::error::{Error, Object, Result};
use crate::segment::atomic::Ordering::Relaxed;
use crate::segment::Segment;
use crate::sysv::shm::ShmStat;
use crate::sysv::PermChange;
use core::time::Duration;

/// How long who removes waits for who creates or joins.
const REMOVE_WAIT: Duration = Duration::from_secs(1);

/// What is there under a key.
struct Found {
    segment: Option<NamedSegment>,
    roles: Option<Roles>,
}

/// Finds what stands under the key and checks whose it is; not its mode, which may be what is to
/// be mended.
fn find(options: &Options) -> Result<Found> {
    let key = options.key;
    let segment = NamedSegment::find(key)?;
    if let Some(found) = segment {
        let stat = found.stat_as(options)?;
        options.accepts(Object::Segment, &stat.perm, stat.bytes, false)?;
    }
    let roles = Roles::find(key)?;
    if let Some(roles) = &roles {
        roles.accept(options, false)?;
    }
    if segment.is_none() && roles.is_none() {
        return Err(Error::NoChannel(key));
    }
    Ok(Found { segment, roles })
}

/// The same, and where `leave` says so, a foreign set beside the segment is left alone.
fn find_or_leave(options: &Options, leave: bool) -> Result<Found> {
    match find(options) {
        Err(Error::NotOurs { object: Object::Semaphores, .. }) if leave => {
            let found = NamedSegment::find(options.key)?;
            let segment = Some(found.ok_or(Error::NoChannel(options.key))?);
            Ok(Found { segment, roles: None })
        }
        other => other,
    }
}

/// Is the segment a channel's? Looked at through a read-only attach.
fn check(found: NamedSegment, _: &ShmStat, locked: bool) -> Result<u32> {
    let key = found.key;
    let attach = found.view()?;
    let bytes = attach.bytes();
    let segment = Segment::new(attach).ok_or_else(|| inspect::too_small(key, bytes))?;
    let geometry = match locked {
        true => inspect::check_header(key, segment.header(), bytes),
        false => inspect::await_header(key, &segment, bytes),
    };
    Ok(geometry?.lanes)
}

/// What a protocol has to say against changing or removing a segment; else how many lanes it has. The
/// last word says that the caller has the creation lock.
pub(crate) type Check = fn(NamedSegment, &ShmStat, bool) -> Result<u32>;

/// Changes owner, group or mode of segment and semaphore set (IPC_SET).
///
/// # Errors
/// [`Error::NoChannel`]; [`Error::NotAccepted`] where it is somebody else's; [`Error::NotOurs`]
/// where it is no channel; [`Error::System`] with EPERM for anybody but owner, creator and root.
pub fn set(options: &Options, change: &PermChange) -> Result<()> {
    set_checked(options, change, check, false)
}

pub(crate) fn set_checked(
    options: &Options,
    change: &PermChange,
    check: Check,
    leave: bool,
) -> Result<()> {
    let key = options.key;
    let found = find_or_leave(options, leave)?;
    let segment = found.segment.ok_or(Error::NoChannel(key))?;
    check(segment, &segment.stat()?, false)?;
    // The set first: with a new owner the segment may be out of reach after.
    if let Some(roles) = found.roles {
        roles.set(change)?;
    }
    segment.set(change)
}

/// Removes segment and semaphore set (IPC_RMID).
///
/// # Errors
/// [`Error::Busy`] with role and pid while somebody holds a role, unless `force`;
/// [`Error::NotOurs`] where it is no channel or damaged, unless `force`; [`Error::NoChannel`];
/// [`Error::NotAccepted`]; [`Error::System`] with EPERM.
pub fn remove(options: &Options, force: bool) -> Result<()> {
    remove_checked(options, force, check, false)
}

pub(crate) fn remove_checked(
    options: &Options,
    force: bool,
    check: Check,
    leave: bool,
) -> Result<()> {
    let found = find_or_leave(options, leave || force)?;
    if force {
        return remove_both(found.segment, found.roles.as_ref());
    }
    if let Some(segment) = found.segment {
        check(segment, &segment.stat()?, false)?;
    }
    let Some(roles) = &found.roles else { return take_away(found.segment, None) };
    roles.lock(Deadline::after(REMOVE_WAIT))?;
    let removed = remove_unused(options, roles, check);
    if removed.is_err() {
        roles.unlock();
    }
    removed
}

/// Removes what nobody uses, or begins to. Under the lock, where nobody makes or joins anything.
fn remove_unused(options: &Options, roles: &Roles, check: Check) -> Result<()> {
    let segment = NamedSegment::find(options.key)?;
    let mut lanes = None;
    if let Some(segment) = segment {
        let stat = segment.stat_as(options)?;
        options.accepts(Object::Segment, &stat.perm, stat.bytes, false)?;
        lanes = Some(check(segment, &stat, true)?);
    }
    let claimed = roles.claim_all(lanes)?;
    let removed = take_away(segment, Some(roles));
    if removed.is_err() {
        roles.release_all(claimed);
    }
    removed
}

impl Channel {
    /// A role could not be claimed. What this call made only for that, and nobody used since, goes.
    pub(crate) fn without_role(&self, error: Error) -> Error {
        let refused = matches!(error, Error::System { .. });
        let unused = || {
            let alone = self.named().stat().is_ok_and(|s| s.attaches <= 1);
            let sent = (0..self.geometry().lanes).any(|number| {
                let control = self.segment().control(&self.geometry(), number);
                control.producer.tail.load(Relaxed) != 0
            });
            alone && !sent && self.roles().in_use().is_ok_and(|holder| holder.is_none())
        };
        if refused && self.opened() == Opened::Created && unused() {
            let _ = self.remove();
        }
        error
    }

    /// Removes segment and semaphores. Who still uses them finds out at the next wait or batch.
    ///
    /// # Errors
    /// [`Error::System`] with EPERM for anybody but owner, creator and root.
    pub fn remove(&self) -> Result<()> {
        remove_both(Some(self.named()), Some(self.roles()))
    }
}

fn take_away(segment: Option<NamedSegment>, roles: Option<&Roles>) -> Result<()> {
    segment.map_or(Ok(()), NamedSegment::remove)?;
    // Without the segment the set is of no use; with it (EPERM) it is still needed.
    roles.map_or(Ok(()), Roles::remove)
}

pub(crate) fn remove_both(segment: Option<NamedSegment>, roles: Option<&Roles>) -> Result<()> {
    // Under the lock, so that nobody joins what is being removed; but not for ever: the holder of
    // the lock may be stopped.
    let locked = roles.filter(|roles| roles.lock(Deadline::after(REMOVE_WAIT)).is_ok());
    let result = take_away(segment, roles);
    if let (Err(_), Some(roles)) = (&result, locked) {
        roles.unlock();
    }
    result
}
