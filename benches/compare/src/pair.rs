//! Two processes: forked, pinned, started together, their results brought back, and ended for
//! certain, whatever the way between them does.

use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sched::{sched_setaffinity, CpuSet};
use nix::sys::mman::{mlockall, MlockAllFlags};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult, Pid};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Scheduling priority of the real-time measurement, of 1 to 99.
const PRIORITY: i32 = 50;

/// Niceness of the session in which all is measured, where that is allowed.
const NICE: i32 = -20;

/// Where and how the two processes run.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Processor of each.
    pub cpus: [usize; 2],
    /// SCHED_FIFO, all memory locked.
    pub realtime: bool,
    /// Niceness of both, where it is allowed.
    pub niceness: i32,
    /// Longer than any measurement takes.
    pub patience: Duration,
}

/// How often both wait for each other: with their ends open, and with the ends connected.
const STEPS: usize = 2;

/// A child's line to its parent.
pub struct Start(UnixStream);

impl Start {
    /// Says that this end has come so far, and waits until both have: [`STEPS`] times.
    pub fn together(&mut self) -> Result<()> {
        self.0.write_all(b"r")?;
        let mut go = [0];
        self.0.read_exact(&mut go)?;
        Ok(())
    }
}

/// Results of one process: numbers, in the order its function gave them.
pub type Numbers = Vec<u64>;

/// What a child does: opens its ends, says so, measures; `None` while it keeps its ends open.
type Job<'a> = Box<dyn FnOnce(&mut Start) -> Result<(Numbers, Box<dyn std::any::Any>)> + 'a>;

/// A process of its own, ended when this is dropped.
struct Child {
    pid: Pid,
    line: UnixStream,
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended or is to: it is this process's own child and not waited for yet.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("pin to processor {cpu}"))
}

/// Ends this process when its parent ends.
pub fn end_with_parent() {
    // SAFETY: PR_SET_PDEATHSIG takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Runs `work` in a session of its own that goes before whatever else runs on this machine and is
/// not to be measured. That needs a privilege and is not insisted on.
pub fn preferred(work: impl FnOnce() -> ExitCode) -> Result<ExitCode> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            end_with_parent();
            // Niceness counts inside a session only, and for sessions as a whole there is a file.
            nix::unistd::setsid()?;
            let _ = std::fs::write("/proc/self/autogroup", NICE.to_string());
            Ok(work())
        }
        ForkResult::Parent { child } => Ok(match waitpid(child, None)? {
            WaitStatus::Exited(_, code) => ExitCode::from(code as u8),
            other => bail!("{other:?}"),
        }),
    }
}

fn settle(cpu: usize, place: &Place) -> Result<()> {
    end_with_parent();
    pin(cpu)?;
    // SAFETY: numbers only. Not insisted on.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, place.niceness) };
    if place.realtime {
        mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).context("mlockall")?;
        // SAFETY: all zero is a valid sched_param; its fields are numbers.
        let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
        param.sched_priority = PRIORITY;
        // SAFETY: 0 is this process, `param` a live sched_param.
        let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &param) };
        Errno::result(set).context("sched_setscheduler(SCHED_FIFO), which needs CAP_SYS_NICE")?;
    }
    Ok(())
}

fn child(cpu: usize, place: &Place, line: UnixStream, job: Job) -> ! {
    let mut start = Start(line);
    let result = settle(cpu, place).and_then(|()| job(&mut start));
    let mut line = start.0;
    let kept = match result {
        Ok((numbers, ends)) => {
            let mut bytes = vec![b'n'];
            bytes.extend((numbers.len() as u32).to_ne_bytes());
            bytes.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
            let _ = line.write_all(&bytes);
            Some(ends)
        }
        Err(e) => {
            let text = format!("{e:#}");
            let mut bytes = vec![b'e'];
            bytes.extend((text.len() as u32).to_ne_bytes());
            bytes.extend(text.as_bytes());
            let _ = line.write_all(&bytes);
            None
        }
    };
    // The ends stay open until both are done.
    let _ = line.read(&mut [0]);
    drop(kept);
    std::process::exit(0)
}

fn spawn(cpu: usize, place: &Place, job: Job) -> Result<Child> {
    let (line, theirs) = UnixStream::pair()?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(line);
            child(cpu, place, theirs, job)
        }
        ForkResult::Parent { child } => Ok(Child { pid: child, line }),
    }
}

/// Reads exactly that, before the deadline.
fn read_by(line: &mut UnixStream, bytes: &mut [u8], deadline: Instant) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "stuck: no result in time");
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1))?;
        let mut fds = [PollFd::new(line.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout)? == 0 {
            continue;
        }
        match line.read(&mut bytes[done..])? {
            0 => bail!("its process ended without a result"),
            n => done += n,
        }
    }
    Ok(())
}

fn result(child: &mut Child, first: u8, deadline: Instant) -> Result<Numbers> {
    let mut len = [0; 4];
    read_by(&mut child.line, &mut len, deadline)?;
    let len = u32::from_ne_bytes(len) as usize;
    if first == b'e' {
        let mut text = vec![0; len];
        read_by(&mut child.line, &mut text, deadline)?;
        bail!("{}", String::from_utf8_lossy(&text));
    }
    let mut bytes = vec![0; len * 8];
    read_by(&mut child.line, &mut bytes, deadline)?;
    let number = |chunk: &[u8]| u64::from_ne_bytes(chunk.try_into().unwrap_or_default());
    Ok(bytes.chunks_exact(8).map(number).collect())
}

/// Runs both jobs at the same time and returns what they gave.
pub fn run(place: &Place, jobs: [Job; 2], parted: impl FnOnce()) -> Result<[Numbers; 2]> {
    let [first, second] = jobs;
    let mut children = [spawn(place.cpus[0], place, first)?, spawn(place.cpus[1], place, second)?];
    parted();
    let deadline = Instant::now() + place.patience;
    for _ in 0..STEPS {
        for child in &mut children {
            let mut ready = [0];
            read_by(&mut child.line, &mut ready, deadline)?;
            if ready != *b"r" {
                result(child, ready[0], deadline)?;
            }
        }
        for child in &mut children {
            child.line.write_all(b"g")?;
        }
    }
    let mut results = [Numbers::new(), Numbers::new()];
    for (child, numbers) in children.iter_mut().zip(&mut results) {
        let mut first = [0];
        read_by(&mut child.line, &mut first, deadline)?;
        *numbers = result(child, first[0], deadline)?;
    }
    for child in &mut children {
        child.line.write_all(b"d")?;
    }
    for child in &mut children {
        // End of file: it has closed its ends and is gone.
        let mut end = [0];
        let _ = read_by(&mut child.line, &mut end, deadline);
    }
    Ok(results)
}
