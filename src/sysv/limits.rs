//! Which limit of the system was met, its value, and how to raise it; what else a failed call means.

use super::{info, proc, shm, SysError};
use core::fmt;
use nix::errno::Errno;

/// Who refuses a call for which the kernel has no such errno.
pub(crate) const FILTERED: &str =
    "the kernel itself never says that of this call: a system-call filter does (seccomp, a \
     container's profile, SystemCallFilter= in a unit); let it pass @ipc: shmget, shmat, shmctl, \
     shmdt, semget, semop, semtimedop, semctl";

/// Has the kernel System V IPC, as far as `/proc` tells?
pub(crate) fn kernel_has_sysv() -> bool {
    nix::unistd::access("/proc/sysvipc", nix::unistd::AccessFlags::F_OK).is_ok()
}

/// Does the kernel remove a segment with the last program that uses it
/// (`kernel.shm_rmid_forced`)? Messages do not outlive their programs then.
///
/// Source: [proc_sys_kernel(5)](https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html).
pub(crate) fn rmid_forced() -> bool {
    proc::read("/proc/sys/kernel/shm_rmid_forced").is_some_and(|text| text.starts_with('1'))
}

/// What that means and what to do.
pub(crate) const RMID_FORCED: &str =
    "kernel.shm_rmid_forced is 1: the kernel removes a segment, and the messages in it, with the \
     last program that uses it; where messages are to wait, set it to 0: \
     sysctl -w kernel.shm_rmid_forced=0";

/// The limits of the system, and what is in use of them, when a creation failed. What they have to do
/// with that, the error says.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    shm: Option<info::ShmLimits>,
    sem: Option<info::SemLimits>,
}

impl Limits {
    /// As they are now.
    pub(crate) fn now() -> Self {
        Self { shm: info::shm_limits(), sem: info::sem_limits() }
    }
}

/// A number, or `?` where the kernel does not tell.
struct Known<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(n) => write!(f, "{n}"),
            None => f.write_str("?"),
        }
    }
}

/// `kernel.sem`, as `sysctl` shows it.
struct KernelSem(Option<info::SemLimits>);

impl fmt::Display for KernelSem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|limits| limits.sem) {
            Some([msl, mns, opm, mni]) => write!(f, "{msl} {mns} {opm} {mni}"),
            None => f.write_str("?"),
        }
    }
}

/// Says why a creation failed, with the limit's name and value and the line that raises it.
///
/// Source: [shmget(2)](https://man7.org/linux/man-pages/man2/shmget.2.html) and
/// [semget(2)](https://man7.org/linux/man-pages/man2/semget.2.html), sections ERRORS and NOTES.
pub(crate) fn explain(
    f: &mut fmt::Formatter<'_>,
    source: &SysError,
    size: u32,
    limits: &Limits,
) -> fmt::Result {
    let Limits { shm, sem } = limits;
    match (source.call, source.errno) {
        ("shmget", Errno::ENOSPC) => match shm {
            Some(shm) if shm.used >= shm.segments => write!(
                f,
                "SHMMNI, the number of segments, is reached: kernel.shmmni = {}; remove some \
                 (ipcs -m, ipcrm) or raise it: sysctl -w kernel.shmmni=N",
                shm.segments
            ),
            Some(shm) => write!(
                f,
                "SHMALL, the pages of all segments together, is reached: kernel.shmall = {}; \
                 remove some (ipcs -m, ipcrm) or raise it: sysctl -w kernel.shmall=N (SHMMNI: {} \
                 of {} in use)",
                shm.pages, shm.used, shm.segments
            ),
            None => f.write_str(
                "SHMMNI, the number of segments, or SHMALL, the pages of all together, is reached, \
                 and the kernel does not tell which: remove some (ipcs -m, ipcrm), or see `sysctl \
                 kernel.shmmni kernel.shmall`",
            ),
        },
        ("shmget", Errno::EINVAL) => write!(
            f,
            "larger than SHMMAX: kernel.shmmax = {}; use fewer lanes or smaller rings, or raise it: \
             sysctl -w kernel.shmmax={size}",
            Known(shm.map(|shm| shm.bytes))
        ),
        ("semget", Errno::ENOSPC) => {
            let (sem, used) = (KernelSem(*sem), Known(sem.map(|sem| sem.used)));
            write!(
                f,
                "SEMMNI (sets) or SEMMNS (semaphores of all sets) is reached, {used} sets in use: \
                 kernel.sem = {sem} (SEMMSL SEMMNS SEMOPM SEMMNI); remove some (ipcs -s, ipcrm) or \
                 raise it: sysctl -w kernel.sem=\"250 32000 100 128\""
            )
        }
        ("semget", Errno::EINVAL) => write!(
            f,
            "more than SEMMSL semaphores in one set: kernel.sem = {} (SEMMSL SEMMNS SEMOPM \
             SEMMNI); raise it: sysctl -w kernel.sem=\"250 32000 100 128\"",
            KernelSem(*sem)
        ),
        (_, Errno::ENOMEM) => f.write_str(
            "no memory for it: free some, raise the memory limit of the control group, or use \
             fewer lanes or smaller rings",
        ),
        (_, Errno::EACCES | Errno::EPERM) => f.write_str(FILTERED),
        _ => f.write_str("see shmget(2) and semget(2)"),
    }
}

