//! What stands under a key: whose it is, how large, and whether it is a channel. Nothing here makes
//! or changes anything.

use super::named::NamedSegment;
use super::roles::Roles;
use super::Options;
use crate::deadline::Deadline;
use crate::error::{Error, Object, Result, Role};
use crate::segment::atomic::{load_acquire, Ordering::Relaxed};
use crate::segment::layout::{BadField, Geometry, Header, LINE, MAGIC, STATE_READY};
use crate::segment::shared_use_st::text_of;
use crate::segment::Segment;
use crate::sysv::Key;
use core::time::Duration;

/// Is it one of the C demo's kind? A channel's size is a multiple of [`LINE`], and the demo's flag is 0
/// or 1.
pub(crate) fn is_shared_use(header: &Header, bytes: usize) -> bool {
    let its_size = bytes % LINE != 0 && text_of(bytes).is_some();
    its_size && header.magic.load(Relaxed) <= 1
}

pub(crate) fn too_small(key: Key, bytes: usize) -> Error {
    let field = BadField {
        field: "segment size",
        found: u32::try_from(bytes).unwrap_or(u32::MAX),
        expected: crate::segment::layout::HEADER_BYTES,
    };
    Error::NotOurs { key, object: Object::Segment, lane: None, field }
}

/// Is the header neither a channel's nor one that a channel's creator could have left halfway?
pub(crate) fn foreign(header: &Header) -> bool {
    let magic = header.magic.load(Relaxed);
    magic != MAGIC && magic != 0
}

/// Checks header and state of a segment that may be anybody's, and attached read-only.
pub(crate) fn check_header(key: Key, header: &Header, bytes: usize) -> Result<Geometry> {
    let refuse = |field| Error::NotOurs { key, object: Object::Segment, lane: None, field };
    if is_shared_use(header, bytes) {
        return Err(Error::OtherProtocol { key, shared_use: true, size: bytes });
    }
    // Acquire: pairs with the creator's Release of STATE_READY.
    let state = load_acquire(&header.state);
    let geometry = Geometry::from_header(header, bytes).map_err(refuse)?;
    if state != STATE_READY {
        return Err(refuse(BadField { field: "state", found: state, expected: STATE_READY }));
    }
    Ok(geometry)
}

/// As [`check_header`], for who looks on or mends: a segment that somebody is just making is waited for.
///
/// # Errors
/// As [`check_header`]; [`Error::Busy`] where its maker has stopped.
pub(crate) fn await_header(key: Key, segment: &Segment, bytes: usize) -> Result<Geometry> {
    let give_up = Deadline::after(Duration::from_secs(1));
    loop {
        // Before the header: who has made it since is not the maker any more.
        let maker = Roles::find(key)?.map_or(Ok(None), |roles| roles.creator())?;
        match (check_header(key, segment.header(), bytes), maker) {
            (Err(_), Some(pid)) if !foreign(segment.header()) => {
                if give_up.passed() {
                    return Err(Error::Busy { key, role: Role::Creator, pid });
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            (checked, _) => return checked,
        }
    }
}

/// A look at the segment before anything is made or changed; false: look again.
pub(crate) fn acceptable(found: NamedSegment, options: &Options) -> Result<bool> {
    let key = options.key;
    let stat = match found.stat_as(options) {
        Err(Error::Removed { .. }) => return Ok(false),
        other => other?,
    };
    options.accepts(Object::Segment, &stat.perm, stat.bytes, true)?;
    let attach = found.view()?;
    let bytes = attach.bytes();
    let Some(segment) = Segment::new(attach) else { return Err(too_small(key, bytes)) };
    match check_header(key, segment.header(), bytes) {
        Ok(_) => Ok(true),
        // Being made at this moment, or half-made: that is settled under the lock.
        Err(_) if !foreign(segment.header()) && under_way(key)? => Ok(true),
        // Made and finished since the look: look again.
        Err(e) => match check_header(key, segment.header(), bytes) {
            Ok(_) => Ok(true),
            Err(_) if found.stat()?.removed => Ok(false),
            Err(_) => Err(e),
        },
    }
}

fn under_way(key: Key) -> Result<bool> {
    Ok(Roles::find(key)?.is_some_and(|roles| roles.creation_under_way()))
}
