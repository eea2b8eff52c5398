//! Many starters at once, killed while they create the channel and agree on it.

use crate::support::{raw, Channel, Random};
use crate::torture::ground::{clear, consumer, drain, options, producer};
use crate::torture::{
    chance, contents, counted, deadline, fork_with_code, fresh, memory_file, objects, on_stage,
    pipe, say, Child,
};
use crate::{filler, rounds, slow};
use nix::libc;
use shmdemo::{Consumer, Deadline, Error, Geometry, Key, Options, Status};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// Semaphores: the creation lock, the mark of a segment in the making.
const CREATE: u16 = 0;
const CREATING: u16 = 3;

/// Servers, and as many clients. A slow board gets fewer: of 32 that start at once, each waits for
/// all others to open the channel, one by one.
fn pairs() -> usize {
    if slow() {
        4
    } else {
        16
    }
}

const EACH: u32 = 3;

/// What the starters of one round do it with.
trait Starters {
    /// Becomes a server; ends with 75 where there is one, else not by itself.
    fn server(&self, channel: &Channel, out: File, err: File) -> i32;
    /// Becomes a client that sends its [`EACH`] messages and ends with 0.
    fn client(&self, channel: &Channel, number: usize) -> i32;
    /// In what time after the start the kills come, in microseconds.
    fn time(&self) -> usize;
    /// For how long a kill waits for somebody to aim at.
    fn aim(&self) -> Duration;
}

fn message(client: usize, number: u32) -> String {
    format!("c{client} {number} {}", filler(number % 2))
}

/// Lanes that take all messages of all clients, should every server be killed.
fn roomy(channel: &Channel) -> Options {
    let geometry = Geometry { lanes: 4, ring_bytes: 4096, max_message: 200 };
    options(channel).geometry(geometry)
}

struct Library;

impl Starters for Library {
    fn server(&self, channel: &Channel, mut out: File, _: File) -> i32 {
        let found = shmdemo::Channel::open(&roomy(channel), Deadline::Never);
        let mut from: Consumer = match found.and_then(shmdemo::Channel::into_consumer) {
            Ok(consumer) => consumer,
            Err(Error::Busy { .. }) => return 75,
            Err(e) => panic!("{e}"),
        };
        loop {
            let mut lines = Vec::new();
            while let Some(record) = from.next_record().expect("peek") {
                let begin = lines.len();
                lines.resize(begin + record.len(), 0);
                record.copy_to(&mut lines[begin..]);
                lines.push(b'\n');
            }
            out.write_all(&lines).expect("write");
            from.release();
            let _ = from.wait(Deadline::Never).expect("wait");
        }
    }

    fn client(&self, channel: &Channel, number: usize) -> i32 {
        let found = shmdemo::Channel::open(&roomy(channel), Deadline::Never);
        let claimed = found.and_then(|channel| channel.into_producer(Deadline::Never));
        let mut to = claimed.expect("a lane");
        for line in 0..EACH {
            to.send(message(number, line).as_bytes(), Deadline::Never).expect("send");
        }
        0
    }

    fn time(&self) -> usize {
        2000
    }

    fn aim(&self) -> Duration {
        Duration::from_millis(1)
    }
}

struct Programs;

impl Starters for Programs {
    fn server(&self, channel: &Channel, out: File, err: File) -> i32 {
        exec(channel.server(&["--persist"]).stdout(out).stderr(err))
    }

    fn client(&self, channel: &Channel, number: usize) -> i32 {
        let lines: String = (0..EACH).map(|line| message(number, line) + "\n").collect();
        exec(channel.client(&[]).stdin(memory_file(lines.as_bytes())))
    }

    fn time(&self) -> usize {
        12_000
    }

    fn aim(&self) -> Duration {
        Duration::from_millis(10)
    }
}

fn exec(command: &mut Command) -> i32 {
    panic!("{}", command.exec());
}

#[derive(Default)]
struct Tally {
    killed: usize,
    creating: usize,
    half_made: usize,
    messages: u32,
    doubles: u32,
}

