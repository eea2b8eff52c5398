//! Sleeping and ringing: one semaphore and two words for each sleeper.

mod bell;
mod doorbell;
mod sleep;

pub(crate) use bell::Bell;
pub use bell::Interrupter;
pub use doorbell::Waited;
pub(crate) use sleep::{sleep, Bed, Look, SpinPolicy};
