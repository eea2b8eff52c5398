//! The ring without a peer process: every length, every position, the wrap at 2^32, and what a
//! hostile peer may write.

use super::*;
use crate::segment::layout::{min_ring_for, KIND_DATA, KIND_PAD};
use crate::segment::memory::{Lane, RingMemory};

mod many;
mod threads;

const MAX: u32 = 120;

/// Messages that pass, one by one; Miri has a few to go by, which cross the wrap as well.
const MANY: u32 = if cfg!(miri) { 300 } else { 20_000 };
const BEFORE_THE_WRAP: u32 = 0u32.wrapping_sub(if cfg!(miri) { 1 << 13 } else { 1 << 16 });

/// A lane in private memory, its ends, and positions that begin at `position`.
fn lane(ring: u32, position: u32) -> (Lane, Tx, Rx) {
    let lane = Lane::alone(ring);
    init(lane.control(), position);
    let tx = Tx::new(lane.memory(), MAX).unwrap();
    let rx = Rx::new(lane.memory(), MAX).0;
    (lane, tx, rx)
}

fn push(tx: &mut Tx, message: &[u8]) -> bool {
    let Some(reserved) = write(tx, message) else { return false };
    tx.commit(reserved, message.len() as u32, Kind::Data);
    true
}

fn stage(tx: &mut Tx, message: &[u8]) -> bool {
    let Some(reserved) = write(tx, message) else { return false };
    tx.stage(reserved, message.len() as u32);
    true
}

fn write(tx: &mut Tx, message: &[u8]) -> Option<Reserved> {
    let reserved = tx.reserve(message.len() as u32).unwrap()?;
    tx.bytes().copy_in(reserved.offset, message);
    Some(reserved)
}

fn pop(rx: &mut Rx) -> Option<Vec<u8>> {
    let found = rx.next().unwrap()?;
    let message = copied(rx.bytes(), &found);
    rx.release();
    Some(message)
}

fn message(n: u32) -> Vec<u8> {
    (0..n % (MAX + 1)).map(|i| (n.wrapping_mul(31).wrapping_add(i)) as u8).collect()
}

#[test]
fn every_length_passes_every_position_and_the_wrap_of_the_counters() {
    passes(|_| false);
}

#[test]
fn so_it_does_where_some_or_all_are_staged() {
    passes(|_| true);
    passes(|n| n % 3 != 0);
}

/// [`MANY`] messages of all lengths; those that are to be are staged.
fn passes(staged: fn(u32) -> bool) {
    let ring = min_ring_for(MAX);
    let (lane, mut tx, mut rx) = lane(ring, BEFORE_THE_WRAP);
    let (mut sent, mut received) = (0, 0);
    while received < MANY {
        loop {
            let put = if staged(sent) { stage } else { push };
            if !put(&mut tx, &message(sent)) {
                break;
            }
            sent += 1;
        }
        // Not always all of them, so that every fill level occurs.
        for _ in 0..=sent % 5 {
            let Some(got) = pop(&mut rx) else { break };
            assert_eq!(got, message(received));
            received += 1;
        }
        let seen = counters(lane.control(), ring).unwrap();
        assert_eq!((seen.sent, seen.received), (sent, received));
        assert!(seen.high_water <= ring);
    }
}

fn copied(bytes: &RingMemory, found: &Found) -> Vec<u8> {
    let mut message = vec![0; found.len as usize];
    bytes.copy_out(found.offset, &mut message);
    message
}

#[test]
fn the_longest_message_fits_an_empty_ring_everywhere() {
    let ring = min_ring_for(MAX);
    for position in (0..ring).step_by(8) {
        let (_lane, mut tx, mut rx) = lane(ring, position);
        assert!(push(&mut tx, &[7; MAX as usize]), "position {position}");
        assert_eq!(pop(&mut rx).unwrap(), [7; MAX as usize]);
    }
}

#[test]
fn what_is_not_committed_is_not_seen_and_what_is_not_released_comes_again() {
    let (lane, mut tx, mut rx) = lane(256, 248);
    let reserved = tx.reserve(50).unwrap().unwrap();
    tx.bytes().copy_in(reserved.offset, &[1; 50]);
    assert_eq!(rx.next().unwrap().map(|f| f.len), None);
    // A producer that was killed here: the next one finds the lane as if nothing had been.
    let mut tx = Tx::new(lane.memory(), MAX).unwrap();
    assert!(push(&mut tx, b"first"));
    assert!(push(&mut tx, b""));
    assert_eq!(tx.sent(), 2);
    assert_eq!(rx.next().unwrap().unwrap().len, 5);
    assert_eq!(rx.next().unwrap().unwrap().len, 0);
    // A consumer that was killed before it released.
    let mut rx = Rx::new(lane.memory(), MAX).0;
    assert_eq!(pop(&mut rx).unwrap(), b"first");
    assert_eq!(rx.next().unwrap().unwrap().len, 0);
    rx.rewind();
    assert_eq!(pop(&mut rx).unwrap(), b"");
    assert_eq!(pop(&mut rx), None);
    let seen = counters(lane.control(), 256).unwrap();
    assert_eq!((seen.sent, seen.received, seen.queued_bytes), (2, 2, 0));
}

