//! What all tests share: finding the two programs, keys of one's own, processes with deadlines.
//!
//! `SHMDEMO_BIN_DIR`: where the programs are (else beside the test, then PATH).
//! `SHMDEMO_TEST_SLOW`: how many times longer than usual a slow machine may take.
#![allow(dead_code, unused_imports)] // each test file is a program of its own and uses a part of this

pub mod image;
pub mod json;
pub mod proc;
pub mod raw;
pub mod streams;
pub mod tree;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use json::Json;
pub use proc::{run, Output, Proc};

/// Says on stdout, past the test harness's capture, why a test did not run here.
pub fn skipped(reason: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_string();
    let _ = writeln!(std::io::stdout(), "skipped: {reason} ({test})");
}

/// How long anything may take before the test fails.
pub fn patience() -> Duration {
    let factor = std::env::var("SHMDEMO_TEST_SLOW").ok();
    let factor = factor.map_or(1, |f| f.parse().expect("SHMDEMO_TEST_SLOW: a whole number"));
    Duration::from_secs(45) * factor
}

/// Asks until the answer is yes; fails at the deadline. Asks less often the longer it takes: on a slow
/// machine the asking would hold up what is waited for.
#[track_caller]
pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let (start, mut pause) = (Instant::now(), Duration::from_millis(1));
    while !ready() {
        assert!(start.elapsed() < patience(), "gave up waiting: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(32));
    }
}

/// What a program has a second for, with the instant before that began. Where it failed and all of the second had
/// passed, the machine may have stood still, as a virtual one does that waits for others: it is tried again, a few
/// times.
pub fn again_where_it_stood_still(mut attempt: impl FnMut() -> (Instant, Output)) -> Output {
    for _ in 0..4 {
        let (begin, out) = attempt();
        if out.code() == 0 || begin.elapsed() < Duration::from_secs(1) {
            return out;
        }
    }
    attempt().1
}

/// The file of this test. Asked for once, before anything is mounted: after that, and in a root
/// directory of its own (chroot), the kernel names it as seen from outside.
pub fn test_file() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| std::env::current_exe().expect("path of this test"))
}

/// A program of this name: where SHMDEMO_BIN_DIR says, beside this test, one folder up, or in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let beside = test_file().ancestors().skip(1).take(2).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("SHMDEMO_BIN_DIR")
        .map(PathBuf::from)
        .into_iter()
        .chain(beside)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn program(name: &str) -> Command {
    let path = find_program(name).unwrap_or_else(|| panic!("no {name}: set SHMDEMO_BIN_DIR"));
    let mut command = Command::new(path);
    raw::with_usual_signals(&mut command);
    command
}

/// The packages leave `shmdemo-server relay` out unless it is asked for. Not so a server that was built
/// with this test.
pub fn no_relay() -> bool {
    let mut help = server();
    help.args(["relay", "--help"]);
    let without = run(help, b"").code() == 64;
    if without {
        let (test, server) = (test_file(), find_program("shmdemo-server").expect("run just now"));
        let together =
            test.ancestors().skip(1).take(2).any(|folder| Some(folder) == server.parent());
        assert!(!(together && cfg!(feature = "relay")), "it was built with a relay");
        skipped("shmdemo-server was built without its relay");
    }
    without
}

pub fn server() -> Command {
    program("shmdemo-server")
}

pub fn client() -> Command {
    program("shmdemo-client")
}

/// A key of the test's own. Segment and semaphores with this key are removed at the end.
pub struct Channel {
    pub key: i32,
    /// Its bit is set in [`taken`].
    count: Option<u32>,
}

impl Channel {
    pub fn new() -> Channel {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            // It comes round: another test may have this one, and nothing there just now.
            let count = COUNT.fetch_add(1, Ordering::Relaxed) & 0xff;
            let (word, bit) = taken(count);
            if word.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
                continue;
            }
            let key = (0x4000_0000 | ((std::process::id() & 0x3f_ffff) << 8) | count) as i32;
            if is_free(key) {
                return Channel { key, count: Some(count) };
            }
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// None where something has this key already.
    pub fn with_key(key: i32) -> Option<Channel> {
        is_free(key).then_some(Channel { key, count: None })
    }

    fn with<S: AsRef<std::ffi::OsStr>>(&self, mut command: Command, args: &[S]) -> Command {
        command.arg("-k").arg(self.key.to_string()).args(args);
        command
    }

    pub fn server(&self, args: &[&str]) -> Command {
        self.with(server(), args)
    }

    pub fn client(&self, args: &[&str]) -> Command {
        self.with(client(), args)
    }

    /// `shmdemo-server status|set|remove`.
    pub fn sub(&self, word: &str, args: &[&str]) -> Command {
        let mut command = server();
        command.arg(word);
        self.with(command, args)
    }

    pub fn status(&self) -> Json {
        let out = run(self.sub("status", &["--json"]), b"");
        out.expect(0);
        Json::parse(&out.text())
            .unwrap_or_else(|why| panic!("status --json: {why}: {}", out.text()))
    }

