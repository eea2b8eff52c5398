//! What each error says: the thing, the cause with errno by name, and the next step.

use super::{Awaited, Error, Object, Refusal};
use crate::segment::layout::BadField;
use core::fmt;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSysvIpc { filtered: true } => write!(
                f,
                "this process may not use System V IPC (ENOSYS), and it is not for want of \
                 CONFIG_SYSVIPC, the kernel has it: {}",
                crate::sysv::limits::FILTERED
            ),
            Error::NoSysvIpc { filtered: false } => {
                write!(f, "the kernel has no System V IPC (ENOSYS): build it with CONFIG_SYSVIPC=y")
            }
            Error::NoChannel(key) => write!(
                f,
                "no segment with key {key} (ENOENT): start the server of this key, or see `ipcs -m` \
                 for the keys there are"
            ),
            Error::Removed { key, object } => write!(
                f,
                "the {object} of key {key} was removed while in use (EIDRM): start again to make \
                 a new channel"
            ),
            Error::CannotCreate { key, size, source, limits } => {
                let semaphores = source.call == "semget";
                let object = if semaphores { Object::Semaphores } else { Object::Segment };
                let unit = if semaphores { "semaphores" } else { "bytes" };
                write!(f, "cannot create the {object} of key {key}, {size} {unit}: {source}: ")?;
                crate::sysv::limits::explain(f, source, *size, limits)
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
            Error::ReleaseFirst { key, changes } => write!(
                f,
                "the consumer of key {key} holds records of {changes} changes of lane, which is all it can \
                 (ENOBUFS): release the oldest of them, or open it for more changes"
            ),
            Error::StillAttached { key, others, last_pid } => {
                write!(
                    f,
                    "the semaphore set of key {key} was removed, or the segment's maker killed halfway, \
                     and {others} other attach(es) of the segment are still there"
                )?;
                last_attached(f, *last_pid)?;
                f.write_str(" (EBUSY): stop those programs, then start again")
            }
            Error::TimedOut { key, awaited } => match awaited {
                Awaited::Channel => write!(
                    f,
                    "nobody created the segment of key {key} in time (ETIMEDOUT): start its server, or \
                     wait longer"
                ),
                Awaited::Semaphore => write!(
                    f,
                    "no C program made the semaphore of key {key} in time (ETIMEDOUT): start one that \
                     does, or do without if they have none"
                ),
                Awaited::Lane(lanes) => write!(
                    f,
                    "all {lanes} lane(s) of key {key} are held by clients (ETIMEDOUT): its status tells \
                     by whom; wait longer, or create the channel with more lanes"
                ),
                Awaited::Taken(lane) => write!(
                    f,
                    "the server of key {key}, which is about to remove the channel, has not taken \
                     all that lane {lane} holds (ETIMEDOUT): it was sent, and is lost if that server \
                     ends without; call again to know"
                ),
                Awaited::Room(lane) => write!(
                    f,
                    "lane {lane} of key {key} stayed full (ETIMEDOUT): is a server running? Its status \
                     tells; wait longer, or create the channel with larger rings"
                ),
            },
            Error::NotOurs { key, lane: Some(lane), field, .. } => {
                let BadField { field, found, expected } = field;
                write!(
                    f,
                    "lane {lane} of key {key} is damaged (EBADMSG): {field} is {found} \
                     (0x{found:x}), expected {expected} (0x{expected:x}); it is set aside, what was \
                     in it is lost, the other lanes go on: start its client again, which makes the \
                     lane anew"
                )
            }
            Error::NotOurs { key, object, field, .. } => {
                let BadField { field, found, expected } = field;
                write!(f, "the {object} of key {key} is not a channel of this version or is damaged (EBADMSG): ")?;
                write!(
                    f,
                    "{field} is {found} (0x{found:x}), expected {expected} (0x{expected:x}); it \
                     was left as it is: use another key, or, if nobody needs it, remove it by force, or \
                     with `ipcrm`"
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
                        "everybody can write it; set its mode to 0600, or say that this is meant by asking \
                         for mode {mode:04o}"
                    ),
                    Refusal::Owner => write!(
                        f,
                        "if that user is meant, name it as an owner to accept, else use another key (see \
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
                        "the owner is accepted (naming another changes nothing), the mode does not \
                         let uid {} in; as the owner or root give it over to that uid, let a group \
                         in by mode 0660, or, where nothing in it is needed, remove it and start \
                         the server first",
                        nix::unistd::geteuid()
                    ),
                }
            }
            Error::TooLong { len, max } => write!(
                f,
                "message of {len} bytes is longer than the {max} bytes that the channel takes \
                 (EMSGSIZE): create it for longer messages"
            ),
            Error::HoldsNul { at } => write!(
                f,
                "it has a NUL at byte {} (EILSEQ), where the C program at the other end would take \
                 it to end: send text, or use the ring",
                at + 1
            ),
            Error::OtherProtocol { key, shared_use, size } => {
                let (here, name) = match shared_use {
                    true => ("looks like one of the C demo's kind", "shared_use_st"),
                    false => ("is a channel", "ring"),
                };
                write!(
                    f,
                    "the segment of key {key}, {size} bytes, {here} (EPROTOTYPE); it was left as it \
                     is: use it by protocol {name}, or use another key"
                )
            }
            Error::InUse { key, others, last_pid } => {
                write!(f, "{others} other attach(es) of the segment of key {key} are there")?;
                last_attached(f, *last_pid)?;
                f.write_str(" (EBUSY): stop those programs, or remove it under them by force")
            }
            Error::BadGeometry(BadField { field, found, expected }) => write!(
                f,
                "{field} {found} makes no channel (EINVAL): the nearest that does is {expected}"
            ),
            Error::System { key, source } => {
                write!(f, "key {key}: {source}: {}", crate::sysv::limits::next_step(source))
            }
        }
    }
}

/// Who attached or detached last, where that was not this process: to look, or by exec(2), where the one that
/// started it is attached.
fn last_attached(f: &mut fmt::Formatter<'_>, pid: i32) -> fmt::Result {
    match pid == std::process::id() as i32 {
        true => Ok(()),
        false => write!(f, ", the last by pid {pid}"),
    }
}
