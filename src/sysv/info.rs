//! What everybody may know of the kernel's System V objects and limits, asked of the kernel itself:
//! `/proc` need not be mounted, nor show these files (`subset=pid`).
//!
//! Source: [shmctl(2)](https://man7.org/linux/man-pages/man2/shmctl.2.html) and
//! [semctl(2)](https://man7.org/linux/man-pages/man2/semctl.2.html): `IPC_INFO`, `SHM_INFO`,
//! `SEM_INFO`, `SHM_STAT_ANY` and `SEM_STAT_ANY`.
#![allow(unsafe_code)]

use super::Perm;
use core::ffi::{c_int, c_ulong, c_void};
use nix::libc;

const IPC_INFO: c_int = 3;
const SHM_INFO: c_int = 14;
const SHM_STAT_ANY: c_int = 15;
const SEM_INFO: c_int = 19;
const SEM_STAT_ANY: c_int = 20;

/// Room for what these calls write, the largest of which has 144 bytes; aligned for all of them.
#[repr(C)]
union Answer {
    longs: [c_ulong; 36],
    ints: [c_int; 10],
    perm: libc::ipc_perm,
    shm: libc::shmid_ds,
}

/// `semctl`'s fourth argument, which is passed as a union.
#[repr(C)]
#[derive(Clone, Copy)]
union Semun {
    buffer: *mut c_void,
}

fn shm(number: c_int, command: c_int) -> Option<(c_int, Answer)> {
    let mut answer = Answer { longs: [0; 36] };
    // SAFETY: these commands write at most one of the structures above to the pointer.
    let result = unsafe { libc::shmctl(number, command, (&mut answer as *mut Answer).cast()) };
    (result != -1).then_some((result, answer))
}

fn sem(number: c_int, command: c_int) -> Option<(c_int, Answer)> {
    let mut answer = Answer { longs: [0; 36] };
    let argument = Semun { buffer: (&mut answer as *mut Answer).cast() };
    // SAFETY: as above.
    let result = unsafe { libc::semctl(number, 0, command, argument) };
    (result != -1).then_some((result, answer))
}

/// Limits of shared memory, and how much of them is in use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShmLimits {
    /// SHMMAX: largest segment, bytes.
    pub bytes: c_ulong,
    /// SHMMNI: number of segments.
    pub segments: c_ulong,
    /// SHMALL: pages of all segments.
    pub pages: c_ulong,
    /// Segments there are.
    pub used: c_ulong,
}

pub(crate) fn shm_limits() -> Option<ShmLimits> {
    let (_, limits) = shm(0, IPC_INFO)?;
    let (_, used) = shm(0, SHM_INFO)?;
    // SAFETY: `struct shminfo` is made of unsigned longs: max, min, mni, seg, all.
    let [bytes, _, segments, _, pages] = unsafe { limits.longs }[..5].try_into().ok()?;
    // SAFETY: `struct shm_info` begins with an int.
    let [used, ..] = unsafe { used.ints };
    Some(ShmLimits { bytes, segments, pages, used: used as c_ulong })
}

/// Limits of semaphores, and how many sets there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SemLimits {
    /// SEMMSL, SEMMNS, SEMOPM, SEMMNI, as `kernel.sem` has them.
    pub sem: [c_int; 4],
    /// Sets there are.
    pub used: c_int,
}

pub(crate) fn sem_limits() -> Option<SemLimits> {
    let (_, limits) = sem(0, IPC_INFO)?;
    let (_, used) = sem(0, SEM_INFO)?;
    // SAFETY: `struct seminfo` is ten ints: map, mni, mns, mnu, msl, opm, ume, usz, vmx, aem.
    let [_, mni, mns, _, msl, opm, ..] = unsafe { limits.ints };
    // SAFETY: as above; with SEM_INFO `usz` is the number of sets.
    let used = unsafe { used.ints }[7];
    Some(SemLimits { sem: [msl, mns, opm, mni], used })
}

/// Owner, creator, mode and size of the segment `id`, also without permission on it (Linux 4.17).
#[allow(clippy::unnecessary_cast)] // the field's width differs from one architecture to the next
pub(crate) fn shm_of(id: c_int) -> Option<(Perm, usize)> {
    let (last, _) = shm(0, SHM_INFO)?;
    let found = (0..=last).filter_map(|at| shm(at, SHM_STAT_ANY)).find(|(of, _)| *of == id)?;
    // SAFETY: SHM_STAT_ANY wrote a shmid_ds.
    let ds = unsafe { &found.1.shm };
    Some((Perm::from_raw(&ds.shm_perm), ds.shm_segsz as usize))
}

/// Owner, creator and mode of the set `id`, likewise.
pub(crate) fn sem_of(id: c_int) -> Option<Perm> {
    let (last, _) = sem(0, SEM_INFO)?;
    let found = (0..=last).filter_map(|at| sem(at, SEM_STAT_ANY)).find(|(of, _)| *of == id)?;
    // SAFETY: SEM_STAT_ANY wrote a semid_ds, whose first field this is on every architecture.
    Some(Perm::from_raw(unsafe { &found.1.perm }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_and_proc_say_the_same() {
        let number = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap();
            text.split_whitespace().map(|word| word.parse().unwrap()).collect::<Vec<c_ulong>>()
        };
        let shm = shm_limits().unwrap();
        assert_eq!(number("shmmax"), [shm.bytes]);
        assert_eq!(number("shmmni"), [shm.segments]);
        assert_eq!(number("shmall"), [shm.pages]);
        let sem = sem_limits().unwrap().sem.map(|n| n as c_ulong);
        assert_eq!(number("sem"), sem);
    }

    #[test]
    fn a_call_that_fails_tells_nothing() {
        assert!(shm(-1, SHM_STAT_ANY).is_none());
        assert!(sem(-1, SEM_STAT_ANY).is_none());
        assert!(shm_of(-1).is_none() && sem_of(-1).is_none());
    }

    #[test]
    fn of_several_sets_the_one_that_was_asked_for_is_told() {
        use crate::sysv::{sem, Key};
        let set = |mode| (sem::create(Key::of_a_test(), 1, mode).unwrap(), mode);
        let sets = [set(0o600), set(0o640)];
        for (id, mode) in sets {
            assert_eq!(sem_of(id.raw()).unwrap().mode, mode);
            sem::remove(id).unwrap();
        }
    }
}
