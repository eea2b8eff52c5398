//! One role, one successor after the other.

use crate::rounds;
use crate::support::{raw, Channel};
use crate::torture::ground::{clear, consumer, drain, open, options, producer, LANES};
use crate::torture::{counted, deadline, errno, fork, fresh, objects, on_stage, pipe, say, waited};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use shmdemo::{Deadline, Error, Status};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Semaphores: the server's bell, the first lane's bell.
const SERVER_BELL: u16 = 4;
const ROOM_BELL: u16 = 37;

fn pause_forever() -> ! {
    loop {
        nix::unistd::pause();
    }
}

/// Every process kills its predecessor, takes over its role and says how long that took. The
/// predecessor is not waited for: it is a zombie then, as some before it are.
fn takeovers(what: &str, claim: fn(&Channel, &dyn Fn()) -> Box<dyn std::any::Any>) {
    const ZOMBIES: usize = 50;
    deadline();
    let channel = Channel::new();
    fresh(|| {
        drop(open(&channel));
        Vec::new()
    });
    // The bells that every end rings: from nearly full, so that they become full on the way.
    let set = raw::sem_id(channel.key).expect("its set");
    raw::sem_set(set, SERVER_BELL.into(), 32_700);
    raw::sem_set(set, ROOM_BELL.into(), 32_700);
    let (mut from, to) = pipe();
    let successor = |predecessor: Option<Pid>| {
        fork(|| {
            let mut to = File::from(to.try_clone().expect("dup"));
            let start = Cell::new(Instant::now());
            let role = claim(&channel, &|| {
                start.set(Instant::now());
                if let Some(pid) = predecessor {
                    kill(pid, Signal::SIGKILL).expect("kill");
                }
            });
            let took = start.get().elapsed().as_nanos() as u64;
            to.write_all(&took.to_ne_bytes()).expect("write");
            std::mem::forget(role);
            pause_forever()
        })
    };
    let mut told = || {
        let mut took = [0; 8];
        // Not `read_exact`, which would go on after the deadline's signal.
        let read = from.read(&mut took).map_err(errno);
        assert_eq!(waited("a successor that has the role", read), took.len());
        u64::from_ne_bytes(took)
    };
    let count = rounds(10_000, 10_000, 200);
    let mut dead = VecDeque::from([successor(None)]);
    told();
    let (mut times, mut zombies) = (Vec::new(), 0);
    for _ in 0..count {
        deadline();
        let last = dead.back().expect("the holder");
        let next = successor(Some(last.pid()));
        times.push(told());
        zombies += usize::from(is_zombie(last.pid()));
        dead.push_back(next);
        if dead.len() > ZOMBIES {
            dead.pop_front();
        }
        if times.len() % 100 == 0 {
            assert_eq!(objects(channel.key), (1, 1), "segments and semaphore sets");
        }
    }
    drop(dead);
    assert_eq!(objects(channel.key), (1, 1), "segments and semaphore sets");
    let lanes = || Status::read(&options(&channel)).expect("status").lanes;
    let sent: Vec<u32> = lanes().iter().map(|lane| lane.sent - lane.received).collect();
    let queued = fresh(|| (drain(&mut consumer(&channel)).len() as u32).to_ne_bytes().into());
    assert_eq!(queued, sent.iter().sum::<u32>().to_ne_bytes(), "messages queued");
    for lane in lanes() {
        assert_eq!((lane.pid, lane.queued_bytes, lane.received), (None, 0, lane.sent), "{lane:?}");
    }
    clear(&channel);
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100] / 1000;
    say(&format!(
        "{what}: {count} takeovers after SIGKILL, {zombies} of the dead seen as zombies; from kill \
         to claimed: min {}, p50 {}, p99 {}, max {} microseconds; 1 segment and 1 semaphore set \
         throughout, {}",
        at(0),
        at(50),
        at(99),
        at(100),
        counted()
    ));
}

fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("not reaped yet");
    stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z')
}

#[test]
fn the_server_role_is_taken_over_at_once() {
    on_stage(|| {
        takeovers("server role", |channel, kill| {
            let mut opened = open(channel);
            kill();
            loop {
                match opened.into_consumer() {
                    Ok(consumer) => return Box::new(consumer),
                    Err(Error::Busy { .. }) => {
                        // The kernel is not done yet: let it.
                        std::thread::sleep(Duration::from_micros(10));
                        opened = open(channel);
                    }
                    Err(e) => panic!("{e}"),
                }
            }
        });
    });
}

#[test]
fn a_lane_is_taken_over_at_once() {
    on_stage(|| {
        takeovers("lane", |channel, kill| {
            let opened = open(channel);
            kill();
            let mut claimed = opened.into_producer(Deadline::Never).expect("a lane");
            assert_eq!(claimed.lane(), 0);
            match claimed.send(b"I have it", Deadline::Now) {
                Ok(()) | Err(Error::TimedOut { .. }) => {} // nobody takes them: the lane is full soon
                Err(e) => panic!("{e}"),
            }
            // The others too: the next one has to wait for this one's end.
            let others: Vec<_> = (1..LANES).map(|_| producer(channel)).collect();
            Box::new((claimed, others))
        });
    });
}

/// Every end of a client rings the server's bell, and every end of a server the clients': with
/// nobody there to answer, a bell is full in the end.
#[test]
fn a_role_is_given_back_though_its_bell_is_full() {
    on_stage(|| {
        const FULL: i32 = 32_767;
        deadline();
        let channel = Channel::new();
        fresh(|| {
            let (from, to) = (consumer(&channel), producer(&channel));
            let set = raw::sem_id(channel.key).expect("its set");
            for (bell, ringer) in [(SERVER_BELL, from.interrupter()), (ROOM_BELL, to.interrupter())]
            {
                for _ in raw::sem_get(set, bell.into())..FULL {
                    ringer.wake();
                }
            }
            drop((from, to));
            let status = Status::read(&options(&channel)).expect("status");
            assert_eq!((status.server, status.lanes[0].pid), (None, None), "given back");
            drop((consumer(&channel), producer(&channel)));
            Vec::new()
        });
        clear(&channel);
    });
}
