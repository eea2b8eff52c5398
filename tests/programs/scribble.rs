//! A live hostile peer: it writes random and adversarial words into the segment while the two
//! programs work.
//!
//! Allowed: the server goes on, a client ends with exit code 76 naming the field. Not allowed: a signal,
//! a panic, a hang, growing memory. Where only the doorbells are scribbled upon, nothing may be
//! lost either.
//!
//! `SHMDEMO_SCRIBBLES=N`: rounds (default 40; 8 on ARM).

use crate::support::raw::{Meddler, View};
use crate::support::{raw, until, Channel, Proc, Random};
use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGTERM};
use std::io::Write;
use std::time::{Duration, Instant};

const LANES: usize = 2;
const RING: usize = 4096;

/// Offsets of lane `k`: see the memory map.
fn lane(k: usize) -> usize {
    128 + k * (192 + RING)
}

/// Semaphores of a channel's set: see `src/channel/roles.rs`.
const SERVER_BELL: i32 = 4;
const ROOM_BELL_0: i32 = 37;

/// Longer than what a producer sleeps for room before it looks once by itself.
const BEYOND_NAP: Duration = Duration::from_millis(60);

/// What is scribbled upon in a round.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    Bells,
    Positions,
    Records,
    Header,
    Anything,
}

const TARGETS: [Target; 5] =
    [Target::Bells, Target::Positions, Target::Records, Target::Header, Target::Anything];

impl Target {
    /// The offset of one of its words.
    fn word(self, random: &mut Random) -> usize {
        let any_lane = lane(random.below(LANES));
        match self {
            Target::Bells => [64, any_lane + 128][random.below(2)] + 4 * random.below(3),
            // tail, head and their marks
            Target::Positions => any_lane + [0, 64][random.below(2)] + 4 * random.below(5),
            Target::Records => any_lane + 192 + 8 * random.below(RING / 8) + 4 * random.below(2),
            Target::Header => 4 * random.below(10),
            Target::Anything => 4 * random.below(lane(LANES) / 4),
        }
    }
}

fn scribble(view: &View, target: Target, random: &mut Random, time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        for _ in 0..50 {
            let at = target.word(random);
            let old = view.word(at);
            let new = match random.below(5) {
                0 => [0, 1, 2, 3, 8, 2048, 4096, 1 << 31, u32::MAX][random.below(9)],
                1 => old.wrapping_add(random.below(65) as u32 * 8).wrapping_sub(256),
                2 => old ^ (1 << random.below(32)),
                // A word from elsewhere: a position or a bell that was right some time.
                3 => view.word(Target::Positions.word(random)),
                _ => random.next() as u32,
            };
            view.write(at, &new.to_ne_bytes());
        }
        std::thread::yield_now();
    }
}

