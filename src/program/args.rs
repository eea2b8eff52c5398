//! The command lines: what there is, in which ranges, and what to say about what is not.

use super::help::{COMMON_HELP, EXIT_HELP, SERVER_HELP};
use super::logging::Settings;
#[cfg(feature = "relay")]
use super::relay::{self, Relay};
use super::sizes::{check_geometry, GeometryArgs};
use super::values::{
    address, bad, bytes_of, escaped, ftok, group, key, mode, number, seconds, size, text, usage,
    user,
};
use super::words::Words;
use crate::segment::layout;
use crate::shared_use;
use crate::sysv::{Key, PermChange};
use crate::Options;
use anyhow::Result;
use core::time::Duration;

/// A command line that was understood.
pub(super) enum Parsed<T> {
    /// Log like this and do that.
    Run(Settings, T),
    /// Print this and end.
    Print(String),
}

#[cfg(feature = "relay")]
impl<T> Parsed<T> {
    fn map<U>(self, to: impl FnOnce(T) -> U) -> Parsed<U> {
        match self {
            Parsed::Run(settings, what) => Parsed::Run(settings, to(what)),
            Parsed::Print(text) => Parsed::Print(text),
        }
    }
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Ring,
    SharedUse,
}

/// Options of both programs and all commands.
pub(super) struct Common {
    pub options: Options,
    pub separator: u8,
    pub protocol: Protocol,
    pub settings: Settings,
    key_given: bool,
    ftok_given: bool,
}

/// `shmdemo-server` without a command.
pub(super) struct Serve {
    pub common: Common,
    pub geometry: GeometryArgs,
    pub prefix: Vec<u8>,
    /// The text that ends C programs of the demo.
    pub end_word: Vec<u8>,
    pub persist: bool,
}

/// `shmdemo-server status`.
pub(super) struct StatusArgs {
    pub common: Common,
    pub json: bool,
    pub watch: Option<Duration>,
}

/// What `shmdemo-server` is to do.
pub(super) enum ServerCommand {
    Serve(Box<Serve>),
    Status(Box<StatusArgs>),
    Set(Box<Common>, PermChange),
    Remove(Box<Common>, bool),
    #[cfg(feature = "relay")]
    Relay(Box<Relay>),
}

/// The line that ends client and server, unless `--end-word` says otherwise; the C demo's.
pub(super) const END_WORD: &[u8] = b"end";

/// Longest `--prefix`, in bytes.
pub(super) const MAX_PREFIX: usize = 256;

impl Common {
    pub(super) fn new() -> Self {
        Self {
            options: Options::new(Key::DEFAULT),
            separator: b'\n',
            protocol: Protocol::Ring,
            settings: Settings::default(),
            key_given: false,
            ftok_given: false,
        }
    }

