//! Which options and commands of the programs help against an error of the library.

use crate::{Awaited, Error, Object, Refusal};

/// Behind the error's own text; empty: that says it all.
pub(super) fn advice(error: &Error) -> &'static str {
    match error {
        Error::NoChannel(_) => "--key",
        Error::TimedOut { awaited: Awaited::Channel, .. } => "--timeout",
        Error::TimedOut { awaited: Awaited::Semaphore, .. } => "--foreign-semaphore, --timeout",
        Error::TimedOut { awaited: Awaited::Lane(_), .. } => {
            "`shmdemo-server status`, --timeout, --lanes"
        }
        Error::TimedOut { awaited: Awaited::Room(_), .. } => {
            "`shmdemo-server status`, --timeout, --size"
        }
        Error::TimedOut { awaited: Awaited::Taken(_), .. } => "--timeout",
        Error::NotOurs { object: Object::Semaphores, field, .. } if field.found == 1 => {
            "--protocol shared_use_st --foreign-semaphore, --key"
        }
        Error::NotOurs { lane: None, .. } => "`remove --force`, --key",
        Error::NotAccepted { object, why, .. } => match (why, object) {
            (Refusal::OpenToAll, Object::Segment | Object::Semaphores) => {
                "`shmdemo-server set --mode 0600`, or see --mode"
            }
            (Refusal::Owner, _) => "--owner, --key",
            (Refusal::Closed, _) => {
                "not --owner, but `shmdemo-server set --uid USER` or `set --mode 0660 --gid GROUP`, or \
                 `remove`"
            }
            (Refusal::Nobodys, _) => "",
        },
        Error::TooLong { .. } => "--max-message",
        Error::OtherProtocol { shared_use: true, .. } => "--protocol shared_use_st",
        Error::OtherProtocol { shared_use: false, .. } => "--protocol ring",
        Error::InUse { .. } => "--force",
        Error::CannotCreate { source, .. } if source.call() == "shmget" => "--lanes, --size",
        Error::System { source, .. } if source.call() == "shmctl(SHM_LOCK)" => "--lock",
        Error::System { source, .. } if source.call() == "shmat" => "--address, --round",
        Error::System { source, .. } if source.is_refusal() => "`shmdemo-server set`",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::layout::BadField;
    use crate::sysv::limits::Limits;
    use crate::sysv::SysError;
    use crate::{Key, Role};
    use nix::errno::Errno;

    fn key() -> Key {
        Key::new(1234).expect("a key")
    }

    fn timed_out(awaited: Awaited) -> Error {
        Error::TimedOut { key: key(), awaited }
    }

    fn not_ours(object: Object, lane: Option<u32>, found: u32) -> Error {
        let field = BadField { field: "field", found, expected: 69 };
        Error::NotOurs { key: key(), object, lane, field }
    }

    fn not_accepted(object: Object, why: Refusal) -> Error {
        Error::NotAccepted { key: key(), object, uid: 1, cuid: 1, mode: 0o600, size: 1, why }
    }

    fn system(call: &'static str, errno: Errno) -> Error {
        Error::System { key: key(), source: SysError { call, errno } }
    }

    fn cannot_create(call: &'static str) -> Error {
        let (source, limits) = (SysError { call, errno: Errno::ENOSPC }, Box::new(Limits::now()));
        Error::CannotCreate { key: key(), size: 1, source, limits }
    }

    #[test]
    fn each_error_has_its_own() {
        use Object::{Segment, Semaphores};
        let set = "`shmdemo-server set`";
        for (error, words) in [
            (Error::NoChannel(key()), "--key"),
            (timed_out(Awaited::Channel), "--timeout"),
            (timed_out(Awaited::Semaphore), "--foreign-semaphore, --timeout"),
            (timed_out(Awaited::Lane(4)), "`shmdemo-server status`, --timeout, --lanes"),
            (timed_out(Awaited::Room(0)), "`shmdemo-server status`, --timeout, --size"),
            (timed_out(Awaited::Taken(0)), "--timeout"),
            (not_ours(Semaphores, None, 1), "--protocol shared_use_st --foreign-semaphore, --key"),
            (not_ours(Semaphores, None, 2), "`remove --force`, --key"),
            (not_ours(Segment, None, 1), "`remove --force`, --key"),
            (not_ours(Segment, Some(0), 1), ""),
            (
                not_accepted(Segment, Refusal::OpenToAll),
                "`shmdemo-server set --mode 0600`, or see --mode",
            ),
            (not_accepted(Semaphores, Refusal::Owner), "--owner, --key"),
            (not_accepted(Segment, Refusal::Nobodys), ""),
            (Error::TooLong { len: 9, max: 8 }, "--max-message"),
            (
                Error::OtherProtocol { key: key(), shared_use: true, size: 9 },
                "--protocol shared_use_st",
            ),
            (Error::OtherProtocol { key: key(), shared_use: false, size: 9 }, "--protocol ring"),
            (cannot_create("shmget"), "--lanes, --size"),
            (cannot_create("semget"), ""),
            (system("shmctl(SHM_LOCK)", Errno::ENOMEM), "--lock"),
            (system("shmctl(IPC_STAT)", Errno::ENOMEM), ""),
            (system("shmat", Errno::EINVAL), "--address, --round"),
            (system("semop", Errno::EACCES), set),
            (system("semop", Errno::EFBIG), ""),
            (Error::Busy { key: key(), role: Role::Server, pid: 1 }, ""),
        ] {
            assert_eq!(advice(&error), words, "{error}");
        }
        assert!(advice(&not_accepted(Segment, Refusal::Closed)).starts_with("not --owner, but"));
    }
}
