//! The values of options: what is taken, and what to say about what is not.

use super::words::Words;
use super::{exit, names, Failure};
use crate::sysv::Key;
use anyhow::Result;
use core::time::Duration;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(super) fn usage(message: impl Into<String>) -> anyhow::Error {
    Failure::error(exit::USAGE, message)
}

/// What somebody typed, so that it can be printed: no control characters. As Debug shows it, which is in
/// the programs anyway, without the quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = format!("{text:?}");
    shown.pop();
    shown.remove(0);
    shown
}

pub(super) fn bad(option: &str, value: &str, range: &str) -> anyhow::Error {
    usage(format!("{option} '{}': must be {range}", escaped(value)))
}

/// The option's value as text.
pub(super) fn text(words: &mut Words, option: &str) -> Result<String> {
    let value = words.value(option)?;
    match value.into_string() {
        Ok(text) => Ok(text),
        Err(raw) => Err(bad(option, &raw.to_string_lossy(), "UTF-8 text")),
    }
}

pub(super) fn bytes_of(value: OsString) -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(value)
}

pub(super) fn key(option: &str, value: &str) -> Result<Key> {
    value.parse().map_err(|_| {
        bad(option, value, "a decimal or 0x hex number of 32 bits other than 0 (IPC_PRIVATE)")
    })
}

/// Of any bytes: a path need not be UTF-8.
pub(super) fn ftok(value: &OsStr) -> Result<Key> {
    let shown = value.to_string_lossy();
    let wrong = || bad("--ftok", &shown, "PATH,ID with ID one character or 1..255");
    let bytes = value.as_bytes();
    let comma = bytes.iter().rposition(|byte| *byte == b',').ok_or_else(wrong)?;
    let (path, id) = (&bytes[..comma], &bytes[comma + 1..]);
    let number = core::str::from_utf8(id).ok().and_then(|id| id.parse::<u8>().ok());
    let id = match (number, id) {
        (Some(number), _) if number > 0 => number,
        (None, [byte]) if byte.is_ascii_graphic() => *byte,
        _ => return Err(wrong()),
    };
    Key::from_file(Path::new(OsStr::from_bytes(path)), id).map_err(|e| {
        usage(format!("--ftok '{}': {e}: must name an existing file", escaped(&shown)))
    })
}

/// A number of bytes with an optional K or M.
pub(super) fn size(option: &str, value: &str, low: u32, high: u32, range: &str) -> Result<u32> {
    let (digits, unit) = match value.as_bytes().last() {
        Some(b'K' | b'k') => (&value[..value.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&value[..value.len() - 1], 1 << 20),
        _ => (value, 1),
    };
    number(digits)
        .and_then(|n| n.checked_mul(unit))
        .filter(|n| (low..=high).contains(n))
        .ok_or_else(|| bad(option, value, range))
}

/// Decimal digits only: no sign.
pub(super) fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

pub(super) fn mode(value: &str, low: u32) -> Result<u32> {
    let octal = value.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let number = octal.then(|| u32::from_str_radix(value, 8).ok()).flatten();
    let range = if low == 0 {
        "an octal number, 0000..0777"
    } else {
        "an octal number, 0600..0777, with read and write for the owner"
    };
    number.filter(|n| *n <= 0o777 && n & low == low).ok_or_else(|| bad("--mode", value, range))
}

pub(super) fn user(option: &str, value: &str) -> Result<u32> {
    let uid = number(value).filter(|uid| *uid != u32::MAX).or_else(|| names::uid_of(value));
    uid.ok_or_else(|| bad(option, value, "a user's name or uid (0..4294967294)"))
}

pub(super) fn group(option: &str, value: &str) -> Result<u32> {
    let gid = number(value).filter(|gid| *gid != u32::MAX).or_else(|| names::gid_of(value));
    gid.ok_or_else(|| bad(option, value, "a group's name or gid (0..4294967294)"))
}

/// Seconds with an optional fraction, without the weight of floating point parsing.
pub(super) fn seconds(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if whole.is_empty() || (fraction.is_empty() && value.contains('.')) {
        return None;
    }
    let mut nanos = 0;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    for i in 0..9 {
        nanos = nanos * 10 + fraction.as_bytes().get(i).map_or(0, |b| u32::from(b - b'0'));
    }
    Some(Duration::new(u64::from(number(whole)?), nanos))
}

pub(super) fn address(value: &str) -> Result<usize> {
    let hex = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")).unwrap_or(value);
    let digits = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let parsed = digits.then(|| usize::from_str_radix(hex, 16).ok()).flatten();
    parsed
        .filter(|n| *n != 0)
        .ok_or_else(|| bad("--address", value, "a hex number other than 0 that an address can be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(key("--key", "1234").unwrap().raw(), 1234);
        assert_eq!(key("--key", "0x4d2").unwrap().raw(), 1234);
        assert_eq!(key("--key", "0xffffffff").unwrap().raw(), -1);
        for wrong in ["0", "0x0", "", "0x", "12a", "4294967296", "0x100000000", "0x-1", " 1"] {
            assert!(key("--key", wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("--size", "16K", 256, 1 << 24, "").unwrap(), 16384);
        assert_eq!(size("--size", "16M", 256, 1 << 24, "").unwrap(), 1 << 24);
        for wrong in ["", "K", "255", "17M", "-1", "+300", "4294967295K", "1G", "16 K"] {
            assert!(size("--size", wrong, 256, 1 << 24, "").is_err(), "{wrong}");
        }
        assert_eq!(mode("0660", 0o600).unwrap(), 0o660);
        for wrong in ["", "0800", "1777", "0060", "rw", "-1"] {
            assert!(mode(wrong, 0o600).is_err(), "{wrong}");
        }
        assert_eq!(seconds("1.5").unwrap(), Duration::from_millis(1500));
        assert_eq!(seconds("0").unwrap(), Duration::ZERO);
        for wrong in ["", ".", "1.", ".5", "-1", "1e3", "inf", "1.5.5", "1.x", "99999999999"] {
            assert!(seconds(wrong).is_none(), "{wrong}");
        }
        assert_eq!(address("0x40000000").unwrap(), 0x4000_0000);
        for wrong in ["", "0", "0x", "xyz", "-1", "+1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
