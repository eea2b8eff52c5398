//! Sending and receiving.

use crate::support::Channel;
use crate::torture::aftermath::{assert_counted, look, successor};
use crate::torture::ground::*;
use crate::torture::places::kill_everywhere;
use crate::torture::trace::{mark, Tracee};
use crate::torture::{chance, on_stage, pipe, read_now};
use shmdemo::{Deadline, Kind};
use std::fs::File;
use std::io::Write;

/// Kills spread over receiving, or sending a batch, beside those around every change. In sending
/// one message there is one at every instruction: it is short.
const SPREAD: usize = 500;

/// Where a message is sent: position in the ring, messages queued, its length, is it the end.
type Sending = (&'static str, u32, &'static [usize], usize, Kind);

#[test]
fn a_sender_killed_at_any_instruction_loses_nothing() {
    on_stage(|| {
        let mut random = chance();
        let windows: [Sending; 5] = [
            ("send a small message", 0, &[3, 0], 5, Kind::Data),
            ("send a message that wraps", RING - 16, &[], 100, Kind::Data),
            ("send a message that wraps behind others", 2 * RING - 48, &[8, 9], 200, Kind::Data),
            ("send a message that fills the ring", RING / 2, &[120, 120, 184], 56, Kind::Data),
            ("send the end record", 0, &[1], 3, Kind::End),
        ];
        for (name, begin, queued, length, kind) in windows {
            let mut lengths = queued.to_vec();
            lengths.push(length);
            let ends = ends(begin, &lengths);
            let message = text(queued.len(), length);
            let start = || {
                let (channel, moved) = lay(begin, queued, false);
                let tracee = Tracee::fork(|| {
                    let mut to = producer(&channel);
                    mark();
                    let slot = to.reserve(message.len(), Deadline::Now).expect("reserve").slot();
                    let mut slot = slot.expect("room");
                    slot.write(0, &message);
                    match kind {
                        Kind::Data => slot.commit(message.len()),
                        Kind::End => slot.commit_end(message.len()),
                    }
                    mark();
                });
                (channel, moved, tracee)
            };
            kill_everywhere(name, usize::MAX, 1, &mut random, start, |channel, moved| {
                let lane = look(&channel).lanes[0];
                let before = moved + queued.len() as u32;
                let committed = lane.sent.wrapping_sub(before);
                assert!(committed <= 1, "sent: {}", lane.sent);
                let count = queued.len() + committed as usize;
                let end = if count > 0 { ends[count - 1] } else { begin };
                assert_counted(&lane, before + committed, moved, end - begin);
                let mut wanted = texts(&lengths[..count]);
                if committed == 1 && kind == Kind::End {
                    wanted[count - 1].extend(b" (end)");
                }
                assert_eq!(successor(&channel), wanted);
                clear(&channel);
                committed
            });
        }
    });
}

#[test]
fn a_sender_of_a_batch_killed_at_any_instruction_sends_its_parts_whole() {
    on_stage(|| {
        let mut random = chance();
        // 16, 24, 40, 16 and 16 bytes behind one of 16: the first three are an eighth of the ring
        // and become visible together, over its end; the others at the end.
        let (begin, queued, staged) = (RING - 32, 1, [5, 9, 30, 1, 2]);
        let lengths = [&[3][..], &staged].concat();
        let ends = ends(begin, &lengths);
        let start = || {
            let (channel, moved) = lay(begin, &lengths[..queued], false);
            let messages = &texts(&lengths)[queued..];
            let tracee = Tracee::fork(|| {
                let mut to = producer(&channel);
                mark();
                for message in messages {
                    let slot = to.reserve(message.len(), Deadline::Now).expect("reserve").slot();
                    let mut slot = slot.expect("room");
                    slot.write(0, message);
                    slot.stage(message.len());
                }
                to.ring();
                mark();
            });
            (channel, moved, tracee)
        };
        let name = "send five messages staged, with a wrap";
        kill_everywhere(name, SPREAD, 5, &mut random, start, |channel, moved| {
            let lane = look(&channel).lanes[0];
            let committed = lane.sent.wrapping_sub(moved + queued as u32);
            assert!(matches!(committed, 0 | 3 | 5), "sent: {}", lane.sent);
            let count = queued + committed as usize;
            assert_counted(&lane, moved + count as u32, moved, ends[count - 1] - begin);
            assert_eq!(successor(&channel), texts(&lengths[..count]));
            clear(&channel);
            committed
        });
    });
}

