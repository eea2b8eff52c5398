//! Semaphore sets: `semget(2)`, `semop(2)`, `semtimedop(2)`, `semctl(2)`.
#![allow(unsafe_code)]

use super::{Key, Perm, PermChange, Result, SysError};
use core::time::Duration;
use nix::errno::Errno;
use nix::libc;

extern "C" {
    // Not in the crate `libc`; the C library's function of this name takes its own `timespec`.
    fn semtimedop(
        semid: libc::c_int,
        sops: *mut libc::sembuf,
        nsops: libc::size_t,
        timeout: *const libc::timespec,
    ) -> libc::c_int;
}

/// Largest value of one semaphore (`SEMVMX`).
pub(crate) const SEMVMX: i32 = 32767;

/// The kernel's number of one semaphore set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SemId(i32);

impl SemId {
    /// The number, as `ipcs -s` shows it.
    pub(crate) fn raw(self) -> i32 {
        self.0
    }

    pub(crate) fn from_raw(raw: i32) -> Self {
        Self(raw)
    }
}

/// One operation of a [`operate`] call: all of a call's operations happen at once, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Op {
    /// Number of the semaphore in its set.
    pub num: u16,
    /// Added to its value; negative: waits until the value is that large; 0: waits for zero.
    pub change: i16,
    /// The kernel takes it back when the process ends, however it ends (`SEM_UNDO`).
    pub undo: bool,
}

impl Op {
    /// An operation that stays.
    pub(crate) const fn new(num: u16, change: i16) -> Self {
        Self { num, change, undo: false }
    }

    /// An operation that the kernel takes back when the process ends.
    pub(crate) const fn undo(num: u16, change: i16) -> Self {
        Self { num, change, undo: true }
    }
}

/// How long [`operate`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all (`IPC_NOWAIT`): `EAGAIN` at once.
    Never,
    /// At most so long: then `EAGAIN`.
    For(Duration),
    /// Until it happens, a signal comes (`EINTR`) or the set is removed (`EIDRM`).
    Forever,
}

/// Makes a new set of `count` semaphores, all 0; never takes one that exists
/// (`IPC_CREAT | IPC_EXCL`).
///
/// POSIX leaves the first values open; Linux makes them 0 and says so, and everything here
/// is built so that 0 is the right value to begin with: no initialising, no window before it.
///
/// # Errors
/// `EEXIST` where the key is in use; `ENOSPC`, `ENOMEM` at a limit of the system; `ENOSYS`
/// where the kernel has no System V IPC.
///
/// Source: [semget(2)](https://man7.org/linux/man-pages/man2/semget.2.html), section NOTES.
pub(crate) fn create(key: Key, count: u16, mode: u32) -> Result<SemId> {
    get(key, i32::from(count), libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as i32)
}

/// Finds the set of `key`, whatever its size.
///
/// # Errors
/// `ENOENT` where there is none; `ENOSYS` where the kernel has no System V IPC.
///
/// Source: [semget(2)](https://man7.org/linux/man-pages/man2/semget.2.html).
pub(crate) fn find(key: Key) -> Result<SemId> {
    get(key, 0, 0)
}

fn get(key: Key, count: i32, flags: i32) -> Result<SemId> {
    // SAFETY: semget takes plain numbers and touches no memory of ours.
    match unsafe { libc::semget(key.raw(), count, flags) } {
        -1 => Err(SysError::last("semget")),
        id => Ok(SemId(id)),
    }
}

/// Does all of `ops` at once, or none of them.
///
/// # Errors
/// `EAGAIN` where it would have to wait longer than `wait`; `EINTR` at a signal; `EIDRM`,
/// `EINVAL` where the set is gone; `EACCES` without write permission; `ERANGE` where a value
/// would pass [`SEMVMX`].
///
/// Source: [semop(2)](https://man7.org/linux/man-pages/man2/semop.2.html).
pub(crate) fn operate(id: SemId, ops: &[Op], wait: Wait) -> Result<()> {
    let nowait = if wait == Wait::Never { libc::IPC_NOWAIT } else { 0 };
    let mut raw: heapless::Vec<libc::sembuf, 80> = heapless::Vec::new();
    for op in ops {
        let flags = nowait | if op.undo { libc::SEM_UNDO } else { 0 };
        let buf = libc::sembuf { sem_num: op.num, sem_op: op.change, sem_flg: flags as i16 };
        if raw.push(buf).is_err() {
            return Err(SysError { call: "semop", errno: Errno::E2BIG });
        }
    }
    let result = match wait {
        Wait::For(longest) => {
            let timeout = timespec(longest);
            // SAFETY: `raw` holds `raw.len()` operations and `timeout` one timespec; both live
            // through the call and the kernel writes to neither.
            unsafe { semtimedop(id.0, raw.as_mut_ptr(), raw.len(), &timeout) }
        }
        // SAFETY: as above, without a timeout.
        _ => unsafe { libc::semop(id.0, raw.as_mut_ptr(), raw.len()) },
    };
    match result {
        -1 => Err(SysError::last("semop")),
        _ => Ok(()),
    }
}

