//! Stopping a process at one instruction of its life, chosen beforehand.
//!
//! A process is single-stepped once, from a place to its end, and the address of every
//! instruction noted. To stop a second process, which runs the same code from the same state, at
//! the k-th of them, it need not be stepped there: break points (`int3`) bring it there in a few
//! hops, each to an address that the path does not meet in between. What it executes is the same
//! but for the one byte that is put back before it is executed.

use super::{fork, waited, Child, Program};
use nix::libc::{self, user_regs_struct};
use nix::sys::personality::{self, Persona};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::Pid;
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The window begins at the first, and ends at the second of these.
#[inline(always)]
pub fn mark() {
    // SAFETY: a trap for the tracer, which goes on behind it.
    unsafe { std::arch::asm!("int3") }
}

/// A traced process, stopped most of the time.
pub struct Tracee {
    pub child: Child,
    /// Its program's text; for a forked one, whose addresses are ours, empty.
    pub images: Vec<(String, u64)>,
    /// Every run of it has the same addresses, down to the stack's, and so takes the same path.
    pub exact: bool,
    /// Its exit code, once it has ended by itself.
    ended: Option<i32>,
}

/// Where the process is that was to be brought to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// There.
    Place,
    /// It took another path.
    Elsewhere,
}

impl Tracee {
    /// A forked process that is stopped at its first [`mark`].
    pub fn fork(act: impl FnOnce()) -> Tracee {
        let child = fork(|| {
            settle_heap();
            ptrace::traceme().expect("PTRACE_TRACEME");
            act();
        });
        let mut tracee = Tracee { child, images: Vec::new(), exact: true, ended: None };
        let stop = tracee.wait();
        assert_eq!(stop, Some(Stop::Trap), "the process before its first mark");
        tracee.set_options();
        tracee
    }

    /// A program that is stopped at the entry of its first system call of these, and what it
    /// writes. To kill and to reap is the tracee's part.
    pub fn start(command: Command, input: &[u8], calls: &[i64]) -> (Tracee, Program) {
        let mut command = command;
        let fixed = || {
            // Where that is not allowed, places are found less exactly.
            let _ = personality::set(Persona::ADDR_NO_RANDOMIZE);
            Ok(ptrace::traceme()?)
        };
        // SAFETY: two system calls, between fork and exec, that touch no memory.
        unsafe { command.pre_exec(fixed) };
        let mut program = Program::start(command, input);
        let pid = program.child.pid;
        let child = std::mem::replace(&mut program.child, Child { pid, reaped: true });
        let mut tracee = Tracee { child, images: Vec::new(), exact: true, ended: None };
        assert_eq!(tracee.wait(), Some(Stop::Trap), "exec");
        tracee.set_options();
        tracee.run_to_entry(|number, _| calls.contains(&number));
        tracee.images = images(tracee.pid());
        let personality = std::fs::read_to_string(format!("/proc/{}/personality", tracee.pid()));
        let personality = u32::from_str_radix(personality.expect("its personality").trim(), 16);
        tracee.exact = personality.is_ok_and(|p| p & Persona::ADDR_NO_RANDOMIZE.bits() as u32 != 0);
        (tracee, program)
    }

    fn pid(&self) -> Pid {
        self.child.pid()
    }

    fn set_options(&self) {
        let options = Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACESYSGOOD;
        ptrace::setoptions(self.pid(), options).expect("PTRACE_SETOPTIONS");
    }

    /// The next stop; none: it ended.
    fn wait(&mut self) -> Option<Stop> {
        match waited("a traced process", waitpid(self.pid(), None)) {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Some(Stop::Trap),
            WaitStatus::PtraceSyscall(_) => Some(Stop::Call),
            WaitStatus::Exited(_, code) => {
                assert!(code != 101, "the traced process panicked");
                self.ended = Some(code);
                None
            }
            other => panic!("the traced process: {other:?}"),
        }
    }

    /// To the next entry or return of a system call.
    pub fn run_to_call(&mut self) -> Option<Stop> {
        ptrace::syscall(self.pid(), None).expect("PTRACE_SYSCALL");
        self.wait()
    }

    /// To the entry of the next system call that is one of those meant, by its number and its
    /// first three arguments.
    pub fn run_to_entry(&mut self, meant: impl Fn(i64, [u64; 3]) -> bool) {
        loop {
            assert_eq!(self.run_to_call(), Some(Stop::Call), "it never makes that system call");
            let now = self.registers();
            // On entry, and only there, the kernel has put this into the result's place.
            if now.rax as i64 != -i64::from(libc::ENOSYS) {
                continue;
            }
            if meant(now.orig_rax as i64, [now.rdi, now.rsi, now.rdx]) {
                return;
            }
        }
    }

    pub fn step(&mut self) -> Option<Stop> {
        ptrace::step(self.pid(), None).expect("PTRACE_SINGLESTEP");
        self.wait()
    }

    fn go_on(&mut self) -> Option<Stop> {
        ptrace::cont(self.pid(), None).expect("PTRACE_CONT");
        self.wait()
    }

