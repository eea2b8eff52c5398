//! Both ends at work at once, each in a thread of its own, and an onlooker. Under Miri a race of theirs for
//! a byte is an error, and each seed is another order of their steps.

use super::*;
use std::thread::{scope, yield_now};

const COUNT: u32 = if cfg!(miri) { 60 } else { 20_000 };

/// The n-th message goes as one of these, all of which become the consumer's by the fourth.
fn put(tx: &mut Tx, n: u32) -> bool {
    let bytes = message(n);
    match n % 4 {
        0 => stage(tx, &bytes),
        1 => {
            let (before, mut given) = (tx.sent(), Some(&bytes[..]));
            tx.stage_each(|| given.take());
            tx.sent() > before || stage(tx, &bytes)
        }
        2 => {
            let Some(reserved) = tx.reserve(MAX).unwrap() else { return false };
            tx.bytes().copy_in(reserved.offset, &bytes);
            tx.stage(reserved, bytes.len() as u32);
            true
        }
        _ => push(tx, &bytes),
    }
}

#[test]
fn what_one_thread_puts_another_takes_whole_and_in_order() {
    let ring = min_ring_for(MAX);
    let (lane, mut tx, mut rx) = lane(ring, 0u32.wrapping_sub(1 << 10));
    scope(|threads| {
        threads.spawn(move || {
            for n in 0..COUNT {
                while !put(&mut tx, n) {
                    yield_now();
                }
            }
            tx.publish();
        });
        let onlooker = threads.spawn(|| {
            let mut last = 0;
            while last < COUNT {
                let seen = counters(lane.control(), ring).unwrap();
                assert!(seen.received >= last && seen.sent.wrapping_sub(seen.received) <= ring / 8);
                last = seen.received;
                yield_now();
            }
        });
        let mut next = 0;
        while next < COUNT {
            // One by one, or several before they are released.
            while !rx.ready().unwrap() {
                yield_now();
            }
            if next % 3 == 0 {
                let taken = rx.each_message(2, |bytes, found| {
                    assert_eq!(copied(bytes, &found), message(next));
                    next += 1;
                    true
                });
                assert!(taken <= 2);
            }
            if let Some(found) = rx.next().unwrap() {
                assert_eq!(copied(rx.bytes(), &found), message(next));
                next += 1;
            }
            rx.release();
        }
        onlooker.join().unwrap();
    });
}
