//! The real ring, doorbell and closing code under [loom](https://docs.rs/loom), which runs each
//! model in every order of its threads' steps (up to a number of preemptions) and with every
//! value that the C11 memory model lets a load return.
//!
//! `segment/layout.rs`, `segment/closing.rs`, the folder `ring` and `wake/doorbell.rs` are the library's
//! own files. What stands in for something else is here:
//!
//! | module | in place of |
//! | --- | --- |
//! | `atomic` | the atomics; each operation of a thread that is to die or to stop may be its last |
//! | `memory` | the segment; payload and record headers are relaxed atomics, word by word, so a missing Release or Acquire shows as stale bytes |
//! | `kernel` | semaphores, and the descriptor with its thread |
//!
//! What loom does not do: SeqCst loads and stores count as AcqRel (the code uses SeqCst fences
//! alone, which loom knows), and a load never returns a value from its own future.
//!
//! `cargo test --manifest-path models/loom/Cargo.toml -- --nocapture` prints the number of
//! interleavings of each model; `check-faults` puts faults into the code that they have to notice.
//! `LOOM_MAX_PREEMPTIONS=N` replaces each model's own bound.
#![cfg(test)]
#![allow(dead_code)] // of the library's files, the models use a part

#[path = "../../../src/ring/mod.rs"]
mod ring;

mod segment;

mod wake;

mod kernel;
mod peers;

mod closing_models;
mod death_models;
mod descriptor_models;
mod ring_models;
mod sleep_models;