fn timespec(d: Duration) -> libc::timespec {
    // SAFETY: timespec is plain data; some targets pad it, so it is made from zeros.
    let mut ts: libc::timespec = unsafe { core::mem::zeroed() };
    // About 68 years at the most: a 32-bit time_t holds it.
    ts.tv_sec = d.as_secs().min(i32::MAX as u64) as _;
    ts.tv_nsec = d.subsec_nanos() as _;
    ts
}

/// The value of semaphore `num` (`GETVAL`).
///
/// # Errors
/// `EIDRM`, `EINVAL` where the set is gone; `EACCES` without read permission.
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html).
pub(crate) fn value(id: SemId, num: u16) -> Result<i32> {
    control(id, num, libc::GETVAL, 0, "semctl(GETVAL)")
}

/// The values of all semaphores of a set of at most `N` (`GETALL`); two system calls.
///
/// # Errors
/// As [`value`]; `ERANGE` where the set has more than `N`.
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html).
pub(crate) fn values<const N: usize>(id: SemId) -> Result<[u16; N]> {
    const CALL: &str = "semctl(GETALL)";
    match value(id, N as u16) {
        Err(e) if e.errno == Errno::EINVAL => {}
        Err(e) => return Err(e),
        Ok(_) => return Err(SysError { call: CALL, errno: Errno::ERANGE }),
    }
    let mut all = [0; N];
    // SAFETY: GETALL writes one number for each semaphore of the set. The set has no semaphore `N`,
    // as was just seen, and a set never grows; one removed since fails, as its number is not used again.
    match unsafe { libc::semctl(id.0, 0, libc::GETALL, Semun { array: all.as_mut_ptr() }) } {
        -1 => Err(SysError::last(CALL)),
        _ => Ok(all),
    }
}

/// The process that did the last operation on semaphore `num` (`GETPID`), as seen from the
/// caller's own pid namespace; 0: nobody yet, or somebody outside.
///
/// # Errors
/// As [`value`].
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html).
pub(crate) fn pid(id: SemId, num: u16) -> Result<i32> {
    control(id, num, libc::GETPID, 0, "semctl(GETPID)")
}

/// How many processes wait for semaphore `num` to grow (`GETNCNT`).
///
/// # Errors
/// As [`value`].
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html).
pub(crate) fn waiters(id: SemId, num: u16) -> Result<i32> {
    control(id, num, libc::GETNCNT, 0, "semctl(GETNCNT)")
}

/// Sets semaphore `num` (`SETVAL`). This wipes every process's SEM_UNDO record for it, so it
/// may be used only while nobody holds it.
///
/// # Errors
/// As [`value`], and `ERANGE`.
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html).
pub(crate) fn set_value(id: SemId, num: u16, value: i32) -> Result<()> {
    control(id, num, libc::SETVAL, value, "semctl(SETVAL)").map(drop)
}

/// Removes the set at once (`IPC_RMID`); whoever waits on it wakes with `EIDRM`.
///
/// # Errors
/// `EPERM` for anybody but owner, creator and root; `EINVAL`, `EIDRM` where it is gone already.
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html).
pub(crate) fn remove(id: SemId) -> Result<()> {
    control(id, 0, libc::IPC_RMID, 0, "semctl(IPC_RMID)").map(drop)
}

/// The fourth argument of `semctl`, which is this union, passed by value, whatever the command.
///
/// A plain int in its place is read right only where the int's bytes happen to be the union's:
/// not on 64-bit big-endian machines, where they are the upper half, nor on 32-bit PowerPC,
/// where a union travels as a pointer to it.
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html), `union semun`.
#[repr(C)]
#[derive(Clone, Copy)]
union Semun {
    val: libc::c_int,
    buf: *mut SemidDs,
    array: *mut libc::c_ushort,
}

fn control(id: SemId, num: u16, command: i32, arg: i32, call: &'static str) -> Result<i32> {
    // SAFETY: these commands take the union's int or nothing as their fourth argument and touch
    // no memory of ours.
    match unsafe { libc::semctl(id.0, i32::from(num), command, Semun { val: arg }) } {
        -1 => Err(SysError::last(call)),
        n => Ok(n),
    }
}

/// `struct semid_ds` as far as it is the same everywhere: `sem_perm` first, then times and the
/// count, whose places differ; room for all of them.
#[repr(C)]
union SemidDs {
    perm: libc::ipc_perm,
    words: [libc::c_ulong; 32],
}

fn raw_stat(id: SemId) -> Result<SemidDs> {
    let mut ds = SemidDs { words: [0; 32] };
    // SAFETY: IPC_STAT writes one semid_ds, which is at most 104 bytes on every Linux
    // architecture; `ds` has 128 or more and is ours.
    match unsafe { libc::semctl(id.0, 0, libc::IPC_STAT, Semun { buf: &mut ds }) } {
        -1 => Err(SysError::last("semctl(IPC_STAT)")),
        _ => Ok(ds),
    }
}

