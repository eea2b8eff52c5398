//! Sleeping and ringing: one semaphore and two words for each sleeper.

mod bell;
mod doorbell;
mod sleep;

pub(crate) use bell::Bell;
pub use bell::Interrupter;
pub(crate) use doorbell::End;
pub(crate) use sleep::{sleep, Bed, Look, SpinPolicy};