/// What to do about a failed call, by the ERRORS sections of the calls' man pages, and what the kernel does.
pub(crate) fn next_step(source: &SysError) -> &'static str {
    // All of shmctl(2) and semctl(2) but the looks, which say EACCES.
    let changes = source.is_control();
    match source.errno {
        Errno::ENOMEM if source.call == shm::LOCK => {
            "raise RLIMIT_MEMLOCK (`ulimit -l`, LimitMEMLOCK= in a unit) or do without the lock"
        }
        Errno::EPERM if source.call == shm::LOCK => {
            "only owner, creator and root may lock it, and only with an RLIMIT_MEMLOCK (`ulimit -l`, \
             LimitMEMLOCK= in a unit) above 0: raise it, or do without the lock"
        }
        Errno::EPERM if changes => {
            "only owner, creator and root may: run as one of them (see `ipcs -m`); for them it is a \
             system-call filter that refuses (seccomp, SystemCallFilter= in a unit)"
        }
        Errno::EPERM => FILTERED,
        Errno::E2BIG => {
            "SEMOPM, the third number of kernel.sem, is below 16: raise it: \
             sysctl -w kernel.sem=\"250 32000 100 128\""
        }
        Errno::EACCES => {
            "run as the owner of the segment (see `ipcs -m`), let its owner widen mode or \
             group, and drop privileges before opening, not after"
        }
        Errno::ENOMEM => "free memory, or raise the limit of this process (ulimit -l, -v)",
        Errno::EINVAL if source.is_set() => {
            "there is no such user or group in this user namespace: see /proc/self/uid_map and gid_map"
        }
        Errno::EINVAL => "see the address: a multiple of SHMLBA, unless it may be rounded",
        Errno::ENOSPC => "too many processes with SEM_UNDO (SEMMNU): end some",
        Errno::ERANGE => {
            "a semaphore is full, which no program of ours does: see `ipcs -s`, remove the channel"
        }
        _ => "see this call in its man page, section 2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Why(SysError);

    impl fmt::Display for Why {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            explain(f, &self.0, 4096, &Limits::now())
        }
    }

    #[test]
    fn each_errno_has_its_next_step() {
        for (call, errno, begin) in [
            (shm::LOCK, Errno::ENOMEM, "raise RLIMIT_MEMLOCK"),
            (shm::LOCK, Errno::EPERM, "only owner, creator and root may lock it"),
            ("shmctl(IPC_SET)", Errno::EPERM, "only owner, creator and root may: run"),
            ("semop", Errno::EPERM, FILTERED),
            ("semop", Errno::E2BIG, "SEMOPM"),
            ("shmat", Errno::EACCES, "run as the owner of the segment"),
            ("shmat", Errno::ENOMEM, "free memory, or raise"),
            ("semctl(IPC_SET)", Errno::EINVAL, "there is no such user or group"),
            ("shmat", Errno::EINVAL, "see the address"),
            ("semop", Errno::ENOSPC, "too many processes with SEM_UNDO"),
            ("semop", Errno::ERANGE, "a semaphore is full"),
            ("semop", Errno::EFBIG, "see this call in its man page"),
        ] {
            let said = next_step(&SysError { call, errno });
            assert!(said.starts_with(begin), "{call}, {errno}: {said}");
        }
    }

    #[test]
    fn each_limit_is_told_by_name() {
        for (call, errno, begin) in [
            ("shmget", Errno::ENOSPC, "SHM"),
            ("shmget", Errno::EINVAL, "larger than SHMMAX: kernel.shmmax = "),
            ("semget", Errno::ENOSPC, "SEMMNI (sets) or SEMMNS"),
            ("semget", Errno::EINVAL, "more than SEMMSL semaphores"),
            ("shmget", Errno::ENOMEM, "no memory for it"),
            ("semget", Errno::ENOMEM, "no memory for it"),
            ("shmget", Errno::EACCES, FILTERED),
            ("semget", Errno::EPERM, FILTERED),
            ("shmget", Errno::EFBIG, "see shmget(2) and semget(2)"),
        ] {
            let said = Why(SysError { call, errno }).to_string();
            assert!(said.starts_with(begin), "{call}, {errno}: {said}");
        }
    }
}
