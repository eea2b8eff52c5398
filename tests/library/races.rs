//! Removing, mending and looking while others create, join and claim.

use crate::support::Channel as Place;
use crate::support::{raw, until};
use shmdemo::{remove, set, Channel, Deadline, Error, Key, Options, PermChange, Role, Status};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn options(place: &Place) -> Options {
    Options::new(Key::new(place.key).expect("a key"))
}

/// Removes again and again, without force, until `work` is done; how often it removed something.
fn while_removing(options: &Options, work: impl FnOnce()) -> u32 {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            let mut removed = 0;
            while !done.load(Ordering::Relaxed) {
                match remove(options, false) {
                    Ok(()) => removed += 1,
                    Err(Error::Busy { .. } | Error::NoChannel(_) | Error::Removed { .. }) => {}
                    Err(e) => panic!("{e}"),
                }
            }
            removed
        });
        // Also where it fails.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|failure| std::panic::resume_unwind(failure));
        remover.join().expect("the remover")
    })
}

fn turns() -> u32 {
    if std::env::var_os("SHMDEMO_TEST_SLOW").is_some() {
        300
    } else {
        3_000
    }
}

/// Opens and claims again and again; `claim` looks whether the channel of its role is still there.
fn not_removed_under(claim: impl Fn(Channel) -> Result<(), Error>) {
    let place = Place::new();
    let options = options(&place);
    let mut held = 0;
    let removed = while_removing(&options, || {
        while held < turns() {
            match Channel::open(&options, Deadline::Never).and_then(&claim) {
                Ok(()) => held += 1,
                Err(Error::Removed { .. }) => {} // it had no role yet
                Err(e) => panic!("{e:?}, {held} roles held"),
            }
        }
    });
    assert!(removed > 0, "{held} roles held");
}

#[test]
fn who_holds_a_lane_is_not_removed_under() {
    not_removed_under(|channel| {
        let mut producer = channel.into_producer(Deadline::Never)?;
        producer.check().expect("the channel of a lane that is held");
        Ok(())
    });
}

#[test]
fn a_server_is_not_removed_under() {
    not_removed_under(|channel| {
        let consumer = channel.into_consumer()?;
        consumer.channel().check().expect("the channel of a server");
        Ok(())
    });
}

/// Who removes holds the server role and all lanes for a moment. Whoever claims just then is not told
/// that there is a server, or that others hold all lanes, but waits for what comes of it.
#[test]
fn who_claims_while_somebody_removes_is_not_told_of_a_server() {
    const CREATE: u16 = 0;
    const SERVER: u16 = 1;
    const FREE_LANES: u16 = 2;
    type Claim = fn(Channel) -> Result<(), Error>;
    let claims: [Claim; 2] = [
        |channel| channel.into_consumer().map(drop),
        |channel| channel.into_producer(Deadline::Now).map(drop),
    ];
    for claim in claims {
        for gives_up in [false, true] {
            let place = Place::new();
            let options = options(&place);
            let channel = Channel::open(&options, Deadline::Never).expect("a channel");
            let lanes = channel.geometry().lanes as i16;
            let set_id = raw::sem_id(place.key).expect("a set");
            let change = |to: i16| {
                raw::sem_add(set_id, SERVER, to);
                raw::sem_add(set_id, FREE_LANES, -to * lanes);
            };
            raw::sem_add(set_id, CREATE, 1);
            change(1);
            std::thread::scope(|scope| {
                let claimer = scope.spawn(|| claim(channel));
                let waits = || raw::sem_look(place.key, CREATE, nix::libc::GETZCNT) == Some(1);
                until("it waits for the lock", || waits() || claimer.is_finished());
                assert!(!claimer.is_finished(), "it did not wait: {:?}", claimer.join());
                if gives_up {
                    change(-1);
                    raw::sem_add(set_id, CREATE, -1);
                } else {
                    raw::shm_remove(place.segment().id);
                    raw::sem_remove(set_id);
                }
                match (gives_up, claimer.join().expect("the claimer")) {
                    (true, Ok(())) | (false, Err(Error::Removed { .. })) => {}
                    other => panic!("{other:?}"),
                }
            });
        }
    }
}

/// A creator that stands still: what it has made is not a channel yet, and not somebody else's.
#[test]
fn who_looks_while_somebody_creates_is_told_so() {
    let place = Place::new();
    let options = options(&place);
    drop(Channel::open(&options, Deadline::Never).expect("a channel"));
    let set_id = raw::sem_id(place.key).expect("a set");
    let view = raw::View::attach(place.segment().id);
    let made = view.bytes();
    // As it is in the middle: no header yet, the creation lock held.
    view.write(0, &[0; 64]);
    raw::sem_add(set_id, 0, 1);
    let busy = |outcome: Result<(), Error>| match outcome {
        Err(Error::Busy { role: Role::Creator, .. }) => {}
        other => panic!("{other:?}"),
    };
    let change = {
        let mut change = PermChange::default();
        change.mode = Some(0o600);
        change
    };
    busy(Status::read(&options).map(drop));
    busy(set(&options, &change));
    busy(remove(&options, false));
    // Who does not want to wait does not.
    let begin = Instant::now();
    busy(Channel::open(&options, Deadline::Now).map(drop));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    // It goes on: whoever waited sees the channel.
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| Status::read(&options).map(drop));
        std::thread::sleep(Duration::from_millis(50));
        view.write(0, &made[..64]);
        raw::sem_add(set_id, 0, -1);
        looker.join().expect("the looker").expect("a channel");
    });
    remove(&options, false).expect("nobody uses it");
}

/// A server that was killed between the end word and its end left a note; one that serves on does not
/// end, nor does the note stay for the next.
#[test]
fn a_note_of_the_end_is_forgotten_by_who_serves_on() {
    let place = Place::new();
    let consumer = || {
        let channel = Channel::open(&options(&place), Deadline::Never).expect("a channel");
        channel.into_consumer().expect("the server role")
    };
    consumer().note_end();
    let next = consumer();
    assert!(next.end_pending());
    next.forget_end();
    drop(next);
    assert!(!consumer().end_pending());
}
