//! Many records at once, as the programs stage and take them.

use super::*;

#[test]
fn many_at_once_pass_as_one_by_one() {
    let ring = min_ring_for(MAX);
    let (lane, mut tx, mut rx) = lane(ring, BEFORE_THE_WRAP);
    let mut received = 0;
    while received < MANY {
        let sent = tx.sent();
        let messages: Vec<_> = (sent..sent + 9).map(message).collect();
        let mut given = messages.iter();
        tx.stage_each(|| given.next().map(Vec::as_slice));
        let staged = (messages.len() - given.len()) as u32 - u32::from(tx.sent() < sent + 9);
        assert_eq!(tx.sent(), sent + staged);
        push(&mut tx, &message(sent + staged));
        let most = sent % 4;
        assert!(rx.ready().unwrap());
        let taken = rx.each_message(most, |bytes, found| {
            assert_eq!(copied(bytes, &found), message(received));
            received += 1;
            true
        });
        assert!(taken <= most);
        if taken == 0 {
            assert_eq!(pop(&mut rx).unwrap(), message(received));
            received += 1;
        }
        rx.release();
        assert_eq!(counters(lane.control(), ring).unwrap().received, received);
    }
}

#[test]
fn many_at_once_end_at_what_is_no_message() {
    let (_lane, mut tx, mut rx) = lane(256, 0);
    let (long, half) = ([1; MAX as usize + 1], [2; 56]);
    assert!(!stage_one(&mut tx, &long));
    let mut given = [&half[..], &half, &long, &half].into_iter();
    tx.stage_each(|| given.next());
    assert_eq!((tx.sent(), given.len()), (2, 1));
    let mut given = [&half[..], &long[..57], &half].into_iter();
    tx.stage_each(|| given.next());
    assert_eq!((tx.sent(), given.len()), (3, 1));
    // The last one fits exactly.
    tx.stage_each(|| (given.len() > 0).then(|| given.next().unwrap()));
    assert_eq!(tx.sent(), 4);
    // Each is more than an eighth of the ring, so all are published. One that is not taken was not looked at, and the next begins there.
    assert!(rx.ready().unwrap());
    let mut seen = 0;
    assert_eq!(rx.each_message(9, |_, _| (seen += 1, seen < 3).1), 2);
    assert_eq!(rx.each_message(1, |_, _| true), 1);
    rx.release();
    // The fourth, and then a pad or an end: neither is given.
    let reserved = tx.reserve(3).unwrap().unwrap();
    tx.commit(reserved, 3, Kind::End);
    assert_eq!(rx.each_message(9, |_, _| true), 1);
    assert_eq!(rx.each_message(9, |_, _| true), 0, "what is there was not read yet");
    assert!(rx.ready().unwrap());
    assert_eq!(rx.each_message(9, |_, _| true), 0);
    assert_eq!(rx.next().unwrap().unwrap().kind, Kind::End);
    rx.release();
    // From 16 on, up to where 120 bytes and a header do not fit any more.
    assert!(push(&mut tx, &[3; MAX as usize]) && !stage_one(&mut tx, &[4; MAX as usize]));
    assert!(push(&mut tx, b"small") && pop(&mut rx).is_some());
    assert!(push(&mut tx, &[4; MAX as usize]));
    assert!(rx.ready().unwrap());
    assert_eq!(rx.each_message(9, |_, found| found.len == 5), 1);
    assert_eq!(rx.each_message(9, |_, _| true), 0, "a pad");
    assert_eq!(pop(&mut rx).unwrap(), [4; MAX as usize]);
    assert!(stage_one(&mut tx, b"small") && !rx.ready().unwrap());
}

/// Is it staged by `stage_each`?
fn stage_one(tx: &mut Tx, message: &[u8]) -> bool {
    let (before, mut given) = (tx.sent(), Some(message));
    tx.stage_each(|| given.take());
    tx.sent() > before
}
