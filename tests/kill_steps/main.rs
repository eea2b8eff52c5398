//! SIGKILL at any instruction loses nothing and leaves nothing behind: a process is killed at one
//! instruction after another of a part of its life, and fresh processes look at what it left. Every
//! committed message is there once, in order, and whole; every role is free while the dead process
//! is still a zombie; there is one segment and one semaphore set, or none where that is right; the
//! counters say sent = received + queued for every lane.
//!
//! * `messages`: sending (small, with a wrap, filling the ring, the end record) and receiving,
//!   from the first touch of the segment to the end of the call.
//! * `sleepers`: the same with a peer asleep, who must be woken, by the sender, the receiver or its
//!   death; and going to sleep itself.
//! * `polled`: a server that sleeps in poll(2), and who sends to it.
//! * `stopped`: not killed but stopped, on its way to ring or to sleep, while its peer goes on.
//! * `roles`: creating, over half-made ones too, joining, claiming, giving back, mending, removing.
//! * `shared_use`: reading from and writing for a C program of the demo, with its semaphore and without.
//! * `programs`: the two programs, from their first system call for shared memory to their end.
//!
//! How: see `torture::trace`. A kill comes just before and just after every system call and every
//! change of the segment, and in between at each n-th instruction, from a random one on, some
//! hundred of each part. At every instruction, which takes hours (the programs' part the most):
//!
//! ```text
//! SHMDEMO_TORTURE=full cargo test --release --test kill_steps -- --nocapture
//! ```
//!
//! `SHMDEMO_KILL_STRIDE=n` sets n (`full`: 1), `SHMDEMO_SEED` the chance. x86-64 only: there is no
//! single step on ARM Linux; `takeover` kills at random everywhere.
#![deny(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../torture/mod.rs"]
mod torture;

#[cfg(target_arch = "x86_64")]
mod messages;
#[cfg(target_arch = "x86_64")]
mod polled;
#[cfg(target_arch = "x86_64")]
mod programs;
#[cfg(target_arch = "x86_64")]
mod roles;
#[cfg(target_arch = "x86_64")]
mod shared_use;
#[cfg(target_arch = "x86_64")]
mod sleepers;
#[cfg(target_arch = "x86_64")]
mod stopped;

#[cfg(not(target_arch = "x86_64"))]
#[test]
fn killed_at_any_instruction() {
    support::skipped("single steps are for x86-64; the test takeover kills at random here");
}
