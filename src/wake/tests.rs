//! Doorbell, bell and descriptor in one process: what each call does to the words, the semaphore and the
//! eventfd.

use super::bell::Bell;
use super::doorbell::Waited;
use super::{start_descriptor, Interrupter, Look, Polled};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::segment::layout::Doorbell;
use crate::sysv::sem::{self, SemId, Wait, SEMVMX};
use crate::sysv::Key;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::os::fd::AsFd;
use std::time::Duration;

mod words;

fn doorbell(awaiting: u32) -> Doorbell {
    Doorbell { awaiting: AtomicU32::new(awaiting), need: AtomicU32::new(7) }
}

/// A semaphore of its own, removed at the end.
struct Own(SemId, Bell);

impl Own {
    fn new() -> Self {
        let key = Key::of_a_test();
        let id = sem::create(key, 2, 0o600).unwrap();
        Self(id, Bell::new(key, id, 1))
    }

    fn rings(&self) -> i32 {
        assert_eq!(sem::value(self.0, 0), Ok(0)); // nobody's
        sem::value(self.0, 1).unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = sem::remove(self.0);
    }
}

#[test]
fn a_bell_counts_what_rings_and_never_too_much() {
    let own = Own::new();
    let (set, bell) = (own.0, own.1);
    bell.remind().unwrap();
    assert_eq!(own.rings(), 1);
    bell.remind().unwrap();
    assert_eq!(own.rings(), 1);
    let (id, number) = bell.interrupter().into_raw();
    Interrupter::from_raw(id, number).wake();
    assert_eq!(own.rings(), 2);
    assert_eq!(bell.sleep(Wait::Never).unwrap(), Waited::Woken);
    bell.silence();
    assert_eq!(own.rings(), 0);
    assert_eq!(bell.sleep(Wait::Never).unwrap(), Waited::TimedOut);
    // A full one rings already.
    sem::set_value(set, 1, SEMVMX).unwrap();
    bell.post().unwrap();
    bell.silence();
    assert_eq!(own.rings(), 0);
    sem::remove(set).unwrap();
    assert!(matches!(bell.sleep(Wait::Never), Err(Error::Removed { .. })));
    assert!(bell.post().is_err() && bell.remind().is_err());
}

fn readable(polled: &dyn Polled, wait: u16) -> bool {
    let descriptor = polled.descriptor();
    let mut fds = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(wait)).unwrap() == 1
}

/// Arms, with what the first and the last look find; true: there is work.
fn arms(polled: &mut dyn Polled, bell: &Doorbell, found: [bool; 2]) -> bool {
    let mut ready = |how| found[usize::from(how == Look::Last)];
    match polled.sleep(bell, Deadline::Now, 0, &mut ready).unwrap() {
        Waited::Ready => true,
        end => {
            assert_eq!(end, Waited::TimedOut);
            false
        }
    }
}

/// Sleeps with nothing there, until `wake` is called in another thread.
fn woken_in_its_sleep(polled: &mut dyn Polled, bell: &Doorbell, wake: impl FnOnce() + Send) {
    let before = bell.awaiting.load(Relaxed);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while bell.awaiting.load(Relaxed) == before {
                std::thread::yield_now();
            }
            wake();
        });
        let soon = Deadline::after(Duration::from_secs(60));
        assert_eq!(polled.sleep(bell, soon, 0, &mut |_| false).unwrap(), Waited::Woken);
    });
}

#[test]
fn a_descriptor_is_set_by_what_is_rung_for_and_by_nothing_else() {
    const LONG: u16 = 60_000;
    let own = Own::new();
    let bell = doorbell(0);
    let mut started = start_descriptor(own.1).unwrap();
    let polled = started.as_mut();
    assert!(readable(polled, 0)); // there may be something
    for _ in 0..3 {
        // Nothing there.
        assert!(!arms(polled, &bell, [false, false]));
        assert!(!readable(polled, 0) && bell.has_sleeper());
        // It is rung for, and there is something.
        bell.ring(&own.1).unwrap().unwrap();
        assert!(readable(polled, LONG));
        assert!(arms(polled, &bell, [true, true]));
        assert!(readable(polled, 0));
        // Taken.
        assert!(!arms(polled, &bell, [false, false]));
        assert!(!readable(polled, 0));
        // Found before it was rung for: set all the same, and nobody needs to ring.
        polled.disarm(&bell);
        assert!(readable(polled, 0) && !bell.has_sleeper());
        assert!(!arms(polled, &bell, [false, false]));
        assert!(!readable(polled, 0));
        // Found by the look behind the announcement.
        assert!(arms(polled, &bell, [false, true]));
        assert!(readable(polled, 0) && !bell.has_sleeper());
    }
    // An interrupter's is heard of by the wait that is under way, and by one poll after.
    woken_in_its_sleep(polled, &bell, || own.1.interrupter().wake());
    assert!(readable(polled, 0) && !bell.has_sleeper());
    assert!(!arms(polled, &bell, [false, false]));
    assert!(!readable(polled, 0));
    // And where the look comes before the poll, by that poll.
    own.1.interrupter().wake();
    assert!(readable(polled, LONG));
    assert!(!arms(polled, &bell, [false, false]));
    assert!(readable(polled, 0));
    assert!(!arms(polled, &bell, [false, false]));
    assert!(!readable(polled, 0));
    // Rung for while it waits, for nothing; and what interrupts after that is not counted with it.
    woken_in_its_sleep(polled, &bell, || bell.ring(&own.1).unwrap().unwrap());
    own.1.interrupter().wake();
    while own.rings() > 0 {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(50)); // from there to the eventfd
    assert!(!arms(polled, &bell, [false, false]));
    assert!(readable(polled, 0));
    assert!(!arms(polled, &bell, [false, false]));
    assert!(!readable(polled, 0));
    // As long as it takes.
    let soon = Deadline::after(Duration::from_millis(20));
    assert_eq!(polled.sleep(&bell, soon, 0, &mut |_| false).unwrap(), Waited::TimedOut);
    assert!(soon.passed() && !readable(polled, 0));
}
