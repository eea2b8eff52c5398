//! Hands messages between programs on one board through System V shared memory.
//!
//! A *channel* is one shared memory segment and one semaphore set under one IPC [`Key`](sysv::Key).
//! Up to 32 *producers* each write a *lane* of their own, one *consumer* reads them all. Messages
//! stay in the segment until they are consumed: they outlive both processes, up to `IPC_RMID` or
//! the next boot.
//!
//! # The way of a message
//!
//! ```text
//! producer                      segment                                consumer
//! reserve ──▶ room in the ring ─▶ ┌────────────────────────────┐
//! write   ──▶ payload in place ─▶ │ header │ lane 0 │ lane 1 … │
//! commit  ──▶ tail (Release) ───▶ └────────────────────────────┘ ──▶ peek (Acquire of tail)
//! ring    ──▶ doorbell, if the consumer sleeps ──────────────────▶ read the payload in place
//!         ◀── doorbell, if the producer waits for room ◀────────── release (head, Release)
//! ```
//!
//! 1. [`Channel::open`] finds or creates the channel (`channel`), checks whose it is, and attaches.
//! 2. [`Channel::into_producer`] claims a lane, [`Channel::into_consumer`] the server role: both
//!    are semaphores that the kernel frees when their holder ends (`roles`).
//! 3. [`Producer::reserve`] gives a [`Slot`] in the ring; what is written there becomes a message
//!    by [`Slot::commit`], at one instant (`ring`).
//! 4. The doorbell costs a system call only if somebody sleeps (`doorbell`, `wait`).
//! 5. [`Consumer::peek`] gives a [`Record`]; it leaves the ring by [`Consumer::release`].
//!
//! The memory map, with offsets, writers and orderings, is in [`layout`].
//!
//! ```
//! use shmdemo::{sysv::Key, Channel, Deadline, Options};
//!
//! # fn main() -> shmdemo::Result<()> {
//! let key = Key::new(0x6d65_0000 + std::process::id() as i32 % 0x8000).unwrap();
//! let mut consumer = Channel::open(&Options::new(key), Deadline::Now)?.into_consumer()?;
//! let mut producer = Channel::open(&Options::new(key), Deadline::Now)?.into_producer(Deadline::Now)?;
//!
//! producer.send(b"hello", Deadline::Never)?;
//!
//! assert!(consumer.wait(Deadline::Never)?);
//! while let Some(record) = consumer.peek()? {
//!     let mut message = [0; 2048];
//!     record.copy_to(&mut message);
//!     assert_eq!(&message[..record.len()], b"hello");
//! }
//! consumer.release(); // only now it leaves the segment
//! consumer.channel().remove()
//! # }
//! ```
//!
//! Waiting is the caller's business: [`Deadline`] bounds it, [`Interrupter`] ends it from a signal
//! handler or another thread, and what `shmdemo-server status` prints is [`Status`].
//!
//! The folder `examples` has more: `producer` and `consumer` (a pair), `zero_copy` (the kernel
//! writes and reads the messages in place), `timeouts` (every wait that can end), `soak` (the pair
//! under load). C and C++ programs use the same channels through `include/shmdemo.h`, which the
//! feature `capi` and `capi/Makefile` make a library of.
//!
//! # Trust
//!
//! Whoever may write the segment may write any byte of it at any time. Every such word is read
//! once and checked (where: see [`layout`]), payloads are copied or passed on, never interpreted.
//! The worst a hostile peer does is an [`Error::NotOurs`] that names the field, or garbage in its
//! own messages.
//!
//! # What is not here
//!
//! No allocation after start-up, no threads, no timers while idle. No delivery to several
//! consumers, no messages longer than [`layout::MAX_MESSAGE`], no way between machines.
#![deny(unsafe_code)]

#[cfg(feature = "capi")]
pub mod capi;
mod channel;
mod closing;
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
