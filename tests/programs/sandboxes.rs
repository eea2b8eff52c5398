//! Programs under system-call filters, in pid namespaces and where /proc tells little: the true cause
//! is named, and nothing is left behind that stops the next one.

use crate::support::{in_thread, raw, run, skipped, Channel, Proc};
use nix::libc;
use nix::sched::{unshare, CloneFlags};
use nix::sys::signal::Signal::SIGTERM;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// From now on this thread's programs are refused these calls with this errno; false: not here.
fn refused(calls: &[libc::c_long], errno: i32) -> bool {
    match raw::refuse(calls, errno) {
        Ok(()) => true,
        Err(why) => {
            skipped(&format!("no system-call filters here: {why}"));
            false
        }
    }
}

/// A server prints what a client sends, whatever was left under the key.
fn works(channel: &Channel) {
    let server = Proc::spawn(channel.server(&[]));
    run(channel.client(&["--timeout", "10"]), b"a line\n").expect(0);
    server.wait_stdout("the line", |out| out == b"a line\n");
    server.signal(SIGTERM);
    server.finish().expect(0);
    channel.assert_gone();
}

#[test]
fn what_a_filter_keeps_from_being_finished_is_made_anew_by_the_next() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let channel = Channel::new();
        in_thread(|| {
            if !refused(&[libc::SYS_shmctl], errno) {
                return;
            }
            let said = run(channel.client(&[]), b"x\n");
            let code = if errno == libc::EPERM { 77 } else { 69 };
            said.fails(code, &["filter", "seccomp", "SystemCallFilter"]);
        });
        works(&channel);
    }
}

#[test]
fn what_was_half_made_in_a_pid_namespace_that_is_gone_is_made_anew() {
    let channel = Channel::new();
    in_thread(|| {
        if unshare(CloneFlags::CLONE_NEWPID).is_err() || !refused(&[libc::SYS_shmctl], libc::EPERM)
        {
            return;
        }
        // No thread can be made here any more, so nothing watches it.
        let out = channel.server(&[]).output().expect("the server");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(77) && said.contains("filter"), "{said}");
    });
    works(&channel);
}

#[test]
fn each_refused_call_names_the_filter_and_not_an_owner_or_a_kernel() {
    let (shm, sem) = ([libc::SYS_shmget, libc::SYS_shmat], [libc::SYS_semget, libc::SYS_semctl]);
    for call in shm.into_iter().chain(sem).chain([libc::SYS_semop]) {
        let channel = Channel::new();
        in_thread(|| {
            if !refused(&[call, libc::SYS_semtimedop], libc::EPERM) {
                return;
            }
            let out = run(channel.client(&["--timeout", "1"]), b"x\n");
            let said = out.fails(77, &["EPERM", "filter", "@ipc"]).said();
            for wrong in ["config sysvipc", "as the owner", "--owner"] {
                assert!(!said.contains(wrong), "call {call}: {said}");
            }
        });
        works(&channel);
    }
}

#[test]
fn limits_and_owners_are_told_where_proc_has_processes_only() {
    in_thread(|| {
        if unshare(CloneFlags::CLONE_NEWIPC).is_err() || raw::private_mounts().is_err() {
            return skipped("no namespaces");
        }
        std::fs::write("/proc/sys/kernel/shmmni", "1").expect("setting the limit");
        let (channel, other) = (Channel::new(), Channel::new());
        run(other.client(&[]), b"x\n").expect(0);
        if raw::mount("none", "/proc".as_ref(), "tmpfs", 0, "").is_err() {
            return skipped("nothing can be mounted");
        }
        let client = run(channel.client(&[]), b"x\n");
        let server = run(channel.server(&[]), b"");
        let mut stranger = other.sub("status", &[]);
        stranger.uid(54_321).gid(54_321);
        let stranger = stranger.output();
        let mut umount = Command::new("umount");
        assert!(umount.arg("/proc").status().expect("umount").success());
        client.fails(73, &["SHMMNI", "shmmni = 1"]);
        server.fails(73, &["SHMMNI", "shmmni = 1"]);
        // Only root can become somebody else, and others may not reach the programs here.
        if let Ok(out) = stranger {
            let said = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(77), "{said}");
            assert!(said.contains("uid 0") && said.contains("mode 0600"), "{said}");
        }
        drop((channel, other));
    });
}

#[test]
fn a_pid_that_cannot_be_seen_is_shown_as_such() {
    let channel = Channel::new();
    let server = channel.running(&["--persist"]);
    in_thread(|| {
        if unshare(CloneFlags::CLONE_NEWPID).is_err() {
            return skipped("no pid namespace");
        }
        let out = channel.sub("status", &[]).output().expect("status");
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(text.contains("server      pid 0, outside of this pid namespace"), "{text}");
        assert!(text.contains("creator 0, last"), "{text}");
        assert!(text.contains("(0: outside of this pid namespace"), "{text}");
    });
    server.signal(SIGTERM);
    server.finish().expect(0);
}
