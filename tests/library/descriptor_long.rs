//! A descriptor for a long time: nothing is missed, of what is sent and of what wakes.

use super::descriptor::{consumer, drain, options, producer, readable, settle};
use crate::support::{until, Channel as Place, Random};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use shmdemo::Deadline;
use std::time::Duration;

/// Four producers, with random stops in between and full rings; the consumer looks only when it is told to,
/// and takes as much as it likes.
#[test]
fn nothing_is_missed_however_little_is_taken_at_a_time() {
    let place = Place::new();
    let options = options(&place);
    let mut server = consumer(&options);
    let fd = server.fd().expect("a descriptor");
    let count: u32 =
        std::env::var("SHMDEMO_MESSAGES").map_or(3_000, |n| n.parse().expect("a number"));
    let senders: Vec<_> = (0..4_u64)
        .map(|seed| {
            let mut client = producer(&options);
            std::thread::spawn(move || {
                let mut random = Random(seed + 1);
                let room = client.fd().expect("a descriptor");
                for number in 0..count {
                    let text = number.to_ne_bytes();
                    while client.send(&text, Deadline::Now).is_err() {
                        assert!(readable(&room, 60_000), "no room for {number}");
                    }
                    if random.below(512) == 0 {
                        std::thread::sleep(Duration::from_micros(random.below(300) as u64));
                    }
                }
            })
        })
        .collect();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
    epoll.add(&fd, EpollEvent::new(EpollFlags::EPOLLIN, 1)).expect("epoll");
    let (mut random, mut next) = (Random(9), [0_u32; 4]);
    while next.iter().sum::<u32>() < 4 * count {
        let mut events = [EpollEvent::empty()];
        assert_eq!(epoll.wait(&mut events, EpollTimeout::from(60_000_u16)), Ok(1), "{next:?}");
        for _ in 0..=random.below(40) {
            let Some(record) = server.next_record().expect("sound rings") else { break };
            let mut number = [0; 4];
            record.copy_to(&mut number);
            let lane = record.lane() as usize;
            assert_eq!(u32::from_ne_bytes(number), next[lane]);
            next[lane] += 1;
        }
        match random.below(3) {
            0 => server.release_first(random.below(5)).expect("sound rings"),
            _ => server.release(),
        }
    }
    for sender in senders {
        sender.join().expect("a sender");
    }
    server.release();
    until("nothing more", || drain(&mut server) == 0 && !readable(&fd, 20));
}

/// What another thread or a signal handler says before it wakes is seen after: by a wait, and by a loop
/// that polls, which looks at it each time before it looks for records.
#[test]
fn no_wake_is_lost() {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    let place = Place::new();
    let options = options(&place);
    let (mut server, mut client) = (consumer(&options), producer(&options));
    let (fd, interrupter) = (server.fd().expect("a descriptor"), server.interrupter());
    let (asked, answered) = (AtomicU32::new(0), AtomicU32::new(0));
    let rounds: u32 =
        std::env::var("SHMDEMO_WAKES").map_or(3_000, |n| n.parse().expect("a number"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(3);
            for round in 1..=rounds {
                if random.below(4) == 0 {
                    let _ = client.send(b"text", Deadline::Now);
                }
                for _ in 0..random.below(200) {
                    std::hint::spin_loop();
                }
                asked.store(round, SeqCst);
                interrupter.wake();
                until("it is heard of", || answered.load(SeqCst) == round);
            }
        });
        let mut random = Random(5);
        while answered.load(SeqCst) < rounds {
            answered.store(asked.load(SeqCst), SeqCst);
            if answered.load(SeqCst) == rounds {
                break;
            }
            for _ in 0..random.below(20_000) {
                std::hint::spin_loop();
            }
            if random.below(2) == 0 {
                let _ = server.wait(Deadline::Never).expect("a channel");
            } else {
                assert!(readable(&fd, 60_000), "{} of {rounds}", answered.load(SeqCst));
            }
            answered.store(asked.load(SeqCst), SeqCst);
            drain(&mut server);
        }
    });
    drain(&mut server);
    settle(&mut server, &fd);
}
