//! The bridge and a real broker, each killed at random.
//!
//! `SHMDEMO_MQTT_MESSAGES`, `SHMDEMO_MQTT_KILLS`: how long the tests with kills are; by default short.
//! `SHMDEMO_BIN_DIR` has shmdemo-server, for the one that kills it.

mod broker;
mod client;
mod exchange;
mod kills;
mod refused;
mod silent;
mod slow;
mod tls;

use shmdemo::{Channel, Consumer, Deadline, Geometry, Key, Options, Producer};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// A channel's key that nothing else uses; gone with the value.
pub struct Place {
    pub key: i32,
}

static NEXT: AtomicI32 = AtomicI32::new(0);

impl Place {
    pub fn fresh() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { key: 0x7500_0000 | ((std::process::id() as i32 & 0xffff) << 8) | (number & 0xff) }
    }

    pub fn options(&self) -> Options {
        let geometry = Geometry { lanes: 2, ring_bytes: 16 << 10, max_message: 2048 };
        Options::new(Key::new(self.key).expect("not 0")).geometry(geometry)
    }

    pub fn producer(&self) -> Producer {
        let channel = Channel::open(&self.options(), Deadline::Never).expect("a channel");
        channel.into_producer(Deadline::Never).expect("a lane")
    }

    pub fn consumer(&self) -> Consumer {
        let channel = Channel::open(&self.options(), Deadline::Never).expect("a channel");
        channel.into_consumer().expect("the server role")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = shmdemo::remove(&self.options(), true);
    }
}

/// A process that is killed with the value.
pub struct Process(pub Child);

impl Process {
    pub fn kill(&mut self) {
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("a child");
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Its exit status and what it said.
    pub fn finish(&mut self) -> (Option<i32>, String) {
        let status = self.0.wait().expect("a child");
        let mut said = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            stderr.read_to_string(&mut said).expect("text");
        }
        (status.code(), said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bridge, with these arguments.
pub fn command(place: &Place, port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmdemo-mqtt"));
    command.args(args).args(["-k", &place.key.to_string()]);
    command.args(["--broker", &format!("127.0.0.1:{port}"), "--retry", "1"]);
    command.stderr(Stdio::piped());
    command
}

/// It runs.
pub fn bridge(place: &Place, port: u16, args: &[&str]) -> Process {
    Process(command(place, port, args).spawn().expect("the bridge"))
}

#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(30), "not in 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// A small generator: xorshift.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn usage_errors_are_64_and_name_what_is_wrong() {
    for (args, text) in [
        (&[][..], "'out' or 'in' is missing"),
        (&["out"], "--topic is missing"),
        (&["out", "in"], "'out' or 'in', once"),
        (&["out", "-t", "a/#"], "a topic of 1..250 bytes without + and #"),
        (&["in", "-t", "a/#/b"], "a filter of 1..250 bytes"),
        (&["in", "-t", "a+"], "a filter of 1..250 bytes"),
        (&["in", "-t", "a", "--window", "5"], "only with 'out'"),
        (&["out", "-t", "a", "--window", "0"], "1..1000"),
        (&["out", "-t", "a", "--broker", "host:0"], "a port of 1..65535"),
        (&["out", "-t", "a", "--broker", "::1"], "[ADDRESS]:PORT"),
        (&["out", "-t", "a", "--keep-alive", "0"], "1..65535"),
        (&["out", "-t", "a", "--login", "/nowhere"], "/nowhere"),
        (&["out", "-t", "a", "-k", "0"], "IPC_PRIVATE"),
        (&["out", "-t", "a", "--sideways"], "--sideways: no such option"),
    ] {
        let out = Command::new(env!("CARGO_BIN_EXE_shmdemo-mqtt")).args(args).output();
        let out = out.expect("the bridge");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(64), "{args:?}: {said}");
        assert!(said.contains(text), "{args:?}: {said}");
    }
}

#[test]
fn help_and_the_manual_name_the_same_options() {
    use std::collections::BTreeSet;
    let page = include_str!("../../shmdemo-mqtt.1");
    let out = Command::new(env!("CARGO_BIN_EXE_shmdemo-mqtt")).arg("--help").output();
    let out = out.expect("the bridge");
    let help = String::from_utf8(out.stdout).expect("text");
    assert_eq!(out.status.code(), Some(0));
    let options = |words: &str| -> BTreeSet<String> {
        let words = words.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|word| word.starts_with("--")).map(String::from).collect()
    };
    let listed = help.split("\nthe broker:\n").nth(1).expect("the options");
    let listed = listed.split("\nSIGTERM").next().expect("before the end");
    // The page's macro puts the first dash.
    let described: Vec<String> = page
        .lines()
        .filter(|line| line.starts_with(".It Fl"))
        .flat_map(|line| line.split(' '))
        .filter(|word| word.starts_with('-'))
        .map(|word| format!(" -{word}"))
        .collect();
    assert_eq!(options(listed), options(&described.concat()));
    for code in [0, 64, 69, 73, 74, 75, 76, 77] {
        assert!(page.contains(&format!("\n.It {code}\n")), "{code}");
    }
}
