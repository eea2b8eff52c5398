//! What can go wrong, in words that name the thing, the cause and the next step.

use crate::layout::BadField;
use crate::ring::Damage;
use crate::sysv::{Key, SysError};
use core::fmt;
use nix::errno::Errno;

/// Result of an operation on a channel.
pub type Result<T> = core::result::Result<T, Error>;

/// A role: what at most one process at a time may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
pub enum Awaited {
    /// Somebody else to create the channel.
    Channel,
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
    /// The kernel has no System V IPC (`CONFIG_SYSVIPC`).
    NoSysvIpc,
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
            Errno::ENOSYS => Error::NoSysvIpc,
            Errno::EIDRM => Error::Removed { key, object },
            // The kernel says EINVAL for a number that was in use once and is not now.
            Errno::EINVAL if source.call.contains("ctl") || source.call == "semop" => {
                Error::Removed { key, object }
            }
            _ => Error::System { key, source },
        }
    }

    /// A lane's word that holds what it must not.
    pub(crate) fn from_damage(key: Key, lane: u32, damage: Damage) -> Self {
        let field = BadField { field: damage.field, found: damage.found, expected: damage.bound };
        Error::NotOurs { key, object: Object::Segment, lane: Some(lane), field }
    }

    /// Is it that the channel is gone?
    pub fn is_removed(&self) -> bool {
        matches!(self, Error::Removed { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSysvIpc if crate::limits::kernel_has_sysv() => write!(
                f,
                "this process may not use System V IPC (ENOSYS), and it is not for want of \
                 CONFIG_SYSVIPC, the kernel has it: {}",
                crate::limits::FILTERED
            ),
            Error::NoSysvIpc => {
                write!(f, "the kernel has no System V IPC (ENOSYS): build it with CONFIG_SYSVIPC=y")
            }
            Error::NoChannel(key) => write!(
                f,
                "no segment with key {key} (ENOENT): start shmdemo-server with this key, or see \
                 `ipcs -m` for the keys there are"
            ),
            Error::Removed { key, object } => write!(
                f,
                "the {object} of key {key} was removed while in use (EIDRM): start again to make \
                 a new channel"
            ),
            Error::CannotCreate { key, size, source } => {
                let semaphores = source.call == "semget";
                let object = if semaphores { Object::Semaphores } else { Object::Segment };
                let unit = if semaphores { "semaphores" } else { "bytes" };
                write!(f, "cannot create the {object} of key {key}, {size} {unit}: {source}: ")?;
                crate::limits::explain(f, source, *size)
            }
            Error::Busy { key, role, pid: 0 } => write!(
                f,
                "{role} of key {key} is held by a process outside of this pid namespace (EAGAIN): \
                 stop that process or use another key"
            ),
            Error::Busy { key, role, pid } if *pid == std::process::id() as i32 => write!(
                f,
                "{role} of key {key} is held by this very process, pid {pid} (EAGAIN): it claimed \
                 it before, perhaps before exec(2), which keeps roles and loses what they are used \
                 with: close the channel first, and before exec"
            ),
            Error::Forked { key, role, pid } => write!(
                f,
                "{role} of key {key} belongs to pid {pid}, which claimed it, and not to its child \
                 pid {} (EPERM): nothing was sent or taken; open the channel after fork(2) and \
                 daemon(3)",
                std::process::id()
            ),
            Error::NotRung { key } => write!(
                f,
                "what was committed to key {key} was sent, but not rung for: this process may not \
                 use the semaphores any more (EACCES), and a server that sleeps may sleep on: \
                 drop privileges (setuid(2), setgid(2)) first, then open"
            ),
            Error::Busy { key, role, pid } => write!(
                f,
                "{role} of key {key} is held by pid {pid} (EAGAIN): stop that process or use \
                 another key"
            ),
            Error::StillAttached { key, others, last_pid } => write!(
                f,
                "the semaphore set of key {key} was removed and {others} other attach(es) of its \
                 segment are still there, the last by pid {last_pid} (EBUSY): stop those programs, \
                 then start again"
            ),
            Error::TimedOut { key, awaited } => match awaited {
                Awaited::Channel => write!(
                    f,
                    "nobody created the segment of key {key} in time (ETIMEDOUT): start \
                     shmdemo-server, or wait longer with --timeout"
                ),
                Awaited::Lane(lanes) => write!(
                    f,
                    "all {lanes} lane(s) of key {key} are held by clients (ETIMEDOUT): see \
                     `shmdemo-server status`, wait longer with --timeout, or create the channel \
                     with more --lanes"
                ),
                Awaited::Taken(lane) => write!(
                    f,
                    "the server of key {key}, which is about to remove the channel, has not taken \
                     all that lane {lane} holds (ETIMEDOUT): it was sent, and is lost if that server \
                     ends without; call again to know"
                ),
                Awaited::Room(lane) => write!(
                    f,
                    "lane {lane} of key {key} stayed full (ETIMEDOUT): is a server running? See \
                     `shmdemo-server status`; wait longer with --timeout, or create the channel \
                     with a larger --size"
                ),
            },
            Error::NotOurs { key, object, lane, field } => {
                let BadField { field, found, expected } = field;
                write!(f, "the {object} of key {key} is not a channel of this version or is damaged (EBADMSG): ")?;
                if let Some(lane) = lane {
                    write!(f, "lane {lane}: ")?;
                }
                write!(
                    f,
                    "{field} is {found} (0x{found:x}), expected {expected} (0x{expected:x}); it \
                     was left as it is: use another key, or, if nobody needs it, remove it with \
                     `shmdemo-server remove --force` or `ipcrm`"
                )
            }
            Error::NotAccepted { key, object, uid, cuid, mode, size, why } => {
                let (units, kind) = match object {
                    Object::Segment => ("size", 'm'),
                    Object::Semaphores => ("semaphores", 's'),
                };
                write!(
                    f,
                    "the {object} of key {key} is not accepted (EACCES): uid {uid}, creator uid \
                     {cuid}, mode {mode:04o}, {units} {size}; it was left as it is: "
                )?;
                match why {
                    Refusal::OpenToAll => write!(
                        f,
                        "everybody can write it; close it with `shmdemo-server set --mode 0600`, or \
                         say that this is meant with --mode {mode:04o}"
                    ),
                    Refusal::Owner => write!(
                        f,
                        "if that user is meant, say so with --owner, else use another key (see \
                         `ipcs -{kind}`)"
                    ),
                    Refusal::Nobodys => write!(
                        f,
                        "users without a number in this user namespace are all shown as this one, \
                         so whose it is can't be told: run both programs in one user namespace, or \
                         map the user into this one (/proc/self/uid_map)"
                    ),
                    Refusal::Closed => write!(
                        f,
                        "the owner is accepted (--owner changes nothing), the mode does not let \
                         uid {} in; as the owner \
                         or root give it over with `shmdemo-server set --uid {0}`, let a group in \
                         with `shmdemo-server set --mode 0660 --gid GROUP`, or, where nothing in it \
                         is needed, `shmdemo-server remove` it and start the server first",
                        nix::unistd::geteuid()
                    ),
                }
            }
            Error::TooLong { len, max } => write!(
                f,
                "message of {len} bytes is longer than the {max} bytes that the channel takes \
                 (EMSGSIZE): create it with a larger --max-message"
            ),
            Error::HoldsNul { at } => write!(
                f,
                "it has a NUL at byte {} (EILSEQ), where the C program at the other end would take \
                 it to end: send text, or use the ring",
                at + 1
            ),
            Error::OtherProtocol { key, shared_use, size } => {
                let (here, name) = match shared_use {
                    true => ("one of the C demo's kind", "shared_use_st"),
                    false => ("a channel", "ring"),
                };
                write!(
                    f,
                    "the segment of key {key}, {size} bytes, is {here} (EPROTOTYPE); it was left as it \
                     is: use it with --protocol {name}, or use another key"
                )
            }
            Error::InUse { key, others, last_pid } => {
                write!(f, "{others} other attach(es) of the segment of key {key} are there")?;
                // A program that was just started by one that is attached detached last, by exec(2).
                if *last_pid != std::process::id() as i32 {
                    write!(f, ", the last by pid {last_pid}")?;
                }
                f.write_str(" (EBUSY): stop those programs, or remove it under them with --force")
            }
            Error::BadGeometry(BadField { field, found, expected }) => write!(
                f,
                "{field} {found} makes no channel (EINVAL): the nearest that does is {expected}"
            ),
            Error::System { key, source } => {
                write!(f, "key {key}: {source}: {}", crate::limits::next_step(source))
            }
        }
    }
}

/// As [`Display`](fmt::Display), which says all that is in it, in words that help.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// No `source`: the text says the cause already.
impl std::error::Error for Error {}
