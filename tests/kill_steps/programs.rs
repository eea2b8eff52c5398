//! The two programs, whole.

use crate::support::{shm_row, Channel};
use crate::torture::ground::*;
use crate::torture::places::{at_every_place, kill_everywhere};
use crate::torture::trace::Tracee;
use crate::torture::{chance, fresh, full, lanes, objects, on_stage, run, Lane, Program};
use nix::libc;
use std::cell::Cell;

/// Kills spread over a program's life, beside those around every change.
const SPREAD: usize = 100;

/// A program's life with the channel begins with the first of these.
const FIRST: [i64; 2] = [libc::SYS_shmget, libc::SYS_semget];

const PATIENT: [&str; 2] = ["--timeout", "30"];

fn lines(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| [message.as_slice(), b"\n"].concat()).collect()
}

/// The lanes by `status`, all free; none where there is no channel, or none that is ready.
fn look(channel: &Channel) -> Option<Vec<Lane>> {
    let (segments, sets) = objects(channel.key);
    assert!(segments <= 1 && sets <= 1, "{segments} segments, {sets} semaphore sets");
    let mut status = Program::start(channel.sub("status", &["--json"]), b"");
    match status.child.reap() {
        0 => {}
        // Nothing there, or a segment that is not ready.
        69 | 76 => return None,
        other => panic!("status: exit code {other}: {}", status.stderr()),
    }
    let lanes = lanes(&status.stdout());
    assert!(lanes.iter().all(|lane| lane.pid.is_none()), "a dead process holds: {lanes:?}");
    assert!(lanes[1..].iter().all(|lane| lane.sent == 0 && lane.received == 0), "{lanes:?}");
    Some(lanes)
}

/// A server and a client afresh: what comes out before the client's line. Nothing is left.
fn afterwards(channel: &Channel) -> Vec<u8> {
    let server = Program::start(channel.server(&[]), b"");
    run(channel.client(&PATIENT), b"after\nend\n", 0);
    let mut out = server.expect(0);
    assert!(out.ends_with(b"after\n"), "{:?}", String::from_utf8_lossy(&out));
    out.truncate(out.len() - b"after\n".len());
    assert_eq!(objects(channel.key), (0, 0), "segments and semaphore sets");
    out
}

/// Kills a client that sends `messages`, and the end word or not, from `begin` on.
fn kill_clients(name: &str, prepared: Option<u32>, messages: &[Vec<u8>], end: bool) {
    let mut input = lines(messages);
    input.extend_from_slice(if end { b"end\n" } else { b"" });
    let all = messages.len() as u32 + u32::from(end);
    let start = || {
        let (channel, moved) = match prepared {
            Some(begin) => lay(begin, &[], false),
            None => (Channel::new(), 0),
        };
        let (tracee, program) = Tracee::start(channel.client(&PATIENT), &input, &FIRST);
        (channel, (moved, program), tracee)
    };
    let mut lengths: Vec<usize> = messages.iter().map(Vec::len).collect();
    lengths.push(END.len());
    let check = |channel: Channel, (moved, program): (u32, Program)| {
        assert_eq!(program.stderr(), "");
        let Some(found) = look(&channel) else {
            assert!(prepared.is_none(), "the channel is gone");
            assert_eq!(afterwards(&channel), b"");
            return 0;
        };
        let committed = found[0].sent - moved;
        assert!(committed <= all, "{found:?}");
        let begin = prepared.unwrap_or(0);
        let queued = match committed {
            0 => 0,
            n => ends(begin, &lengths)[n as usize - 1] - begin,
        };
        let truth = (moved, if prepared.is_some() { queued } else { found[0].queued_bytes });
        assert_eq!((found[0].received, found[0].queued_bytes), truth);
        let count = messages.len().min(committed as usize);
        let out = match committed as usize > messages.len() {
            // The end word is in the ring: the next server ends by itself.
            true => run(channel.server(&[]), b"", 0),
            false => afterwards(&channel),
        };
        assert_eq!(out, lines(&messages[..count]));
        assert_eq!(objects(channel.key), (0, 0), "segments and semaphore sets");
        committed + u32::from(prepared.is_none())
    };
    let whole = all + u32::from(prepared.is_none());
    kill_everywhere(name, SPREAD, whole, &mut chance(), start, check);
}

#[test]
fn a_client_that_creates_the_channel() {
    on_stage(|| {
        let messages = texts(&[3, 0, 700, 2048, 1]);
        kill_clients("client: create, send five lines and the end word", None, &messages, true);
    });
}

