//! The segment's memory: the library's map of it, and atomics of loom's.

pub(crate) mod atomic;
#[path = "../../../../src/segment/closing.rs"]
mod closing;
#[path = "../../../../src/segment/layout.rs"]
pub mod layout;
pub(crate) mod memory;