    /// Takes an option of both programs; false: it is none.
    pub(super) fn take(&mut self, arg: &str, words: &mut Words) -> Result<bool> {
        match arg {
            "-k" | "--key" => {
                self.options.key = key("--key", &text(words, "--key")?)?;
                self.key_given = true;
            }
            "--ftok" => {
                self.options.key = ftok(&words.value("--ftok")?)?;
                self.ftok_given = true;
            }
            "-0" | "--null" => self.separator = 0,
            "--protocol" => {
                let name = text(words, "--protocol")?;
                self.protocol = match name.as_str() {
                    "ring" => Protocol::Ring,
                    "shared_use_st" => Protocol::SharedUse,
                    _ => return Err(bad("--protocol", &name, "ring or shared_use_st")),
                };
            }
            "--text-size" => {
                let value = text(words, "--text-size")?;
                let most = shared_use::MAX_TEXT_BYTES;
                let bytes = size("--text-size", &value, 1, most, "1..64K bytes")?;
                self.options.text_bytes = Some(bytes);
            }
            "--foreign-semaphore" => self.options.foreign_semaphore = true,
            "--owner" => {
                self.options.owner = Some(user("--owner", &text(words, "--owner")?)?);
            }
            "--address" => {
                let place = &mut self.options.place.address;
                *place = Some(address(&text(words, "--address")?)?);
            }
            "--round" => self.options.place.round = true,
            "--lock" => self.options.lock = true,
            "--syslog" => self.settings.syslog = true,
            "-v" | "--verbose" => self.settings.louder(),
            "-q" | "--quiet" => self.settings.quieter(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.key_given && self.ftok_given {
            return Err(usage("--key and --ftok: only one of them can name the key"));
        }
        if self.protocol == Protocol::Ring {
            if self.options.text_bytes.is_some() {
                return Err(usage(
                    "--text-size: only with --protocol shared_use_st; the ring has --max-message",
                ));
            }
            if self.options.foreign_semaphore {
                return Err(usage("--foreign-semaphore: only with --protocol shared_use_st"));
            }
        }
        if self.options.place.round && self.options.place.address.is_none() {
            return Err(usage("--round: needs --address"));
        }
        Ok(())
    }
}

pub(super) fn end_word_of(words: &mut Words) -> Result<Vec<u8>> {
    let word = bytes_of(words.value("--end-word")?);
    if word.len() > layout::MAX_MESSAGE as usize {
        return Err(bad("--end-word", "…", "0..64K bytes long"));
    }
    Ok(word)
}

pub(super) fn unknown(arg: &str, operand: bool, program: &str, command: &str) -> anyhow::Error {
    if operand {
        let arg = escaped(arg);
        return usage(format!("'{arg}': {program} takes no such argument{command}"));
    }
    usage(format!("{}: no such option{command}", escaped(arg)))
}

pub(super) fn print<T>(arg: &str, program: &str, head: &str) -> Option<Parsed<T>> {
    match arg {
        "-h" | "--help" => Some(Parsed::Print(format!("{head}{COMMON_HELP}{EXIT_HELP}"))),
        "-V" | "--version" => {
            Some(Parsed::Print(format!("{program} {}\n", env!("CARGO_PKG_VERSION"))))
        }
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Serve,
    Status,
    Set,
    Remove,
}

/// Parses the command line of `shmdemo-server`.
pub(super) fn server(mut words: Words) -> Result<Parsed<ServerCommand>> {
    const NAME: &str = "shmdemo-server";
    let mut common = Common::new();
    let mut sizes = GeometryArgs::default();
    let mut change = PermChange::default();
    let (mut prefix, mut end_word, mut persist) = (Vec::new(), None, false);
    let (mut json, mut watch, mut force) = (false, None, false);
    let mut word = Word::Serve;
    let mut command = "";
    let mut first = true;
    while let Some((arg, operand)) = words.next()? {
        let was_first = core::mem::replace(&mut first, false);
        if operand && was_first {
            (word, command) = match arg.as_str() {
                "status" => (Word::Status, " after 'status'"),
                "set" => (Word::Set, " after 'set'"),
                "remove" => (Word::Remove, " after 'remove'"),
                #[cfg(feature = "relay")]
                "relay" => {
                    return Ok(
                        relay::parse(words)?.map(|relay| ServerCommand::Relay(Box::new(relay)))
                    )
                }
                _ => {
                    let arg = escaped(&arg);
                    return Err(usage(format!(
                        "'{arg}': no such command, must be status, set, remove or relay, or none"
                    )));
                }
            };
            continue;
        }
        if !operand {
            if let Some(done) = print(&arg, NAME, SERVER_HELP) {
                return Ok(done);
            }
            // What would change nothing is not taken in silence.
            let idle = [
                "-0",
                "--null",
                "--address",
                "--round",
                "--lock",
                "--text-size",
                "--foreign-semaphore",
            ];
            let taken = word == Word::Serve || !idle.contains(&arg.as_str());
            if taken && common.take(&arg, &mut words)? {
                continue;
            }
        }
        match (word, arg.as_str()) {
            _ if operand => return Err(unknown(&arg, true, NAME, command)),
            (Word::Serve, "--lanes") => {
                let value = text(&mut words, "--lanes")?;
                let lanes = number(&value).filter(|n| (1..=layout::MAX_LANES).contains(n));
                sizes.lanes = Some(lanes.ok_or_else(|| bad("--lanes", &value, "1..32"))?);
            }
            (Word::Serve, "--size") => {
                let value = text(&mut words, "--size")?;
                let (low, high) = (layout::MIN_RING, layout::MAX_RING);
                sizes.size = Some(size("--size", &value, low, high, "256..16M bytes")?);
            }
            (Word::Serve, "--max-message") => {
                let value = text(&mut words, "--max-message")?;
                let range = "1..64K bytes";
                let most = layout::MAX_MESSAGE;
                sizes.max_message = Some(size("--max-message", &value, 1, most, range)?);
            }
            (Word::Serve, "--mode") => {
                common.options.mode = Some(mode(&text(&mut words, "--mode")?, 0o600)?);
            }
            (Word::Serve, "--group") => {
                common.options.group = Some(group("--group", &text(&mut words, "--group")?)?);
            }
            (Word::Serve, "--prefix") => {
                prefix = bytes_of(words.value("--prefix")?);
                if prefix.len() > MAX_PREFIX {
                    let shown = String::from_utf8_lossy(&prefix);
                    return Err(bad("--prefix", &shown, "0..256 bytes long"));
                }
            }
            (Word::Serve, "--end-word") => end_word = Some(end_word_of(&mut words)?),
            (Word::Serve, "--persist") => persist = true,
            (Word::Status, "--json") => json = true,
            (Word::Status, "--watch") => {
                let value = text(&mut words, "--watch")?;
                let range = Duration::from_millis(100)..=Duration::from_secs(86_400);
                let time = seconds(&value).filter(|time| range.contains(time));
                watch = Some(time.ok_or_else(|| bad("--watch", &value, "0.1..86400 seconds"))?);
            }
            (Word::Set, "--mode") => {
                change.mode = Some(mode(&text(&mut words, "--mode")?, 0)?);
            }
            (Word::Set, "--uid") => {
                change.uid = Some(user("--uid", &text(&mut words, "--uid")?)?);
            }
            (Word::Set, "--gid") => {
                change.gid = Some(group("--gid", &text(&mut words, "--gid")?)?);
            }
            (Word::Remove, "--force") => force = true,
            _ => return Err(unknown(&arg, false, NAME, command)),
        }
    }
    common.check()?;
    let settings = common.settings;
    let command = match word {
        Word::Serve => {
            if common.protocol == Protocol::SharedUse && sizes.any() {
                return Err(usage(
                    "--lanes, --size, --max-message: the segment of shared_use_st has one size",
                ));
            }
            if common.protocol == Protocol::Ring && end_word.is_some() {
                return Err(usage(
                    "--end-word: only with --protocol shared_use_st; clients of the ring say what ends",
                ));
            }
            check_geometry(&sizes)?;
            common.options.geometry = sizes.geometry();
            common.options.adjust = true;
            let end_word = end_word.unwrap_or_else(|| END_WORD.to_vec());
            let serve = Serve { common, geometry: sizes, prefix, end_word, persist };
            ServerCommand::Serve(Box::new(serve))
        }
        Word::Status => ServerCommand::Status(Box::new(StatusArgs { common, json, watch })),
        Word::Set if change.is_empty() => {
            return Err(usage("set: nothing to set: give --mode, --uid or --gid"))
        }
        Word::Set => ServerCommand::Set(Box::new(common), change),
        Word::Remove => ServerCommand::Remove(Box::new(common), force),
    };
    Ok(Parsed::Run(settings, command))
}
