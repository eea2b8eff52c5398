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
