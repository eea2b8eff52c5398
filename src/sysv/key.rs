//! Keys, and `ftok(3)` that makes one from a file.
#![allow(unsafe_code)]

use super::{Result, SysError};
use core::fmt;
use core::str::FromStr;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The key by which programs that do not know each other find the same segment and semaphore set.
///
/// Never `IPC_PRIVATE` (0): a private object can't be found by anybody else.
///
/// Source: [sysvipc(7)](https://man7.org/linux/man-pages/man7/sysvipc.7.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(i32);

impl Key {
    /// The key of the C demo that this project began as.
    pub const DEFAULT: Key = Key(1234);

    /// A key from its number; `None` for 0, which is `IPC_PRIVATE`.
    pub const fn new(raw: i32) -> Option<Self> {
        match raw {
            0 => None,
            other => Some(Self(other)),
        }
    }

    /// The number, as `shmget(2)` takes it.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The key that `ftok(3)` makes of an existing file and the low eight bits of `id`.
    ///
    /// # Errors
    /// The errno of `stat(2)` where the file can't be looked at (`ENOENT`, `EACCES`); `EINVAL`
    /// for a path with a NUL byte in it or an id whose low eight bits are 0, and where the
    /// result would be `IPC_PRIVATE`.
    ///
    /// Source: [ftok(3)](https://man7.org/linux/man-pages/man3/ftok.3.html).
    pub fn from_file(path: &Path, id: u8) -> Result<Self> {
        let invalid = SysError { call: "ftok", errno: nix::errno::Errno::EINVAL };
        if id == 0 {
            return Err(invalid);
        }
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| invalid)?;
        // SAFETY: `path` is a NUL-terminated string that lives through the call; ftok keeps nothing.
        let raw = unsafe { nix::libc::ftok(path.as_ptr(), i32::from(id)) };
        if raw == -1 {
            return Err(SysError::last("ftok"));
        }
        Self::new(raw).ok_or(invalid)
    }
}

/// Text that is no key: see [`Key`]'s `FromStr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoKey;

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal or 0x hex number of 32 bits other than 0 (IPC_PRIVATE)")
    }
}

impl std::error::Error for NoKey {}

impl FromStr for Key {
    type Err = NoKey;

    /// A decimal number (also below 0), or a hex one behind `0x`, as the programs' `--key`.
    fn from_str(text: &str) -> core::result::Result<Self, NoKey> {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            // from_str_radix would take a sign.
            Some(hex) if hex.starts_with(['+', '-']) => None,
            Some(hex) => u32::from_str_radix(hex, 16).ok().map(|n| n as i32),
            None => text.parse::<i32>().ok(),
        };
        number.and_then(Key::new).ok_or(NoKey)
    }
}

impl fmt::Display for Key {
    /// As `ipcs(1)` shows keys, with the decimal form that the command line takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x} ({})", self.0, self.0)
    }
}

#[cfg(test)]
impl Key {
    /// One that no other test of this process has, nor one of another process.
    pub(crate) fn of_a_test() -> Self {
        use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Relaxed) & 0xff;
        Self::new(((std::process::id() << 8) | number) as i32).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ftok_is_stable_and_refuses_what_makes_no_key() {
        let dir = std::env::temp_dir();
        let one = Key::from_file(&dir, b'a').unwrap();
        assert_eq!(one, Key::from_file(&dir, b'a').unwrap());
        assert_ne!(one, Key::from_file(&dir, b'b').unwrap());
        assert_eq!(one.raw() as u32 >> 24, u32::from(b'a'), "the id is the key's top byte");
        let missing = Key::from_file(Path::new("/nonexistent/file"), b'a').unwrap_err();
        assert_eq!(missing.errno, nix::errno::Errno::ENOENT);
        assert!(Key::from_file(&dir, 0).is_err());
        assert!(Key::new(0).is_none());
    }
}
