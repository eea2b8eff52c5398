//! A descriptor among others: readable exactly while there is something to see to.

use crate::support::{run, Channel as Place};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use shmdemo::{
    Channel, Consumer, Deadline, Descriptor, Error, Geometry, Key, Options, Producer, Reservation,
    Waited,
};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const GEOMETRY: Geometry = Geometry { lanes: 4, ring_bytes: 1024, max_message: 100 };

pub fn options(place: &Place) -> Options {
    Options::new(Key::new(place.key).expect("a key")).geometry(GEOMETRY)
}

pub fn consumer(options: &Options) -> Consumer {
    let channel = Channel::open(options, Deadline::Never).expect("a channel");
    channel.into_consumer().expect("the server role")
}

pub fn producer(options: &Options) -> Producer {
    let channel = Channel::open(options, Deadline::Never).expect("a channel");
    channel.into_producer(Deadline::Now).expect("a lane")
}

/// Is it readable within so many milliseconds? 0: now.
pub fn readable(fd: &Descriptor, ms: u16) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(ms)).expect("poll") == 1
}

/// Looks until there is nothing, and releases; how many there were.
pub fn drain(consumer: &mut Consumer) -> usize {
    let mut count = 0;
    while consumer.next_record().expect("sound rings").is_some() {
        count += 1;
    }
    consumer.release();
    count
}

/// Looks until the descriptor says that there is nothing: at most once more than needed, for each of the
/// things that may have rung.
pub fn settle(consumer: &mut Consumer, fd: &Descriptor) {
    for _ in 0..5 {
        if !readable(fd, 100) {
            return;
        }
        assert_eq!(drain(consumer), 0);
    }
    panic!("readable, and nothing to be seen to");
}

#[test]
fn it_is_readable_while_there_is_something_and_not_else() {
    let place = Place::new();
    let options = options(&place);
    let mut server = consumer(&options);
    let fd = server.fd().expect("a descriptor");
    assert!(readable(&fd, 0), "nobody has looked yet");
    assert_eq!(drain(&mut server), 0);
    settle(&mut server, &fd);
    let mut client = producer(&options);
    settle(&mut server, &fd);
    for _ in 0..10 {
        for text in [b"one", b"two", b"six"] {
            client.send(text, Deadline::Now).expect("room");
        }
        assert!(readable(&fd, 5000), "three messages");
        // For as long as one is left, and one is held.
        for _ in 0..3 {
            assert!(readable(&fd, 0));
            assert!(server.next_record().expect("sound rings").is_some());
        }
        assert!(readable(&fd, 0), "nobody has looked whether there is a fourth");
        assert!(server.next_record().expect("sound rings").is_none());
        settle(&mut server, &fd);
        server.release();
    }
    // Nothing is held that would come again.
    server.rewind().expect("mine");
    assert!(!readable(&fd, 0));
    // The same one, whoever asks again.
    assert!(!readable(&server.fd().expect("the descriptor"), 0));
}

/// A record that nobody rang for yet is found by chance: what is behind it keeps the descriptor readable.
#[test]
fn what_was_found_before_the_ring_leaves_the_rest_readable() {
    let place = Place::new();
    let options = options(&place);
    let (mut server, mut client) = (consumer(&options), producer(&options));
    let fd = server.fd().expect("a descriptor");
    for rung in [false, true] {
        drain(&mut server);
        settle(&mut server, &fd);
        for _ in 0..3 {
            let slot = client.reserve(10, Deadline::Now).expect("a lane").slot().expect("room");
            slot.commit_quietly(10);
        }
        assert!(!readable(&fd, 0), "nobody rang");
        assert!(server.next_record().expect("sound rings").is_some());
        assert!(readable(&fd, 0), "there are two more");
        if rung {
            client.ring();
        }
        assert_eq!(drain(&mut server), 2);
        settle(&mut server, &fd);
    }
}

#[test]
fn who_may_not_hold_more_finds_it_readable_until_it_releases() {
    let place = Place::new();
    let options = options(&place).lane_changes(2);
    let mut server = consumer(&options);
    let mut clients = [producer(&options), producer(&options), producer(&options)];
    let fd = server.fd().expect("a descriptor");
    drain(&mut server);
    settle(&mut server, &fd);
    for client in &mut clients {
        client.send(b"text", Deadline::Now).expect("room");
    }
    while server.next_record().expect("sound rings").is_some() {}
    // Soon, if not yet: it was rung for.
    assert!(server.must_release() && readable(&fd, 10_000));
    server.release();
    assert_eq!(drain(&mut server), 1);
    settle(&mut server, &fd);
}

