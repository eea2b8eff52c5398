//! What fresh processes find after one was killed.

use super::ground::{consumer, drain, open, options, producer, text, LANES};
use super::{fresh, objects};
use crate::support::Channel;
use shmdemo::{Deadline, Error, LaneStatus, Producer, Status};

/// What `status` tells, the process that was killed being a zombie: nobody holds anything.
pub fn look(channel: &Channel) -> Status {
    let status = Status::read(&options(channel)).expect("status");
    assert_eq!(status.server, None, "the server role of a dead process");
    for lane in &status.lanes {
        assert_eq!(lane.pid, None, "the lane of a dead process");
        assert!(lane.queued_bytes <= lane.high_water, "{lane:?}");
    }
    assert!(status.semaphores_present);
    assert_eq!(objects(channel.key), (1, 1), "segments and semaphore sets");
    status
}

/// A fresh process takes every role at once, sends on every lane and receives: what was in
/// the channel before.
pub fn successor(channel: &Channel) -> Vec<Vec<u8>> {
    let got = fresh(|| {
        let mut from = consumer(channel);
        let before = drain(&mut from);
        let mut to: Vec<Producer> = (0..LANES).map(|_| producer(channel)).collect();
        match open(channel).into_producer(Deadline::Now).map(|one_more| one_more.lane()) {
            Err(Error::TimedOut { .. }) => {}
            other => panic!("one lane more than there are: {other:?}"),
        }
        for (number, to) in to.iter_mut().enumerate() {
            assert_eq!(to.lane(), number as u32);
            to.send(&text(100 + number, 30), Deadline::Now).expect("send");
        }
        let mut after = drain(&mut from); // which lane's turn it is first, is not said
        after.sort();
        let mut wanted = [text(100, 30), text(101, 30)];
        wanted.sort();
        assert_eq!(after, wanted);
        before.join(&b'\n')
    });
    let status = look(channel);
    for lane in &status.lanes {
        assert_eq!((lane.queued_bytes, lane.received), (0, lane.sent));
    }
    match got.is_empty() {
        true => Vec::new(),
        false => got.split(|byte| *byte == b'\n').map(Vec::from).collect(),
    }
}

/// The counters of a lane, against the truth.
pub fn assert_counted(lane: &LaneStatus, sent: u32, received: u32, queued_bytes: u32) {
    assert_eq!(
        (lane.sent, lane.received, lane.queued_bytes),
        (sent, received, queued_bytes),
        "sent, received, bytes queued"
    );
}