#[test]
fn a_receiver_killed_at_any_instruction_loses_nothing() {
    on_stage(|| {
        let mut random = chance();
        let windows: [(&str, u32, &[usize]); 4] = [
            ("receive a small message", 0, &[5]),
            ("receive a message that wraps", RING - 16, &[100]),
            ("receive messages that fill the ring", RING / 2, &[120, 120, 184, 56]),
            ("receive five messages with a wrap", RING - 72, &[0, 9, 56, 1, 200]),
        ];
        for (name, begin, lengths) in windows {
            let ends = ends(begin, lengths);
            let start = || {
                let (channel, moved) = lay(begin, lengths, false);
                let (from, to) = pipe();
                let tracee = Tracee::fork(|| {
                    let mut consumer = consumer(&channel);
                    let mut to = File::from(to);
                    let mut line = [0; 201];
                    mark();
                    while let Some(record) = consumer.next_record().expect("peek") {
                        record.copy_to(&mut line);
                        line[record.len()] = b'\n';
                        to.write_all(&line[..=record.len()]).expect("write");
                    }
                    consumer.release();
                    mark();
                });
                (channel, (moved, from), tracee)
            };
            // First all is printed, message for message, then it is released in one.
            let all = lengths.len() as u32;
            let check = |channel: Channel, (moved, mut from): (u32, File)| {
                let lane = look(&channel).lanes[0];
                let printed = read_now(&mut from);
                let mut printed: Vec<_> = printed.split(|byte| *byte == b'\n').collect();
                assert_eq!(printed.pop(), Some(&b""[..]), "a line without its end");
                assert_eq!(printed, texts(&lengths[..printed.len()]));
                let released = lane.received - moved;
                assert!(released as usize <= printed.len(), "released and not printed");
                assert!(released == 0 || released == all);
                let head = if released == all { ends[lengths.len() - 1] } else { begin };
                let end = ends[lengths.len() - 1];
                assert_counted(&lane, moved + all, moved + released, end - head);
                assert_eq!(successor(&channel), texts(lengths)[released as usize..]);
                clear(&channel);
                printed.len() as u32 + u32::from(released == all)
            };
            kill_everywhere(name, SPREAD, all + 1, &mut random, start, check);
        }
    });
}

/// All is looked at, then two are released, two more, and the rest with the role.
#[test]
fn who_releases_the_oldest_first_and_is_killed_keeps_the_others() {
    on_stage(|| {
        let mut random = chance();
        let (begin, lengths) = (RING - 72, [0, 9, 56, 1, 200]);
        let ends = ends(begin, &lengths);
        let start = || {
            let (channel, moved) = lay(begin, &lengths, false);
            let tracee = Tracee::fork(|| {
                let mut consumer = consumer(&channel);
                mark();
                while consumer.next_record().expect("sound rings").is_some() {}
                consumer.release_first(2).expect("sound rings");
                consumer.release_first(2).expect("sound rings");
                mark();
            });
            (channel, moved, tracee)
        };
        let name = "release two of five, and two more";
        kill_everywhere(name, SPREAD, 4, &mut random, start, |channel, moved| {
            let lane = look(&channel).lanes[0];
            let released = (lane.received - moved) as usize;
            assert!(matches!(released, 0 | 2 | 4), "{released}");
            let head = if released == 0 { begin } else { ends[released - 1] };
            let all = moved + lengths.len() as u32;
            assert_counted(&lane, all, lane.received, ends[4] - head);
            assert_eq!(successor(&channel), texts(&lengths)[released..]);
            clear(&channel);
            released as u32
        });
    });
}
