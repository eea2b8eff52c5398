//! The atomics that the segment is made of, in one place, so that the model checker can put its
//! own in their stead and run the real ring and doorbell code.

pub(crate) use core::sync::atomic::{fence, AtomicU32, Ordering};
