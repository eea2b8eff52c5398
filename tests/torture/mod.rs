//! What the tests that kill share: a stage of one thread, processes forked on it, and what is
//! left in the kernel afterwards.
//!
//! `SHMDEMO_TORTURE=full`: the whole length, hours of it.
//! `SHMDEMO_SEED`: the seed of all chance in these tests (else from the clock); it is printed.
#![allow(dead_code)] // each test file is a program of its own and uses a part of this
#![allow(unsafe_code)]

pub mod aftermath;
pub mod ground;
#[cfg(target_arch = "x86_64")]
pub mod path;
#[cfg(target_arch = "x86_64")]
pub mod places;
mod stage;
#[cfg(target_arch = "x86_64")]
pub mod trace;

use crate::support::{Json, Random};
use nix::errno::Errno;
use nix::libc;
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitid, waitpid, Id, WaitPidFlag, WaitStatus};
use nix::unistd::{fork as nix_fork, getppid, ForkResult, Pid};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::{Command, Stdio};

use stage::own_namespace;
pub use stage::{deadline, on_stage, stay, waited};

/// A report, to the screen.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Chance, with its seed on the screen.
pub fn chance() -> Random {
    let seed = std::env::var("SHMDEMO_SEED").ok().map(|seed| seed.parse().expect("SHMDEMO_SEED"));
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |t| t.as_nanos() as u64 | 1);
    let seed = seed.unwrap_or_else(clock);
    say(&format!("SHMDEMO_SEED={seed}"));
    Random(seed)
}

/// Is the whole length meant?
pub fn full() -> bool {
    match std::env::var("SHMDEMO_TORTURE") {
        Ok(length) if length == "full" => true,
        Ok(length) => panic!("SHMDEMO_TORTURE={length}: only `full` is known"),
        Err(_) => false,
    }
}

/// A whole number from the environment.
pub fn setting(name: &str) -> Option<usize> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}: a whole number")))
}

/// A child of the stage; killed and reaped at the latest when this is dropped.
pub struct Child {
    pid: Pid,
    reaped: bool,
}

impl Child {
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// SIGKILL; it may live for a moment more.
    pub fn send_kill(&self) {
        let _ = kill(self.pid, Signal::SIGKILL);
    }

    /// SIGKILL, and it is dead and not yet reaped, a zombie, when this returns.
    pub fn kill(&self) {
        self.send_kill();
        self.await_end();
    }

    /// Waits until it is a zombie.
    pub fn await_end(&self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waited("the end of a child", waitid(Id::Pid(self.pid), flags));
    }

    /// Reaps it: its exit code, 128 more than the signal where one ended it.
    pub fn reap(&mut self) -> i32 {
        let status = waited("the end of a child", waitpid(self.pid, None));
        self.reaped = true;
        match status {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.send_kill();
            while waitpid(self.pid, None) == Err(Errno::EINTR) {}
        }
    }
}

/// Runs `act` in a forked process, which ends with exit code 0 after it, 101 where it panics.
pub fn fork(act: impl FnOnce()) -> Child {
    fork_with_code(|| {
        act();
        0
    })
}

/// As [`fork`], with the exit code that `act` returns.
pub fn fork_with_code(act: impl FnOnce() -> i32) -> Child {
    let parent = nix::unistd::getpid();
    // SAFETY: the stage's only other thread waits for this one to end and holds no lock; the
    // child runs `act` on its copy of the memory and never returns into the test harness.
    match unsafe { nix_fork() }.expect("fork") {
        ForkResult::Parent { child } => Child { pid: child, reaped: false },
        ForkResult::Child => {
            let in_time = set_pdeathsig(Signal::SIGKILL).is_ok() && getppid() == parent;
            let code = if in_time { catch_unwind(AssertUnwindSafe(act)).unwrap_or(101) } else { 0 };
            // SAFETY: ends the process at once, as is meant.
            unsafe { libc::_exit(code) }
        }
    }
}

/// What `act` returns in a fresh process.
#[track_caller]
pub fn fresh(act: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let (mut from, to) = pipe();
    let mut child = fork(|| {
        let mut to = File::from(to.try_clone().expect("dup"));
        to.write_all(&act()).expect("the pipe to the stage");
    });
    drop(to);
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match waited("a fresh process", from.read(&mut part).map_err(errno)) {
            0 => break,
            n => bytes.extend_from_slice(&part[..n]),
        }
    }
    assert_eq!(child.reap(), 0, "a fresh process failed");
    bytes
}

pub fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// A pipe, closed at exec; its reading end never waits longer than the deadline.
pub fn pipe() -> (File, OwnedFd) {
    let (from, to) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("pipe");
    (File::from(from), to)
}

/// Is there something to read, or the end?
pub fn readable(file: &File, milliseconds: u16) -> bool {
    use nix::poll::{poll, PollFd, PollFlags};
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    waited("poll", poll(&mut fds, milliseconds)) > 0
}

