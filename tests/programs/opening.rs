//! What stands under the key already, half-made, looked at or somebody else's: it is waited for, mended, or
//! refused and left as it is.

use crate::support::raw::{self, View};
use crate::support::{run, sem_row, shm_row, until, Channel, Proc};
use std::time::Duration;

const STATE: usize = 8;
/// Number of the semaphore that is held by who creates, and of that which notes what is being created.
const CREATE: i32 = 0;
const CREATING: i32 = 3;

fn set_of(channel: &Channel) -> i32 {
    sem_row(channel.key).expect("the semaphores").id
}

/// Who makes a segment notes its size first: one of another size is not what was left half-made.
#[test]
fn a_channel_is_not_taken_for_one_that_was_left_half_made() {
    let channel = Channel::new();
    channel.filled(b"kept\n");
    let (id, set) = (channel.segment().id, set_of(&channel));
    let ready = View::attach(id).bytes()[STATE..STATE + 4].to_vec();
    View::attach(id).write(STATE, &7_u32.to_ne_bytes());
    raw::sem_set(set, CREATING, 32_767);
    run(channel.server(&[]), b"").fails(76, &["state is 7"]);
    run(channel.client(&[]), b"more\n").fails(76, &["state is 7"]);
    assert_eq!(channel.segment().id, id);
    // As it was: whole.
    View::attach(id).write(STATE, &ready);
    raw::sem_set(set, CREATING, 0);
    let server = channel.running(&[]);
    server.wait_stdout("the line", |out| out == b"kept\n");
}

/// Whoever looks at a channel just now is gone in a moment: one whose semaphores were removed is taken over
/// after that, and one that was left half-made is made anew.
#[test]
fn onlookers_are_waited_for() {
    for half_made in [false, true] {
        let channel = Channel::new();
        channel.filled(b"kept\n");
        let (id, set) = (channel.segment().id, set_of(&channel));
        if half_made {
            View::attach(id).write(STATE, &0_u32.to_ne_bytes());
            let units = channel.segment().size as i32 / 64;
            raw::sem_set(set, CREATING, 1 + units % 32_766);
        } else {
            raw::sem_remove(set);
        }
        // In a process of its own: what this one has attached, those that other tests start have as well.
        let onlooker = raw::in_child(|| {
            let _view = View::attach(id);
            std::thread::sleep(Duration::from_millis(500));
            0
        });
        until("it is attached", || channel.segment().attached >= 1);
        let server = Proc::spawn(channel.server(&["--persist"]));
        assert_eq!(raw::code_of(onlooker), 0);
        // Nobody else looks, as `status` would.
        match half_made {
            true => until("it is made anew", || {
                server.check_alive();
                shm_row(channel.key).is_some_and(|row| row.id != id)
            }),
            false => server.wait_stdout("the line", |out| out == b"kept\n"),
        }
    }
    // One that stays is named, and the channel is left to it.
    let channel = Channel::new();
    channel.filled(b"kept\n");
    let view = View::attach(channel.segment().id);
    raw::sem_remove(set_of(&channel));
    run(channel.server(&[]), b"").fails(75, &["1 other attach", "EBUSY"]);
    drop(view);
    until("nobody is attached", || channel.segment().attached == 0);
    let server = channel.running(&[]);
    server.wait_stdout("the line", |out| out == b"kept\n");
}

/// Somebody creates beside it: what is no channel will not become one by that, and is not waited for.
#[test]
fn a_segment_of_another_kind_is_told_while_somebody_creates() {
    let channel = Channel::new();
    let id = raw::shm_create(channel.key, 8192, 0o600);
    View::attach(id).write(0, &[0xa5; 64]);
    let set = raw::sem_create(channel.key, 69, 0o600);
    raw::sem_set(set, CREATE, 1);
    run(channel.sub("status", &[]), b"").fails(76, &["magic"]);
}

/// Semaphores of another program's beside a channel whose own were removed.
#[test]
fn set_changes_nothing_beside_semaphores_of_another_kind() {
    let channel = Channel::new();
    channel.filled(b"kept\n");
    raw::sem_remove(set_of(&channel));
    let theirs = raw::sem_create(channel.key, 1, 0o600);
    run(channel.sub("set", &["--mode", "0660"]), b"")
        .fails(76, &["semaphore set", "number of semaphores is 1"]);
    assert_eq!(channel.segment().perms, 0o600);
    assert_eq!(sem_row(channel.key).map(|row| (row.id, row.perms)), Some((theirs, 0o600)));
}

/// Its holder has what is left of the old one: both go on with a set of their own, and the holder is told.
#[test]
fn semaphores_whose_segment_was_removed_are_not_used_again() {
    let channel = Channel::new();
    let mut old = channel.running(&[]);
    old.stop();
    raw::shm_remove(channel.segment().id);
    run(channel.client(&[]), b"new\n").expect(0);
    // Nor is it waited for.
    let server = channel.running(&[]);
    server.wait_stdout("the line", |out| out == b"new\n");
    old.signal(nix::sys::signal::Signal::SIGCONT);
    old.finish_with_stdin().fails(69, &["removed"]);
    server.check_alive();
}
