//! One lane's ring: a queue of variable-length records with one producer and one consumer, each
//! in a process of its own.
//!
//! Positions are published with Release and read with Acquire; each side keeps the other's last
//! seen position and reads the shared word again only when that one is used up. What the other
//! side wrote is read once and checked here before it is used: a position must leave at most
//! `ring_bytes` queued and be a multiple of 8, a record must be of a known kind, not longer than
//! `max_message`, and end before both the published position and the ring's end.

mod aside;
mod rx;
mod tx;

use crate::segment::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::segment::atomic::{fence, load_acquire};
use crate::segment::layout::{BadField, LaneControl, Mark, RECORD_ALIGN};
pub(crate) use rx::Rx;
pub(crate) use tx::Tx;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message.
    Data,
    /// The sender's end word.
    End,
}

/// A place in the ring that is reserved and not yet committed: `len` bytes from `offset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    /// Where the payload begins in the ring.
    pub offset: u32,
    /// How many bytes it may have.
    pub len: u32,
    /// Position of the record's first byte.
    start: u32,
}

/// A committed record: `len` bytes from `offset`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Where the payload begins in the ring.
    pub offset: u32,
    /// Payload length in bytes, at most `max_message`.
    pub len: u32,
    /// What it is.
    pub kind: Kind,
}

/// `end - begin`, if that is a number of bytes the ring can hold, a multiple of 8.
fn queued(end: u32, begin: u32, ring: u32) -> Option<u32> {
    let bytes = end.wrapping_sub(begin);
    (bytes <= ring && end % RECORD_ALIGN == 0).then_some(bytes)
}

/// The message count at `position`, from whichever mark holds it.
fn count_at(marks: &[Mark; 2], position: u32) -> Option<u32> {
    marks
        .iter()
        .find(|mark| mark.position.load(Relaxed) == position)
        .map(|mark| mark.count.load(Relaxed))
}

/// Fills the mark that does not hold the published position `old`. The caller publishes `new`
/// with Release after it, so who reads `new` with Acquire finds its mark filled.
fn set_mark(marks: &[Mark; 2], old: u32, new: u32, count: u32) {
    let [first, second] = marks;
    let mark = if first.position.load(Relaxed) == old { second } else { first };
    // Release: who reads what is stored here, then fences, sees `old` published; pairs with the
    // fence in `counters`.
    fence(Release);
    // Not complete for an instant, but not in use either: `old` stands in the other one.
    mark.position.store(new, Relaxed);
    mark.count.store(count, Relaxed);
}

/// First values of a lane: empty, at `position` (0; tests begin near the wrap).
pub(crate) fn init(control: &LaneControl, position: u32) {
    for marks in [&control.producer.marks, &control.consumer.marks] {
        for mark in marks {
            mark.position.store(position, Relaxed);
            mark.count.store(0, Relaxed);
        }
    }
    let counters =
        [&control.producer.too_long, &control.producer.refused, &control.producer.high_water];
    for counter in counters {
        counter.store(0, Relaxed);
    }
    control.consumer.head.store(position, Relaxed);
    control.producer.tail.store(position, Relaxed);
    control.room_bell.init();
}

/// A lane as an onlooker sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub sent: u32,
    pub received: u32,
    pub queued_bytes: u32,
    pub too_long: u32,
    pub refused: u32,
    pub high_water: u32,
}

/// Reads a lane's counters without a role, and without a store: the attach may be read-only.
/// While both sides run, a consistent pair of positions is looked for a few times, then the last
/// one taken.
pub(crate) fn counters(control: &LaneControl, ring: u32) -> Result<Counters, BadField> {
    let mut tries = 0;
    loop {
        tries += 1;
        // Acquire: the marks of these positions are filled; pairs with the Release of
        // `Tx::commit` and `Rx::release`.
        let head = load_acquire(&control.consumer.head);
        let tail = load_acquire(&control.producer.tail);
        let sent = count_at(&control.producer.marks, tail);
        let received = count_at(&control.consumer.marks, head);
        let bytes = queued(tail, head, ring);
        // The marks above are read before the positions are read again.
        fence(Acquire);
        let steady = control.consumer.head.load(Relaxed) == head
            && control.producer.tail.load(Relaxed) == tail;
        let (Some(sent), Some(received), Some(queued_bytes)) = (sent, received, bytes) else {
            if steady || tries > 1000 {
                let bad = |field, found, expected| Err(BadField { field, found, expected });
                return match (bytes, sent) {
                    (None, _) => bad("tail", tail, head.wrapping_add(ring)),
                    (_, None) => {
                        bad("tail_marks", control.producer.marks[0].position.load(Relaxed), tail)
                    }
                    _ => bad("head_marks", control.consumer.marks[0].position.load(Relaxed), head),
                };
            }
            continue;
        };
        if steady || tries > 1000 {
            return Ok(Counters {
                sent,
                received,
                queued_bytes,
                too_long: control.producer.too_long.load(Relaxed),
                refused: control.producer.refused.load(Relaxed),
                // Noted after the commit: not yet, if the producer was killed in between.
                high_water: control.producer.high_water.load(Relaxed).max(queued_bytes),
            });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