/// What can be read now without waiting.
pub fn read_now(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while readable(file, 0) {
        match file.read(&mut part).expect("read") {
            0 => break,
            n => bytes.extend_from_slice(&part[..n]),
        }
    }
    bytes
}

/// A file in memory with these bytes, to be read from its start.
pub fn memory_file(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create("test", MFdFlags::MFD_CLOEXEC).expect("memfd_create"));
    file.write_all(bytes).and_then(|()| file.rewind()).expect("a file in memory");
    file
}

/// All of a file in memory, whoever writes to it now.
pub fn contents(file: &File) -> Vec<u8> {
    let length = file.metadata().expect("a file in memory").len();
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).expect("a file in memory");
    bytes
}

/// A program with its input and output in memory: no thread of the stage's has to serve it.
pub struct Program {
    pub child: Child,
    name: String,
    out: File,
    err: File,
}

impl Program {
    #[allow(clippy::zombie_processes)] // `Child` reaps it, by its pid
    pub fn start(mut command: Command, input: &[u8]) -> Program {
        let (out, err) = (memory_file(b""), memory_file(b""));
        let file = |file: &File| Stdio::from(file.try_clone().expect("dup"));
        command.stdin(memory_file(input)).stdout(file(&out)).stderr(file(&err));
        let parent = nix::unistd::getpid();
        // SAFETY: two system calls, between fork and exec, that touch no memory.
        unsafe {
            command.pre_exec(move || {
                set_pdeathsig(Signal::SIGKILL)?;
                (getppid() == parent).then_some(()).ok_or(std::io::ErrorKind::NotFound.into())
            })
        };
        let name = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}"));
        let pid = Pid::from_raw(child.id() as i32);
        Program { child: Child { pid, reaped: false }, name, out, err }
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> Vec<u8> {
        contents(&self.out)
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&contents(&self.err)).into_owned()
    }

    /// Waits for its end, fails where that is not the expected one, and returns its stdout.
    #[track_caller]
    pub fn expect(mut self, code: i32) -> Vec<u8> {
        let name = self.name.clone();
        let found = match catch_unwind(AssertUnwindSafe(|| self.child.reap())) {
            Ok(found) => found,
            Err(_) => panic!("{name} does not end; stderr: {}", self.stderr()),
        };
        assert_eq!(found, code, "{name}: stderr: {}", self.stderr());
        self.stdout()
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn run(command: Command, input: &[u8], code: i32) -> Vec<u8> {
    Program::start(command, input).expect(code)
}

/// Segments and semaphore sets: of this key, or, in a namespace of the stage's own, all.
pub fn objects(key: i32) -> (usize, usize) {
    let count = |file| {
        let table = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let ours = |line: &&str| {
            own_namespace()
                || line.split_whitespace().next().and_then(|k| k.parse().ok()) == Some(key)
        };
        table.lines().skip(1).filter(ours).count()
    };
    (count("/proc/sysvipc/shm"), count("/proc/sysvipc/sem"))
}

/// The next segment and the next set made have this id, and the next processes pids of five
/// digits: who reads a table with these in it takes the same path each time. False: that cannot
/// be had here.
pub fn next_ids(id: u32) -> bool {
    let set = |file| std::fs::write(format!("/proc/sys/kernel/{file}"), id.to_string()).is_ok();
    long_pids() && own_namespace() && set("shm_next_id") && set("sem_next_id")
}

fn long_pids() -> bool {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    let last = std::fs::read_to_string(LAST_PID).unwrap_or_default();
    let long = last.trim().parse().is_ok_and(|last: u32| (10_000..32_000).contains(&last));
    long || std::fs::write(LAST_PID, "10000").is_ok()
}

/// Whose objects [`objects`] counts.
pub fn counted() -> &'static str {
    match own_namespace() {
        true => "in an IPC namespace of the test's own",
        false => "with the test's key",
    }
}

/// What `status --json` tells of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    pub pid: Option<u32>,
    pub sent: u32,
    pub received: u32,
    pub queued_bytes: u32,
}

/// The lanes in the output of `status --json`.
pub fn lanes(status: &[u8]) -> Vec<Lane> {
    let text = String::from_utf8_lossy(status);
    let Ok(Json::Object(status)) = Json::parse(&text) else { panic!("no object: {text}") };
    let Some((_, Json::List(lanes))) = status.iter().find(|(name, _)| name == "lanes") else {
        panic!("no lanes: {text}");
    };
    let lane = |lane: &Json| {
        let Json::Object(lane) = lane else { panic!("no lane: {lane:?}") };
        let number = |name| match lane.iter().find(|(found, _)| found == name) {
            Some((_, Json::Number(number))) => Some(*number as u32),
            Some((_, Json::Null)) => None,
            _ => panic!("no {name}: {lane:?}"),
        };
        let count = |name| number(name).expect("a number");
        Lane {
            pid: number("pid"),
            sent: count("sent"),
            received: count("received"),
            queued_bytes: count("queued_bytes"),
        }
    };
    lanes.iter().map(lane).collect()
}
