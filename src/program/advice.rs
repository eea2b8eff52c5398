//! Which options and commands of the programs help against an error of the library.

use crate::{Awaited, Error, Object, Refusal};

/// Behind the error's own text; empty: that says it all.
pub(super) fn advice(error: &Error) -> &'static str {
    match error {
        Error::NoChannel(_) => "start shmdemo-server, or see --key",
        Error::TimedOut { awaited: Awaited::Channel, .. } => {
            "start shmdemo-server, or see --timeout"
        }
        Error::TimedOut { awaited: Awaited::Lane(_), .. } => {
            "see `shmdemo-server status`, --timeout, --lanes"
        }
        Error::TimedOut { awaited: Awaited::Room(_), .. } => {
            "see `shmdemo-server status`, --timeout, --size"
        }
        Error::TimedOut { awaited: Awaited::Taken(_), .. } => "see --timeout",
        Error::NotOurs { lane: None, .. } => "`shmdemo-server remove --force`, or see --key",
        Error::NotAccepted { object, why, .. } => match (why, object) {
            (Refusal::OpenToAll, Object::Segment | Object::Semaphores) => {
                "`shmdemo-server set --mode 0600`, or see --mode"
            }
            (Refusal::Owner, _) => "see --owner, --key",
            (Refusal::Closed, _) => {
                "`shmdemo-server set --uid USER`, `shmdemo-server set --mode 0660 --gid GROUP`, or \
                 `shmdemo-server remove`; --owner changes nothing"
            }
            (Refusal::Nobodys, _) => "",
        },
        Error::TooLong { .. } => "see --max-message",
        Error::OtherProtocol { shared_use: true, .. } => "--protocol shared_use_st, or see --key",
        Error::OtherProtocol { shared_use: false, .. } => "--protocol ring, or see --key",
        Error::InUse { .. } => "see --force",
        Error::CannotCreate { source, .. } if source.call() == "shmget" => "see --lanes, --size",
        Error::System { source, .. } if source.call() == "shmctl(SHM_LOCK)" => "see --lock",
        Error::System { source, .. } if source.call() == "shmat" => "see --address, --round",
        Error::System { source, .. } if source.is_refusal() => {
            "`shmdemo-server set --mode`, `shmdemo-server set --gid`"
        }
        _ => "",
    }
}
