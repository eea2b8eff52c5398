//! Roles on a real semaphore set: which semaphores each call changes, and which it leaves alone.

use super::*;
use std::thread::{scope, sleep};
use std::time::Instant;

/// A set of its own, removed at the end.
struct Set(Roles);

impl Set {
    fn new() -> Self {
        Self(Roles::create(Key::of_a_test(), 0o600).unwrap().expect("a key of its own"))
    }

    /// With so many lanes given out, as by who creates a channel.
    fn with_lanes(lanes: u32) -> Self {
        let set = Self::new();
        set.0.set_free_lanes(lanes).unwrap();
        set
    }

    /// Semaphores that are not 0, with their values.
    fn values(&self) -> Vec<(u16, u16)> {
        (0..).zip(self.0.values().unwrap()).filter(|(_, value)| *value != 0).collect()
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

fn me() -> i32 {
    std::process::id() as i32
}

#[test]
fn each_role_has_semaphores_of_its_own() {
    const ALL: u32 = 9; // more than one operation takes care of
    let set = Set::with_lanes(ALL);
    let roles = &set.0;
    roles.claim_server(ALL).unwrap();
    assert_eq!(set.values(), [(SERVER, 1), (FREE_LANES, 9)]);
    assert_eq!((roles.server().unwrap(), roles.creator().unwrap()), (Some(me()), None));
    for lane in 0..ALL {
        assert_eq!(roles.claim_lane(ALL, Deadline::Now).unwrap(), lane);
        assert_eq!(roles.lane(lane).unwrap(), Some(me()));
    }
    let mut held = vec![(SERVER, 1)];
    held.extend((0..ALL as u16).map(|lane| (LANES + lane, 1)));
    assert_eq!(set.values(), held);
    let none = roles.claim_lane(ALL, Deadline::Now).unwrap_err();
    assert!(matches!(none, Error::TimedOut { .. }), "{none}");

    // Each end of a client rings for the server, and that of the server for each lane it has.
    for lane in 0..ALL {
        roles.release_lane(lane);
    }
    assert_eq!(set.values(), [(SERVER, 1), (FREE_LANES, 9), (SERVER_BELL, 9)]);
    roles.release_server(ALL);
    let mut rung = vec![(FREE_LANES, 9), (SERVER_BELL, 9)];
    rung.extend((0..ALL as u16).map(|lane| (ROOM_BELLS + lane, 1)));
    assert_eq!(set.values(), rung);
}

#[test]
fn who_removes_holds_the_server_role_and_every_lane() {
    let set = Set::with_lanes(3);
    let roles = &set.0;
    assert_eq!(roles.claim_all(Some(3)).unwrap(), 3);
    assert_eq!(set.values(), [(SERVER, 1)]);
    roles.release_all(3);
    assert_eq!(set.values(), [(FREE_LANES, 3)]);
    // One that is held: nothing was claimed.
    let lane = roles.claim_lane(3, Deadline::Now).unwrap();
    let busy = roles.claim_all(Some(3)).unwrap_err();
    assert!(matches!(busy, Error::Busy { role: Role::Lane(0), pid, .. } if pid == me()), "{busy}");
    assert_eq!(set.values(), [(FREE_LANES, 2), (LANES, 1)]);
    roles.release_lane(lane);
    // Without a segment there are no lanes, nor where its maker had not given them out.
    assert_eq!(roles.claim_all(None).unwrap(), 0);
    roles.release_all(0);
    let new = Set::new();
    assert_eq!(new.0.claim_all(Some(3)).unwrap(), 0);
    assert_eq!(new.values(), [(SERVER, 1)]);
}

#[test]
fn a_lane_that_is_just_being_claimed_is_told_of() {
    let set = Set::with_lanes(2);
    // The first of the two steps.
    sem::operate(set.0.id, &[Op::new(FREE_LANES, -1)], Wait::Never).unwrap();
    let busy = set.0.claim_all(Some(2)).unwrap_err();
    assert!(matches!(busy, Error::Busy { role: Role::Lane(0), pid, .. } if pid == me()), "{busy}");
    assert_eq!(set.values(), [(FREE_LANES, 1)]);
}

#[test]
fn a_removed_set_has_no_roles() {
    let set = Set::with_lanes(2);
    set.0.remove().unwrap();
    let roles = &set.0;
    let ends = [
        roles.claim_server(2),
        roles.claim_lane(2, Deadline::Now).map(drop),
        roles.claim_all(Some(2)).map(drop),
        roles.lock(Deadline::Now),
        roles.check(),
        roles.in_use().map(drop),
        roles.set_creating(None),
    ];
    for end in ends {
        assert!(matches!(end, Err(Error::Removed { .. })), "{end:?}");
    }
    assert!(!roles.awaited() && !roles.unfinished() && !roles.creation_under_way());
    // Nothing to give back, and no harm.
    roles.release_lane(0);
    roles.release_server(2);
    roles.remove().unwrap();
}

#[test]
fn the_note_of_a_segment_being_made_tells_its_size() {
    let most = 64 * (SEMVMX as u32 - 1);
    for bytes in [0, 64, most - 64, most, most + 64, u32::MAX] {
        assert!((1..=SEMVMX).contains(&creating(bytes)), "{bytes}");
        assert_ne!(creating(bytes), creating(bytes.wrapping_add(64)), "{bytes}");
    }
    let set = Set::new();
    let roles = &set.0;
    let seen = |bytes| (roles.unfinished(), roles.unfinished_of(bytes), roles.creation_under_way());
    assert_eq!(seen(4096), (false, false, false));
    roles.set_creating(Some(4096)).unwrap();
    assert_eq!(seen(4096), (true, true, true));
    assert_eq!(seen(8192), (true, false, true));
    roles.set_creating(None).unwrap();
    assert_eq!(seen(4096), (false, false, false));
    // Who has the lock may be about to make one.
    roles.lock(Deadline::Now).unwrap();
    assert_eq!(seen(4096), (false, false, true));
    let begin = Instant::now();
    let busy = roles.lock(Deadline::Now).unwrap_err();
    assert!(begin.elapsed() >= MOMENT * MOMENTS, "the holder may have had none of the time");
    assert!(matches!(busy, Error::Busy { role: Role::Creator, pid, .. } if pid == me()), "{busy}");
    roles.unlock();
    assert_eq!(set.values(), []);
}

#[test]
fn reminders_go_to_the_lanes_named_that_are_held_and_not_rung_for() {
    let set = Set::with_lanes(MAX_LANES);
    let last = MAX_LANES - 1;
    for _ in 0..=last {
        set.0.claim_lane(MAX_LANES, Deadline::Now).unwrap();
    }
    set.0.release_lane(2);
    set.0.server_bell().silence();
    let rung = |which| {
        set.0.remind_producers(which);
        let bells = set.values().into_iter().filter(|(num, _)| *num >= ROOM_BELLS);
        bells.map(|(num, rings)| (u32::from(num - ROOM_BELLS), rings)).collect::<Vec<_>>()
    };
    assert_eq!(rung(0), []);
    assert_eq!(rung(1), [(0, 1)]);
    assert_eq!(rung(0b111), [(0, 1), (1, 1)]);
    assert_eq!(rung(1 << last), [(0, 1), (1, 1), (last, 1)]);
    let all = rung(u32::MAX);
    assert_eq!(all, (0..=last).filter(|lane| *lane != 2).map(|lane| (lane, 1)).collect::<Vec<_>>());
}

#[test]
fn somebody_who_waits_for_a_lane_is_seen_and_gets_the_next() {
    let set = Set::with_lanes(1);
    let roles = &set.0;
    assert!(!roles.awaited());
    roles.claim_lane(1, Deadline::Now).unwrap();
    assert!(!roles.awaited());
    scope(|threads| {
        let waits = threads.spawn(|| roles.claim_lane(1, Deadline::after(Duration::from_secs(60))));
        while !roles.awaited() {
            assert!(!waits.is_finished());
            sleep(Duration::from_millis(1));
        }
        roles.release_lane(0);
        assert_eq!(waits.join().unwrap().unwrap(), 0);
    });
    assert!(!roles.awaited());
}

#[test]
fn who_removes_is_waited_for_by_who_claims() {
    let set = Set::with_lanes(1);
    let roles = &set.0;
    for claim in [Roles::claim_server, |roles: &Roles, lanes| {
        roles.claim_lane(lanes, Deadline::Now).map(drop)
    }] {
        roles.lock(Deadline::Now).unwrap();
        assert_eq!(roles.claim_all(Some(1)).unwrap(), 1);
        scope(|threads| {
            let claims = threads.spawn(|| claim(roles, 1));
            sleep(Duration::from_millis(100));
            assert!(!claims.is_finished());
            roles.release_all(1);
            roles.unlock();
            claims.join().unwrap().unwrap();
        });
        match roles.server().unwrap() {
            Some(_) => roles.release_server(1),
            None => roles.release_lane(0),
        }
    }
}