#[test]
fn a_client_that_wraps_and_fills_the_ring() {
    on_stage(|| {
        let messages = texts(&[100, 184, 184]);
        let name = "client: join, wrap, fill the ring to its last byte";
        kill_clients(name, Some(RING - 16), &messages, false);
    });
}

#[test]
fn a_server_that_prints_and_removes() {
    on_stage(|| {
        let lengths = [5, 100, 0, 200];
        let begin = RING - 32;
        let mut all = lengths.to_vec();
        all.push(END.len());
        let ends = ends(begin, &all);
        let start = || {
            let (channel, moved) = lay(begin, &lengths, true);
            let (tracee, program) = Tracee::start(channel.server(&[]), b"", &FIRST);
            (channel, (moved, program), tracee)
        };
        let messages = texts(&lengths);
        let count = messages.len();
        let check = |channel: Channel, (moved, program): (u32, Program)| {
            assert_eq!(program.stderr(), "");
            let printed = program.stdout();
            let lines_printed = printed.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(printed, lines(&messages[..lines_printed]));
            if shm_row(channel.key).is_none() {
                assert_eq!(lines_printed, count, "removed before all was printed");
                assert_eq!(afterwards(&channel), b"");
                return count as u32 + 2;
            }
            let lane = look(&channel).expect("a channel that is ready")[0];
            let released = (lane.received - moved) as usize;
            let head = if released == 0 { begin } else { ends[released - 1] };
            assert_eq!(
                (lane.sent, lane.queued_bytes),
                (moved + count as u32 + 1, ends[count] - head)
            );
            assert!(released.min(count) <= lines_printed, "released and not printed");
            // The end word was sent, and nobody has ended for it: the next server does.
            let out = run(channel.server(&[]), b"", 0);
            assert_eq!(out, lines(&messages[released.min(count)..]));
            assert_eq!(objects(channel.key), (0, 0), "segments and semaphore sets");
            (lines_printed + usize::from(released > 0)) as u32
        };
        let name = "server: join, print four lines, end and remove";
        kill_everywhere(name, SPREAD, count as u32 + 2, &mut chance(), start, check);
    });
}

/// A server that an end word ends takes what there is and removes the channel, all at one instant
/// of the client's life.
fn end_and_remove(channel: &Channel) -> Vec<u8> {
    fresh(|| {
        let mut server = consumer(channel);
        server.announce_close().expect("close");
        let got = drain(&mut server);
        server.channel().remove().expect("remove");
        lines(&got)
    })
}

#[test]
fn a_client_whose_server_ends_at_any_instruction_tells_the_truth() {
    on_stage(|| {
        let mut random = chance();
        // What the server took at that instant, and the client's exit code after it.
        let outcome = Cell::new(None);
        let start = |end_taken: bool| {
            let (channel, _) = lay(0, &[], false);
            if end_taken {
                fresh(|| {
                    consumer(&channel).note_end();
                    Vec::new()
                });
            }
            let (tracee, program) = Tracee::start(channel.client(&PATIENT), b"one\nend\n", &FIRST);
            outcome.set(None);
            (channel, program, tracee)
        };
        let act = |channel: &Channel, tracee: &mut Tracee| {
            // Who removes waits for the creation lock, and its holder stands still.
            let free = objects(channel.key) == (1, 1) && !creation_locked(channel);
            let taken = if free { end_and_remove(channel) } else { Vec::new() };
            outcome.set(Some((taken, tracee.run_to_end())));
        };
        let check = |channel: Channel, program: Program| {
            let mut left = Vec::new();
            if objects(channel.key) == (1, 1) {
                left = fresh(|| lines(&drain(&mut consumer(&channel))));
                clear(&channel);
            }
            let Some((taken, code)) = outcome.take() else { return 0 };
            let told = program.stderr();
            // All of it is here or there, and the exit code says whether.
            match [taken.as_slice(), &left].concat().as_slice() {
                b"one\nend (end)\n" => assert_eq!((code, told.as_str()), (0, "")),
                got @ (b"one\n" | b"") => {
                    assert!(code == 69 && told.contains("removed"), "{got:?}: {code}: {told}");
                }
                got => panic!("{:?}: {code}: {told}", String::from_utf8_lossy(got)),
            }
            0
        };
        let windows = [
            ("client: the server ends, having taken another's end word before", true),
            ("client: the server ends while it sends a line and the end word", false),
        ];
        // To record a program's path takes long: the first one has all that the second one has.
        for (name, end_taken) in windows.into_iter().take(if full() { 2 } else { 1 }) {
            let start = || start(end_taken);
            at_every_place(name, SPREAD / 2, 0, &mut random, start, act, check);
        }
    });
}
