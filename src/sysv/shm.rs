//! Shared memory segments: `shmget(2)`, `shmat(2)`, `shmdt(2)`, `shmctl(2)`.
#![allow(unsafe_code)]

use super::{Key, Perm, PermChange, Result, SysError};
use core::ptr::{self, NonNull};
use nix::libc;

/// The call of [`lock`], as errors name it.
pub(crate) const LOCK: &str = "shmctl(SHM_LOCK)";

/// The kernel's number of one segment. A number is used again only after some ten thousand
/// further segments, so it tells a segment from a later one made under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShmId(i32);

impl ShmId {
    /// The number, as `ipcs -m` shows it.
    pub fn raw(self) -> i32 {
        self.0
    }
}

/// What `shmctl(IPC_STAT)` tells of a segment.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ShmStat {
    /// Owner, creator, mode.
    pub perm: Perm,
    /// Marked for destruction (`SHM_DEST`): its key is gone, it lives until the last detach.
    pub removed: bool,
    /// Locked into memory (`SHM_LOCKED`).
    pub locked: bool,
    /// Size in bytes, as the creator asked for it.
    pub bytes: usize,
    /// How many attaches there are now, the caller's own included.
    pub attaches: u64,
    /// Creator's process id.
    pub creator_pid: i32,
    /// Process id of the last `shmat` or `shmdt`.
    pub last_pid: i32,
    /// Last attach, seconds since the epoch; 0: never.
    pub attach_time: i64,
    /// Last detach, seconds since the epoch; 0: never.
    pub detach_time: i64,
    /// Creation or last IPC_SET, seconds since the epoch.
    pub change_time: i64,
}

/// Makes a new segment of `bytes`, all zero, with `mode`; never takes one that exists
/// (`IPC_CREAT | IPC_EXCL`).
///
/// # Errors
/// `EEXIST` where the key is in use; `ENOSPC`, `ENOMEM`, `EINVAL` at a limit of the system;
/// `ENOSYS` where the kernel has no System V IPC.
///
/// Source: [shmget(2)](https://man7.org/linux/man-pages/man2/shmget.2.html).
pub(crate) fn create(key: Key, bytes: usize, mode: u32) -> Result<ShmId> {
    get(key, bytes, libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as i32)
}

/// Finds the segment of `key`, whatever its size.
///
/// # Errors
/// `ENOENT` where there is none; `ENOSYS` where the kernel has no System V IPC.
///
/// Source: [shmget(2)](https://man7.org/linux/man-pages/man2/shmget.2.html).
pub(crate) fn find(key: Key) -> Result<ShmId> {
    get(key, 0, 0)
}

fn get(key: Key, bytes: usize, flags: i32) -> Result<ShmId> {
    // SAFETY: shmget takes plain numbers and touches no memory of ours.
    match unsafe { libc::shmget(key.raw(), bytes, flags) } {
        -1 => Err(SysError::last("shmget")),
        id => Ok(ShmId(id)),
    }
}

/// `shmctl(IPC_STAT)`.
///
/// # Errors
/// `EACCES` without read permission; `EINVAL`, `EIDRM` where the segment is gone.
///
/// Source: [shmctl(2)](https://man7.org/linux/man-pages/man2/shmctl.2.html).
pub(crate) fn stat(id: ShmId) -> Result<ShmStat> {
    Ok(decode(&raw_stat(id)?))
}

fn raw_stat(id: ShmId) -> Result<libc::shmid_ds> {
    // SAFETY: shmid_ds is plain data; all zero is a valid value of it.
    let mut ds: libc::shmid_ds = unsafe { core::mem::zeroed() };
    // SAFETY: IPC_STAT writes one shmid_ds to the pointer, which is ours and of that type.
    match unsafe { libc::shmctl(id.0, libc::IPC_STAT, &mut ds) } {
        -1 => Err(SysError::last("shmctl(IPC_STAT)")),
        _ => Ok(ds),
    }
}

/// What everybody may know of a segment: owner, creator, mode and size, also without read
/// permission on it.
///
/// Source: [proc_sysvipc(5)](https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html).
pub(crate) fn public_stat(id: ShmId) -> Option<(Perm, usize)> {
    super::info::shm_of(id.0).or_else(|| {
        let table = super::proc::read("/proc/sysvipc/shm")?;
        super::table_row(&table, id.0)
    })
}

#[allow(clippy::unnecessary_cast)] // the fields' widths differ from one architecture to the next
fn decode(ds: &libc::shmid_ds) -> ShmStat {
    let mode = ds.shm_perm.mode as u32;
    ShmStat {
        perm: Perm::from_raw(&ds.shm_perm),
        removed: mode & 0o1000 != 0,
        locked: mode & 0o2000 != 0,
        bytes: ds.shm_segsz as usize,
        attaches: ds.shm_nattch as u64,
        creator_pid: ds.shm_cpid as i32,
        last_pid: ds.shm_lpid as i32,
        attach_time: ds.shm_atime as i64,
        detach_time: ds.shm_dtime as i64,
        change_time: ds.shm_ctime as i64,
    }
}

/// Changes owner, group or mode (`shmctl(IPC_SET)`).
///
/// # Errors
/// `EPERM` for anybody but owner, creator and root; `EINVAL` where this user namespace has no such user or
/// group, and, as that of `shmctl(IPC_STAT)`, where it is gone.
///
/// Source: [shmctl(2)](https://man7.org/linux/man-pages/man2/shmctl.2.html).
pub(crate) fn set(id: ShmId, change: &PermChange) -> Result<()> {
    let mut ds = raw_stat(id)?;
    change.apply(&mut ds.shm_perm);
    // SAFETY: IPC_SET reads one shmid_ds from the pointer, which is ours and of that type.
    match unsafe { libc::shmctl(id.0, libc::IPC_SET, &mut ds) } {
        -1 => {
            let e = SysError::last("shmctl(IPC_SET)");
            raw_stat(id)?; // which says whether it is gone: EINVAL is of the numbers else
            Err(e)
        }
        _ => Ok(()),
    }
}