#[test]
fn what_is_staged_is_seen_with_the_next_publication_and_not_before() {
    let (lane, mut tx, mut rx) = lane(256, 240); // an eighth: 32 bytes
    let seen = |sent| assert_eq!(counters(lane.control(), 256).unwrap().sent, sent);
    // Each takes 16 bytes; the second one fills the eighth.
    assert!(stage(&mut tx, b"one"));
    assert_eq!(pop(&mut rx), None);
    seen(0);
    assert!(stage(&mut tx, b"two"));
    seen(2);
    assert!(stage(&mut tx, b"three"));
    assert!(push(&mut tx, b"four"));
    seen(4);
    for wanted in [&b"one"[..], b"two", b"three", b"four"] {
        assert_eq!(pop(&mut rx).unwrap(), wanted);
    }
    assert!(stage(&mut tx, b"five"));
    assert!(!tx.is_drained().unwrap());
    tx.publish();
    seen(5);
    assert_eq!(pop(&mut rx).unwrap(), b"five");
    assert!(tx.is_drained().unwrap());
    // A full ring: the consumer has to see what there is, or there would never be room.
    while stage(&mut tx, &[6; 16]) {}
    let all = counters(lane.control(), 256).unwrap();
    assert_eq!((all.sent, all.queued_bytes), (15, 240));
    while pop(&mut rx).is_some() {}
    // A producer that was killed with one staged: it was not sent.
    assert!(stage(&mut tx, b"never"));
    let mut tx = Tx::new(lane.memory(), MAX).unwrap();
    assert_eq!(tx.sent(), 15);
    assert!(push(&mut tx, b"next"));
    assert_eq!(pop(&mut rx).unwrap(), b"next");
    assert_eq!(pop(&mut rx), None);
}

#[test]
fn a_head_beyond_what_is_published_is_named() {
    // 16 bytes staged behind 32 published ones, of 256; the first two heads are good.
    for (head, good) in
        [(0, true), (32, true), (40, false), (48, false), (48u32.wrapping_sub(264), false)]
    {
        let (lane, mut tx, _rx) = lane(256, 0);
        assert!(stage(&mut tx, b"one") && stage(&mut tx, b"two") && stage(&mut tx, b"three"));
        lane.control().consumer.head.store(head, Relaxed);
        match tx.is_drained() {
            Ok(drained) => assert!(good && !drained, "head {head}"),
            Err(damage) => assert_eq!((good, damage.field), (false, "head")),
        }
    }
}

#[test]
fn counters_are_exact_between_any_two_stores() {
    // A producer killed after it filled the mark, before it published the position; and a
    // consumer likewise: the marks of the published positions still stand.
    let (lane, mut tx, mut rx) = lane(256, 0);
    for _ in 0..3 {
        assert!(push(&mut tx, b"x"));
    }
    pop(&mut rx).unwrap();
    let control = lane.control();
    set_mark(&control.producer.marks, 48, 64, 4);
    set_mark(&control.consumer.marks, 16, 32, 2);
    let seen = counters(control, 256).unwrap();
    assert_eq!((seen.sent, seen.received, seen.queued_bytes), (3, 1, 32));
    // The successor fills the same mark anew.
    let mut tx = Tx::new(lane.memory(), MAX).unwrap();
    assert!(push(&mut tx, b"another length"));
    assert_eq!(counters(control, 256).unwrap().sent, 4);
}

#[test]
fn counters_of_damaged_words_name_the_word() {
    type Spoil = fn(&LaneControl);
    let cases: [(&str, Spoil); 4] = [
        ("tail", |c| c.producer.tail.store(4096, Relaxed)),
        ("tail", |c| c.consumer.head.store(24, Relaxed)),
        ("tail_marks", |c| c.producer.marks.iter().for_each(|m| m.position.store(8, Relaxed))),
        ("head_marks", |c| c.consumer.marks.iter().for_each(|m| m.position.store(8, Relaxed))),
    ];
    for (field, spoil) in cases {
        let (lane, mut tx, mut rx) = lane(256, 0);
        assert!(push(&mut tx, b"hello") && pop(&mut rx).is_some());
        assert!(counters(lane.control(), 256).is_ok());
        spoil(lane.control());
        assert_eq!(counters(lane.control(), 256).unwrap_err().field, field);
    }
}

