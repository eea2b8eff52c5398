//! Roles and processes: fork, daemon, exec and setuid with a channel open.

use crate::support::{raw, run, skipped, until, Channel, Folder};
use nix::sys::signal::Signal::SIGTERM;
use shmdemo::{Consumer, Deadline, Error, Key, Options, Producer, Role};
use std::os::unix::process::CommandExt;

/// The semaphore that the server sleeps at.
const SERVER_BELL: i32 = 4;

fn options(channel: &Channel) -> Options {
    Options::new(Key::new(channel.key).expect("a key"))
}

fn open(channel: &Channel) -> shmdemo::Channel {
    shmdemo::Channel::open(&options(channel), Deadline::Now).expect("a channel")
}

fn producer(channel: &Channel) -> Producer {
    open(channel).into_producer(Deadline::Now).expect("a lane")
}

fn consumer(channel: &Channel) -> Consumer {
    open(channel).into_consumer().expect("the server role")
}

fn sent(channel: &Channel) -> u32 {
    shmdemo::Status::read(&options(channel)).expect("status").lanes[0].sent
}

/// What a call in the child gave; false: something else than that the role is the parent's.
fn forked<T>(result: shmdemo::Result<T>, of: Role) -> bool {
    let parent = nix::unistd::getppid().as_raw();
    matches!(result, Err(Error::Forked { role, pid, .. }) if role == of && pid == parent)
}

#[test]
fn a_child_has_no_role_and_can_send_and_take_nothing() {
    let channel = Channel::new();
    let (consumer, mut producer) = (consumer(&channel), producer(&channel));
    producer.send(b"before", Deadline::Now).expect("room");
    let slot = producer.try_reserve(5).expect("no damage").expect("room");
    let child = raw::in_child(|| {
        slot.commit(5);
        0
    });
    assert_eq!(raw::code_of(child), 0);
    assert_eq!(sent(&channel), 1, "a slot reserved before the fork was committed in the child");
    // In options, so that the parent keeps what the child drops.
    let (mut mine, mut its) = (Some(consumer), Some(producer));
    let child = raw::in_child(|| {
        let (consumer, producer) = (mine.as_mut().expect("mine"), its.as_mut().expect("its"));
        let (lane, server) = (Role::Lane(0), Role::Server);
        let asked = [
            forked(producer.send(b"stray", Deadline::Now), lane),
            forked(producer.try_reserve(5).map(drop), lane),
            forked(producer.check(), lane),
            forked(producer.finish(Deadline::Now).map(drop), lane),
            forked(consumer.next_record().map(drop), server),
            forked(consumer.wait(Deadline::Now).map(drop), server),
            forked(consumer.release_within(0, 1), server),
            forked(consumer.announce_close(), server),
        ];
        producer.ring();
        producer.ring_surely();
        consumer.release();
        drop((its.take(), mine.take()));
        // A role of its own it may have.
        let own = open(&channel).into_producer(Deadline::Now).expect("another lane");
        match asked.iter().position(|it_is| !it_is) {
            Some(at) => at as i32 + 1,
            None if own.lane() != 1 => 50,
            None => 0,
        }
    });
    assert_eq!(raw::code_of(child), 0, "the number of the call that did something");
    let status = shmdemo::Status::read(&options(&channel)).expect("status");
    assert_eq!((status.lanes[0].sent, status.lanes[0].received), (1, 0));
    assert_eq!(status.server, Some(std::process::id() as i32), "the child gave the role back");
    assert_eq!(status.lanes[0].pid, Some(std::process::id() as i32));
}

