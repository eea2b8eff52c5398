//! Is a segment one of the C demo's kind, and of the size that its user says?
#![allow(unsafe_code)]

use crate::channel::named::NamedSegment;
use crate::channel::Options;
use crate::error::{Error, Object, Result};
use crate::segment::atomic::AtomicU32;
use crate::segment::atomic::Ordering::Relaxed;
use crate::segment::layout::{BadField, LINE, MAGIC};
use crate::segment::shared_use_st::{is_slots, segment_bytes, text_of, MAX_TEXT_BYTES, TEXT_BYTES};
#[cfg(feature = "programs")]
use crate::sysv::Key;

/// The size that the caller asks for, if any.
///
/// # Errors
/// [`Error::BadGeometry`] where no text has that size.
pub(crate) fn wanted(options: &Options) -> Result<Option<u32>> {
    match options.text_bytes {
        Some(text) if !(1..=MAX_TEXT_BYTES).contains(&text) => Err(Error::BadGeometry(BadField {
            field: "text_bytes",
            found: text,
            expected: text.clamp(1, MAX_TEXT_BYTES),
        })),
        text => Ok(text),
    }
}

/// The size of the text in a segment of `bytes`, where `given` is what its user says.
///
/// # Errors
/// [`Error::NotOurs`] where the segment is too small for it, or can't be one of the C demo's kind;
/// [`Error::OtherProtocol`] where it is a channel.
pub(crate) fn check(found: NamedSegment, bytes: usize, given: Option<u32>) -> Result<u32> {
    let key = found.key;
    let refuse = |field, expected: usize| {
        let found = u32::try_from(bytes).unwrap_or(u32::MAX);
        let field = BadField { field, found, expected: expected as u32 };
        Err(Error::NotOurs { key, object: Object::Segment, lane: None, field })
    };
    // Only where it can be one: with kernel.shm_rmid_forced a look takes a segment away that nobody has
    // attached yet.
    if bytes > 0 && bytes % LINE == 0 && first_word(found)? == MAGIC {
        return Err(Error::OtherProtocol { key, shared_use: false, size: bytes });
    }
    match (given, text_of(bytes)) {
        (Some(text), _) if bytes >= 4 + text as usize => Ok(text),
        (Some(text), _) => refuse("segment size", segment_bytes(text)),
        (None, Some(text)) if is_slots(text) => refuse(
            "segment size (an array of texts of 2048 bytes? --text-size says that it is one text)",
            segment_bytes(TEXT_BYTES),
        ),
        (None, Some(text)) => Ok(text),
        (None, None) => refuse("segment size", segment_bytes(TEXT_BYTES)),
    }
}

/// What the segment of this key begins with, to be shown to a person: its first bytes, as far as they
/// may be looked at.
#[cfg(feature = "programs")]
pub(crate) fn begin(key: Key) -> Option<[u8; 8]> {
    let attach = NamedSegment::find(key).ok()??.view().ok()?;
    let first: *const [u8; 8] = attach.base().as_ptr().cast();
    // SAFETY: an attach has a page at least, page aligned, and this one lives to the end of the
    // function; bytes have no wrong value. Volatile: somebody may write there meanwhile.
    Some(unsafe { first.read_volatile() })
}

fn first_word(found: NamedSegment) -> Result<u32> {
    let attach = found.view()?;
    let first: *const AtomicU32 = attach.base().as_ptr().cast();
    // SAFETY: the attach has a page at least, and lives to the end of this function; any bits are an
    // atomic's, which is only loaded.
    Ok(unsafe { &*first }.load(Relaxed))
}