#[test]
fn frozen_means_no_more() {
    let (_lane, mut tx, mut rx) = lane(256, 0);
    assert!(push(&mut tx, b"before"));
    rx.stop_looking().unwrap();
    assert!(push(&mut tx, b"after"));
    assert_eq!(pop(&mut rx).unwrap(), b"before");
    assert_eq!(pop(&mut rx), None);
}

#[test]
fn damaged_words_are_named_and_never_followed() {
    type Spoil = fn(&Lane);
    let cases: [(&str, Spoil); 9] = [
        ("tail", |l| l.control().producer.tail.store(4096, Relaxed)),
        ("tail", |l| l.control().producer.tail.store(20, Relaxed)),
        ("tail", |l| l.control().producer.tail.store(0u32.wrapping_sub(8), Relaxed)),
        ("kind", |l| l.bytes().store_pair(0, 5, 0)),
        ("kind", |l| l.bytes().store_pair(0, 5, 99)),
        ("len", |l| l.bytes().store_pair(0, MAX + 1, KIND_DATA)),
        ("len", |l| l.bytes().store_pair(0, u32::MAX, KIND_DATA)),
        ("len", |l| l.bytes().store_pair(0, 100, KIND_DATA)),
        ("len", |l| l.bytes().store_pair(0, 1, KIND_PAD)),
    ];
    for (field, spoil) in cases {
        let (lane, mut tx, mut rx) = lane(256, 0);
        assert!(push(&mut tx, b"hello"));
        spoil(&lane);
        let _ = rx.ready();
        assert_eq!(rx.each_message(9, |_, _| true), 0);
        assert_eq!(rx.next().unwrap_err().field, field);
    }
    // A pad up to the published position, with nothing behind it.
    let (lane, mut tx, mut rx) = lane(256, 0);
    assert!(push(&mut tx, b"hello"));
    lane.bytes().store_pair(0, 0, KIND_PAD);
    assert_eq!(rx.next().unwrap_err().field, "kind");
    // A tail that goes back behind what was seen.
    let (lane, _tx, mut rx) = lane_after_two(&[8, 8]);
    rx.next().unwrap().unwrap();
    rx.next().unwrap().unwrap();
    lane.control().producer.tail.store(16, Relaxed);
    let damage = rx.next().unwrap_err();
    assert_eq!((damage.field, damage.found, damage.expected), ("tail", 16, 32));
    // A head beyond the tail, or not a multiple of 8.
    for head in [64, 4, 8 + 4096] {
        lane.control().consumer.head.store(head, Relaxed);
        assert!(Tx::new(lane.memory(), MAX).is_err(), "head {head}");
    }
}

/// A record of 40 bytes at 208, a pad of 8 behind it, and one of 104 at the ring's begin.
fn lane_with_a_pad() -> (Lane, Tx, Rx) {
    let (lane, mut tx, mut rx) = lane(256, 0);
    for _ in 0..2 {
        assert!(push(&mut tx, &[0; 96]));
        pop(&mut rx).unwrap();
    }
    assert!(push(&mut tx, &[0; 32]) && push(&mut tx, &[0; 96]));
    (lane, tx, rx)
}

#[test]
fn a_record_that_would_go_on_behind_the_rings_end_is_named() {
    // As much is published behind its header as it claims, from the ring's begin on.
    let (lane, _tx, mut rx) = lane_with_a_pad();
    lane.bytes().store_pair(208, 48, KIND_DATA);
    assert!(rx.ready().unwrap());
    assert_eq!(rx.each_message(9, |_, _| true), 0);
    assert_eq!(rx.next().unwrap_err().field, "len");
}

#[test]
fn a_record_behind_a_pad_that_claims_more_than_is_published_is_named() {
    let (lane, _tx, mut rx) = lane_with_a_pad();
    pop(&mut rx).unwrap();
    assert_eq!(lane.bytes().load_pair(248), (0, KIND_PAD));
    lane.bytes().store_pair(0, 112, KIND_DATA);
    assert_eq!(rx.next().unwrap_err(), BadField { field: "len", found: 112, expected: 96 });
}

