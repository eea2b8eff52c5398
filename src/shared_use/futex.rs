//! Sleeping on a word of the segment, and waking who sleeps there: `futex(2)`.
#![allow(unsafe_code)]

use crate::segment::atomic::AtomicU32;
use core::ptr;
use core::time::Duration;
#[cfg(target_pointer_width = "32")]
use nix::errno::Errno;
use nix::libc;

/// Sleeps while `word` holds `expected`, at most `longest`; returns after a wake, a signal, the
/// time, or at once where the word holds something else. The caller looks for itself which.
///
/// The futex is a shared one (not `FUTEX_PRIVATE_FLAG`): the peer is another process, and its
/// attach may be read-only.
///
/// Source: [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html), `FUTEX_WAIT`.
pub(super) fn wait(word: &AtomicU32, expected: u32, longest: Duration) {
    #[cfg(target_pointer_width = "32")]
    {
        /// `struct __kernel_timespec`: 64-bit on every architecture.
        #[repr(C)]
        struct Timespec64 {
            sec: i64,
            nsec: i64,
        }
        /// `futex_time64(2)`: one number on all 32-bit architectures, Linux 5.1 and later.
        const SYS_FUTEX_TIME64: libc::c_long = 422;
        let time = Timespec64 {
            sec: longest.as_secs().min(i64::MAX as u64) as i64,
            nsec: i64::from(longest.subsec_nanos()),
        };
        // SAFETY: the word is a live, aligned u32 behind a reference, `time` a kernel timespec;
        // FUTEX_WAIT reads both and writes nothing.
        let result = unsafe {
            libc::syscall(
                SYS_FUTEX_TIME64,
                word.as_ptr(),
                libc::FUTEX_WAIT,
                expected,
                &time as *const Timespec64,
            )
        };
        if result == 0 || Errno::last() != Errno::ENOSYS {
            return;
        }
    }
    // The kernel's own `struct timespec`: two longs.
    let time: [libc::c_long; 2] = [
        longest.as_secs().min(i32::MAX as u64) as libc::c_long,
        longest.subsec_nanos() as libc::c_long,
    ];
    // SAFETY: as above; SYS_futex takes a timespec of two longs.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, time.as_ptr())
    };
}

/// Wakes who sleeps on `word`.
///
/// Source: [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html), `FUTEX_WAKE`.
pub(super) fn wake(word: &AtomicU32) {
    // SAFETY: FUTEX_WAKE uses the word's address alone, which is that of a live, aligned u32.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            i32::MAX,
            ptr::null::<libc::timespec>(),
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::atomic::Ordering;
    use std::time::Instant;

    #[test]
    fn another_value_returns_at_once_and_the_time_is_kept() {
        let word = AtomicU32::new(7);
        let begin = Instant::now();
        wait(&word, 8, Duration::from_secs(60));
        assert!(begin.elapsed() < Duration::from_secs(30));
        let begin = Instant::now();
        wait(&word, 7, Duration::from_millis(30));
        assert!(begin.elapsed() >= Duration::from_millis(29));
    }

    #[test]
    fn a_wake_ends_the_sleep() {
        let word = AtomicU32::new(0);
        std::thread::scope(|s| {
            s.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    wait(&word, 0, Duration::from_secs(60));
                }
            });
            word.store(1, Ordering::Release);
            wake(&word);
        });
    }
}
