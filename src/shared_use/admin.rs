//! Mending a segment of the C demo's kind: as for a channel, and with a look for programs that know no
//! roles. A semaphore set of the C programs' own is left alone.

use super::text;
use crate::channel::named::NamedSegment;
use crate::channel::{admin, Options};
use crate::error::{Error, Result};
use crate::sysv::shm::ShmStat;
use crate::sysv::PermChange;

/// There is one lane.
fn check(found: NamedSegment, stat: &ShmStat, _: bool) -> Result<u32> {
    text::check(found, stat.bytes, None).map(|_| 1)
}

fn check_unused(found: NamedSegment, stat: &ShmStat, locked: bool) -> Result<u32> {
    let lanes = check(found, stat, locked)?;
    match stat.attaches {
        0 => Ok(lanes),
        others => Err(Error::InUse { key: found.key, others, last_pid: stat.last_pid }),
    }
}

/// Changes owner, group or mode of the segment and of this library's semaphore set (IPC_SET).
///
/// # Errors
/// As [`crate::set`].
pub fn set(options: &Options, change: &PermChange) -> Result<()> {
    admin::set_checked(options, change, check, true)
}

/// Removes the segment and this library's semaphore set (IPC_RMID).
///
/// # Errors
/// As [`crate::remove`], and [`Error::InUse`] while anybody is attached, unless `force`.
pub fn remove(options: &Options, force: bool) -> Result<()> {
    admin::remove_checked(options, force, check_unused, true)
}
