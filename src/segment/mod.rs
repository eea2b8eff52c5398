//! What lies in the segment: its memory map, and safe access to it.

pub(crate) mod atomic;
mod closing;
pub mod layout;
pub(crate) mod memory;
pub(crate) mod shared_use_st;

pub(crate) use memory::Segment;
