//! What the library's types promise to any program, beyond what `library.rs` does with them.

use nix::libc;
use nix::sys::resource::{getrusage, UsageWho};
use shmdemo::{
    Channel, Consumer, Deadline, Error, Interrupter, Key, Options, Producer, Reservation, Status,
    Waited,
};
use std::io::ErrorKind;
use std::time::Duration;

/// How often this thread has slept since it began.
fn switches() -> libc::c_long {
    getrusage(UsageWho::RUSAGE_THREAD).expect("getrusage").voluntary_context_switches()
}

fn open(channel: &crate::support::Channel) -> Channel {
    let key = Key::new(channel.key).expect("a key");
    Channel::open(&Options::new(key), Deadline::Never).expect("a channel")
}

/// Either end may move to another thread; what two threads may share is for the compiler: see the
/// examples of lib.rs that must not compile.
#[test]
fn either_end_may_move_to_another_thread() {
    fn moves<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    moves::<Producer>();
    moves::<Consumer>();
    moves::<Channel>();
    moves::<shmdemo::shared_use::SharedUseSegment>();
    shared::<Interrupter>();
    shared::<Options>();
    shared::<Status>();
    shared::<Error>();
    let channel = crate::support::Channel::new();
    let mut producer = open(&channel).into_producer(Deadline::Now).expect("a lane");
    let mut consumer = open(&channel).into_consumer().expect("the server role");
    std::thread::scope(|scope| {
        scope.spawn(move || producer.send(b"from another thread", Deadline::Now).expect("room"));
        while consumer.wait(Deadline::Never).expect("wait") != Waited::Ready {}
        assert_eq!(consumer.next_record().expect("sound").expect("one").len(), 19);
    });
}

/// The kernel counts attaches: a channel has one, whatever it was made into, and none is left.
#[test]
fn the_segment_is_detached_when_the_last_that_uses_it_is_dropped() {
    let attaches = |channel: &crate::support::Channel, wanted| {
        let options = Options::new(Key::new(channel.key).unwrap());
        // Children that other tests have just made have theirs, until they exec or end.
        crate::support::until("so many attaches", || {
            Status::read(&options).expect("status").stat.attaches == wanted
        });
    };
    let channel = crate::support::Channel::new();
    let producer = open(&channel).into_producer(Deadline::Now).expect("a lane");
    let consumer = open(&channel).into_consumer().expect("the server role");
    attaches(&channel, 2);
    drop(producer);
    attaches(&channel, 1);
    drop(consumer);
    attaches(&channel, 0);
}

#[test]
fn how_a_wait_for_room_ended_has_a_name() {
    let channel = crate::support::Channel::new();
    let mut producer = open(&channel).into_producer(Deadline::Now).expect("a lane");
    while let Some(slot) = producer.try_reserve(2000).expect("a sound ring") {
        slot.commit(2000);
    }
    let soon = Deadline::after(Duration::from_millis(20));
    assert!(matches!(producer.reserve(2000, soon), Ok(Reservation::TimedOut)));
    producer.interrupter().wake();
    assert!(matches!(producer.reserve(2000, Deadline::Never), Ok(Reservation::Woken)));
    let mut consumer = open(&channel).into_consumer().expect("the server role");
    while consumer.next_record().expect("a sound ring").is_some() {}
    consumer.release();
    assert!(producer.reserve(2000, Deadline::Never).expect("sound").slot().is_some());
}

/// A server that has said that it will end is waited for asleep, up to the release of the last message.
#[test]
fn a_producer_that_finishes_sleeps_until_its_last_message_is_taken() {
    let channel = crate::support::Channel::new();
    let mut producer = open(&channel).into_producer(Deadline::Now).expect("a lane");
    let mut consumer = open(&channel).into_consumer().expect("the server role");
    consumer.announce_close().expect("a sound ring");
    producer.send(b"one", Deadline::Now).expect("room");
    producer.send(b"two", Deadline::Now).expect("room");
    let pause = Duration::from_millis(300);
    std::thread::scope(|scope| {
        let finisher = scope.spawn(move || {
            let before = switches();
            // A server that goes rings, too.
            while producer.finish(Deadline::Never).expect("all taken") != Waited::Ready {}
            switches() - before
        });
        std::thread::sleep(pause);
        // A server that goes on after all, as at a release of the first message alone.
        drop(consumer);
        let mut consumer = open(&channel).into_consumer().expect("the server role");
        let slept = finisher.join().expect("no panic");
        assert!(slept < 30, "{slept} sleeps in {pause:?}");
        assert!(consumer.next_record().expect("a sound ring").is_some());
    });
}