    pub fn registers(&self) -> user_regs_struct {
        ptrace::getregs(self.pid()).expect("PTRACE_GETREGS")
    }

    /// Where the kernel's own code is that reads the clock without a system call.
    pub fn clock_code(&self) -> Range<u64> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid())).expect("its maps");
        let line = maps.lines().find(|line| line.ends_with("[vdso]")).unwrap_or("0-0 ");
        let mut ends = line.split(['-', ' ']).map_while(|at| u64::from_str_radix(at, 16).ok());
        ends.next().unwrap_or(0)..ends.next().unwrap_or(0)
    }

    /// The aligned word that holds the byte at `at`.
    pub fn word(&self, at: u64) -> u64 {
        ptrace::read(self.pid(), (at & !7) as ptrace::AddressType).expect("PTRACE_PEEKTEXT") as u64
    }

    fn set_word(&self, at: u64, word: u64) {
        ptrace::write(self.pid(), (at & !7) as ptrace::AddressType, word as i64)
            .expect("PTRACE_POKETEXT");
    }

    /// The first bytes of the instruction at `at`, as many as its word holds.
    pub fn code(&self, at: u64) -> u64 {
        let shift = (at & 7) * 8;
        match shift {
            0 => self.word(at),
            _ => (self.word(at) >> shift) | (self.word(at + 8) << (64 - shift)),
        }
    }

    /// Runs on to `at` and returns how many system calls it made on the way; none: it never came
    /// there.
    pub fn break_at(&mut self, at: u64) -> Option<usize> {
        let word = self.word(at);
        let shift = (at & 7) * 8;
        self.set_word(at, word & !(0xff << shift) | (0xcc << shift));
        let mut stops = 0;
        while self.run_to_call()? == Stop::Call {
            stops += 1;
        }
        let mut registers = self.registers();
        if registers.rip != at + 1 {
            return None;
        }
        self.set_word(at, word);
        registers.rip = at;
        ptrace::setregs(self.pid(), registers).expect("PTRACE_SETREGS");
        Some(stops / 2)
    }

    /// Lets it run to its next [`mark`].
    pub fn run_to_mark(&mut self) {
        assert_eq!(self.go_on(), Some(Stop::Trap), "its next mark");
    }

    /// Lets it run to its end and returns its exit code.
    pub fn run_to_end(&mut self) -> i32 {
        while self.ended.is_none() {
            let stop = self.go_on();
            assert_eq!(stop, None, "the traced process stops before its end");
        }
        self.ended.unwrap_or_default()
    }

    /// As [`run_to_end`](Self::run_to_end), past the marks that are left.
    pub fn run_past_marks(&mut self) -> i32 {
        while self.ended.is_none() {
            self.go_on();
        }
        self.ended.unwrap_or_default()
    }

    /// Kills it where it is; it is a zombie when this returns.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            self.child.kill();
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // One that ended by itself was reaped by the wait that saw it.
        self.child.reaped |= self.ended.is_some();
    }
}

/// Brings the C library's heap into one state, whatever the stage has taken and given back before:
/// what is free lies at its end alone, and is of one size. Else each process that is forked takes
/// other paths through `malloc`. What this takes stays taken: the process lives for milliseconds.
fn settle_heap() {
    #[cfg(target_env = "gnu")]
    {
        // Bytes that are free, and of them at the end.
        let free = || {
            // SAFETY: the caller is the process's only thread.
            let now = unsafe { libc::mallinfo2() };
            (now.fordblks, now.keepcost)
        };
        let take = |bytes: usize, times: usize| {
            for _ in 0..times {
                // SAFETY: memory that nobody uses; the compiler is not to know that.
                let _ = std::hint::black_box(unsafe { libc::malloc(bytes) });
            }
        };
        let caches = || (24..=1032).step_by(16).for_each(|bytes| take(bytes, CACHED));
        caches();
        let mut bytes = 1 << 20;
        while free().0 > free().1 {
            let before = free().0 - free().1;
            take(bytes, CACHED + 1);
            if free().0 - free().1 == before {
                bytes = if bytes > 24 { bytes / 2 } else { 1 << 20 };
            }
        }
        caches();
        while free().1 < HEAP_LEFT {
            take(HEAP_LEFT / 2, 1);
        }
        take(free().1 - HEAP_LEFT, 1);
    }
}

/// Blocks of one size that glibc keeps aside for a thread (`glibc.malloc.tcache_count`).
const CACHED: usize = 7;

/// What is left at the heap's end.
const HEAP_LEFT: usize = 60_000;

/// Where a traced process has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Trap,
    Call,
}

/// The files a process has mapped, and the lowest address of each, in order of address.
fn images(pid: Pid) -> Vec<(String, u64)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps");
    let mut images: Vec<(String, u64)> = Vec::new();
    for line in maps.lines() {
        let name = line.splitn(6, ' ').nth(5).unwrap_or_default().trim();
        let base = line.split('-').next().and_then(|at| u64::from_str_radix(at, 16).ok());
        if let (false, Some(base)) = (name.is_empty(), base) {
            if images.iter().all(|(other, _)| other != name) {
                images.push((name.to_string(), base));
            }
        }
    }
    images
}
