//! The kernel's number of each error, whose name its text has in parentheses.

use super::Error;
use nix::errno::Errno;

impl Error {
    /// The number of [errno(3)](https://man7.org/linux/man-pages/man3/errno.3.html) that says it best: that of
    /// the call which failed, or the one that the text names.
    pub fn errno(&self) -> i32 {
        self.name() as i32
    }

    fn name(&self) -> Errno {
        match self {
            Error::NoSysvIpc { .. } => Errno::ENOSYS,
            Error::NoChannel(_) => Errno::ENOENT,
            Error::Removed { .. } => Errno::EIDRM,
            Error::CannotCreate { source, .. } | Error::System { source, .. } => source.errno,
            Error::Busy { .. } => Errno::EAGAIN,
            Error::Forked { .. } => Errno::EPERM,
            Error::NotRung { .. } | Error::NotAccepted { .. } => Errno::EACCES,
            Error::ReleaseFirst { .. } => Errno::ENOBUFS,
            Error::StillAttached { .. } | Error::InUse { .. } => Errno::EBUSY,
            Error::TimedOut { .. } => Errno::ETIMEDOUT,
            Error::NotOurs { .. } => Errno::EBADMSG,
            Error::TooLong { .. } => Errno::EMSGSIZE,
            Error::HoldsNul { .. } => Errno::EILSEQ,
            Error::OtherProtocol { .. } => Errno::EPROTOTYPE,
            Error::BadGeometry(_) => Errno::EINVAL,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::error::{Awaited, Object, Refusal, Role};
    use crate::segment::layout::BadField;
    use crate::sysv::{Key, SysError};

    #[test]
    fn the_text_names_the_number() {
        let key = Key::DEFAULT;
        let field = BadField { field: "magic", found: 1, expected: 2 };
        let source = SysError { call: "shmat", errno: Errno::ENOMEM };
        let object = Object::Segment;
        let refused =
            |why| Error::NotAccepted { key, object, uid: 1, cuid: 1, mode: 0o600, size: 1, why };
        let errors = [
            Error::NoSysvIpc { filtered: true },
            Error::NoSysvIpc { filtered: false },
            Error::NoChannel(key),
            Error::Removed { key, object },
            Error::cannot_create(key, 1, source),
            Error::System { key, source },
            Error::Busy { key, role: Role::Server, pid: 0 },
            Error::Busy { key, role: Role::Creator, pid: std::process::id() as i32 },
            Error::Busy { key, role: Role::Lane(1), pid: 1 },
            Error::Forked { key, role: Role::Server, pid: 1 },
            Error::NotRung { key },
            Error::ReleaseFirst { key, changes: 1 },
            Error::StillAttached { key, others: 1, last_pid: 1 },
            Error::InUse { key, others: 1, last_pid: 1 },
            Error::TimedOut { key, awaited: Awaited::Channel },
            Error::TimedOut { key, awaited: Awaited::Semaphore },
            Error::TimedOut { key, awaited: Awaited::Lane(1) },
            Error::TimedOut { key, awaited: Awaited::Room(1) },
            Error::TimedOut { key, awaited: Awaited::Taken(1) },
            Error::NotOurs { key, object, lane: None, field },
            Error::NotOurs { key, object, lane: Some(1), field },
            refused(Refusal::Owner),
            refused(Refusal::OpenToAll),
            refused(Refusal::Nobodys),
            refused(Refusal::Closed),
            Error::TooLong { len: 1, max: 1 },
            Error::HoldsNul { at: 1 },
            Error::OtherProtocol { key, shared_use: true, size: 1 },
            Error::BadGeometry(field),
        ];
        for error in errors {
            let name = format!("{:?}", Errno::from_raw(error.errno()));
            assert!(error.to_string().contains(&name), "{name}: {error}");
        }
    }

    /// A filter may let a call pass and not the same with IPC_CREAT.
    #[test]
    fn who_may_not_create_is_told_of_filters() {
        for errno in [Errno::EPERM, Errno::EACCES] {
            let error = Error::cannot_create(Key::DEFAULT, 1, SysError { call: "shmget", errno });
            assert!(error.to_string().contains("SystemCallFilter="), "{error}");
        }
    }

    #[test]
    fn who_attached_last_is_told_where_it_is_somebody_else() {
        let me = std::process::id() as i32;
        let told = |last_pid| {
            let (key, others) = (Key::DEFAULT, 2);
            Error::StillAttached { key, others, last_pid }.to_string()
        };
        assert!(told(me + 1).contains(&format!(
            "2 other attach(es) of the segment are still there, the last by pid {} (EBUSY)",
            me + 1
        )));
        assert!(told(me).contains("2 other attach(es) of the segment are still there (EBUSY)"));
    }
}
