//! Limits of the system, met for real: tables of the kernel full, locked memory, descriptors and
//! the memory of a control group used up. Each is named with the next step, nothing is left
//! behind, and what was committed is not lost.
//!
//! The limits that `rules` and `faults` meet (SHMMAX, SHMMNI and SEMMNI from the start, the
//! address space) are not here again. Everything is set in namespaces and groups of the test's
//! own; where that is not allowed, it says `skipped:`.

use crate::support::{find_program, in_thread, numbered, raw, run, skipped, Channel};
use nix::sched::{unshare, CloneFlags};
use nix::sys::signal::Signal::SIGTERM;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Does `work` in an IPC namespace of its own, with this kernel limit set in it.
fn with_limit(name: &str, value: &str, work: impl FnOnce() + Send) {
    in_thread(|| {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWIPC) {
            return skipped(&format!("no IPC namespace to set {name} in: {error}"));
        }
        set_limit(name, value);
        work();
    });
}

fn set_limit(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/kernel/{name}"), value).expect("setting the limit");
}

/// Sends a line and has it printed by a server that then removes the channel.
fn works(channel: &Channel) {
    let server = channel.running(&[]);
    run(channel.client(&[]), b"a line\n").expect(0);
    server.signal(SIGTERM);
    assert_eq!(server.finish().expect(0).text(), "a line\n");
    channel.assert_gone();
}

#[test]
fn segments_that_fill_the_table_keep_a_new_channel_out_and_no_joiner() {
    with_limit("shmmni", "3", || {
        let (channel, other) = (Channel::new(), Channel::new());
        let server = channel.running(&[]);
        let more: Vec<i32> = (1..3).map(|key| raw::shm_create(key, 4096, 0o600)).collect();
        run(other.client(&[]), b"x\n")
            .fails(73, &["create the segment", "ENOSPC", "shmmni = 3", "ipcrm"]);
        run(other.server(&[]), b"")
            .fails(73, &["create the segment", "ENOSPC", "shmmni = 3", "ipcrm"]);
        other.assert_gone();
        run(channel.client(&[]), b"x\n").expect(0);
        server.wait_stdout("the line", |out| out == b"x\n");
        // What the message says helps.
        raw::shm_remove(more[0]);
        works(&other);
        raw::shm_remove(more[1]);
    });
}

#[test]
fn too_few_pages_for_all_segments_are_73_and_named() {
    with_limit("shmall", "2", || {
        let channel = Channel::new();
        run(channel.server(&[]), b"").fails(73, &["ENOSPC", "shmall = 2", "sysctl"]);
        run(channel.client(&[]), b"x\n").fails(73, &["ENOSPC", "shmall = 2", "sysctl"]);
        channel.assert_gone();
        set_limit("shmall", "1000");
        works(&channel);
    });
}

#[test]
fn semaphore_sets_that_are_too_small_or_used_up_are_73_and_named() {
    with_limit("sem", "60 32000 32 128", || {
        let channel = Channel::new();
        run(channel.server(&[]), b"")
            .fails(73, &["create the semaphore", "EINVAL", "semmsl", "60 32000 32 128"]);
        channel.assert_gone();
        set_limit("sem", "250 100 100 128");
        let one = raw::sem_create(1, 50, 0o600);
        run(channel.client(&[]), b"x\n")
            .fails(73, &["create the semaphore", "ENOSPC", "semmns", "ipcs -s"]);
        channel.assert_gone();
        raw::sem_remove(one);
        works(&channel);
    });
}

#[test]
fn the_old_limit_of_changes_at_once_is_enough_for_every_channel() {
    with_limit("sem", "250 32000 32 128", || {
        for lanes in ["4", "7", "8", "15", "16", "32"] {
            let channel = Channel::new();
            for _ in 0..2 {
                // The second one finds the role given back, and every bell with it.
                let server = channel.running(&["--lanes", lanes, "--persist"]);
                run(channel.server(&[]), b"").fails(75, &[&server.pid().to_string()]);
                server.signal(SIGTERM);
                server.finish().expect(0);
            }
            let server = channel.running(&["--persist"]);
            server.kill();
            works(&channel);
        }
        // Below that it is named, and what was made goes.
        set_limit("sem", "250 32000 3 128");
        let channel = Channel::new();
        run(channel.server(&[]), b"").fails(73, &["E2BIG", "semopm", "kernel.sem"]);
        channel.assert_gone();
        run(channel.client(&[]), b"x\n").fails(73, &["E2BIG", "semopm", "kernel.sem"]);
        channel.assert_gone();
    });
}

#[test]
fn segments_that_go_with_their_last_user_are_warned_of() {
    with_limit("shm_rmid_forced", "1", || {
        let channel = Channel::new();
        for protocol in ["ring", "shared_use_st"] {
            let args = ["--protocol", protocol];
            let named = |said: &str| said.matches("kernel.shm_rmid_forced").count();
            let out = run(channel.client(&args), b"lost\n");
            assert_eq!(named(&out.expect(0).stderr), 2, "once, with its cure: {}", out.stderr);
            let mut server = channel.server(&["--persist"]);
            server.args(args);
            let server = crate::support::Proc::spawn(server);
            server.wait_stderr("the warning", |said| named(said) == 2);
            let status = |more: &str| {
                let mut status = channel.sub("status", &["--protocol", protocol]);
                status.args(more.split_whitespace());
                run(status, b"").expect(0).text()
            };
            assert!(named(&status("")) > 0 && status("--json").contains("\"rmid_forced\":true"));
            server.signal(SIGTERM);
            server.finish().expect(0);
        }
        set_limit("shm_rmid_forced", "0");
        let out = run(channel.client(&[]), b"kept\n");
        assert_eq!(out.expect(0).stderr, "");
        assert!(run(channel.sub("status", &["--json"]), b"")
            .text()
            .contains("rmid_forced\":false"));
    });
}