/// Back to what is not released yet: there is something again.
#[test]
fn after_a_rewind_it_is_readable_again() {
    let place = Place::new();
    let options = options(&place);
    let (mut server, mut client) = (consumer(&options), producer(&options));
    let fd = server.fd().expect("a descriptor");
    for text in [b"one", b"two", b"six"] {
        client.send(text, Deadline::Now).expect("room");
    }
    while server.next_record().expect("sound rings").is_some() {}
    while readable(&fd, 100) {
        assert!(server.next_record().expect("sound rings").is_none());
    }
    server.release_first(1).expect("three are held");
    assert_eq!(server.held(), 2);
    server.rewind().expect("its own role");
    assert!(readable(&fd, 0) && server.held() == 0);
    let mut text = [0; 3];
    server.next_record().expect("sound rings").expect("the second").copy_to(&mut text);
    assert_eq!(&text, b"two");
    assert_eq!((drain(&mut server), server.held()), (1, 0));
    settle(&mut server, &fd);
}

#[test]
fn waits_and_wakes_go_on_beside_it() {
    let place = Place::new();
    let options = options(&place);
    let (mut server, mut client) = (consumer(&options), producer(&options));
    let fd = server.fd().expect("a descriptor");
    drain(&mut server);
    settle(&mut server, &fd);
    let soon = || Deadline::after(Duration::from_millis(30));
    let begin = Instant::now();
    while server.wait(soon()).expect("a channel") != Waited::TimedOut {}
    assert!(begin.elapsed() >= Duration::from_millis(30));
    let interrupter = server.interrupter();
    interrupter.wake();
    assert_eq!(server.wait(Deadline::Never).expect("a channel"), Waited::Woken);
    drain(&mut server);
    settle(&mut server, &fd);
    interrupter.wake();
    assert!(readable(&fd, 5000));
    // A look before the poll does not take it from that, nor does one at the descriptor from a wait.
    assert_eq!(drain(&mut server), 0);
    assert!(readable(&fd, 0));
    settle(&mut server, &fd);
    interrupter.wake();
    assert!(readable(&fd, 5000));
    assert_eq!(server.wait(Deadline::Never).expect("a channel"), Waited::Woken);
    settle(&mut server, &fd);
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        client.send(b"text", Deadline::Now).expect("room");
        client
    });
    assert_eq!(server.wait(Deadline::Never).expect("a channel"), Waited::Ready);
    assert!(readable(&fd, 5000));
    assert_eq!(drain(&mut server), 1);
    let client = sender.join().expect("the sender");
    settle(&mut server, &fd);
    // A client that ends is looked at, once.
    drop(client);
    settle(&mut server, &fd);
}

#[test]
fn a_removal_is_heard_of_for_good() {
    let place = Place::new();
    let options = options(&place);
    let (mut server, mut client) = (consumer(&options), producer(&options));
    let fd = server.fd().expect("a descriptor");
    let room = client.fd().expect("a descriptor");
    drain(&mut server);
    settle(&mut server, &fd);
    while client
        .reserve(100, Deadline::Now)
        .expect("a lane")
        .slot()
        .map(|slot| slot.commit(100))
        .is_some()
    {}
    // What is there is given first.
    run(place.sub("remove", &["--force"]), b"").expect(0);
    assert!(readable(&fd, 5000) && readable(&room, 5000));
    let mut count = 0;
    let error = loop {
        match server.next_record() {
            Ok(Some(_)) => count += 1,
            // Rung for by what was sent; the thread hears of the removal a moment later.
            Ok(None) => assert!(readable(&fd, 5000)),
            Err(error) => break error,
        }
    };
    assert!(count > 0 && matches!(error, Error::Removed { .. }), "{count}: {error}");
    for _ in 0..3 {
        // The thread of either may hear of it a moment later than its owner.
        assert!(readable(&fd, 5000) && readable(&room, 5000));
        assert!(matches!(server.next_record(), Err(Error::Removed { .. })));
        assert!(matches!(client.reserve(100, Deadline::Now), Err(Error::Removed { .. })));
    }
}

#[test]
fn a_producer_polls_for_room() {
    let place = Place::new();
    let options = options(&place);
    let (mut server, mut client) = (consumer(&options), producer(&options));
    let fd = client.fd().expect("a descriptor");
    for _ in 0..10 {
        assert!(readable(&fd, 0), "nobody has found the ring full");
        let mut sent = 0;
        while let Reservation::Slot(slot) = client.reserve(50, Deadline::Now).expect("a lane") {
            slot.commit(50);
            sent += 1;
        }
        while readable(&fd, 20) {
            // Once more than needed, at most.
            assert!(client.reserve(50, Deadline::Now).expect("a lane").slot().is_none());
        }
        // A look that finds no room leaves it to be rung for.
        assert!(client.try_reserve(50).expect("a lane").is_none() && !readable(&fd, 20));
        // One record is not half of the ring.
        assert!(server.next_record().expect("sound rings").is_some());
        server.release();
        assert!(!readable(&fd, 20), "{sent}");
        assert_eq!(drain(&mut server), sent - 1);
        assert!(readable(&fd, 5000), "all of it is free");
    }
    // Found by oneself, before it was rung for.
    while client
        .reserve(50, Deadline::Now)
        .expect("a lane")
        .slot()
        .map(|slot| slot.commit(50))
        .is_some()
    {}
    while readable(&fd, 20) {
        assert!(client.reserve(50, Deadline::Now).expect("a lane").slot().is_none());
    }
    assert!(server.next_record().expect("sound rings").is_some());
    server.release();
    assert!(client.try_reserve(50).expect("a lane").is_some());
    assert!(readable(&fd, 0));
    // The last words are waited for as without it.
    assert_eq!(client.finish(Deadline::Now).expect("a channel"), Waited::Ready);
}

