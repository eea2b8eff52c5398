//! The command line.

use crate::logging::Settings;
use crate::values::{bad, ftok, group, key, mode, number, seconds, text, usage, user};
use crate::words::Words;
use anyhow::Result;
use shmdemo::{Key, Options};
use std::path::PathBuf;
use std::time::Duration;

pub const HELP: &str = "\
Takes the messages of a shared memory channel to an MQTT broker, or a broker's into a channel: each at
least once, in order within a lane, whoever is killed (MQTT 3.1.1, QoS 1).

usage: shmdemo-mqtt out --topic TOPIC [options]
       shmdemo-mqtt in --topic FILTER [options]

  out   releases a message when the broker has acknowledged it; it is the channel's server
  in    acknowledges a message when it is in the channel; it is a client of the channel

the broker:
  -b, --broker HOST[:PORT]   where it listens; [ADDRESS]:PORT for IPv6 [default: localhost:1883]
  -t, --topic TOPIC          where messages go, %l stands for the number of the lane; with 'in' the
                             filter to subscribe to; at most 250 bytes
      --client-id NAME       fixed, and no other client's: under it the broker keeps what comes while
                             'in' is away [default: shmdemo-DIRECTION-KEY-HOST]
      --login FILE           user in the first line, password in the second; nobody else may read it
      --keep-alive SECONDS   a broker that says nothing for so long is left, 1 to 65535 [default: 30]
      --will TOPIC           retained there: 'online', and 'offline' when this program is gone
      --window N             out: messages on the way at once, 1 to 1000 [default: 100]
      --retry SECONDS        longest pause between two connections, which double from 0.1 s on
                             [default: 30]
      --refused FILE         out: a message that the broker closes the connection at, five times when
                             it is alone on the way, is put here and let go of; without this it is in
                             the log

the channel:
  -k, --key KEY              decimal or 0x hex number [default: 1234]
      --ftok PATH,ID         the key that ftok(3) makes of a file and a character
      --owner USER           accept a channel of this user
      --mode MODE            of a channel that this creates [default: 0600]
      --group GROUP          of a channel that this creates
      --no-create            wait for somebody else to create it

  --status FILE              counters as JSON, written at most once a second
  --syslog                   log to syslog instead of stderr
  -v, --verbose  -q, --quiet
  -h, --help  -V, --version

SIGTERM and SIGINT end it when what is on the way is acknowledged, after two seconds at most.
NOTIFY_SOCKET and WATCHDOG_USEC are heeded as in sd_notify(3).

exit status:
  0 ended by a signal  64 usage  69 the channel was removed, or the broker takes no such client
  73 the channel can't be created  74 input or output failed  75 somebody else has the role
  76 the segment is not ours  77 no permission, at the channel or at the broker  128+N killed by signal N
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Out,
    In,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub password: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Args {
    pub direction: Direction,
    pub options: Options,
    pub broker: String,
    pub topic: String,
    pub client_id: String,
    pub login: Option<Login>,
    pub keep_alive: Duration,
    pub will: Option<String>,
    pub window: usize,
    pub retry: Duration,
    pub refused: Option<PathBuf>,
    pub status: Option<PathBuf>,
    pub log: Settings,
}

pub enum Parsed {
    Run(Box<Args>),
    Print(String),
}

