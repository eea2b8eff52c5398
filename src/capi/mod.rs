//! The C interface, with the feature `capi`: what `include/shmdemo.h` declares and describes.
//!
//! The header is the reference: units, errors, ownership and threads are said there, once. The
//! functions here check what a C caller may get wrong, call the library, and turn its errors into
//! a code and a text. A test compares every type, constant and signature with the header.
//!
//! Not for Rust programs, which have the rest of this crate. What is promised is the compatibility
//! that the header promises, to C.
//!
//! No argument makes any of these panic: null pointers, lengths and numbers out of range are
//! [`SHMDEMO_USAGE`]. What can't be checked is a pointer to something else than the header says.
#![allow(unsafe_code)]
#![allow(clippy::missing_safety_doc)] // what a pointer must point to is said in the header, once

mod consumer;
mod fault;
mod options;
mod producer;
mod status;
#[cfg(any(
    target_env = "musl",
    all(feature = "c-library", panic = "abort", not(feature = "backtrace"))
))]
mod unwinder;
mod waker;

use waker::Waker;

pub use consumer::{
    shmdemo_consumer, shmdemo_consumer_close, shmdemo_consumer_closing, shmdemo_consumer_fd,
    shmdemo_consumer_held, shmdemo_consumer_must_release, shmdemo_consumer_open,
    shmdemo_consumer_peek, shmdemo_consumer_receive, shmdemo_consumer_release,
    shmdemo_consumer_release_first, shmdemo_consumer_remove, shmdemo_consumer_rewind,
    shmdemo_consumer_wait, shmdemo_consumer_wake, shmdemo_record, SHMDEMO_KIND_DATA,
    SHMDEMO_KIND_END,
};
pub use fault::{shmdemo_last_errno, shmdemo_last_error, shmdemo_strerror};
pub use options::{
    shmdemo_options, shmdemo_options_init, SHMDEMO_LOCK, SHMDEMO_NO_CREATE, SHMDEMO_UNSET,
};
pub use producer::{
    shmdemo_producer, shmdemo_producer_close, shmdemo_producer_commit, shmdemo_producer_fd,
    shmdemo_producer_finish, shmdemo_producer_lane, shmdemo_producer_max_message,
    shmdemo_producer_open, shmdemo_producer_reserve, shmdemo_producer_ring, shmdemo_producer_send,
    shmdemo_producer_wake, SHMDEMO_END, SHMDEMO_QUIETLY,
};
pub use status::{
    shmdemo_lane_status, shmdemo_remove, shmdemo_status, shmdemo_status_read, SHMDEMO_FORCE,
    SHMDEMO_NOBODY,
};

use crate::exit_status as exit;
use crate::Deadline;
use core::ffi::{c_char, c_int};
use core::time::Duration;

/// All went well.
pub const SHMDEMO_OK: c_int = exit::OK as c_int;
/// A wrong argument, or a call at the wrong time.
pub const SHMDEMO_USAGE: c_int = -(exit::USAGE as c_int);
/// A message longer than the channel, or the caller's buffer, takes.
pub const SHMDEMO_TOO_LONG: c_int = -(exit::TOO_LONG as c_int);
/// No System V IPC, no channel, or it was removed while in use.
pub const SHMDEMO_UNAVAILABLE: c_int = -(exit::UNAVAILABLE as c_int);
/// Segment or semaphores can't be created.
pub const SHMDEMO_CANT_CREATE: c_int = -(exit::CANT_CREATE as c_int);
/// Busy, or timed out.
pub const SHMDEMO_BUSY: c_int = -(exit::BUSY as c_int);
/// What stands under the key is no channel of this version, or is damaged.
pub const SHMDEMO_NOT_OURS: c_int = -(exit::NOT_OURS as c_int);
/// No permission, or an owner or mode that is not accepted.
pub const SHMDEMO_PERMISSION: c_int = -(exit::PERMISSION as c_int);
/// A wait was ended by `shmdemo_producer_wake` or `shmdemo_consumer_wake`.
pub const SHMDEMO_WOKEN: c_int = -(exit::SIGNAL as c_int);

/// The library's version as one number: see `SHMDEMO_VERSION_NUMBER` in the header.
#[no_mangle]
pub extern "C" fn shmdemo_version_number() -> u32 {
    const NUMBER: u32 = number(
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    );
    NUMBER
}

const fn number(major: &str, minor: &str, patch: &str) -> u32 {
    (digits(major.as_bytes()) << 16) | (digits(minor.as_bytes()) << 8) | digits(patch.as_bytes())
}

/// A decimal number; one that is none does not compile.
const fn digits(text: &[u8]) -> u32 {
    let (mut n, mut i) = (0, 0);
    while i < text.len() {
        assert!(text[i].is_ascii_digit());
        n = n * 10 + (text[i] - b'0') as u32;
        i += 1;
    }
    assert!(n < 256);
    n
}

/// The library's version as text.
#[no_mangle]
pub extern "C" fn shmdemo_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Milliseconds as the C functions take them: -1 is forever.
fn deadline(timeout_ms: i32) -> Result<Deadline, fault::Fault> {
    match timeout_ms {
        -1 => Ok(Deadline::Never),
        ms => match u64::try_from(ms) {
            Ok(ms) => Ok(Deadline::after(Duration::from_millis(ms))),
            Err(_) => Err(fault::misuse("timeout_ms must be -1 or more")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_version_is_a_number_of_three_bytes() {
        assert_eq!(number("1", "2", "3"), 0x01_02_03);
        assert_eq!(number("10", "255", "0"), 0x0a_ff_00);
    }
}
