//! The atomics that the segment is made of, in one place, so that the model checker can put its
//! own in their stead and run the real ring and doorbell code.

pub(crate) use core::sync::atomic::{fence, AtomicU32, Ordering};

/// An Acquire load that only reads, for memory that may be attached read-only.
///
/// `load(Acquire)` may be more than a load: before ARMv6 there is no barrier instruction to put
/// behind it, so compilers make it a compare-and-swap by the kernel's helper, which stores the value
/// that it found, and on an attach with SHM_RDONLY ends the process with SIGSEGV. A Relaxed load
/// is a plain load everywhere, and the fence behind it orders what follows in the same way: what
/// the Release store that it pairs with published is seen by everything after the fence.
///
/// Where the attach can be written, `load(Acquire)` is the shorter word for it.
pub(crate) fn load_acquire(word: &AtomicU32) -> u32 {
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    value
}
