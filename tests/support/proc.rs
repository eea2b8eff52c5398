//! Processes whose output is collected, whose every wait has a deadline, and which never outlive their test.

use super::{patience, until};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// What a process has written so far.
#[derive(Clone, Default)]
struct Collected(Arc<(Mutex<SoFar>, Condvar)>);

#[derive(Default)]
struct SoFar {
    bytes: Vec<u8>,
    ended: bool,
}

impl Collected {
    fn from(mut source: impl Read + Send + 'static) -> Collected {
        let collected = Collected::default();
        let into = collected.clone();
        std::thread::spawn(move || {
            let mut part = [0; 16384];
            loop {
                let length = source.read(&mut part).unwrap_or(0);
                let mut state = into.0 .0.lock().unwrap();
                state.bytes.extend_from_slice(&part[..length]);
                state.ended |= length == 0;
                into.0 .1.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        collected
    }

    fn so_far(&self) -> Vec<u8> {
        self.0 .0.lock().unwrap().bytes.clone()
    }

    /// Waits until `ready` says so of what came, or it ended; false at the deadline or the end.
    fn wait(&self, ready: impl Fn(&[u8], bool) -> bool) -> bool {
        let start = Instant::now();
        let mut state = self.0 .0.lock().unwrap();
        loop {
            if ready(&state.bytes, state.ended) {
                return true;
            }
            let Some(left) = patience().checked_sub(start.elapsed()) else {
                return false;
            };
            if state.ended {
                return false;
            }
            state = self.0 .1.wait_timeout(state, left).unwrap().0;
        }
    }
}

pub struct Proc {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Collected,
    err: Collected,
}

impl Proc {
    /// Starts it with pipes: stdin to be written, stdout and stderr collected.
    pub fn spawn(command: Command) -> Proc {
        Proc::spawn_with(command, Stdio::piped(), Stdio::piped())
    }

    pub fn spawn_with(command: Command, stdin: Stdio, stdout: Stdio) -> Proc {
        let (mut proc, out) = Proc::spawn_reading(command, stdin, stdout);
        if let Some(out) = out {
            proc.out = Collected::from(out);
        }
        proc
    }

    /// Its stdout is left to the caller.
    pub fn spawn_reading(
        mut command: Command,
        stdin: Stdio,
        stdout: Stdio,
    ) -> (Proc, Option<ChildStdout>) {
        let name = format!("{command:?}");
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        // A program just copied is "busy" while another thread's child, on its way to its own
        // program, has still inherited the descriptor it was written through.
        let mut spawned = command.spawn();
        until("a program that nobody writes to", || {
            let busy = |e: &std::io::Error| e.raw_os_error() == Some(nix::libc::ETXTBSY);
            if spawned.as_ref().is_err_and(busy) {
                spawned = command.spawn();
            }
            !spawned.as_ref().is_err_and(busy)
        });
        let mut child = spawned.unwrap_or_else(|e| panic!("{name}: {e}"));
        let err = Collected::from(child.stderr.take().expect("stderr is a pipe"));
        let out = child.stdout.take();
        let stdin = child.stdin.take();
        (Proc { name, child, stdin, out: Collected::from(std::io::empty()), err }, out)
    }

    pub fn pid(&self) -> i64 {
        self.child.id().into()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("kill");
    }

    /// SIGSTOP, and it has stopped when this returns.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        until("every task of it is stopped", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its tasks");
            let state = |task: std::path::PathBuf| {
                let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
                stat.rsplit(')').next().unwrap_or_default().trim().starts_with('T')
            };
            tasks.flatten().all(|task| state(task.path()))
        });
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).expect("writing to its stdin");
    }

    /// Writes all of it from a thread, then closes.
    pub fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.stdin.take().expect("stdin is open");
        std::thread::spawn(move || stdin.write_all(&bytes)); // EPIPE where it ends early: as intended
    }

    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("stdin is open")
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub fn stdout(&self) -> Vec<u8> {
        self.out.so_far()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.err.so_far()).into_owned()
    }

    #[track_caller]
    pub fn wait_stdout(&self, what: &str, ready: impl Fn(&[u8]) -> bool) {
        if !self.out.wait(|bytes, _| ready(bytes)) {
            let out = self.out.so_far();
            let tail = String::from_utf8_lossy(&out[out.len().saturating_sub(500)..]).into_owned();
            panic!(
                "{}: stdout never had {what}: ...{tail:?}, stderr: {}",
                self.name,
                self.stderr()
            );
        }
    }

    #[track_caller]
    pub fn wait_stderr(&self, what: &str, ready: impl Fn(&str) -> bool) {
        if !self.err.wait(|bytes, _| ready(&String::from_utf8_lossy(bytes))) {
            panic!("{}: stderr never had {what}: {:?}", self.name, self.stderr());
        }
    }

    pub fn alive(&mut self) -> bool {
        self.child.try_wait().expect("try_wait").is_none()
    }

    /// Fails with what it said where it is a zombie or gone already.
    #[track_caller]
    pub fn check_alive(&self) {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim().chars().next();
        let running = !matches!(state, None | Some('Z' | 'X'));
        assert!(running, "{} is over: {}", self.name, self.stderr());
    }

    /// kill -9, and it is dead when this returns.
    pub fn kill(mut self) -> Output {
        self.signal(Signal::SIGKILL);
        self.finish_with_stdin()
    }

    /// Closes its stdin and waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        self.close_stdin();
        self.finish_with_stdin()
    }

    /// Waits for its end with its stdin still open.
    #[track_caller]
    pub fn finish_with_stdin(&mut self) -> Output {
        let start = Instant::now();
        let ended = self.err.wait(|_, end| end); // as a rule its own end
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("try_wait") {
                break status;
            }
            let patient = start.elapsed() < patience();
            assert!(patient, "{} does not end; stderr: {}", self.name, self.stderr());
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        assert!(ended, "{}: stderr does not end", self.name);
        assert!(self.out.wait(|_, end| end), "{}: stdout does not end", self.name);
        let out = Output {
            name: self.name.clone(),
            status,
            stdout: self.out.so_far(),
            stderr: self.stderr(),
        };
        out.assert_no_panic();
        out
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does it wait for something in the kernel just now?
pub fn waits(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().unwrap_or_default().trim().starts_with('S')
}

/// Does it wait for something in the kernel, and go on waiting?
pub fn asleep(pid: i64) -> bool {
    waits(pid) && {
        std::thread::sleep(std::time::Duration::from_millis(100));
        waits(pid)
    }
}

/// How a process ended and what it wrote.
pub struct Output {
    name: String,
    status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    /// As a shell sees it: 128 + signal where one ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    #[track_caller]
    pub fn expect(&self, code: i32) -> &Output {
        let out = self.text();
        let from = out.char_indices().rev().nth(600).map_or(0, |(at, _)| at);
        assert_eq!(
            self.code(),
            code,
            "{}\nstdout: ...{}\nstderr: {}",
            self.name,
            &out[from..],
            self.stderr
        );
        self
    }

    /// Exit code, and every one of the words on stderr, whatever their case.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) -> &Output {
        self.expect(code);
        let said = self.said();
        for word in words {
            assert!(
                said.contains(&word.to_lowercase().replace('_', " ")),
                "{}\nno '{word}' in: {}",
                self.name,
                self.stderr
            );
        }
        self
    }

    /// What it said on stderr, in small letters; names of fields as words.
    pub fn said(&self) -> String {
        self.stderr.to_lowercase().replace('_', " ")
    }

    #[track_caller]
    fn assert_no_panic(&self) {
        let said = self.stderr.to_lowercase();
        let crash = matches!(self.status.signal(), Some(4 | 6 | 7 | 8 | 11)) || self.code() == 101;
        let panicked = said.contains("panicked") || said.contains("backtrace");
        assert!(!crash && !panicked, "{} crashed: {:?}: {}", self.name, self.status, self.stderr);
    }
}

/// Runs it to its end with this on stdin.
#[track_caller]
pub fn run(command: Command, input: &[u8]) -> Output {
    let mut proc = Proc::spawn(command);
    proc.feed(input.to_vec());
    proc.finish_with_stdin()
}