#[test]
fn a_key_is_read_from_text() {
    let key = |text: &str| text.parse::<Key>().map(Key::raw);
    assert_eq!(key("1234"), Ok(1234));
    assert_eq!(key("0x4d2"), Ok(1234));
    assert_eq!(key("-1"), key("0xffffffff"));
    for wrong in ["0", "", "0x", "12a", "0x-1", "4294967296", " 1"] {
        assert!(key(wrong).is_err(), "{wrong}");
    }
    assert!(key("0").unwrap_err().to_string().contains("IPC_PRIVATE"));
}

#[test]
fn an_error_is_an_io_error_of_its_kind() {
    let channel = crate::support::Channel::new();
    let kind = |error: Error| std::io::Error::from(error).kind();
    let options = Options::new(Key::new(channel.key).unwrap());
    assert_eq!(kind(Status::read(&options).unwrap_err()), ErrorKind::NotFound);
    let later = Channel::open(&options.clone().create(false), Deadline::Now).map(drop);
    let later = later.unwrap_err();
    assert_eq!(format!("{later:?}"), later.to_string());
    assert_eq!(kind(later), ErrorKind::TimedOut);
    let first = open(&channel).into_consumer().expect("the server role");
    let second = open(&channel).into_consumer().map(drop).unwrap_err();
    assert!(std::io::Error::from(second).to_string().contains("is held by"));
    assert_eq!(kind(open(&channel).into_consumer().map(drop).unwrap_err()), ErrorKind::AddrInUse);
    first.channel().remove().expect("remove");
    assert_eq!(kind(first.channel().check().unwrap_err()), ErrorKind::BrokenPipe);
    // The kernel's own reason, as a number: no type of another crate's.
    let taken = Options::new(options.key()).address(8, false);
    match Channel::open(&taken, Deadline::Now).map(drop) {
        Err(Error::System { source, .. }) => {
            assert_eq!((source.call(), source.errno()), ("shmat", libc::EINVAL));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_may_be_written_in_parts() {
    let channel = crate::support::Channel::new();
    let mut producer = open(&channel).into_producer(Deadline::Now).expect("a lane");
    let mut consumer = open(&channel).into_consumer().expect("the server role");
    let mut slot = producer.try_reserve(8).expect("no damage").expect("room");
    slot.write(4, b"part");
    slot.write(0, b"each");
    slot.commit(8);
    let record = consumer.next_record().expect("sound").expect("a record");
    let mut text = [0; 8];
    record.copy_to(&mut text);
    assert_eq!(&text, b"eachpart");
}

/// Where the role is refused, what this call made for it goes; not what others made, use or sent something into.
#[test]
fn what_was_made_for_a_role_that_is_refused_goes_unless_others_have_a_part_in_it() {
    use crate::support::{in_thread, raw, shm_row, skipped, Channel as Place};
    type Others = fn(&Place) -> Option<Producer>;
    let holds: Others = |place| Some(open(place).into_producer(Deadline::Now).expect("a lane"));
    let sends: Others = |place| {
        let mut producer = open(place).into_producer(Deadline::Now).expect("a lane");
        producer.send(b"kept", Deadline::Now).expect("room");
        None
    };
    let nobody: Others = |_| None;
    for (made_before, others, stays) in
        [(false, nobody, false), (true, nobody, true), (false, holds, true), (false, sends, true)]
    {
        let place = Place::new();
        if made_before {
            drop(open(&place));
        }
        let refused = in_thread(|| {
            let channel = open(&place);
            let _others = others(&place);
            raw::refuse(&[libc::SYS_semop, libc::SYS_semtimedop], libc::EPERM).ok()?;
            Some(matches!(channel.into_consumer().map(drop), Err(Error::System { .. })))
        });
        let Some(refused) = refused else { return skipped("no system-call filters here") };
        assert!(refused);
        assert_eq!(shm_row(place.key).is_some(), stays);
    }
}
