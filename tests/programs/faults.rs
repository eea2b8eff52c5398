//! Faults and oddities of the system around the two programs: each is survived or named.

use crate::support::{find_program, in_thread, numbered, raw, run, skipped, until, Channel, Proc};
use nix::libc::{MS_BIND, MS_RDONLY, MS_REMOUNT};
use nix::sched::{unshare, CloneFlags};
use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP, SIGTERM, SIGTSTP};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A pair exchanges a line, and the server stops properly.
fn works(channel: &Channel) {
    let server = channel.running(&[]);
    run(channel.client(&[]), b"a line\n").expect(0);
    server.wait_stdout("the line", |out| out == b"a line\n");
    server.signal(SIGTERM);
    server.finish().expect(0);
    channel.assert_gone();
}

#[test]
fn nothing_needs_to_be_writable() {
    in_thread(|| {
        let read_only = || {
            raw::private_mounts()?;
            raw::mount("none", Path::new("/"), "none", MS_REMOUNT | MS_BIND | MS_RDONLY, "")
        };
        // The root of an initramfs can't be remounted: a read-only copy of it is looked at then.
        if let Err(error) = read_only() {
            return skipped(&format!("/ cannot be made read-only here: {error}"));
        }
        if std::fs::write("/written", "").is_ok() {
            let _ = std::fs::remove_file("/written");
            return skipped("/ stays writable here");
        }
        works(&Channel::new());
    });
}

#[test]
fn a_stopped_server_delays_and_loses_nothing() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    server.signal(SIGSTOP);
    // The ring fills, and the client says so in time.
    let lines = numbered(20_000);
    let out = run(channel.client(&["--timeout", "0.5"]), &lines);
    out.fails(75, &["full", "line"]);
    let text = out.stderr.split("line ").nth(1).expect("the line's number");
    let first: u32 = text.split(' ').next().unwrap().parse().expect("the line's number");
    assert!(first > 1, "those before it are in the ring");
    // A second server names the one that is stopped.
    let pid = server.pid().to_string();
    let second = run(channel.server(&[]), b"");
    second.fails(75, &[&pid]);
    assert!(!second.said().contains("this very process"), "{}", second.said());
    server.signal(SIGCONT);
    let sent = numbered(first - 1);
    server.wait_stdout("all that was sent", |out| out == sent);
    server.signal(SIGTERM);
    server.finish().expect(0);
}

#[test]
fn a_suspended_pair_goes_on_where_it_was() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    let mut client = Proc::spawn(channel.client(&[]));
    client.write(b"one\n");
    server.wait_stdout("the first line", |out| out == b"one\n");
    for _ in 0..3 {
        client.signal(SIGTSTP);
        server.signal(SIGTSTP);
        client.write(b"two\n");
        client.signal(SIGCONT);
        server.signal(SIGCONT);
    }
    client.write(b"end\n");
    client.finish().expect(0);
    assert_eq!(server.finish().expect(0).text(), "one\ntwo\ntwo\ntwo\n");
}

#[test]
fn an_address_space_that_is_too_small_is_73_and_leaves_nothing() {
    let channel = Channel::new();
    let (Some(server), Some(sh)) = (find_program("shmdemo-server"), find_program("sh")) else {
        return skipped("no sh");
    };
    let mut limited = Command::new(sh);
    let script = "ulimit -v 65536; exec \"$0\" \"$@\"";
    limited.arg("-c").arg(script).arg(server);
    limited.args(["-k", &channel.key.to_string(), "--lanes", "8", "--size", "16M"]);
    run(limited, b"").fails(73, &["ENOMEM", "shmat"]);
    channel.assert_gone();
}

#[test]
fn another_ipc_namespace_has_keys_of_its_own() {
    let channel = Channel::new();
    channel.filled(b"outside\n");
    in_thread(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWIPC) {
            return skipped(&format!("no IPC namespace: {error}"));
        }
        run(channel.sub("status", &[]), b"").fails(69, &["ENOENT"]);
        let inside = Channel::with_key(channel.key).expect("the key is free in here");
        works(&inside);
    });
    let server = channel.running(&[]);
    server.wait_stdout("the line from outside", |out| out == b"outside\n");
}

#[test]
fn a_holder_out_of_sight_is_said_to_be_so() {
    let channel = Channel::new();
    let _server = channel.running(&[]);
    in_thread(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWPID) {
            return skipped(&format!("no PID namespace: {error}"));
        }
        // No thread can be made from here on, so it is not run as others are.
        let out = channel.server(&[]).stdin(Stdio::null()).output().expect("it runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(75), "{said}");
        assert!(said.contains("outside of this pid namespace"), "{said}");
    });
}

/// The next process gets this pid, if nobody is faster.
fn next_pid(pid: i64) -> std::io::Result<()> {
    std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())
}

#[test]
fn a_pid_that_is_used_again_holds_no_role() {
    let channel = Channel::new();
    for _ in 0..50 {
        let server = channel.running(&[]);
        let pid = server.pid();
        server.signal(SIGKILL);
        server.finish();
        if let Err(error) = next_pid(pid) {
            return skipped(&format!("pids cannot be chosen here: {error}"));
        }
        let other = Proc::spawn_with(Command::new("cat"), Stdio::piped(), Stdio::null());
        if other.pid() != pid {
            continue;
        }
        let next = channel.running(&[]);
        next.signal(SIGTERM);
        next.finish().expect(0);
        channel.assert_gone();
        return;
    }
    skipped("the pid was never had again in 50 tries");
}

/// Sets the clock by so many seconds. In an emulated board only: elsewhere it is not ours to set.
fn jump(seconds: i64) -> Result<(), String> {
    if std::env::var_os("SHMDEMO_MACHINE").is_none() || std::env::var_os("SHMDEMO_BOARD").is_some()
    {
        return Err("the clock is not ours to set here".into());
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let then = now.expect("after 1970").as_secs() as i64 + seconds;
    let set = Command::new("date").arg("-s").arg(format!("@{then}")).output();
    match set {
        Ok(out) if out.status.success() => Ok(()),
        other => Err(format!("date -s: {other:?}")),
    }
}

#[test]
fn jumps_of_the_clock_change_nothing() {
    let channel = Channel::new();
    let server = channel.running(&[]);
    let mut client = Proc::spawn(channel.client(&[]));
    let day = 86_400;
    for (number, seconds) in [day, -2 * day, day].into_iter().enumerate() {
        if let Err(reason) = jump(seconds) {
            return skipped(&reason);
        }
        client.write(b"x\n");
        server.wait_stdout("the line", |out| out.len() == 2 * (number + 1));
    }
    // A time-out is neither over at once nor put off by a day.
    let nobody = Channel::new();
    let begin = Instant::now();
    let waiting = Proc::spawn(nobody.client(&["--no-create", "--timeout", "3"]));
    until("it waits", || begin.elapsed().as_millis() > 500);
    jump(-day).expect("back");
    until("it waits on", || begin.elapsed().as_millis() > 1000);
    jump(day).expect("and forth");
    waiting.finish().fails(75, &["ETIMEDOUT"]);
    assert!(begin.elapsed().as_secs() >= 2, "{:?}", begin.elapsed());
}