    /// A running server that holds its role. Its stdout is collected.
    pub fn running(&self, args: &[&str]) -> Proc {
        let server = Proc::spawn(self.server(args));
        self.await_holder(&server);
        server
    }

    pub fn await_holder(&self, server: &Proc) {
        until("the server holds its role", || {
            let out = run(self.sub("status", &["--json"]), b"");
            server.check_alive();
            Json::parse(&out.text()).is_ok_and(|status| server_pid(&status) == Some(server.pid()))
        });
        // Behind that it takes up the lanes under the creation lock: who stops it then keeps all others out.
        until("it has begun to serve", || {
            server.check_alive();
            let lock = raw::sem_look(self.key, 0, nix::libc::GETVAL);
            proc::waits(server.pid()) && lock.map_or(true, |holders| holders == 0)
        });
    }

    /// A channel with these lines in it and nobody at work on it.
    pub fn filled(&self, lines: &[u8]) {
        run(self.client(&[]), lines).expect(0);
    }

    pub fn segment(&self) -> ShmRow {
        shm_row(self.key).expect("a segment with the test's key")
    }

    pub fn bytes(&self) -> Vec<u8> {
        raw::shm_bytes(self.segment().id)
    }

    #[track_caller]
    pub fn assert_gone(&self) {
        assert_eq!(shm_row(self.key), None, "the segment is still there");
        assert_eq!(sem_row(self.key), None, "the semaphores are still there");
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(row) = shm_row(self.key) {
            raw::shm_remove(row.id);
        }
        if let Some(row) = sem_row(self.key) {
            raw::sem_remove(row.id);
        }
        if let Some((word, bit)) = self.count.map(taken) {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

/// Where it stands that a test of this process has the key with this number; no lock, for tests that fork.
fn taken(count: u32) -> (&'static AtomicU32, u32) {
    #[allow(clippy::declare_interior_mutable_const)] // to fill the array with
    const NONE: AtomicU32 = AtomicU32::new(0);
    static TAKEN: [AtomicU32; 8] = [NONE; 8];
    (&TAKEN[count as usize / 32], 1 << (count % 32))
}

fn is_free(key: i32) -> bool {
    shm_row(key).is_none() && sem_row(key).is_none()
}

/// The server's pid in a status object: a number whose name has `pid`, itself or its object named `server`.
pub fn server_pid(status: &Json) -> Option<i64> {
    let mut pid = None;
    let mut see = |name: &str, value: &Json| {
        let inner = match value {
            Json::Object(inner) => inner.iter().find(|(name, _)| name == "pid").map(|(_, v)| v),
            other => Some(other),
        };
        if let (true, Some(Json::Number(number))) = (name.contains("server"), inner) {
            pid = Some(*number as i64);
        }
    };
    status.walk("", &mut see);
    pid
}

/// One line of /proc/sysvipc/shm.
#[derive(Debug, Clone, PartialEq)]
pub struct ShmRow {
    pub id: i32,
    pub perms: u32,
    pub size: usize,
    pub cpid: i64,
    pub attached: u32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
}

/// One line of /proc/sysvipc/sem.
#[derive(Debug, Clone, PartialEq)]
pub struct SemRow {
    pub id: i32,
    pub perms: u32,
    pub uid: u32,
    pub gid: u32,
}

fn row(file: &str, key: i32) -> Option<Vec<String>> {
    let table = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(String::from).collect::<Vec<_>>())
        .find(|words| words[0].parse() == Ok(key))
}

pub fn shm_row(key: i32) -> Option<ShmRow> {
    row("/proc/sysvipc/shm", key).map(|words| ShmRow {
        id: words[1].parse().expect("shmid"),
        perms: u32::from_str_radix(&words[2], 8).expect("perms"),
        size: words[3].parse().expect("size"),
        cpid: words[4].parse().expect("cpid"),
        attached: words[6].parse().expect("nattch"),
        uid: words[7].parse().expect("uid"),
        gid: words[8].parse().expect("gid"),
        cuid: words[9].parse().expect("cuid"),
    })
}

pub fn sem_row(key: i32) -> Option<SemRow> {
    row("/proc/sysvipc/sem", key).map(|words| SemRow {
        id: words[1].parse().expect("semid"),
        perms: u32::from_str_radix(&words[2], 8).expect("perms"),
        uid: words[4].parse().expect("uid"),
        gid: words[5].parse().expect("gid"),
    })
}

/// A folder of the test's own, for everybody to read, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("shmdemo-test-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for temporary files");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `work` in a thread of its own, so that what it unshares ends with it.
pub fn in_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    test_file();
    let name = std::thread::current().name().unwrap_or("?").to_string();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name);
        let result = thread.spawn_scoped(scope, work).expect("a thread").join();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The lines "1" to "last".
pub fn numbered(last: u32) -> Vec<u8> {
    (1..=last).flat_map(|n| format!("{n}\n").into_bytes()).collect()
}

/// Random numbers (xorshift64*), the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }
}