/// Only the number of the process tells.
#[test]
fn a_child_that_the_c_library_knows_nothing_of_has_no_role_either() {
    let channel = Channel::new();
    let (mut consumer, mut producer) = (consumer(&channel), producer(&channel));
    producer.send(b"before", Deadline::Now).expect("room");
    assert!(consumer.next_record().expect("no damage").is_some());
    let child = raw::in_bare_child(|| {
        let (lane, server) = (Role::Lane(0), Role::Server);
        let asked = [
            forked(producer.finish(Deadline::Now).map(drop), lane),
            forked(consumer.rewind(), server),
            forked(consumer.release_first(1), server),
            forked(consumer.announce_close(), server),
        ];
        asked.iter().position(|it_is| !it_is).map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(raw::code_of(child), 0, "the number of the call that did something");
    let status = shmdemo::Status::read(&options(&channel)).expect("status");
    assert_eq!((status.lanes[0].sent, status.lanes[0].received), (1, 0));
}

#[test]
fn a_child_has_no_end_of_a_c_demos_segment() {
    use shmdemo::shared_use::{End, SharedUseSegment};
    let channel = Channel::new();
    let open = |end| SharedUseSegment::open(&options(&channel), end, Deadline::Now);
    let mut server = Some(open(End::Server).expect("a segment"));
    let mut client = Some(open(End::Client).expect("the same"));
    let child = raw::in_child(|| {
        let (lane, as_server) = (Role::Lane(0), Role::Server);
        let (its, mine) = (client.as_ref().expect("its"), server.as_ref().expect("mine"));
        let asked = [
            forked(its.write(b"stray"), lane),
            forked(its.wait(false, Deadline::Now).map(drop), lane),
            forked(mine.wait(true, Deadline::Now).map(drop), as_server),
            forked(mine.taken().map(drop), as_server),
        ];
        drop((client.take(), server.take()));
        asked.iter().position(|it_is| !it_is).map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(raw::code_of(child), 0, "the number of the call that did something");
    assert!(!server.as_ref().expect("mine").is_written());
    for end in [End::Server, End::Client] {
        match open(end).map(drop) {
            Err(Error::Busy { .. } | Error::TimedOut { .. }) => {}
            other => panic!("the child gave the end back: {other:?}"),
        }
    }
    server.take().expect("mine").remove().expect("remove");
}

#[test]
fn a_daemon_that_opened_first_spoils_nobodys_lane() {
    let channel = Channel::new();
    let folder = Folder::new();
    let (ready, result) = (folder.0.join("ready"), folder.0.join("result"));
    let server = channel.running(&["--lanes", "1", "--persist"]);
    let parent = raw::in_child(|| {
        let mut producer = producer(&channel);
        raw::in_child(|| {
            until("another one has the lane", || ready.exists());
            let refused = (0..100).all(|_| {
                let sent = producer.send(b"stray", Deadline::Now);
                matches!(sent, Err(Error::Forked { .. }))
            });
            drop(producer);
            std::fs::write(&result, if refused { "refused" } else { "sent" }).expect("a file");
            0
        });
        0
    });
    assert_eq!(raw::code_of(parent), 0);
    let mut next = producer(&channel);
    next.send(b"one", Deadline::Now).expect("room");
    std::fs::write(&ready, "").expect("a file");
    let said = || std::fs::read_to_string(&result).unwrap_or_default();
    until("the daemon has tried", || !said().is_empty());
    assert_eq!(said(), "refused");
    next.send(b"two", Deadline::Now).expect("room");
    server.wait_stdout("both lines", |out| out == b"one\ntwo\n");
    let status = shmdemo::Status::read(&options(&channel)).expect("status");
    assert_eq!(status.lanes[0].pid, Some(std::process::id() as i32), "the lane was given back");
    server.signal(SIGTERM);
    server.finish().expect(0);
}

#[test]
fn exec_keeps_the_role_and_says_whose_it_is() {
    let channel = Channel::new();
    let folder = Folder::new();
    let said = folder.0.join("said");
    let mut program = channel.server(&[]);
    program.stderr(std::fs::File::create(&said).expect("a file"));
    let child = raw::in_child(|| {
        let _held = consumer(&channel);
        let error = program.exec();
        panic!("{error}");
    });
    assert_eq!(raw::code_of(child), 75);
    let said = std::fs::read_to_string(&said).expect("what it said");
    assert!(said.contains("this very process") && said.contains("before exec"), "{said}");
    // The attach went with the old image, the role with the process.
    assert_eq!(channel.segment().attached, 0);
    drop(consumer(&channel));
}

#[test]
fn what_is_sent_after_privileges_are_dropped_is_said_to_be_sent_and_not_rung() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("only root can become somebody else");
    }
    let channel = Channel::new();
    let server = channel.running(&["--persist"]);
    let child = raw::in_child(|| {
        let mut producer = producer(&channel);
        // Rung for by the claim, the server sleeps anew.
        let set = raw::sem_id(channel.key).expect("a set");
        until("the server sleeps", || raw::sem_waiters(set, SERVER_BELL) == 1);
        nix::unistd::setgid(65_534.into()).expect("setgid");
        nix::unistd::setuid(65_534.into()).expect("setuid");
        match producer.send(b"a message", Deadline::Now) {
            Err(error @ Error::NotRung { .. }) if error.to_string().contains("was sent") => 0,
            Ok(()) => 1,
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(raw::code_of(child), 0);
    assert_eq!(sent(&channel), 1);
    run(channel.client(&[]), b"the next\n").expect(0);
    server.wait_stdout("both", |out| out == b"a message\nthe next\n");
    server.signal(SIGTERM);
    server.finish().expect(0);
}
