//! Mending: changing owner, group or mode, and removing, without taking part.

use super::roles::Roles;
use super::{inspect, Channel, Opened, Options};
use crate::deadline::Deadline;
use crate::error::{Error, Object, Result};
use crate::segment::atomic::Ordering::Relaxed;
use crate::segment::Segment;
use crate::sysv::shm::{self, AttachOptions, ShmId, ShmStat};
use crate::sysv::{sem, Key, PermChange};
use nix::errno::Errno;

/// What is there under a key.
struct Found {
    segment: Option<ShmId>,
    roles: Option<Roles>,
}

/// Finds what stands under the key and checks whose it is; not its mode, which may be what is to
/// be mended.
fn find(options: &Options) -> Result<Found> {
    let key = options.key;
    let segment = inspect::find_segment(key)?;
    if let Some(id) = segment {
        let stat = inspect::stat(options, id)?;
        options.accepts(Object::Segment, &stat.perm, stat.bytes, false)?;
    }
    let roles = Roles::find(key)?;
    if let Some(roles) = &roles {
        inspect::accept_set(roles, options, false)?;
    }
    if segment.is_none() && roles.is_none() {
        return Err(Error::NoChannel(key));
    }
    Ok(Found { segment, roles })
}

/// Is the segment a channel's? Looked at through a read-only attach.
fn check(key: Key, id: ShmId, _: &ShmStat) -> Result<()> {
    let look = AttachOptions { read_only: true, ..Default::default() };
    let attach = inspect::attach(key, id, &look)?;
    let bytes = attach.bytes();
    let segment = Segment::new(attach).ok_or_else(|| inspect::too_small(key, bytes))?;
    inspect::check_header(key, segment.header(), bytes).map(drop)
}

/// What a protocol has to say against changing or removing a segment.
pub(crate) type Check = fn(Key, ShmId, &ShmStat) -> Result<()>;

/// Changes owner, group or mode of segment and semaphore set (IPC_SET).
///
/// # Errors
/// [`Error::NoChannel`]; [`Error::NotAccepted`] where it is somebody else's; [`Error::NotOurs`]
/// where it is no channel; [`Error::System`] with EPERM for anybody but owner, creator and root.
pub fn set(options: &Options, change: &PermChange) -> Result<()> {
    set_checked(options, change, check)
}

pub(crate) fn set_checked(options: &Options, change: &PermChange, check: Check) -> Result<()> {
    let key = options.key;
    let found = find(options)?;
    let id = found.segment.ok_or(Error::NoChannel(key))?;
    check(key, id, &inspect::stat_ours(key, id)?)?;
    // The set first: with a new owner the segment may be out of reach after.
    if let Some(roles) = found.roles {
        sem::set(roles.id(), change).map_err(|e| Error::from_sys(key, Object::Semaphores, e))?;
    }
    shm::set(id, change).map_err(|e| Error::from_sys(key, Object::Segment, e))
}

/// Removes segment and semaphore set (IPC_RMID).
///
/// # Errors
/// [`Error::Busy`] with role and pid while somebody holds a role, unless `force`;
/// [`Error::NotOurs`] where it is no channel or damaged, unless `force`; [`Error::NoChannel`];
/// [`Error::NotAccepted`]; [`Error::System`] with EPERM.
pub fn remove(options: &Options, force: bool) -> Result<()> {
    remove_checked(options, force, check)
}

pub(crate) fn remove_checked(options: &Options, force: bool, check: Check) -> Result<()> {
    let key = options.key;
    let found = match find(options) {
        // A foreign set beside a segment of ours is left alone.
        Err(Error::NotOurs { object: Object::Semaphores, .. }) if force => {
            Found { segment: inspect::find_segment(key)?, roles: None }
        }
        other => other?,
    };
    if let (Some(id), false) = (found.segment, force) {
        check(key, id, &inspect::stat_ours(key, id)?)?;
    }
    if let (Some(roles), false) = (&found.roles, force) {
        if let Some((role, pid)) = roles.in_use()? {
            return Err(Error::Busy { key, role, pid });
        }
    }
    remove_both(key, found.segment, found.roles.as_ref())
}

impl Channel {
    /// A role could not be claimed. What this call made only for that, and nobody used since, goes.
    pub(crate) fn without_role(&self, error: Error) -> Error {
        let refused = matches!(error, Error::System { .. });
        let unused = || {
            let alone = inspect::stat_ours(self.key(), self.id()).is_ok_and(|s| s.attaches <= 1);
            let sent = (0..self.geometry().lanes).any(|number| {
                let (control, _) = self.segment().lane(&self.geometry(), number);
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
        remove_both(self.key(), Some(self.id()), Some(self.roles()))
    }
}

pub(crate) fn remove_both(key: Key, segment: Option<ShmId>, roles: Option<&Roles>) -> Result<()> {
    // Under the lock, so that nobody joins what is being removed; but not for ever: the holder of
    // the lock may be stopped.
    let lock_wait = core::time::Duration::from_secs(1);
    let locked = roles.filter(|roles| roles.lock(Deadline::after(lock_wait)).is_ok());
    let gone = |object, result: crate::sysv::Result<()>| match result {
        Err(e) if matches!(e.errno, Errno::EIDRM | Errno::EINVAL) => Ok(()),
        other => other.map_err(|e| Error::from_sys(key, object, e)),
    };
    let mut result = Ok(());
    if let Some(id) = segment {
        result = gone(Object::Segment, shm::remove(id));
    }
    // Without the segment the set is of no use; with it (EPERM) it is still needed.
    if let (Ok(()), Some(roles)) = (&result, roles) {
        result = gone(Object::Semaphores, sem::remove(roles.id()));
    }
    if let (Err(_), Some(roles)) = (&result, locked) {
        roles.unlock();
    }
    result
}
