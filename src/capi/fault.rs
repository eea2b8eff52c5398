//! Failures on their way to C: a code, and a text in a buffer of the thread's own.

use super::{
    SHMDEMO_BUSY, SHMDEMO_CANT_CREATE, SHMDEMO_NOT_OURS, SHMDEMO_OK, SHMDEMO_PERMISSION,
    SHMDEMO_TOO_LONG, SHMDEMO_UNAVAILABLE, SHMDEMO_USAGE, SHMDEMO_WOKEN,
};
use crate::Error;
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int};
use core::fmt::{self, Write};
use nix::libc;

/// Longest text, its NUL included; longer ones are cut.
const TEXT: usize = 512;

/// What went wrong in one call.
pub(super) enum Fault {
    /// In the channel.
    Channel(Error),
    /// In what the caller gave, or when.
    Misuse(&'static str),
    /// The caller's buffer is too small for the message.
    Buffer { len: usize, size: usize },
    /// The wait was ended.
    Woken,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Channel(error)
    }
}

pub(super) fn misuse(what: &'static str) -> Fault {
    Fault::Misuse(what)
}

impl Fault {
    fn errno(&self) -> c_int {
        match self {
            Fault::Channel(error) => error.errno(),
            Fault::Misuse(_) => libc::EINVAL,
            Fault::Buffer { .. } => libc::EMSGSIZE,
            Fault::Woken => libc::EINTR,
        }
    }

    fn code(&self) -> c_int {
        match self {
            Fault::Channel(error) => -c_int::from(crate::exit_status::code_of(error)),
            Fault::Misuse(_) => SHMDEMO_USAGE,
            Fault::Buffer { .. } => SHMDEMO_TOO_LONG,
            Fault::Woken => SHMDEMO_WOKEN,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Channel(error) => write!(f, "{error}"),
            Fault::Misuse(what) => write!(f, "{what} (EINVAL)"),
            Fault::Buffer { len, size } => write!(
                f,
                "the message has {len} bytes and the buffer {size} (EMSGSIZE): it is still in \
                 the channel; call again with a larger buffer"
            ),
            Fault::Woken => f.write_str("the wait was ended by a wake (EINTR)"),
        }
    }
}

/// The text, always with a NUL somewhere: the last byte is never written.
struct Text {
    bytes: [u8; TEXT],
    used: usize,
    errno: c_int,
}

thread_local! {
    static LAST: UnsafeCell<Text> = const { UnsafeCell::new(Text { bytes: [0; TEXT], used: 0, errno: 0 }) };
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut end = text.len().min(TEXT - 1 - self.used);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes[self.used..self.used + end].copy_from_slice(&text.as_bytes()[..end]);
        self.used += end;
        self.bytes[self.used] = 0;
        if end < text.len() {
            self.used = TEXT - 1; // what comes behind a cut does not stand there
        }
        Ok(())
    }
}

/// Runs one C function's body; a failure leaves its text behind and becomes its code.
pub(super) fn call(name: &'static str, body: impl FnOnce() -> Result<c_int, Fault>) -> c_int {
    let fault = match body() {
        Ok(value) => return value,
        Err(fault) => fault,
    };
    LAST.with(|last| {
        // SAFETY: the buffer is this thread's own, and nothing called from here uses it again:
        // the texts of errors come from this library alone.
        let last = unsafe { &mut *last.get() };
        (last.used, last.errno) = (0, fault.errno());
        // Writing to it does not fail.
        let _ = write!(last, "{name}: {fault}");
    });
    fault.code()
}

/// Text of the last failure in this thread.
#[no_mangle]
pub extern "C" fn shmdemo_last_error() -> *const c_char {
    // SAFETY: no reference to it is alive: the only other one is in `call`, in this thread.
    LAST.with(|last| unsafe { core::ptr::addr_of!((*last.get()).bytes).cast() })
}

/// The number of the last failure in this thread; 0: there was none.
#[no_mangle]
pub extern "C" fn shmdemo_last_errno() -> c_int {
    // SAFETY: as in `shmdemo_last_error`.
    LAST.with(|last| unsafe { (*last.get()).errno })
}

/// What a code means, in general.
#[no_mangle]
pub extern "C" fn shmdemo_strerror(code: c_int) -> *const c_char {
    let text = match code {
        SHMDEMO_OK => "no error\0",
        SHMDEMO_USAGE => "wrong argument, or call at the wrong time\0",
        SHMDEMO_TOO_LONG => "message too long\0",
        SHMDEMO_UNAVAILABLE => "no System V IPC, no channel, or it was removed while in use\0",
        SHMDEMO_CANT_CREATE => "segment or semaphores cannot be created\0",
        SHMDEMO_BUSY => "busy or timed out\0",
        SHMDEMO_NOT_OURS => "not a channel of this version, or damaged\0",
        SHMDEMO_PERMISSION => "no permission, or owner or mode not accepted\0",
        SHMDEMO_WOKEN => "wait ended by a wake\0",
        _ => "unknown code\0",
    };
    text.as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        for begin in ["", "x"] {
            let mut text = Text { bytes: [b'?'; TEXT], used: 0, errno: 0 };
            text.bytes[TEXT - 1] = 0;
            for part in [begin, "two: ", &"\u{fc}".repeat(TEXT), "not any more"] {
                text.write_str(part).expect("it does not fail");
            }
            let cut = core::ffi::CStr::from_bytes_until_nul(&text.bytes).expect("a NUL");
            let cut = cut.to_str().expect("whole characters");
            let rest = cut.strip_prefix(begin).and_then(|cut| cut.strip_prefix("two: "));
            assert!(rest.expect("both parts").chars().all(|c| c == '\u{fc}'), "{cut}");
            assert!((TEXT - 2..TEXT).contains(&cut.len()), "{}", cut.len());
        }
    }

    #[test]
    fn each_code_has_a_text_of_its_own() {
        let codes = [
            SHMDEMO_OK,
            SHMDEMO_USAGE,
            SHMDEMO_TOO_LONG,
            SHMDEMO_UNAVAILABLE,
            SHMDEMO_CANT_CREATE,
            SHMDEMO_BUSY,
            SHMDEMO_NOT_OURS,
            SHMDEMO_PERMISSION,
            SHMDEMO_WOKEN,
        ];
        let text = |code| {
            // SAFETY: it returns a constant C string.
            let text = unsafe { core::ffi::CStr::from_ptr(shmdemo_strerror(code)) };
            text.to_str().expect("plain text")
        };
        let mut texts: Vec<_> = codes.map(text).into();
        assert!(texts.iter().all(|known| *known != text(1)), "{texts:?}");
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), codes.len());
    }
}