/// A topic that messages can be sent to, or with `filter` a filter, both as MQTT has them.
fn topic(option: &str, value: String, filter: bool) -> Result<String> {
    let levels = || value.split('/');
    let wild = |level: &str| level.contains(['+', '#']);
    let good = match filter {
        true => {
            levels().all(|level| level.len() == 1 || !wild(level))
                && levels().rev().skip(1).all(|level| level != "#")
        }
        false => !wild(&value),
    };
    if value.is_empty() || value.len() > 250 || value.contains('\0') || !good {
        let range = match filter {
            true => {
                "a filter of 1..250 bytes: + for one level, # for all below, nothing else in theirs"
            }
            false => "a topic of 1..250 bytes without + and #",
        };
        return Err(bad(option, &value, range));
    }
    Ok(value)
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`, as `HOST:PORT`.
fn broker(value: &str) -> Result<String> {
    let wrong =
        || bad("--broker", value, "HOST, HOST:PORT or [ADDRESS]:PORT, with a port of 1..65535");
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        None => (value, "1883"),
        _ if value.ends_with(']') => (value, "1883"),
        _ => return Err(wrong()),
    };
    let port = number(port).filter(|port| (1..=65535).contains(port)).ok_or_else(wrong)?;
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

/// Reads the login from its file: it is on no command line, which everybody can read.
fn login(path: &str) -> Result<Login> {
    use std::os::unix::fs::MetadataExt;
    let wrong = |what: String| usage(format!("--login '{path}': {what}"));
    let file = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if file.mode() & 0o077 != 0 {
        return Err(wrong(format!(
            "mode {:04o} lets others at it: chmod 0600",
            file.mode() & 0o7777
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let mut lines = text.lines();
    match (lines.next(), lines.next(), lines.next()) {
        (Some(user), Some(password), None) if !user.is_empty() => {
            Ok(Login { user: user.into(), password: password.into() })
        }
        _ => Err(wrong("must have two lines, user and password".into())),
    }
}

fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}

pub fn parse(mut words: Words) -> Result<Parsed> {
    let mut direction = None;
    let (mut by_key, mut by_ftok) = (None, None);
    // Set in a channel that is described when its key is known.
    let mut set: Vec<Box<dyn FnOnce(Options) -> Options>> = Vec::new();
    let (mut to, mut topics, mut client_id, mut logged_in, mut will) =
        ("localhost:1883".to_string(), None, None, None, None);
    let (mut keep_alive, mut window, mut retry) = (30, None, Duration::from_secs(30));
    let (mut refused, mut status, mut log) = (None, None, Settings::default());
    while let Some((arg, operand)) = words.next()? {
        if operand {
            match (arg.as_str(), direction) {
                ("out", None) => direction = Some(Direction::Out),
                ("in", None) => direction = Some(Direction::In),
                _ => return Err(bad("argument", &arg, "'out' or 'in', once")),
            }
            continue;
        }
        match arg.as_str() {
            "-b" | "--broker" => to = broker(&text(&mut words, "--broker")?)?,
            "-t" | "--topic" => topics = Some(text(&mut words, "--topic")?),
            "--client-id" => {
                let name = text(&mut words, "--client-id")?;
                if name.is_empty() || name.len() > 250 || name.contains('\0') {
                    return Err(bad("--client-id", &name, "1..250 bytes"));
                }
                client_id = Some(name);
            }
            "--login" => logged_in = Some(login(&text(&mut words, "--login")?)?),
            "--keep-alive" => {
                let value = text(&mut words, "--keep-alive")?;
                let good = number(&value).filter(|n| (1..=65535).contains(n));
                keep_alive = good.ok_or_else(|| bad("--keep-alive", &value, "1..65535 seconds"))?;
            }
            "--will" => will = Some(topic("--will", text(&mut words, "--will")?, false)?),
            "--window" => {
                let value = text(&mut words, "--window")?;
                let good = number(&value).filter(|n| (1..=1000).contains(n));
                window = Some(good.ok_or_else(|| bad("--window", &value, "1..1000"))? as usize);
            }
            "--retry" => {
                let value = text(&mut words, "--retry")?;
                let good = seconds(&value).filter(|s| (1..=3600).contains(&s.as_secs()));
                retry = good.ok_or_else(|| bad("--retry", &value, "1..3600 seconds"))?;
            }
            "--refused" => refused = Some(words.value("--refused")?.into()),
            "--status" => status = Some(words.value("--status")?.into()),
            "-k" | "--key" => {
                by_key = Some(key("--key", &text(&mut words, "--key")?)?);
            }
            "--ftok" => by_ftok = Some(ftok(&words.value("--ftok")?)?),
            "--owner" => {
                let uid = user("--owner", &text(&mut words, "--owner")?)?;
                set.push(Box::new(move |options| options.owner(uid)));
            }
            "--mode" => {
                let bits = mode(&text(&mut words, "--mode")?, 0o600)?;
                set.push(Box::new(move |options| options.mode(bits)));
            }
            "--group" => {
                let gid = group("--group", &text(&mut words, "--group")?)?;
                set.push(Box::new(move |options| options.group(gid)));
            }
            "--no-create" => set.push(Box::new(|options| options.create(false))),
            "--syslog" => log.syslog = true,
            "-v" | "--verbose" => log.louder(),
            "-q" | "--quiet" => log.quieter(),
            "-h" | "--help" => return Ok(Parsed::Print(HELP.into())),
            "-V" | "--version" => {
                return Ok(Parsed::Print(format!(
                    "{} {}\n",
                    crate::NAME,
                    env!("CARGO_PKG_VERSION")
                )))
            }
            other => return Err(usage(format!("{other}: no such option"))),
        }
    }
    let direction = direction.ok_or_else(|| usage("'out' or 'in' is missing"))?;
    let channel = match (by_key, by_ftok) {
        (Some(_), Some(_)) => {
            return Err(usage("--key and --ftok: only one of them can name the key"))
        }
        (one, other) => one.or(other).unwrap_or(Key::DEFAULT),
    };
    if direction == Direction::In && (window.is_some() || refused.is_some()) {
        return Err(usage("--window, --refused: only with 'out'"));
    }
    let given = topics.ok_or_else(|| usage("--topic is missing"))?;
    let topic = topic("--topic", given, direction == Direction::In)?;
    let client_id = client_id
        .unwrap_or_else(|| format!("shmdemo-{}-{}-{}", direction.name(), channel.raw(), host()));
    let window = window.unwrap_or(100);
    // As many changes of lane as there may be messages on the way.
    let options = Options::new(channel).lane_changes(window as u32 + 1);
    let options = set.into_iter().fold(options, |options, change| change(options));
    let keep_alive = Duration::from_secs(keep_alive.into());
    Ok(Parsed::Run(Box::new(Args {
        direction,
        options,
        broker: to,
        topic,
        client_id,
        login: logged_in,
        keep_alive,
        will,
        window,
        retry,
        refused,
        status,
        log,
    })))
}
