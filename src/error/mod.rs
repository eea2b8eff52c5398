//! What can go wrong, in words that name the thing, the cause and the next step.

use crate::segment::layout::BadField;
use crate::sysv::limits::{kernel_has_sysv, Limits};
use crate::sysv::{Key, SysError};
use core::fmt;
use nix::errno::Errno;

mod errno;
mod text;

/// Result of an operation on a channel.
pub type Result<T> = core::result::Result<T, Error>;

/// A role: what at most one process at a time may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The consumer of all lanes.
    Server,
    /// The producer of one lane.
    Lane(u32),
    /// Whoever creates, joins or removes the channel right now.
    Creator,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Server => write!(f, "the server role"),
            Role::Lane(n) => write!(f, "lane {n}"),
            Role::Creator => write!(f, "the creation lock"),
        }
    }
}

/// Which System V object an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Object {
    /// The shared memory segment.
    Segment,
    /// The semaphore set.
    Semaphores,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Object::Segment => "segment",
            Object::Semaphores => "semaphore set",
        })
    }
}

/// Why a segment or a set is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Owner or creator is neither the caller, nor root, nor the user named with `--owner`.
    Owner,
    /// One of them is shown by the number of users that have none in this user namespace.
    Nobodys,
    /// Everybody can write it.
    OpenToAll,
    /// The owner is accepted, and the mode does not let the caller in.
    Closed,
}

/// What a wait was for that took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Awaited {
    /// Somebody else to create the channel.
    Channel,
    /// The C programs to make their semaphore, see
    /// [`Options::foreign_semaphore`](crate::Options::foreign_semaphore).
    Semaphore,
    /// One of so many lanes to become free.
    Lane(u32),
    /// Room in the ring of lane number so-and-so.
    Room(u32),
    /// A server that is about to remove the channel to take what is in lane number so-and-so.
    Taken(u32),
}

/// Any failure of a channel.
#[non_exhaustive]
pub enum Error {
    /// This process may not use System V IPC, or the kernel has none (`CONFIG_SYSVIPC`).
    NoSysvIpc {
        /// The kernel has it, as far as `/proc` tells: something else refuses.
        filtered: bool,
    },
    /// There is no channel with this key.
    NoChannel(Key),
    /// The channel was removed while in use.
    Removed {
        /// Its key.
        key: Key,
        /// What of it is gone.
        object: Object,
    },
    /// The kernel would not make the segment or the set: a limit of the system.
    CannotCreate {
        /// Its key.
        key: Key,
        /// Its size in bytes (a set: the number of semaphores).
        size: u32,
        /// The call that failed.
        source: SysError,
        /// The system's limits at that time.
        limits: Box<Limits>,
    },
    /// Somebody else holds a role.
    Busy {
        /// The channel's key.
        key: Key,
        /// The role.
        role: Role,
        /// Who holds it; 0: a process outside of the caller's pid namespace.
        pid: i32,
    },
    /// The role is that of the process which this one was forked from. Nothing was sent or taken.
    Forked {
        /// The channel's key.
        key: Key,
        /// The role.
        role: Role,
        /// Who claimed it.
        pid: i32,
    },
    /// What was committed is in the segment, but this process may not ring for the server any
    /// more, as after setuid(2): it may sleep on.
    NotRung {
        /// The channel's key.
        key: Key,
    },
    /// Too many changes of lane lie between the oldest record that the consumer holds and the newest:
    /// some have to be released before it can wait for more.
    ReleaseFirst {
        /// The channel's key.
        key: Key,
        /// How many changes there may be.
        changes: usize,
    },
    /// The semaphores were removed and others still use the segment.
    StillAttached {
        /// The channel's key.
        key: Key,
        /// How many attaches others have.
        others: u64,
        /// Who attached or detached last.
        last_pid: i32,
    },
    /// Nothing came in time.
    TimedOut {
        /// The channel's key.
        key: Key,
        /// What was waited for.
        awaited: Awaited,
    },
    /// The segment or the set under this key is not a channel's, is of another layout version,
    /// or is damaged. Nothing of it was changed.
    NotOurs {
        /// The key.
        key: Key,
        /// Which of the two.
        object: Object,
        /// The lane, where the field is one of a lane.
        lane: Option<u32>,
        /// The field that gave it away, its value and what it would have to be.
        field: BadField,
    },
    /// The segment or the set under this key belongs to somebody else or is open to too many.
    /// Nothing of it was changed.
    NotAccepted {
        /// The key.
        key: Key,
        /// Which of the two.
        object: Object,
        /// Its owner.
        uid: u32,
        /// Its creator.
        cuid: u32,
        /// Its mode, nine bits.
        mode: u32,
        /// Its size in bytes (segment) or semaphores (set), where known.
        size: usize,
        /// Why.
        why: Refusal,
    },
    /// A message longer than the channel takes; nothing of it was sent.
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// The longest that is taken, in bytes.
        max: u32,
    },
    /// A text with a NUL inside, which would end it for the C program at the other end; nothing of it
    /// was sent. Only with the C demo's protocol.
    HoldsNul {
        /// Where the NUL is, in bytes from the text's begin.
        at: usize,
    },
    /// What stands under the key is a segment of the other protocol. Nothing of it was changed.
    OtherProtocol {
        /// The key.
        key: Key,
        /// It is the C demo's; else it is a channel.
        shared_use: bool,
        /// Its size in bytes.
        size: usize,
    },
    /// Programs that know no roles are attached to the segment of the C demo's kind.
    InUse {
        /// The key.
        key: Key,
        /// How many.
        others: u64,
        /// Who attached or detached last.
        last_pid: i32,
    },
    /// Sizes that make no channel.
    BadGeometry(BadField),
    /// Any other system call that failed.
    System {
        /// The key it was about.
        key: Key,
        /// Call and errno.
        source: SysError,
    },
}

