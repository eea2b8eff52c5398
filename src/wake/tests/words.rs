//! The doorbell's two words, with semaphores that are made of something else: no system call.

use super::super::doorbell::{Rest, Waited, Wake};
use super::doorbell;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};

/// Who sleeps for as long as it says, and what it is told in between.
struct Scripted<'a>(&'a dyn Fn() -> Waited, Cell<u32>);

impl Rest for Scripted<'_> {
    type Error = ();
    fn rest(&self) -> Result<Waited, ()> {
        Ok((self.0)())
    }
    fn silence(&self) {
        self.1.set(self.1.get() + 1);
    }
}

/// A semaphore that counts.
struct Counted(Cell<u32>);

impl Wake for Counted {
    type Outcome = ();
    fn wake(&self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_doorbell_is_rung_for_who_sleeps_once_a_sleep() {
    let bell = doorbell(0x5555);
    bell.init();
    assert_eq!((bell.awaiting.load(Relaxed), bell.need.load(Relaxed)), (0, 0));
    let rung = Counted(Cell::new(0));
    for awaiting in [0, 2, u32::MAX - 1] {
        let bell = doorbell(awaiting);
        assert!(!bell.has_sleeper());
        assert!(bell.ring(&rung).is_none());
    }
    // One that was killed asleep: the next sleep has a number of its own.
    for (before, number) in [(0, 1), (1, 3), (2, 3), (u32::MAX, 1)] {
        let bell = doorbell(before);
        rung.0.set(0);
        let rest = || {
            assert_eq!(bell.awaiting.load(Relaxed), number);
            assert!(bell.has_sleeper() && !bell.is_answered(number));
            // All that is rung for in a sleep is one ring.
            assert!(bell.ring(&rung).is_some() && bell.ring(&rung).is_none());
            assert!(bell.is_answered(number) && !bell.has_sleeper());
            Waited::Woken
        };
        let rest = Scripted(&rest, Cell::new(0));
        assert_eq!(bell.sleep(0, &rest, || false), Ok(Waited::Woken));
        assert_eq!((rung.0.get(), rest.1.get()), (1, 1));
        assert!(!bell.has_sleeper());
    }
}

#[test]
fn what_came_while_the_time_ran_out_is_found() {
    let bell = doorbell(0);
    for (end, found, silences) in
        [(Waited::TimedOut, Waited::Ready, 0), (Waited::Woken, Waited::Ready, 0)]
    {
        let here = Cell::new(false);
        let rest = || {
            here.set(true);
            end
        };
        let rest = Scripted(&rest, Cell::new(0));
        assert_eq!(bell.sleep(0, &rest, || here.get()), Ok(found));
        assert_eq!(rest.1.get(), silences);
    }
    let rest = || Waited::TimedOut;
    assert_eq!(bell.sleep(0, &Scripted(&rest, Cell::new(0)), || false), Ok(Waited::TimedOut));
}

/// A semaphore for threads.
#[derive(Default)]
struct Semaphore(Mutex<u32>, Condvar);

impl Wake for Semaphore {
    type Outcome = ();
    fn wake(&self) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_all();
    }
}

impl Rest for Semaphore {
    type Error = ();
    fn rest(&self) -> Result<Waited, ()> {
        let mut rings = self.0.lock().unwrap();
        while *rings == 0 {
            rings = self.1.wait(rings).unwrap();
        }
        *rings -= 1;
        Ok(Waited::Woken)
    }
    fn silence(&self) {
        *self.0.lock().unwrap() = 0;
    }
}

/// A wake-up that is lost is a sleep without an end.
#[test]
fn of_two_ringers_none_is_slept_past() {
    const EACH: u32 = if cfg!(miri) { 10 } else { 5_000 };
    let (bell, semaphore, work) = (doorbell(0), Semaphore::default(), AtomicU32::new(0));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for _ in 0..EACH {
                    work.fetch_add(1, Relaxed);
                    bell.ring(&semaphore);
                }
            });
        }
        let mut seen = 0;
        while seen < 2 * EACH {
            let end = bell.sleep(0, &semaphore, || work.load(Relaxed) > seen);
            if end == Ok(Waited::Ready) {
                seen = work.load(Relaxed);
            }
        }
    });
    assert!(!bell.has_sleeper());
}