/// As a user without privileges, with this done by the shell before.
fn unprivileged(command: &Command, before: &str) -> Option<Command> {
    let mut limited = Command::new(find_program("sh")?);
    limited.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\""));
    limited.arg(command.get_program()).args(command.get_args()).uid(65_534).gid(65_534);
    Some(limited)
}

#[test]
fn memory_that_may_not_be_locked_is_77_and_leaves_nothing() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("only root can become somebody else");
    }
    let channel = Channel::new();
    let Some(server) = unprivileged(&channel.server(&["--lock"]), "ulimit -l 0") else {
        return skipped("no sh");
    };
    // The folder of the programs may be closed to others.
    let mut version = crate::support::server();
    version.arg("--version");
    if run(unprivileged(&version, "true").expect("sh"), b"").code() != 0 {
        return skipped("an ordinary user cannot run the programs from here");
    }
    run(server, b"").fails(77, &["SHM_LOCK", "RLIMIT_MEMLOCK"]);
    channel.assert_gone();
}

/// A memory control group of the test's own, removed at the end.
struct Group(PathBuf);

impl Group {
    fn new(bytes: usize) -> Result<Group, String> {
        let name = format!("shmdemo-test-{}", std::process::id());
        let v1 = PathBuf::from("/sys/fs/cgroup/memory").join(&name);
        let v2 = PathBuf::from("/sys/fs/cgroup").join(&name);
        let (path, limits) = match v1.parent().is_some_and(|root| root.is_dir()) {
            true => (v1, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
            false => (v2, ["memory.max", "memory.swap.max"]),
        };
        std::fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let group = Group(path);
        let limit = group.0.join(limits[0]);
        std::fs::write(&limit, bytes.to_string())
            .map_err(|e| format!("{}: {e}", limit.display()))?;
        // The file is not there where no swap is counted.
        let swap = if limits[1] == "memory.swap.max" { 0 } else { bytes };
        let counted = std::fs::write(group.0.join(limits[1]), swap.to_string()).is_ok();
        let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
        match counted || swaps.lines().count() <= 1 {
            true => Ok(group),
            false => Err("there is swap that it does not count".into()),
        }
    }

    fn runs(&self, command: &Command) -> Command {
        let mut inside = Command::new(find_program("sh").expect("sh"));
        let procs = self.0.join("cgroup.procs");
        inside.arg("-c").arg(format!("echo $$ >{}; exec \"$0\" \"$@\"", procs.display()));
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A ring's pages are had when they are first written. Where the control group has no more, the
/// kernel kills the writer, in the middle of a message.
#[test]
fn a_client_that_its_memory_group_kills_loses_nothing_that_it_had_sent() {
    let group = match Group::new(8 << 20) {
        Ok(group) => group,
        Err(why) => return skipped(&format!("no memory control group: {why}")),
    };
    let channel = Channel::new();
    let lines: Vec<u8> = (0..16_000).flat_map(|n| format!("{n:-<1000}\n").into_bytes()).collect();
    let client = channel.client(&["--timeout", "0"]);
    // The server makes the channel and is out of the way.
    let maker = channel.running(&["--persist", "--lanes", "1", "--size", "16M"]);
    maker.signal(SIGTERM);
    maker.finish().expect(0);
    run(group.runs(&client), &lines).expect(137);
    let lane = |name: &str| channel.status().numbers(name)[0] as usize;
    let sent = lane("sent");
    assert!(sent > 1000 && sent < 16_000, "{sent} sent when its memory was used up");
    assert_eq!(lane("received"), 0);
    // Everybody else goes on, with the same channel.
    run(channel.client(&["--timeout", "0"]), b"one more\nend\n").expect(0);
    let out = run(channel.server(&[]), b"");
    let mut wanted = lines[..sent * 1001].to_vec();
    wanted.extend_from_slice(b"one more\n");
    assert!(out.expect(0).stdout == wanted, "{sent} sent, {} bytes", out.stdout.len());
    channel.assert_gone();
}

#[test]
fn four_descriptors_are_enough() {
    let channel = Channel::new();
    let Some(sh) = find_program("sh") else { return skipped("no sh") };
    let few = |command: Command| {
        let mut limited = Command::new(&sh);
        limited.arg("-c").arg("exec 3>&-; ulimit -n 4; exec \"$0\" \"$@\"");
        limited.arg(command.get_program()).args(command.get_args());
        limited
    };
    run(few(channel.client(&["--timeout", "0"])), &numbered(100)).expect(0);
    run(few(channel.sub("status", &[])), b"").expect(0);
    run(few(channel.client(&[])), b"end\n").expect(0);
    assert_eq!(run(few(channel.server(&[])), b"").expect(0).stdout, numbered(100));
    channel.assert_gone();
}