fn lane_after_two(lengths: &[usize; 2]) -> (Lane, Tx, Rx) {
    let (lane, mut tx, rx) = lane(256, 0);
    for len in lengths {
        assert!(push(&mut tx, &vec![1; *len]));
    }
    (lane, tx, rx)
}

#[test]
fn a_full_ring_says_so_and_damage_of_the_head_is_named() {
    let (lane, mut tx, mut rx) = lane(256, 0);
    while push(&mut tx, &[0; 24]) {}
    lane.control().consumer.head.store(12, Relaxed);
    assert_eq!(tx.reserve(24).unwrap_err().field, "head");
    lane.control().consumer.head.store(0, Relaxed);
    assert!(tx.reserve(24).unwrap().is_none());
    pop(&mut rx).unwrap();
    assert!(tx.reserve(24).unwrap().is_some());
}

#[test]
fn a_lane_set_aside_comes_back_when_it_is_made_anew() {
    let (lane, mut tx, mut rx) = lane(256, 48);
    assert!(push(&mut tx, b"good"));
    assert_eq!(pop(&mut rx).unwrap(), b"good");
    lane.control().producer.tail.store(20, Relaxed);
    rx.next().unwrap_err();
    rx.set_aside();
    assert!(lane.control().is_set_aside() && rx.is_aside());
    // Whatever is done to its words: it is looked at no more.
    assert!(!rx.ready().unwrap() && rx.next().unwrap().is_none() && !rx.is_made_anew());
    lane.control().make_anew();
    assert!(rx.is_made_anew() && !lane.control().is_set_aside());
    let mut tx = Tx::new(lane.memory(), MAX).unwrap();
    assert!(push(&mut tx, b"new"));
    assert!(!rx.ready().unwrap(), "looked at before it was taken up");
    rx.take_up_anew().unwrap();
    assert_eq!(pop(&mut rx).unwrap(), b"new");
    assert_eq!(counters(lane.control(), 256).unwrap().received, 1);
    // The next server leaves one set aside alone, and takes up one made anew as any other.
    lane.control().condemn();
    rx.next().unwrap_err();
    rx.set_aside();
    let (next, found) = Rx::new(lane.memory(), MAX);
    assert!(next.is_aside() && found.is_ok());
    lane.control().make_anew();
    let (next, found) = Rx::new(lane.memory(), MAX);
    assert!(!next.is_aside() && found.is_ok());
}

#[test]
fn nothing_is_written_into_a_lane_that_is_set_aside() {
    let (lane, mut tx, mut rx) = lane(256, 0);
    assert!(push(&mut tx, b"one") && push(&mut tx, b"two"));
    // Looked at, and not released, when the damage is seen.
    rx.next().unwrap().unwrap();
    rx.next().unwrap().unwrap();
    lane.control().producer.tail.store(4, Relaxed);
    rx.next().unwrap_err();
    rx.set_aside();
    lane.control().make_anew();
    assert!(!rx.holds() && !rx.in_doubt());
    rx.rewind();
    assert!(!rx.holds());
    assert_eq!(lane.control().consumer.head.load(Relaxed), 0);
    // And a consumer that ends takes up nothing.
    rx.stop_looking().unwrap();
    assert!(!rx.is_made_anew() && !rx.in_doubt());
}

#[test]
fn a_consumer_doubts_once_a_whole_ring_but_two_messages_was_released() {
    let (lane, mut tx, mut rx) = lane(512, 0);
    let long = message(MAX); // a quarter of the ring with its header
    assert!(rx.in_doubt() && !rx.in_doubt(), "what its predecessor released is not known");
    for _ in 0..2 {
        assert!(push(&mut tx, &long) && pop(&mut rx).is_some());
    }
    assert!(!rx.in_doubt(), "exactly two");
    for message in [&long[..], &long, b"short"] {
        assert!(push(&mut tx, message) && pop(&mut rx).is_some());
    }
    assert!(rx.in_doubt() && !rx.in_doubt(), "more than two, and told once");
    // Somebody wrote where the position stands.
    let head = lane.control().consumer.head.swap(7, Relaxed);
    assert!(rx.in_doubt() && rx.in_doubt());
    rx.republish();
    assert!(!rx.in_doubt());
    assert_eq!(lane.control().consumer.head.load(Relaxed), head);
    // How much is free after a release: what was not looked at is not.
    assert!(push(&mut tx, &long) && push(&mut tx, b"12345678"));
    rx.next().unwrap().unwrap();
    assert_eq!(rx.release(), 512 - 16);
    assert!(rx.next().unwrap().is_some());
    assert_eq!(rx.release(), 512);
}
