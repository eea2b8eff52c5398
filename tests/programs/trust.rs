//! Segments that are foreign, stale, damaged, or open to the wrong people: refused and left as they are.

use crate::support::raw::{self, View};
use crate::support::{run, sem_row, shm_row, skipped, Channel, Random};
use nix::sys::signal::Signal::{SIGKILL, SIGSTOP, SIGTERM};
use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::process::Command;

/// Every program that joins a channel.
pub fn joiners(channel: &Channel) -> Vec<Command> {
    let client = channel.client(&["--timeout", "5"]);
    vec![channel.sub("status", &[]), client, channel.server(&["--persist"])]
}

/// All of them end with this code and these words, and the segment stays as it is, byte for byte.
#[track_caller]
pub fn refused(channel: &Channel, code: i32, words: &[&str]) {
    let (segment, set, bytes) = (channel.segment(), sem_row(channel.key), channel.bytes());
    for joiner in joiners(channel) {
        let out = run(joiner, b"never sent\n");
        out.fails(code, words);
        assert_eq!(out.stdout, b"");
        let now = channel.segment();
        assert_eq!(
            (now.id, now.perms, now.uid, now.gid),
            (segment.id, segment.perms, segment.uid, segment.gid)
        );
        assert_eq!(sem_row(channel.key), set);
        assert_eq!(channel.bytes(), bytes, "the segment was written to");
    }
}

#[test]
fn a_foreign_segment_is_76() {
    let fills: [fn(&mut [u8]); 4] = [
        |_| {},
        |bytes| bytes.fill(0xa5),
        |bytes| Random(77).fill(bytes),
        |bytes| bytes[..18].copy_from_slice(b"somebody's letters"),
    ];
    let channel = Channel::new();
    channel.filled(b"x\n");
    let usual = channel.segment().size;
    drop(channel);
    for fill in fills {
        for size in [64, 2048, 4096, usual, 1 << 20] {
            let channel = Channel::new();
            let view = View::attach(raw::shm_create(channel.key, size, 0o600));
            let mut bytes = view.bytes();
            fill(&mut bytes);
            view.write(0, &bytes);
            refused(&channel, 76, &["expected"]);
        }
    }
}

/// Somebody began to make a channel and was killed, and then there was a stranger's segment of that size.
#[test]
fn a_foreign_segment_is_not_taken_for_one_that_is_half_made() {
    const CREATING: i32 = 3;
    let channel = Channel::new();
    channel.filled(b"x\n");
    let made = channel.segment();
    raw::shm_remove(made.id);
    let view = View::attach(raw::shm_create(channel.key, made.size, 0o600));
    view.write(0, b"somebody's letters");
    drop(view);
    let set = sem_row(channel.key).expect("the set stays").id;
    raw::sem_set(set, CREATING, 1 + made.size as i32 / 64);
    refused(&channel, 76, &["magic", "expected"]);
    // Without a word of a stranger it is nobody's, and made anew.
    let view = View::attach(channel.segment().id);
    view.write(0, &[0; 18]);
    drop(view);
    channel.filled(b"x\n");
    assert_ne!(channel.segment().id, made.id);
}

/// Whoever is attached still may hold a role of the set that is gone.
#[test]
fn a_removed_set_is_made_anew_once_nobody_else_is_attached() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    server.signal(SIGSTOP);
    channel.filled(b"kept\n");
    let segment = channel.segment();
    raw::sem_remove(sem_row(channel.key).expect("a set").id);
    for joiner in [channel.client(&[]), channel.server(&[])] {
        let out = run(joiner, b"not sent\n");
        out.fails(75, &["1 other attach", "EBUSY"]);
        assert!(!out.said().contains("the last by"), "it was the program itself: {}", out.said());
    }
    server.signal(SIGKILL);
    server.finish();
    run(channel.client(&[]), b"end\n").expect(0);
    assert_eq!(channel.segment().id, segment.id);
    assert_eq!(run(channel.server(&[]), b"").expect(0).text(), "kept\n");
}

#[test]
fn a_segment_of_one_byte_is_76() {
    let channel = Channel::new();
    raw::shm_create(channel.key, 1, 0o600);
    refused(&channel, 76, &["size"]);
}

#[test]
fn a_segment_of_another_size_than_it_says_is_76() {
    for more in [-4096_isize, 4096] {
        let channel = Channel::new();
        channel.filled(b"x\n");
        let (bytes, old) = (channel.bytes(), channel.segment());
        raw::shm_remove(old.id);
        let size = old.size.checked_add_signed(more).unwrap();
        let view = View::attach(raw::shm_create(channel.key, size, 0o600));
        view.write(0, &bytes[..bytes.len().min(size)]);
        refused(&channel, 76, &["bytes", &size.to_string()]);
    }
}

/// Sets one 32-bit word of the segment of a fresh channel with one message in it.
fn with_word(word: usize, change: impl Fn(u32) -> u32) -> (Channel, u32) {
    let channel = Channel::new();
    channel.filled(b"x\n");
    let view = View::attach(channel.segment().id);
    let old = view.bytes()[word * 4..][..4].try_into().unwrap();
    let new = change(u32::from_ne_bytes(old));
    view.write(word * 4, &new.to_ne_bytes());
    (channel, new)
}

