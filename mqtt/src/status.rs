//! Counters, in a file for whoever wants to look.

use crate::args::Args;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time between a change and its being in the file.
const EVERY: Duration = Duration::from_secs(1);

/// What this process did. They wrap.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    pub connected: bool,
    /// Connections that the broker accepted.
    pub connections: u64,
    /// out: messages sent, each time that they were; in: messages put into the channel.
    pub passed: u64,
    /// Messages acknowledged, by the broker or to it.
    pub acknowledged: u64,
    /// Of those sent, or received, the ones that were on the way when a connection broke.
    pub again: u64,
    /// out: messages that the broker closed the connection at, let go of.
    pub refused: u64,
    /// in: messages longer than the channel takes, let go of.
    pub too_long: u64,
    /// out: messages on the way.
    pub on_the_way: u64,
}

pub struct Status {
    pub now: Counters,
    written: Option<Counters>,
    next: Instant,
    file: Option<PathBuf>,
    head: String,
    failed: bool,
}

/// Text as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

impl Status {
    pub fn new(args: &Args) -> Self {
        let head = format!(
            "{{\"direction\":\"{}\",\"pid\":{},\"broker\":{},\"topic\":{},\"client_id\":{}",
            args.direction.name(),
            std::process::id(),
            quoted(&args.broker),
            quoted(&args.topic),
            quoted(&args.client_id)
        );
        let file = args.status.clone();
        let now = Counters::default();
        Self { now, written: None, next: Instant::now(), file, head, failed: false }
    }

    fn text(&self) -> String {
        let Counters { connected, connections, passed, acknowledged, again, .. } = self.now;
        let Counters { refused, too_long, on_the_way, .. } = self.now;
        format!(
            "{},\"connected\":{connected},\"connections\":{connections},\"passed\":{passed},\
             \"acknowledged\":{acknowledged},\"again\":{again},\"refused\":{refused},\
             \"too_long\":{too_long},\"on_the_way\":{on_the_way}}}\n",
            self.head
        )
    }

    /// Writes the file, if it is time and there is something new; `now`: in any case.
    pub fn write(&mut self, now: bool) {
        let Some(file) = &self.file else { return };
        if self.written == Some(self.now) || !now && Instant::now() < self.next {
            return;
        }
        let result = replace(file, &self.text());
        if let (Err(e), false) = (&result, self.failed) {
            log::warn!("--status '{}': {e}: counters are not written", file.display());
        }
        self.failed = result.is_err();
        self.written = Some(self.now);
        self.next = Instant::now() + EVERY;
    }

    /// How long until there is something to write; `None`: nothing is new.
    pub fn left(&self) -> Option<Duration> {
        let due = self.file.is_some() && self.written != Some(self.now);
        due.then(|| self.next.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }
}

/// Whoever reads the file finds all of it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut other = file.as_os_str().to_owned();
    other.push(".new");
    std::fs::write(&other, text)?;
    std::fs::rename(&other, file)
}
