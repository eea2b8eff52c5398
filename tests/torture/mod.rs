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
#[cfg(target_arch = "x86_64")]
pub mod trace;

use crate::support::{patience, Json, Random};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::sys::memfd::{memfd_create, MFdFlags};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{kill, sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::wait::{waitid, waitpid, Id, WaitPidFlag, WaitStatus};
use nix::unistd::{alarm, fork as nix_fork, getppid, ForkResult, Pid};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::Mutex;

/// Set in the process that is the stage.
const STAGE: &str = "SHMDEMO_TEST_STAGE";

/// The processor that fewest other stages have, for [`stay`].
const STAGE_CPU: &str = "SHMDEMO_TEST_CPU";

/// How many stages have each of the processors.
static STAGES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// The stage has an IPC namespace of its own: what is in it, it made.
static OWN_NAMESPACE: AtomicBool = AtomicBool::new(false);

/// The thread that works on the stage.
static STAGE_THREAD: AtomicI32 = AtomicI32::new(0);

/// Runs `work` in a process of its own: this test program again, with this test alone, whose one
/// other thread waits. There it may fork, trace and kill, and no other test's thread is in the
/// way. What it says on stderr goes to stdout as it comes.
#[track_caller]
pub fn on_stage(work: fn()) {
    if std::env::var_os(STAGE).is_some() {
        return stage(work);
    }
    let name = std::thread::current().name().expect("a test's thread has its name").to_string();
    long_pids();
    let cpu = Seat::take();
    let mut child = Command::new(std::env::current_exe().expect("path of this test"))
        .args(["--exact", &name, "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(STAGE, std::process::id().to_string())
        .env(STAGE_CPU, cpu.0.to_string())
        .env("MALLOC_ARENA_MAX", "1") // one heap for all threads, see mallopt(3)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test program again");
    let said = BufReader::new(child.stderr.take().expect("a pipe"));
    for line in said.lines() {
        // Past the test harness's capture, a whole line at a time.
        let _ = writeln!(std::io::stdout(), "{name}: {}", line.unwrap_or_default());
    }
    let status = child.wait().expect("its end");
    assert!(status.success(), "failed, see the lines with its name above: {status}");
}

/// A processor's number among those there are.
struct Seat(usize);

impl Seat {
    fn take() -> Seat {
        let mut stages = STAGES.lock().expect("no panic under it");
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
        stages.resize(cpus, 0);
        let fewest = (0..cpus).min_by_key(|cpu| stages[*cpu]).expect("one at least");
        stages[fewest] += 1;
        Seat(fewest)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        STAGES.lock().expect("no panic under it")[self.0] -= 1;
    }
}

/// Keeps the stage and what it forks on one processor: who stops a process at every instruction
/// waits for it, and a wake-up on the same processor is quicker.
pub fn stay() {
    let number = setting(STAGE_CPU).unwrap_or(0);
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return };
    let mut allowed = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true));
    let mut one = CpuSet::new();
    if allowed.nth(number).is_some_and(|cpu| one.set(cpu).is_ok()) {
        let _ = sched_setaffinity(Pid::from_raw(0), &one); // it is only slower without
    }
}

fn stage(work: fn()) {
    // The stage ends with the test that began it: nothing it forks outlives the test.
    set_pdeathsig(Signal::SIGKILL).expect("PR_SET_PDEATHSIG");
    let parent = std::env::var(STAGE).unwrap_or_default();
    assert_eq!(getppid().to_string(), parent, "the test is over already");
    STAGE_THREAD.store(nix::unistd::gettid().as_raw(), Ordering::Relaxed);
    // No SA_RESTART: the call that waits too long fails with EINTR, and the test with it.
    let action = SigAction::new(SigHandler::Handler(too_long), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler makes async-signal-safe calls only.
    unsafe { sigaction(Signal::SIGALRM, &action) }.expect("sigaction");
    let own = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWIPC).is_ok();
    OWN_NAMESPACE.store(own, Ordering::Relaxed);
    work();
    alarm::cancel();
}

extern "C" fn too_long(_: i32) {
    let (stage, errno) = (STAGE_THREAD.load(Ordering::Relaxed), Errno::last_raw());
    // SAFETY: three system calls that touch no memory.
    unsafe {
        // Again and again, in case this one came just before the call that waits.
        libc::alarm(1);
        // The kernel gives it to any thread; it is meant for the one that works.
        if libc::syscall(libc::SYS_gettid) != libc::c_long::from(stage) {
            libc::syscall(libc::SYS_tgkill, libc::getpid(), stage, libc::SIGALRM);
        }
    }
    Errno::set_raw(errno);
}

/// So much time from now on; then whatever waits fails.
pub fn deadline() {
    alarm::set(patience().as_secs() as u32);
}

/// What a system call that waits returned; at the deadline the test fails here.
#[track_caller]
pub fn waited<T>(what: &str, result: Result<T, Errno>) -> T {
    match result {
        Err(Errno::EINTR) => panic!("{what}: not within {} s", patience().as_secs()),
        other => other.unwrap_or_else(|e| panic!("{what}: {e}")),
    }
}

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
            OWN_NAMESPACE.load(Ordering::Relaxed)
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
    long_pids() && OWN_NAMESPACE.load(Ordering::Relaxed) && set("shm_next_id") && set("sem_next_id")
}

fn long_pids() -> bool {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    let last = std::fs::read_to_string(LAST_PID).unwrap_or_default();
    let long = last.trim().parse().is_ok_and(|last: u32| (10_000..32_000).contains(&last));
    long || std::fs::write(LAST_PID, "10000").is_ok()
}

/// Whose objects [`objects`] counts.
pub fn counted() -> &'static str {
    match OWN_NAMESPACE.load(Ordering::Relaxed) {
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