#[test]
fn every_damaged_header_field_is_76_or_harmless() {
    let mut fields = BTreeSet::new();
    let mut refusals = 0;
    for word in 0..32 {
        for change in [|old: u32| !old, |old: u32| old.wrapping_add(1)] {
            let (channel, new) = with_word(word, change);
            let (status, bytes) = (run(channel.sub("status", &[]), b""), channel.bytes());
            let joined = run(channel.client(&["--timeout", "5"]), b"y\n");
            // A word that says how the channel is made is refused; others may change at any time.
            assert!(
                matches!(status.code(), 0 | 76),
                "word {word}: {} {}",
                status.code(),
                status.stderr
            );
            assert!(
                matches!(joined.code(), 0 | 69 | 75 | 76),
                "word {word} = {new:#x}: {} {}",
                joined.code(),
                joined.stderr
            );
            if joined.code() == 76 {
                refusals += 1;
                assert_eq!(channel.bytes(), bytes, "word {word}: refused, and yet written to");
                joined.fails(76, &["expected"]);
                fields.insert(joined.said());
            }
        }
    }
    println!("{refusals} refusals");
    for name in ["magic", "layout version", "bytes", "lanes"] {
        assert!(
            fields.iter().any(|said| said.contains(name)),
            "no refusal names {name}: {fields:#?}"
        );
    }
}

#[test]
fn a_stale_segment_of_another_layout_version_is_76() {
    // Which word is the version? The one whose change makes `status` say so.
    let version = (0..32).find(|word| {
        let (channel, new) = with_word(*word, |old| old.wrapping_add(1));
        let said = run(channel.sub("status", &[]), b"").said();
        said.contains("layout version") && said.contains(&new.to_string())
    });
    let version = version.expect("a word that holds the layout version");
    for (other, name) in [(0, "0"), (2_000_000_000, "2000000000")] {
        let (channel, _) = with_word(version, |_| other);
        refused(&channel, 76, &["layout version", name, "expected"]);
    }
}

#[test]
fn a_foreign_semaphore_set_of_the_same_key_is_76() {
    for count in [1, 3, 100] {
        let channel = Channel::new();
        let set = raw::sem_create(channel.key, count, 0o600);
        raw::sem_set(set, 0, 17);
        for mut joiner in joiners(&channel).into_iter().skip(1) {
            joiner.arg("-v");
            run(joiner, b"never sent\n").fails(76, &["semaphore", "expected"]);
            assert_eq!(sem_row(channel.key).map(|row| row.id), Some(set));
            assert_eq!(raw::sem_get(set, 0), 17);
            assert_eq!(shm_row(channel.key), None, "a segment was left behind");
        }
    }
}

#[test]
fn a_world_writable_segment_is_77_unless_asked_for() {
    let channel = Channel::new();
    channel.filled(b"x\n");
    run(channel.sub("set", &["--mode", "0666"]), b"").expect(0);
    let bytes = channel.bytes();
    let size = channel.segment().size.to_string();
    let uid = format!("uid {}", geteuid());
    for program in [channel.server(&[]), channel.client(&[])] {
        run(program, b"never sent\n").fails(77, &[&uid, "0666", &size]);
        assert_eq!(channel.bytes(), bytes);
        assert_eq!(channel.segment().perms & 0o777, 0o666);
    }
    let server = channel.running(&["--mode", "0666"]);
    server.wait_stdout("the message", |out| out == b"x\n");
    assert_eq!(channel.segment().perms & 0o777, 0o666);
}

#[test]
fn a_private_mode_asked_for_accepts_no_world_writable_segment() {
    let channel = Channel::new();
    channel.filled(b"x\n");
    run(channel.sub("set", &["--mode", "0666"]), b"").expect(0);
    for mode in ["0600", "0660", "0644"] {
        run(channel.server(&["--mode", mode]), b"").fails(77, &["0666"]);
        assert_eq!(channel.segment().perms & 0o777, 0o666);
    }
}

/// A segment of ours whose semaphores are somebody else's, or open to everybody: who can write
/// those takes and frees every role.
#[test]
fn semaphores_of_the_wrong_owner_or_mode_are_77() {
    if !geteuid().is_root() {
        return skipped("only root can give a set away");
    }
    for (uid, mode, words) in [(0, 0o666, "0666"), (crate::owners::ANNE, 0o600, "uid 54321")] {
        let channel = Channel::new();
        channel.filled(b"x\n");
        let set = sem_row(channel.key).expect("the semaphores").id;
        raw::sem_give(set, uid, mode);
        for program in [channel.client(&["--timeout", "5"]), channel.server(&["--persist"])] {
            run(program, b"never sent\n").fails(77, &["semaphore", words]);
        }
        assert_eq!(sem_row(channel.key).map(|row| (row.uid, row.perms & 0o777)), Some((uid, mode)));
        assert_eq!(channel.status().numbers("sent")[0], 1.0);
    }
}

#[test]
fn mode_and_group_are_applied_when_making_and_when_joining() {
    let channel = Channel::new();
    let gid = nix::unistd::getegid().to_string();
    for (mode, wanted) in [("0640", 0o640), ("600", 0o600), ("0660", 0o660)] {
        let server = channel.running(&["--mode", mode, "--group", &gid, "--persist"]);
        let (segment, set) = (channel.segment(), sem_row(channel.key).expect("a set"));
        assert_eq!((segment.perms & 0o777, set.perms & 0o777), (wanted, wanted));
        assert_eq!((segment.gid.to_string(), set.gid.to_string()), (gid.clone(), gid.clone()));
        server.signal(SIGTERM);
        server.finish().expect(0);
    }
    // Not asked for: what is there stays.
    let server = channel.running(&["--persist"]);
    assert_eq!(channel.segment().perms & 0o777, 0o660);
    server.signal(SIGTERM);
    server.finish().expect(0);
}
