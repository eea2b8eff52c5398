//! Hands messages between programs on one board through System V shared memory.
#![deny(unsafe_code)]

mod channel;
mod consumer;
mod doorbell;
mod error;
mod futex;
pub mod layout;
mod limits;
mod manage;
mod memory;
mod producer;
#[doc(hidden)]
pub mod program;
mod ring;
mod roles;
pub mod shared_use;
mod status;
mod sync;
pub mod sysv;
mod wait;

pub use channel::{Channel, Opened, Options};
pub use consumer::{Consumer, Record};
pub use error::{Awaited, Error, Object, Result, Role};
pub use layout::Geometry;
pub use manage::{remove, set};
pub use producer::{Producer, Slot};
pub use ring::Kind;
pub use roles::{Interrupter, SEMAPHORES};
pub use status::{LaneStatus, Status};
pub use wait::Deadline;
