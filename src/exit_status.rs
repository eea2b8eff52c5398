//! What can go wrong, as a number for a shell: from `sysexits.h` where it has one that fits.
//!
//! Source: [sysexits.h(3head)](https://man7.org/linux/man-pages/man3/sysexits.h.3head.html).

use crate::error::Error;
use nix::errno::Errno;

/// All went well.
#[cfg(any(feature = "programs", feature = "capi"))]
pub(crate) const OK: u8 = 0;
/// Bad command line.
pub(crate) const USAGE: u8 = 64;
/// A message longer than the channel takes.
pub(crate) const TOO_LONG: u8 = 65;
/// No System V IPC, no segment, or the channel was removed while in use.
pub(crate) const UNAVAILABLE: u8 = 69;
/// The segment or the semaphores can't be created.
pub(crate) const CANT_CREATE: u8 = 73;
/// Input or output failed.
#[cfg(feature = "programs")]
pub(crate) const IO: u8 = 74;
/// Busy, or timed out.
pub(crate) const BUSY: u8 = 75;
/// The segment is not ours, of another layout version, or damaged.
pub(crate) const NOT_OURS: u8 = 76;
/// No permission, or a segment whose owner or mode is not accepted.
pub(crate) const PERMISSION: u8 = 77;
/// Added to a signal's number.
#[cfg(any(feature = "programs", feature = "capi"))]
pub(crate) const SIGNAL: u8 = 128;

impl Error {
    /// The exit status of the programs for this failure, as in
    /// [sysexits.h](https://man7.org/linux/man-pages/man3/sysexits.h.3head.html).
    pub fn exit_status(&self) -> u8 {
        code_of(self)
    }
}

/// The exit code that tells what a channel's error is.
pub(crate) fn code_of(error: &Error) -> u8 {
    match error {
        Error::NoSysvIpc { .. } | Error::NoChannel(_) | Error::Removed { .. } => UNAVAILABLE,
        Error::CannotCreate { source, .. } | Error::System { source, .. }
            if matches!(source.errno, Errno::EACCES | Errno::EPERM) =>
        {
            PERMISSION
        }
        Error::CannotCreate { .. } | Error::System { .. } => CANT_CREATE,
        Error::Forked { .. } | Error::ReleaseFirst { .. } => USAGE,
        Error::NotRung { .. } => PERMISSION,
        Error::Busy { .. } | Error::StillAttached { .. } | Error::TimedOut { .. } => BUSY,
        Error::InUse { .. } => BUSY,
        Error::NotOurs { .. } | Error::OtherProtocol { .. } => NOT_OURS,
        Error::NotAccepted { .. } => PERMISSION,
        Error::TooLong { .. } | Error::HoldsNul { .. } => TOO_LONG,
        Error::BadGeometry(_) => USAGE,
    }
}
