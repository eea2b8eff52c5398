//! Hands messages between programs on one board through System V shared memory.
//!
//! A *channel* is one shared memory segment and one semaphore set under one IPC [`Key`].
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
//! commit  ──▶ tail (Release) ───▶ └────────────────────────────┘ ──▶ next_record (Acquire of tail)
//! ring    ──▶ doorbell, if the consumer sleeps ──────────────────▶ read the payload in place
//!         ◀── doorbell, if the producer waits for room ◀────────── release (head, Release)
//! ```
//!
//! 1. [`Channel::open`] finds or creates the channel (`channel/open.rs`), checks whose it is, and attaches.
//! 2. [`Channel::into_producer`] claims a lane, [`Channel::into_consumer`] the server role: both
//!    are semaphores that the kernel frees when their holder ends (`channel/roles.rs`).
//! 3. [`Producer::reserve`] gives a [`Slot`] in the ring; what is written there becomes a message
//!    by [`Slot::commit`], at one instant (`ring`).
//! 4. The doorbell costs a system call only if somebody sleeps (`wake`).
//! 5. [`Consumer::next_record`] gives a [`Record`]; it leaves the ring by [`Consumer::release`].
//!
//! The memory map, with offsets, writers and orderings, is in [`layout`].
//!
//! ```
//! use shmdemo::{Channel, Deadline, Key, Options, Waited};
//!
//! # fn main() -> shmdemo::Result<()> {
//! let key = Key::new(0x6d65_0000 + std::process::id() as i32 % 0x8000).unwrap();
//! let mut consumer = Channel::open(&Options::new(key), Deadline::Now)?.into_consumer()?;
//! let mut producer = Channel::open(&Options::new(key), Deadline::Now)?.into_producer(Deadline::Now)?;
//!
//! producer.send(b"hello", Deadline::Never)?;
//!
//! assert_eq!(consumer.wait(Deadline::Never)?, Waited::Ready);
//! while let Some(record) = consumer.next_record()? {
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
//! under load), and `tokio`, a package of its own. C and C++ programs use the same channels through
//! `include/shmdemo.h`, which the feature `capi` and `capi/Makefile` make a library of.
//!
//! # Threads
//!
//! Either end may move to another thread; none is for two of them at once, which the compiler holds:
//!
//! ```compile_fail,E0277
//! fn shared<T: Sync>() {}
//! shared::<shmdemo::Producer>();
//! ```
//!
//! ```compile_fail,E0277
//! fn shared<T: Sync>() {}
//! shared::<shmdemo::Consumer>();
//! ```
//!
//! A record is looked at for as long as it is not released:
//!
//! ```compile_fail,E0499
//! # use shmdemo::*;
//! fn keep(consumer: &mut Consumer) -> Result<()> {
//!     let first = consumer.next_record()?;
//!     consumer.release();
//!     drop(first);
//!     Ok(())
//! }
//! ```
//!
//! # Why it lies as it lies
//!
//! Figures: 64 bytes, the machine and the tables of `doc/performance.md`.
//!
//! - **Each side's words in lines of their own** (64 bytes, [`layout`]): a producer's store to `tail`
//!   never takes the line of `head` away from the consumer.
//! - **The peer's position is kept** in private memory and read again only when it says full or
//!   empty (`ring`), and a batch of records is released by one store: with that, 15 million messages
//!   a second on one processor and 0.009 context switches each, where a pipe makes 1.0 and 0.21.
//! - **Show many at once** where many are at hand ([`Slot::stage`]): a consumer on another processor
//!   waits for `tail`, so each store to it takes that line away from the producer's next one. Shown
//!   an eighth of a ring at a time, `shmdemo-client` brings 1.2 to 1.6 times as many lines through.
//! - **Wake late**: a consumer asleep is woken once, by whoever finds its announcement; a producer
//!   that waits for room only when half of its ring is free, so both have much to do when they run.
//!   Waking at every message makes 2.6 million a second of the 15.
//! - **Sleep once, on a semaphore** (`wake/doorbell.rs`), which remembers a wake that comes too early, and
//!   which the kernel raises when a peer dies: a line now and then costs the server one sleep and one
//!   write, the client one read, one look whether the segment was removed, and one ring, with any
//!   number of lanes.
//! - **Look before sleeping** only for as long as that has paid lately, and let others run in
//!   between (`wake/sleep.rs`): between two processors some tens of microseconds, which makes 0.3 µs of the
//!   23 that a pipe takes. A look in vain halves the next one, one that finds work makes it whole
//!   again; so where a message comes now and then nobody looks, but shortly at one sleep of 64.
//! - **Yield before sleeping** on one processor, twice at most and as long as that pays: the other
//!   side often has work ready by then. On an emulated Cortex-A9 one message and its answer take 3 990
//!   instructions of both programs and the kernel, by a System V queue 5 710. Before others
//!   (niceness -20) the processor is handed straight back: the yields end, and it takes 5 480.
//!
//! # Trust
//!
//! Whoever may write the segment may write any byte of it at any time. Every such word is read
//! once and checked (where: see [`layout`]), payloads are copied or passed on, never interpreted.
//! The worst a hostile peer does is an [`Error::NotOurs`] that names lane and field: that lane is set
//! aside, the others go on, and its next producer makes it anew. Or garbage in messages.
//!
//! # What is not here
//!
//! No allocation after start-up, no threads (but for who asks for a [`Descriptor`]), no timers while
//! idle. No delivery to several consumers, no messages longer than [`layout::MAX_MESSAGE`], no way between machines.
#![deny(unsafe_code)]
#![warn(missing_debug_implementations, unreachable_pub)]

#[cfg(feature = "capi")]
pub mod capi;
mod channel;
mod consumer;
mod deadline;
mod error;
mod exit_status;
mod producer;
#[cfg(feature = "programs")]
#[doc(hidden)]
pub mod program;
mod ring;
mod segment;
pub mod shared_use;
mod sysv;
mod wake;

pub use channel::admin::{remove, set};
pub use channel::roles::SEMAPHORES;
pub use channel::status::{LaneStatus, Status};
pub use channel::{Channel, Opened, Options};
pub use consumer::{Consumer, Record};
pub use deadline::Deadline;
pub use error::{Awaited, Error, Object, Refusal, Result, Role};
pub use producer::{Producer, Reservation, Slot};
pub use ring::Kind;
pub use segment::layout::{self, Geometry};
pub use sysv::limits::Limits;
pub use sysv::shm::{ShmId, ShmStat};
pub use sysv::{Key, NoKey, Perm, PermChange, SysError};
pub use wake::{Descriptor, Interrupter, Waited};