/// `semctl(IPC_STAT)`: owner, creator, mode.
///
/// # Errors
/// `EACCES` without read permission; `EINVAL`, `EIDRM` where the set is gone.
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html).
pub(crate) fn stat(id: SemId) -> Result<Perm> {
    let ds = raw_stat(id)?;
    // SAFETY: the kernel filled `perm`, the first field of semid_ds on every architecture.
    Ok(Perm::from_raw(unsafe { &ds.perm }))
}

/// What everybody may know of a set: owner, creator, mode and number of semaphores, also without
/// read permission on it.
///
/// Source: [proc_sysvipc(5)](https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html).
pub(crate) fn public_stat(key: Key, id: SemId) -> Option<(Perm, usize)> {
    match super::info::sem_of(id.0) {
        Some(perm) => Some((perm, count(key) as usize)),
        None => {
            let table = super::proc::read("/proc/sysvipc/sem")?;
            super::table_row(&table, id.0)
        }
    }
}

/// Changes owner, group or mode (`semctl(IPC_SET)`).
///
/// # Errors
/// `EPERM` for anybody but owner, creator and root; `EINVAL` where this user namespace has no such user or
/// group, and, as that of `semctl(IPC_STAT)`, where it is gone.
///
/// Source: [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html).
pub(crate) fn set(id: SemId, change: &PermChange) -> Result<()> {
    let mut ds = raw_stat(id)?;
    // SAFETY: as in `stat`.
    change.apply(unsafe { &mut ds.perm });
    // SAFETY: IPC_SET reads one semid_ds from `ds`, which holds what IPC_STAT wrote.
    match unsafe { libc::semctl(id.0, 0, libc::IPC_SET, Semun { buf: &mut ds }) } {
        -1 => {
            let e = SysError::last("semctl(IPC_SET)");
            raw_stat(id)?; // which says whether it is gone: EINVAL is of the numbers else
            Err(e)
        }
        _ => Ok(()),
    }
}

/// Does the set of `key` have exactly `count` semaphores?
///
/// # Errors
/// As [`find`], and `EACCES`.
pub(crate) fn has_count(key: Key, id: SemId, count: u16) -> Result<bool> {
    // semget refuses a count larger than the set's with EINVAL, and semctl a number behind it.
    match get(key, i32::from(count), 0) {
        Err(e) if e.errno == Errno::EINVAL => return Ok(false),
        Err(e) => return Err(e),
        Ok(found) if found != id => return Ok(false),
        Ok(_) => {}
    }
    match value(id, count) {
        Err(e) if e.errno == Errno::EINVAL => Ok(true),
        Err(e) => Err(e),
        Ok(_) => Ok(false),
    }
}

/// How many semaphores the set of `key` has, by asking for more and more; 0: there is none.
///
/// Source: [semget(2)](https://man7.org/linux/man-pages/man2/semget.2.html): EINVAL where the
/// set has fewer than asked for.
pub(crate) fn count(key: Key) -> u32 {
    let (mut low, mut high) = (0, 32000);
    while low < high {
        let middle = (low + high + 1) / 2;
        match get(key, middle, 0) {
            Ok(_) => low = middle,
            Err(_) => high = middle - 1,
        }
    }
    low as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_what_the_kernels_table_says_until_it_is_gone() {
        let key = Key::of_a_test();
        // The first one ever has the number 0.
        remove(create(key, 1, 0o600).unwrap()).unwrap();
        let id = create(key, 3, 0o600).unwrap();
        assert_eq!(find(key).unwrap().raw(), SemId::from_raw(id.raw()).raw());
        let table = crate::sysv::proc::read("/proc/sysvipc/sem").unwrap();
        assert!(crate::sysv::table_row(&table, id.raw()).is_some_and(|(_, count)| count == 3));
        for (count, is) in [(2, false), (3, true), (4, false)] {
            assert_eq!(has_count(key, id, count), Ok(is), "{count}");
        }
        set_value(id, 1, SEMVMX).unwrap();
        assert_eq!(values::<3>(id).unwrap(), [0, 32767, 0]);
        assert_eq!(values::<2>(id).unwrap_err().errno, Errno::ERANGE);
        assert_eq!(set_value(id, 1, SEMVMX + 1).unwrap_err().errno, Errno::ERANGE);
        // No user has that number.
        let nobody = PermChange { uid: Some(u32::MAX), ..PermChange::default() };
        assert_eq!(set(id, &nobody).unwrap_err().errno, Errno::EINVAL);
        remove(id).unwrap();
        let gone = [Errno::EINVAL, Errno::EIDRM];
        assert!(gone.contains(&values::<3>(id).unwrap_err().errno));
        assert!(gone.contains(&waiters(id, 0).unwrap_err().errno));
        assert!(gone.contains(&set(id, &nobody).unwrap_err().errno));
        assert_eq!(has_count(key, id, 3).unwrap_err().errno, Errno::ENOENT);
    }
}
