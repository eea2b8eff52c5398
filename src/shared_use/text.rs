//! How large the text is, and whether a segment is one of the C demo's kind at all.
#![allow(unsafe_code)]

use crate::channel::{inspect, Options};
use crate::error::{Error, Object, Result};
use crate::layout::{BadField, LINE, MAGIC};
use crate::sync::AtomicU32;
use crate::sync::Ordering::Relaxed;
use crate::sysv::shm::{AttachOptions, ShmId};
use crate::sysv::Key;

/// Size of `some_text` in a new segment, in bytes.
pub const TEXT_BYTES: u32 = 2048;
/// Largest size of `some_text`, in bytes.
pub const MAX_TEXT_BYTES: u32 = 64 << 10;

/// Size of `struct { int written_by_you; char some_text[text]; }`, with the padding that C puts behind
/// it.
pub const fn segment_bytes(text: u32) -> usize {
    (4 + text as usize + 3) & !3
}

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

/// How large the text of a segment of so many bytes is; `None`: it can't be one of the C demo's kind.
///
/// Up to three bytes at its end may be padding, where a text too long would be beyond the C program's
/// array: they are left alone unless the size is a multiple of 16, as sizes are that people choose.
pub fn text_of(bytes: usize) -> Option<u32> {
    let text = u32::try_from(bytes.checked_sub(4)?).ok()?;
    match text {
        1..=MAX_TEXT_BYTES if text % 16 == 0 || text <= 3 => Some(text),
        4..=MAX_TEXT_BYTES => Some(text - 3),
        _ => None,
    }
}

/// The size of the text in a segment of `bytes`, where `given` is what its user says.
///
/// # Errors
/// [`Error::NotOurs`] where the segment is too small for it, or can't be one of the C demo's kind;
/// [`Error::OtherProtocol`] where it is a channel.
pub(crate) fn check(key: Key, id: ShmId, bytes: usize, given: Option<u32>) -> Result<u32> {
    let refuse = |field, expected: usize| {
        let found = u32::try_from(bytes).unwrap_or(u32::MAX);
        let field = BadField { field, found, expected: expected as u32 };
        Err(Error::NotOurs { key, object: Object::Segment, lane: None, field })
    };
    // Only where it can be one: with kernel.shm_rmid_forced a look takes a segment away that nobody has
    // attached yet.
    if bytes > 0 && bytes % LINE == 0 && first_word(key, id)? == MAGIC {
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

/// Some courses' programs have several texts and a flag for each reader: not this protocol.
fn is_slots(text: u32) -> bool {
    text % TEXT_BYTES == 0 && !(text / TEXT_BYTES).is_power_of_two()
}

fn first_word(key: Key, id: ShmId) -> Result<u32> {
    let read_only = AttachOptions { read_only: true, ..Default::default() };
    let attach = inspect::attach(key, id, &read_only)?;
    let first: *const AtomicU32 = attach.base().as_ptr().cast();
    // SAFETY: the attach has a page at least, and lives to the end of this function; any bits are an
    // atomic's, which is only loaded.
    Ok(unsafe { &*first }.load(Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_text_is_that_of_the_struct_but_for_its_padding() {
        for text in [16, 256, 1024, 2048, 4096, 16_384, MAX_TEXT_BYTES] {
            assert_eq!(text_of(segment_bytes(text)), Some(text));
        }
        for text in 1..3000 {
            let taken = text_of(segment_bytes(text)).unwrap();
            let round = segment_bytes(text) as u32 - 4;
            assert!(taken <= text || round % 16 == 0, "{taken} of {text}");
            assert!(taken + 6 > text, "{taken} of {text}");
        }
        for bytes in [0, 3, 4, segment_bytes(MAX_TEXT_BYTES) + 1, usize::MAX] {
            assert_eq!(text_of(bytes), None, "{bytes}");
        }
    }

    #[test]
    fn ten_texts_are_no_text() {
        assert!([1, 2, 4, 8, 32].iter().all(|n| !is_slots(n * TEXT_BYTES)));
        assert!([3, 5, 10].iter().all(|n| is_slots(n * TEXT_BYTES)));
        assert!(!is_slots(2018));
    }
}
