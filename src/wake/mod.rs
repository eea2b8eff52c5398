//! Sleeping and ringing: one semaphore and two words for each sleeper.

mod bell;
mod descriptor;
mod doorbell;
mod sleep;

pub(crate) use bell::Bell;
pub use bell::Interrupter;
pub use descriptor::Descriptor;
pub(crate) use descriptor::{sleep_or_poll, start as start_descriptor, Polled};
pub use doorbell::Waited;
pub(crate) use sleep::{Bed, Look, SpinPolicy};

#[cfg(all(test, not(loom)))]
mod tests;