fn threads() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    count.and_then(|count| count.trim().parse().ok()).expect("a number")
}

#[track_caller]
fn soon(is: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is() {
        assert!(begin.elapsed().as_secs() < 10, "not in ten seconds");
        std::thread::yield_now();
    }
}

/// Alone in a process: its threads are counted.
#[test]
fn its_thread_blocks_all_signals_and_ends_with_its_owner() {
    let place = Place::new();
    let options = options(&place);
    let child = crate::support::raw::in_child(move || {
        let before = threads();
        let (mut server, mut client) = (consumer(&options), producer(&options));
        assert_eq!(threads(), before, "who does not ask has no thread");
        let fds = [
            server.fd().expect("a descriptor"),
            server.fd().expect("the same"),
            client.fd().expect("one"),
        ];
        assert_eq!(threads(), before + 2);
        // A thread gives itself its name.
        let blocked = || {
            std::fs::read_dir("/proc/self/task").expect("/proc").filter(|task| {
                let task = task.as_ref().expect("a thread").path();
                let name = std::fs::read_to_string(task.join("comm")).expect("/proc");
                let status = std::fs::read_to_string(task.join("status")).expect("/proc");
                let mask =
                    status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
                let mask = u64::from_str_radix(mask.trim(), 16).expect("a number");
                // SIGTERM, SIGUSR1, SIGINT, SIGALRM.
                name.trim() == "shmdemo-fd"
                    && [15, 10, 2, 14].iter().all(|n| (mask >> (n - 1)) & 1 == 1)
            })
        };
        soon(|| blocked().count() == 2);
        drop((server, client));
        // The kernel counts one for a moment after it can be joined.
        soon(|| threads() == before);
        // Open, and set by nobody any more.
        drop(fds);
        0
    });
    assert_eq!(crate::support::raw::code_of(child), 0);
}

#[test]
fn a_child_has_no_thread_and_leaves_the_descriptor_to_its_parent() {
    let place = Place::new();
    let options = options(&place);
    let (mut server, mut client) = (consumer(&options), producer(&options));
    let fd = server.fd().expect("a descriptor");
    drain(&mut server);
    settle(&mut server, &fd);
    let mut server = Some(server);
    let child = crate::support::raw::in_child(|| {
        let mut server = server.take().expect("the parent's");
        let refused = matches!(server.next_record(), Err(Error::Forked { .. }))
            && matches!(server.fd(), Err(Error::Forked { .. }));
        drop(server);
        i32::from(!refused)
    });
    assert_eq!(crate::support::raw::code_of(child), 0);
    let mut server = server.expect("still here");
    settle(&mut server, &fd);
    client.send(b"text", Deadline::Now).expect("room");
    assert!(readable(&fd, 5000));
    assert_eq!(drain(&mut server), 1);
}

/// No descriptor to be had: said by name, and the consumer goes on without.
#[test]
fn where_there_is_no_descriptor_to_be_had_it_says_so_and_goes_on() {
    use nix::sys::resource::{getrlimit, setrlimit, Resource};
    let place = Place::new();
    let options = options(&place);
    let child = crate::support::raw::in_child(move || {
        let (mut server, mut client) = (consumer(&options), producer(&options));
        let before = threads();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("its limit");
        setrlimit(Resource::RLIMIT_NOFILE, 3, hard).expect("a limit");
        for error in [server.fd().expect_err("EMFILE"), client.fd().expect_err("EMFILE")] {
            let text = error.to_string();
            assert!(matches!(error, Error::System { .. }) && error.exit_status() == 73, "{text}");
            assert!(text.contains("eventfd") && text.contains("EMFILE"), "{text}");
        }
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("the limit it had");
        assert_eq!(threads(), before);
        client.send(b"text", Deadline::Now).expect("room");
        assert_eq!(server.wait(Deadline::Never).expect("a channel"), Waited::Ready);
        assert_eq!(drain(&mut server), 1);
        0
    });
    assert_eq!(crate::support::raw::code_of(child), 0);
}
