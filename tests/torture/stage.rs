//! The stage: a process of one working thread, on one processor, that ends with its test.

use super::{long_pids, setting};
use crate::support::patience;
use nix::errno::Errno;
use nix::libc;
use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::unistd::{alarm, getppid, Pid};
use std::io::{BufRead, BufReader, Write};
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

pub(super) fn own_namespace() -> bool {
    OWN_NAMESPACE.load(Ordering::Relaxed)
}

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
