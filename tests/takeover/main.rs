//! SIGKILL at random, thousands of times: the successor has the role at once, no message is
//! lost, none is doubled but those printed and not yet released, nothing stays behind, and the
//! counters say sent = received + queued for every lane.
//!
//! * `roles`: one holder of a role after the other, killed by its successor; the distribution of
//!   the time from kill to claim.
//! * `programs`: a server and two clients, killed in turn while they work.
//! * `races`: 16 servers and 16 clients started together, killed while they create the channel.
//!
//! The ordinary run does 10 000 takeovers of each role and some thousand of the others, far fewer
//! where `SHMDEMO_TEST_SLOW` says that the machine is slow. The whole length:
//!
//! ```text
//! SHMDEMO_TORTURE=full cargo test --release --test takeover -- --nocapture
//! ```
//!
//! `SHMDEMO_ROUNDS=n`: n rounds of each, `SHMDEMO_SEED`: the seed of their chance.
#![deny(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../torture/mod.rs"]
mod torture;

mod programs;
mod races;
mod roles;

/// How many rounds to do: of all of them, in the ordinary run, and in that on a slow machine.
fn rounds(all: usize, usual: usize, on_slow: usize) -> usize {
    let some = if slow() { on_slow } else { usual };
    torture::setting("SHMDEMO_ROUNDS").unwrap_or(if torture::full() { all } else { some })
}

/// Is this a slow machine?
fn slow() -> bool {
    std::env::var_os("SHMDEMO_TEST_SLOW").is_some()
}

/// Tells the `number`-th line from others of the same length, and from a part of it.
fn filler(number: u32) -> String {
    "x".repeat(number as usize * 37 % 300)
}
