//! Which limit of the system was met, its value, and how to raise it.

use crate::sysv::SysError;
use core::fmt;
use nix::errno::Errno;

/// One limit of `/proc/sys/kernel`, as text; `?` where it can't be read.
fn limit(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
    text.map_or_else(|_| "?".into(), |t| t.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Does the kernel remove a segment with the last program that uses it
/// (`kernel.shm_rmid_forced`)? Messages do not outlive their programs then.
///
/// Source: [proc_sys_kernel(5)](https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html).
pub(crate) fn rmid_forced() -> bool {
    limit("shm_rmid_forced") == "1"
}

/// What that means and what to do.
pub(crate) const RMID_FORCED: &str =
    "kernel.shm_rmid_forced is 1: the kernel removes a segment, and the messages in it, with the \
     last program that uses it; where messages are to wait, set it to 0: \
     sysctl -w kernel.shm_rmid_forced=0";

/// Lines of a table below `/proc/sysvipc`, without its heading: how many objects there are.
fn count(name: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/sysvipc/{name}"));
    text.map_or(0, |t| t.lines().count().saturating_sub(1))
}

/// Says why a creation failed, with the limit's name and value and the line that raises it.
///
/// Source: [shmget(2)](https://man7.org/linux/man-pages/man2/shmget.2.html) and
/// [semget(2)](https://man7.org/linux/man-pages/man2/semget.2.html), sections ERRORS and NOTES.
pub(crate) fn explain(f: &mut fmt::Formatter<'_>, source: &SysError, size: u32) -> fmt::Result {
    match (source.call, source.errno) {
        ("shmget", Errno::ENOSPC) => {
            let (used, most) = (count("shm"), limit("shmmni"));
            if most.parse() == Ok(used) {
                write!(
                    f,
                    "SHMMNI, the number of segments, is reached: kernel.shmmni = {most}; remove \
                     some (ipcs -m, ipcrm) or raise it: sysctl -w kernel.shmmni=N"
                )
            } else {
                write!(
                    f,
                    "SHMALL, the pages of all segments together, is reached: kernel.shmall = {}; \
                     remove some (ipcs -m, ipcrm) or raise it: sysctl -w kernel.shmall=N \
                     (SHMMNI: {used} of {most} in use)",
                    limit("shmall")
                )
            }
        }
        ("shmget", Errno::EINVAL) => write!(
            f,
            "larger than SHMMAX: kernel.shmmax = {}; use smaller --lanes or --size, or raise it: \
             sysctl -w kernel.shmmax={size}",
            limit("shmmax")
        ),
        ("semget", Errno::ENOSPC) => write!(
            f,
            "SEMMNI (sets) or SEMMNS (semaphores of all sets) is reached, {} sets in use: \
             kernel.sem = {} (SEMMSL SEMMNS SEMOPM SEMMNI); remove some (ipcs -s, ipcrm) or raise \
             it: sysctl -w kernel.sem=\"250 32000 100 128\"",
            count("sem"),
            limit("sem")
        ),
        ("semget", Errno::EINVAL) => write!(
            f,
            "more than SEMMSL semaphores in one set: kernel.sem = {} (SEMMSL SEMMNS SEMOPM \
             SEMMNI); raise it: sysctl -w kernel.sem=\"250 32000 100 128\"",
            limit("sem")
        ),
        (_, Errno::ENOMEM) => f.write_str(
            "no memory for it: free some, raise the memory limit of the control group, or use \
             smaller --lanes or --size",
        ),
        (_, Errno::EACCES | Errno::EPERM) => f.write_str("run as a user who may create it"),
        _ => f.write_str("see shmget(2) and semget(2)"),
    }
}