/// Kilobytes of memory of its own (not of the segment) that a process has in use.
fn own_memory(pid: i64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Lines "0", "1", ... until the reader is gone.
fn endless(client: &mut Proc) {
    let mut stdin = client.take_stdin();
    std::thread::spawn(move || {
        for n in 0_u32.. {
            if stdin.write_all(format!("{n}\n").as_bytes()).is_err() {
                return;
            }
        }
    });
}

/// Ended by itself: a client by naming the field that is wrong, or since the server is gone; a server by
/// what looks like an end word, and never by damage, which it tells and sets aside. Was any seen?
#[track_caller]
fn ended_well(mut program: Proc, by_itself: &[i32], round: &str) -> bool {
    if program.alive() {
        program.signal(SIGTERM);
        let out = program.finish_with_stdin();
        // By the signal, or it saw damage on its way out.
        let expected = [&[0, 143][..], by_itself].concat();
        assert!(expected.contains(&out.code()), "{round}: {}: {}", out.code(), out.stderr);
        return out.stderr.contains("damaged");
    }
    let out = program.finish_with_stdin();
    assert!(by_itself.contains(&out.code()), "{round}: {}: {}", out.code(), out.stderr);
    out.stderr.contains("damaged")
}

fn round(number: usize, random: &mut Random) -> bool {
    let target = TARGETS[number % TARGETS.len()];
    let name = format!("round {number}, {target:?}");
    let channel = Channel::new();
    let mut server = channel.running(&["--lanes", "2", "--size", "4K", "--max-message", "200"]);
    let mut client = Proc::spawn(channel.client(&[]));
    endless(&mut client);
    server.wait_stdout("first lines", |out| out.len() > 1000);
    let before = (own_memory(server.pid()), own_memory(client.pid()));
    let view = View::attach(channel.segment().id);
    scribble(&view, target, random, Duration::from_millis(60));
    let so_far = server.stdout().len();
    // Nobody disturbs any more: it goes on, or somebody has seen why it can't.
    until(&format!("{name}: lines again, or an end"), || {
        server.stdout().len() > so_far || !server.alive() || !client.alive()
    });
    for (pid, before) in [(server.pid(), before.0), (client.pid(), before.1)] {
        if let (Some(before), Some(now)) = (before, own_memory(pid)) {
            assert!(now < before + 1024, "{name}: memory grew from {before} to {now} kB");
        }
    }
    if target == Target::Bells {
        server.check_alive();
        client.check_alive();
        client.signal(SIGKILL);
        client.finish_with_stdin();
        server.signal(SIGTERM);
        let out = server.finish_with_stdin();
        let text = out.expect(0).text();
        for (n, line) in text.lines().enumerate() {
            assert_eq!(line.parse(), Ok(n), "{name}: order, loss or double");
        }
        return false;
    }
    let client_saw = ended_well(client, &[69, 76], &name);
    let server_saw = ended_well(server, &[0], &name);
    client_saw || server_saw
}

#[test]
fn a_scribbling_peer_does_no_more_than_end_clients_with_76() {
    let default = if cfg!(target_arch = "arm") { 8 } else { 40 };
    let rounds = std::env::var("SHMDEMO_SCRIBBLES").ok();
    let rounds = rounds.map_or(default, |n| n.parse().expect("SHMDEMO_SCRIBBLES: a number"));
    let mut random = Random(0x5851_f42d_4c95_7f2d);
    let seen = (0..rounds).filter(|number| round(*number, &mut random)).count();
    println!("{rounds} rounds, damage seen in {seen}");
    // It would be no hostile peer if nobody ever noticed.
    assert!(seen * 10 > rounds, "damage was seen in {seen} of {rounds} rounds only");
}

/// A peer takes back what a sleeping producer has committed: the server sees an empty ring and
/// the producer a full one, and both would sleep for ever.
#[test]
fn a_tail_that_is_taken_back_stops_nobody() {
    let channel = Channel::new();
    let server = channel.running(&["--lanes", "1", "--size", "4K", "--max-message", "200"]);
    let set = crate::support::sem_row(channel.key).expect("the semaphores").id;
    let asleep = |bell| until("a sleep", || raw::sem_waiters(set, bell) == 1);
    asleep(SERVER_BELL);
    server.stop();
    let mut client = Proc::spawn(channel.client(&[]));
    client.feed(crate::support::numbered(5000));
    asleep(ROOM_BELL_0);
    std::thread::sleep(BEYOND_NAP);
    let view = View::attach(channel.segment().id);
    view.write(lane(0), &view.word(lane(0) + 64).to_ne_bytes());
    server.signal(SIGCONT);
    server.wait_stdout("all lines", |out| out == crate::support::numbered(5000));
    client.finish_with_stdin().expect(0);
}

/// Every wake-up that the doorbells' words decide is missed. Nothing is lost and nobody sleeps for
/// good, be it one line at a time, or more than the ring holds and a server that takes its time.
#[test]
fn doorbells_that_always_tell_of_nobody_stop_nobody() {
    let channel = Channel::new();
    let server = channel.running(&["--lanes", "2", "--size", "1K", "--max-message", "200"]);
    let lane_1 = 128 + 192 + 1024;
    let _hush = Meddler::of(channel.segment().id, move |view| {
        // Nobody sleeps.
        [64, 128 + 128, lane_1 + 128].into_iter().for_each(|bell| view.write(bell, &[0; 4]));
    });
    let mut one = Proc::spawn(channel.client(&[]));
    let mut stdin = one.take_stdin();
    let mut wanted = Vec::new();
    for n in 0..200 {
        let line = format!("one {n}\n");
        stdin.write_all(line.as_bytes()).expect("a line");
        wanted.extend(line.into_bytes());
        server.wait_stdout("the line", |out| out == wanted);
    }
    server.stop();
    let mut many = Proc::spawn(channel.client(&[]));
    many.feed(crate::support::numbered(5000));
    let set = crate::support::sem_row(channel.key).expect("the semaphores").id;
    until("a sleep for room", || raw::sem_waiters(set, ROOM_BELL_0 + 1) == 1);
    std::thread::sleep(BEYOND_NAP);
    server.signal(SIGCONT);
    many.finish_with_stdin().expect(0);
    wanted.extend(crate::support::numbered(5000));
    server.wait_stdout("all lines", |out| out == wanted);
    drop(stdin);
    one.finish_with_stdin().expect(0);
}
