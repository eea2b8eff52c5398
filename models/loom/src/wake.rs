//! The library's doorbell alone.

#[path = "../../../src/wake/doorbell.rs"]
pub(crate) mod doorbell;
