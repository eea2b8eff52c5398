//! The C demo's segment: `struct { int written_by_you; char some_text[N]; }`, and how large its text can be.

/// Size of `some_text` in a new segment, in bytes.
pub const TEXT_BYTES: u32 = 2048;
/// Largest size of `some_text`, in bytes.
pub const MAX_TEXT_BYTES: u32 = 64 << 10;

/// Size of `struct { int written_by_you; char some_text[text]; }`, with the padding that C puts behind
/// it.
pub const fn segment_bytes(text: u32) -> usize {
    (4 + text as usize + 3) & !3
}

/// How large the text of a segment of so many bytes is; `None`: it can't be one of the C demo's kind.
///
/// Up to three bytes at its end may be padding, where a text too long would be beyond the C program's
/// array: they are left alone unless the size is a multiple of 16, as sizes are that people choose.
pub(crate) fn text_of(bytes: usize) -> Option<u32> {
    let text = u32::try_from(bytes.checked_sub(4)?).ok()?;
    match text {
        1..=MAX_TEXT_BYTES if text % 16 == 0 || text <= 3 => Some(text),
        4..=MAX_TEXT_BYTES => Some(text - 3),
        _ => None,
    }
}

/// Some courses' programs have several texts and a flag for each reader: not this protocol.
pub(crate) fn is_slots(text: u32) -> bool {
    text % TEXT_BYTES == 0 && !(text / TEXT_BYTES).is_power_of_two()
}

#[cfg(all(test, not(loom)))]
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