impl Error {
    /// A failed call on an existing object, sorted by what it means.
    pub(crate) fn from_sys(key: Key, object: Object, source: SysError) -> Self {
        match source.errno {
            Errno::ENOSYS => Error::no_sysv_ipc(),
            Errno::EIDRM => Error::Removed { key, object },
            // The kernel says EINVAL for a number that was in use once and is not now.
            Errno::EINVAL
                if source.call == "semop" || (source.is_control() && !source.is_set()) =>
            {
                Error::Removed { key, object }
            }
            _ => Error::System { key, source },
        }
    }

    /// A segment or a set could not be made.
    pub(crate) fn cannot_create(key: Key, size: u32, source: SysError) -> Self {
        match source.errno {
            Errno::ENOSYS => Error::no_sysv_ipc(),
            _ => Error::CannotCreate { key, size, source, limits: Box::new(Limits::now()) },
        }
    }

    fn no_sysv_ipc() -> Self {
        Error::NoSysvIpc { filtered: kernel_has_sysv() }
    }

    /// A lane's word that holds what it must not.
    pub(crate) fn from_damage(key: Key, lane: u32, field: BadField) -> Self {
        Error::NotOurs { key, object: Object::Segment, lane: Some(lane), field }
    }

    /// Is it that the channel is gone?
    pub fn is_removed(&self) -> bool {
        matches!(self, Error::Removed { .. })
    }
}

/// As [`Display`](fmt::Display), which says all that is in it, in words that help.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// No `source`: the text says the cause already. (`CannotCreate` and `System` have it as a field.)
impl std::error::Error for Error {}

/// With the kind that the standard library has for it, and the whole error inside.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::NoChannel(_) => ErrorKind::NotFound,
            Error::Removed { .. } => ErrorKind::BrokenPipe,
            Error::CannotCreate { source, .. } | Error::System { source, .. } => {
                std::io::Error::from_raw_os_error(source.errno()).kind()
            }
            Error::NoSysvIpc { .. } => ErrorKind::Unsupported,
            Error::Busy { .. } | Error::StillAttached { .. } | Error::InUse { .. } => {
                ErrorKind::AddrInUse
            }
            Error::TimedOut { .. } => ErrorKind::TimedOut,
            Error::Forked { .. } | Error::NotRung { .. } | Error::NotAccepted { .. } => {
                ErrorKind::PermissionDenied
            }
            Error::NotOurs { .. } | Error::OtherProtocol { .. } => ErrorKind::InvalidData,
            Error::TooLong { .. } | Error::HoldsNul { .. } | Error::BadGeometry(_) => {
                ErrorKind::InvalidInput
            }
            Error::ReleaseFirst { .. } => ErrorKind::OutOfMemory,
        };
        std::io::Error::new(kind, error)
    }
}