fn race(starters: &dyn Starters, random: &mut Random, tally: &mut Tally) {
    deadline();
    let channel = Channel::new();
    let (gate, opener) = pipe();
    let files = || (0..pairs()).map(|_| memory_file(b"")).collect::<Vec<File>>();
    let (outs, errs) = (files(), files());
    let start = |act: &dyn Fn() -> i32| {
        fork_with_code(|| {
            // Until the stage closes its end; this one's was copied by the fork.
            nix::unistd::close(opener.as_raw_fd()).expect("close");
            let _ = (&gate).read(&mut [0]);
            act()
        })
    };
    let mut all: Vec<Child> = Vec::new();
    for number in 0..pairs() {
        let copy = |files: &[File]| files[number].try_clone().expect("dup");
        all.push(start(&|| starters.server(&channel, copy(&outs), copy(&errs))));
        all.push(start(&|| starters.client(&channel, number)));
    }
    drop(opener);
    // Up to half of them are killed: who makes the segment at that instant, who has the creation
    // lock, or anyone.
    let begin = Instant::now();
    let mut killed = vec![false; all.len()];
    let mut kills: Vec<usize> =
        (0..random.below(pairs() + 1)).map(|_| random.below(starters.time())).collect();
    kills.sort_unstable();
    let key = Key::new(channel.key).expect("not 0");
    let holder = |of: u16| {
        let held = raw::sem_look(key.raw(), of, libc::GETVAL)? > 0;
        let pid = raw::sem_look(key.raw(), of, libc::GETPID).filter(|_| held)?;
        all.iter().position(|child| child.pid().as_raw() == pid)
    };
    for (number, at) in kills.into_iter().enumerate() {
        let mut victim = None;
        let aim = [None, Some(CREATE), Some(CREATING)][random.below(3)];
        let wait = Duration::from_micros(at as u64);
        // The first one as soon as there is somebody to aim at: most is made at the start.
        let early = if number == 0 { Duration::ZERO } else { wait };
        while victim.is_none() && begin.elapsed() < wait.max(early + starters.aim()) {
            victim = aim.filter(|_| begin.elapsed() >= early).and_then(holder);
        }
        let creating = victim.is_some();
        let victim = victim.unwrap_or_else(|| random.below(all.len()));
        if !std::mem::replace(&mut killed[victim], true) {
            all[victim].kill();
            tally.killed += 1;
            tally.creating += usize::from(creating);
            let noted = raw::sem_look(key.raw(), CREATING, libc::GETVAL).is_some_and(|n| n > 0);
            tally.half_made += usize::from(noted && raw::shm_id(key.raw()).is_some());
        }
    }
    // The clients left end by themselves; the one server left is killed.
    for number in 0..pairs() {
        let code = all[2 * number + 1].reap();
        let allowed = if killed[2 * number + 1] { [0, 137] } else { [0, 0] };
        assert!(allowed.contains(&code), "client {number}: exit code {code}");
    }
    for number in 0..pairs() {
        let server = &mut all[2 * number];
        server.kill();
        let code = server.reap();
        let said = String::from_utf8_lossy(&contents(&errs[number])).into_owned();
        assert!([75, 137].contains(&code), "server {number}: exit code {code}: {said}");
    }
    check(&channel, &outs, &killed, tally);
}

/// After a race: every message of the clients that ended well, none twice but those not released,
/// counters exact, every role free, one segment, one set.
fn check(channel: &Channel, outs: &[File], killed: &[bool], tally: &mut Tally) {
    let rest = fresh(|| {
        let mut lines = drain(&mut consumer(channel));
        lines.push(Vec::new());
        // Every lane is free.
        let lanes = Status::read(&options(channel)).expect("status").lanes.len();
        let all: Vec<_> = (0..lanes).map(|_| producer(channel)).collect();
        drop(all);
        lines.join(&b'\n')
    });
    assert_eq!(objects(channel.key), (1, 1), "segments and semaphore sets");
    let status = Status::read(&options(channel)).expect("status");
    assert_eq!(status.server, None);
    for lane in &status.lanes {
        assert_eq!((lane.pid, lane.queued_bytes, lane.received), (None, 0, lane.sent), "{lane:?}");
    }
    let mut seen: HashMap<String, u32> = HashMap::new();
    for out in outs.iter().map(contents).chain([rest]) {
        let text = String::from_utf8(out).expect("text");
        for line in text.rsplit_once('\n').unwrap_or_default().0.lines() {
            *seen.entry(line.to_string()).or_default() += 1;
        }
    }
    let mut different = 0;
    for number in 0..pairs() {
        let mut whole = true;
        for line in 0..EACH {
            let count = seen.remove(&message(number, line)).unwrap_or(0);
            assert!(whole || count == 0, "client {number}: line {line} without the one before");
            whole = count > 0;
            different += u32::from(whole);
            tally.doubles += count.saturating_sub(1);
        }
        assert!(whole || killed[2 * number + 1], "client {number} ended well: a line is lost");
    }
    assert!(seen.is_empty(), "never sent: {seen:?}");
    let sent: u32 = status.lanes.iter().map(|lane| lane.sent).sum();
    assert_eq!(different, sent, "messages, and what the counters say");
    tally.messages += sent;
    clear(channel);
}

fn races(what: &str, starters: &dyn Starters, count: usize) {
    let mut random = chance();
    let mut tally = Tally::default();
    for _ in 0..count {
        race(starters, &mut random, &mut tally);
    }
    let Tally { killed, creating, half_made, messages, doubles } = tally;
    say(&format!(
        "{count} races of {0} servers and {0} clients ({what}): {killed} killed, \
         {creating} of them while they created or joined it, {half_made} with the segment half-made; \
         {messages} messages, all there, {doubles} printed again; nothing left, {1}",
        pairs(),
        counted()
    ));
}

#[test]
fn many_starters_killed_at_random_agree_on_one_channel() {
    on_stage(|| races("library", &Library, rounds(10_000, 2000, 20)));
}

#[test]
fn many_programs_killed_at_random_agree_on_one_channel() {
    on_stage(|| races("programs", &Programs, rounds(1000, 40, 5)));
}
