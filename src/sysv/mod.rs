//! The kernel's System V facilities, one module each: [`shm`] (shared memory segments), [`sem`]
//! (semaphore sets) and [`key`] (the keys both are found by).
//!
//! These are thin: one function a system call, the man page's names, and an error that carries
//! the call and the errno. What a failed call means for a channel, and what to do next, is said
//! one level up, in [`crate::Error`].
//!
//! Source: [sysvipc(7)](https://man7.org/linux/man-pages/man7/sysvipc.7.html).

pub(crate) mod info;
pub(crate) mod key;
pub(crate) mod limits;
pub(crate) mod proc;
pub(crate) mod sem;
pub(crate) mod shm;

use nix::errno::Errno;

pub use key::{Key, NoKey};

/// A system call that failed, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SysError {
    pub(crate) call: &'static str,
    pub(crate) errno: Errno,
}

impl SysError {
    /// The call's name as in its man page, with the command where it has one: `semctl(GETVAL)`.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// The kernel's reason, as in [errno(3)](https://man7.org/linux/man-pages/man3/errno.3.html).
    pub fn errno(&self) -> i32 {
        self.errno as i32
    }

    /// The error that `errno(3)` holds now, for `call`.
    pub(crate) fn last(call: &'static str) -> Self {
        Self { call, errno: Errno::last() }
    }

    /// Is it one of shmctl(2) or semctl(2)?
    pub(crate) fn is_control(&self) -> bool {
        self.call.as_bytes().get(3..6) == Some(b"ctl")
    }

    /// Was it a change of owner, group or mode?
    pub(crate) fn is_set(&self) -> bool {
        self.call.ends_with("(IPC_SET)")
    }

    /// Is it that the caller may not?
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.errno, Errno::EACCES | Errno::EPERM)
    }
}

impl core::fmt::Display for SysError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {:?} ({})", self.call, self.errno, self.errno.desc())
    }
}

impl std::error::Error for SysError {}

/// Result of one system call.
pub(crate) type Result<T> = core::result::Result<T, SysError>;

/// Who owns a System V object and who may use it: the fields of `struct ipc_perm`.
///
/// Source: [sysvipc(7)](https://man7.org/linux/man-pages/man7/sysvipc.7.html), `struct ipc_perm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Perm {
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Creator's user id: never changes.
    pub cuid: u32,
    /// Creator's group id.
    pub cgid: u32,
    /// The low nine bits: read and write for owner, group, others.
    pub mode: u32,
}

impl Perm {
    #[allow(clippy::unnecessary_cast)] // the fields' widths differ from one architecture to the next
    pub(crate) fn from_raw(raw: &nix::libc::ipc_perm) -> Self {
        Self {
            uid: raw.uid as u32,
            gid: raw.gid as u32,
            cuid: raw.cuid as u32,
            cgid: raw.cgid as u32,
            mode: raw.mode as u32 & 0o777,
        }
    }
}

/// A change of owner, group or mode for IPC_SET; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermChange {
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New mode, nine bits.
    pub mode: Option<u32>,
}

impl PermChange {
    /// Is there nothing to change?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    #[allow(clippy::unnecessary_cast)]
    pub(crate) fn apply(&self, raw: &mut nix::libc::ipc_perm) {
        if let Some(uid) = self.uid {
            raw.uid = uid as _;
        }
        if let Some(gid) = self.gid {
            raw.gid = gid as _;
        }
        if let Some(mode) = self.mode {
            raw.mode = (mode & 0o777) as _;
        }
    }
}

/// The row of object `id` in a table below `/proc/sysvipc`: its permissions and the size column.
///
/// Columns: `shm` is key shmid perms size cpid lpid nattch uid gid cuid cgid …; `sem` is key
/// semid perms nsems uid gid cuid cgid ….
fn table_row(table: &str, id: i32) -> Option<(Perm, usize)> {
    let heading = table.split('\n').next()?;
    let cell = |row: &str, names: [&str; 2]| {
        let mut columns = heading.split_ascii_whitespace();
        let at = columns.position(|heading| names.contains(&heading))?;
        let cell = row.split_ascii_whitespace().nth(at)?;
        // Digits only, as the kernel writes them.
        Some(
            cell.bytes().fold(0_usize, |n, b| n.wrapping_mul(10).wrapping_add(usize::from(b & 15))),
        )
    };
    let of_id = |row: &&str| cell(row, ["shmid", "semid"]) == Some(id as usize);
    let row = table.split('\n').skip(1).find(of_id)?;
    let number = |name| cell(row, [name, name]).map(|n| n as u32);
    let perms = number("perms")?; // in octal
    Some((
        Perm {
            uid: number("uid")?,
            gid: number("gid")?,
            cuid: number("cuid")?,
            cgid: number("cgid")?,
            mode: ((perms / 100 % 10) << 6) | ((perms / 10 % 10) << 3) | (perms % 10),
        },
        cell(row, ["size", "nsems"])?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_public_tables() {
        let shm = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  \
                   cuid  cgid      atime      dtime      ctime                   rss\n\
                   1234          7   600                 66432   100   101      2  1000   100  1001   \
                   102 1 2 3 4096\n";
        let (perm, size) = table_row(shm, 7).unwrap();
        assert_eq!(perm, Perm { uid: 1000, gid: 100, cuid: 1001, cgid: 102, mode: 0o600 });
        assert_eq!(size, 66432);
        assert!(table_row(shm, 8).is_none());
        let sem = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      \
                   ctime\n 1234 3 640 69 5 6 7 8 9 10\n";
        let (perm, size) = table_row(sem, 3).unwrap();
        assert_eq!((perm.uid, perm.mode, size), (5, 0o640, 69));
    }
}