/// Marks the segment for destruction (`shmctl(IPC_RMID)`): the key is free at once, the memory
/// goes with the last detach.
///
/// # Errors
/// `EPERM` for anybody but owner, creator and root; `EINVAL`, `EIDRM` where it is gone already.
///
/// Source: [shmctl(2)](https://man7.org/linux/man-pages/man2/shmctl.2.html).
pub(crate) fn remove(id: ShmId) -> Result<()> {
    control(id, libc::IPC_RMID, "shmctl(IPC_RMID)")
}

/// Keeps the segment's pages out of swap (`shmctl(SHM_LOCK)`); pages count once touched.
///
/// # Errors
/// `EPERM`, `ENOMEM` where RLIMIT_MEMLOCK does not allow it.
///
/// Source: [shmctl(2)](https://man7.org/linux/man-pages/man2/shmctl.2.html).
pub(crate) fn lock(id: ShmId) -> Result<()> {
    control(id, libc::SHM_LOCK, LOCK)
}

fn control(id: ShmId, command: i32, call: &'static str) -> Result<()> {
    // SAFETY: these commands read and write no structure; the pointer may be null.
    match unsafe { libc::shmctl(id.0, command, ptr::null_mut()) } {
        -1 => Err(SysError::last(call)),
        _ => Ok(()),
    }
}

/// Where `shmat(2)` is to attach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The address; `None`: the kernel's choice.
    pub address: Option<usize>,
    /// Round the address down to a multiple of `SHMLBA` (`SHM_RND`).
    pub round: bool,
}

/// What may be done through an attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// `SHM_RDONLY`: a write through such an attach ends the process, so nothing that writes is
    /// ever built on one.
    Read,
    /// Read and write.
    Write,
}

/// One attach of a segment; dropping it detaches (`shmdt(2)`).
///
/// A System V segment has one size for its whole life and can't be truncated by a peer, so its
/// memory stays readable for as long as this value lives, even after IPC_RMID.
#[derive(Debug)]
pub(crate) struct Attach {
    base: NonNull<u8>,
    bytes: usize,
    id: ShmId,
}

// SAFETY: the memory belongs to the process, not to a thread, and the value holds only its
// address; what can be reached through it are atomics and bytes behind checked offsets.
unsafe impl Send for Attach {}

// SAFETY: as above: a shared reference gives address, size and number, nothing else.
unsafe impl Sync for Attach {}

impl Attach {
    /// Attaches the segment `id`.
    ///
    /// # Errors
    /// `EACCES` without permission, `EINVAL` for an address that is taken or not aligned to
    /// `SHMLBA`, `EIDRM` where the segment is gone, `ENOMEM`.
    ///
    /// Source: [shmat(2)](https://man7.org/linux/man-pages/man2/shmat.2.html).
    pub(crate) fn new(id: ShmId, place: Place, access: Access) -> Result<Self> {
        let mut flags = 0;
        if place.round {
            flags |= libc::SHM_RND;
        }
        if access == Access::Read {
            flags |= libc::SHM_RDONLY;
        }
        let address = place.address.unwrap_or(0) as *const libc::c_void;
        // SAFETY: without SHM_REMAP the kernel maps over nothing that is mapped already.
        let base = unsafe { libc::shmat(id.0, address, flags) };
        if base as isize == -1 {
            return Err(SysError::last("shmat"));
        }
        let base = NonNull::new(base.cast::<u8>())
            .ok_or(SysError { call: "shmat", errno: nix::errno::Errno::EFAULT })?;
        let mut attach = Self { base, bytes: 0, id };
        // The size is asked for after attaching: from here on the segment can't go away.
        attach.bytes = stat(id)?.bytes;
        Ok(attach)
    }

    /// First byte of the segment in this process; page aligned.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Size in bytes, from IPC_STAT: never from what stands inside the segment.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The attached segment.
    pub(crate) fn id(&self) -> ShmId {
        self.id
    }
}

impl Drop for Attach {
    fn drop(&mut self) {
        // SAFETY: `base` came from shmat in `new` and is detached once, here; everything that
        // points into the segment lives inside a value that owns this one and goes before it.
        unsafe { libc::shmdt(self.base.as_ptr().cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn a_segment_is_what_the_kernels_table_says_until_it_is_gone() {
        let key = Key::of_a_test();
        // The first one ever has the number 0.
        remove(create(key, 1, 0o600).unwrap()).unwrap();
        let id = create(key, 5000, 0o640).unwrap();
        let table = super::super::proc::read("/proc/sysvipc/shm").unwrap();
        let (perm, size) = super::super::table_row(&table, id.raw()).unwrap();
        assert_eq!((perm.mode, size), (0o640, 5000));
        let attach = Attach::new(id, Place::default(), Access::Read).unwrap();
        let seen = stat(id).unwrap();
        assert_eq!((seen.perm, seen.bytes, seen.attaches), (perm, 5000, 1));
        assert!(!seen.removed && !seen.locked);
        // No user has that number.
        let nobody = PermChange { uid: Some(u32::MAX), ..PermChange::default() };
        assert_eq!(set(id, &nobody).unwrap_err().errno, Errno::EINVAL);
        remove(id).unwrap();
        // Its memory lives as long as it is attached.
        assert!(stat(id).unwrap().removed);
        drop(attach);
        assert!(stat(id).is_err());
    }
}
