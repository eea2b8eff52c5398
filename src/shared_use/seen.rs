//! A segment of the C demo's kind, looked at.
#![allow(unsafe_code)]

use super::open::accept;
use crate::channel::named::NamedSegment;
use crate::channel::Options;
use crate::error::{Error, Result};
use crate::segment::atomic::AtomicU32;
use crate::segment::atomic::Ordering::Relaxed;
use crate::sysv::limits::rmid_forced;
use crate::sysv::shm::{ShmId, ShmStat};
use crate::sysv::Key;

/// A segment of the C demo's kind as an onlooker sees it.
#[derive(Debug)]
pub struct Seen {
    key: Key,
    id: ShmId,
    stat: ShmStat,
    rmid_forced: bool,
    written: u32,
}

/// Looks at the segment through a read-only attach; changes nothing.
///
/// # Errors
/// [`Error::NoChannel`]; [`Error::NotAccepted`] by owner; [`Error::NotOurs`] by size.
pub fn look(options: &Options) -> Result<Seen> {
    let key = options.key;
    let found = NamedSegment::find(key)?.ok_or(Error::NoChannel(key))?;
    accept(found, options)?;
    let stat = found.stat_as(options)?;
    let attach = found.view()?;
    let flag: *const AtomicU32 = attach.base().as_ptr().cast();
    // SAFETY: the attach holds the flag and a text (checked in `accept`), page aligned, and lives to
    // the end of this function; the flag is an atomic, valid for any bits, and only loaded. Relaxed:
    // nothing is read after it, and on a read-only attach an Acquire load could be one store too many.
    let written = unsafe { &*flag }.load(Relaxed);
    Ok(Seen { key, id: found.id, stat, rmid_forced: rmid_forced(), written })
}

impl core::fmt::Display for Seen {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        crate::channel::status::write_stat(f, self.key, self.id, &self.stat, self.rmid_forced)?;
        let (protocol, written) = ("protocol    shared_use_st, written_by_you", self.written);
        writeln!(f, "{protocol} {written}")
    }
}

impl Seen {
    /// One JSON object, on one line.
    pub fn json(&self) -> String {
        let mut text = String::from("{");
        // Writing to a String does not fail.
        let _ = crate::channel::status::write_stat_json(
            &mut text,
            self.key,
            self.id,
            &self.stat,
            self.rmid_forced,
        );
        text + &format!("\"protocol\":\"shared_use_st\",\"written_by_you\":{}}}", self.written)
    }
}
