//! The command lines: what there is, in which ranges, and what to say about what is not.

use super::logging::Settings;
use super::{exit, Failure};
use crate::layout;
use crate::sysv::shm::AttachOptions;
use crate::sysv::{Key, PermChange};
use crate::{Geometry, Options};
use anyhow::{Context, Result};
use core::time::Duration;
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::Path;

/// A command line that was understood.
pub enum Parsed<T> {
    /// Log like this and do that.
    Run(Settings, T),
    /// Print this and end.
    Print(String),
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Ring,
    SharedUse,
}

/// Options of both programs and all commands.
pub struct Common {
    pub options: Options,
    pub separator: u8,
    pub protocol: Protocol,
    pub settings: Settings,
    key_given: bool,
    ftok_given: bool,
}

/// Sizes as given; what was not given has its default.
#[derive(Default)]
pub struct GeometryArgs {
    pub lanes: Option<u32>,
    pub size: Option<u32>,
    pub max_message: Option<u32>,
}

impl GeometryArgs {
    /// The sizes to create with. A ring's size is rounded up to a power of two, and grows with
    /// `--max-message` unless it was given itself.
    pub fn geometry(&self) -> Geometry {
        let max_message = self.max_message.unwrap_or(layout::DEFAULT_MAX_MESSAGE);
        let least = layout::min_ring_for(max_message);
        let ring_bytes = self.size.unwrap_or(layout::DEFAULT_RING.max(least)).next_power_of_two();
        Geometry { lanes: self.lanes.unwrap_or(layout::DEFAULT_LANES), ring_bytes, max_message }
    }
}

/// `shmdemo-server` without a command.
pub struct Serve {
    pub common: Common,
    pub geometry: GeometryArgs,
    pub prefix: Vec<u8>,
    pub persist: bool,
}

/// `shmdemo-server status`.
pub struct StatusArgs {
    pub common: Common,
    pub json: bool,
    pub watch: Option<Duration>,
}

/// What `shmdemo-server` is to do.
pub enum ServerCommand {
    Serve(Box<Serve>),
    Status(Box<StatusArgs>),
    Set(Box<Common>, PermChange),
    Remove(Box<Common>, bool),
}

/// `shmdemo-client`.
pub struct ClientArgs {
    pub common: Common,
    pub end_word: Vec<u8>,
    pub timeout: Option<Duration>,
}

/// Longest `--prefix`, in bytes.
pub const MAX_PREFIX: usize = 256;

const COMMON_HELP: &str = "\
  -k, --key KEY        IPC key, decimal or 0x hex, not 0 [default: 1234]
      --ftok PATH,ID   key made by ftok(3) of an existing PATH and ID, a
                       character or 1..255, instead of --key
  -0, --null           messages end with NUL instead of newline
      --protocol NAME  ring, or shared_use_st: the C demo's segment of 2052
                       bytes, for its unchanged C programs [default: ring]
      --owner USER     also accept a segment of this user, name or uid
                       [default: own euid and root]
      --address HEX    attach at this address [default: the kernel's choice]
      --round          round --address down to a multiple of SHMLBA (SHM_RND)
      --lock           keep the segment out of swap (SHM_LOCK)
      --syslog         log to syslog instead of stderr
  -v, --verbose        log more: each step; twice: details
  -q, --quiet          log less: errors only; twice: nothing
  -h, --help           this text
  -V, --version        name and version
";

const SERVER_HELP: &str = "\
shmdemo-server: prints the messages that clients send through System V shared
memory. Creates or joins the segment; end, SIGTERM or SIGINT remove it.

Usage: shmdemo-server [OPTIONS]
       shmdemo-server status [--json] [--watch SECONDS] [OPTIONS]
       shmdemo-server set [--mode OCTAL] [--uid USER] [--gid GROUP] [OPTIONS]
       shmdemo-server remove [--force] [OPTIONS]

Server (sizes count when it creates the segment):
      --lanes N        clients there can be at once, 1..32 [default: 4]
      --size BYTES     each lane's ring, 256..16M, K and M suffix, rounded up
                       to a power of two [default: 16K, or what --max-message
                       needs]
      --max-message BYTES
                       longest message, 1..64K [default: 2048]
      --mode OCTAL     mode of segment and semaphores, 0600..0777
                       [default: 0600]
      --group GROUP    their group, name or gid
      --prefix TEXT    printed before each message, up to 256 bytes; the C
                       demo's was 'You wrote: '
      --persist        service: end does not stop the server, and stopping
                       leaves the segment and what is in it

status: what the segment, the roles and the lanes are (changes nothing)
      --json           one JSON object a line
      --watch SECONDS  again and again, 0.1..86400

set: owner, group, mode of segment and semaphores (IPC_SET)
      --mode OCTAL     new mode, 0000..0777
      --uid USER       new owner, name or uid
      --gid GROUP      new group, name or gid

remove: removes segment and semaphores (IPC_RMID), unless somebody uses them
      --force          even if somebody does, or if they are damaged

Both programs:
";

const CLIENT_HELP: &str = "\
shmdemo-client: sends each line of stdin as one message through System V
shared memory to shmdemo-server. Messages sent before a server runs are kept.

Usage: shmdemo-client [OPTIONS]

      --no-create      wait for the server's segment, do not create it
      --end-word WORD  a line equal to WORD stops client and server; empty:
                       no line does [default: end]
      --timeout SECONDS
                       longest wait for the segment, a free lane or room;
                       0: never wait [default: forever]
      --mode OCTAL     mode of what is created, 0600..0777; 0666 also accepts
                       a segment that everybody can write [default: 0600]

Both programs:
";

const EXIT_HELP: &str = "
Exit codes: 0 done; 64 usage; 65 message too long; 69 no System V IPC, no
segment, or removed while in use; 73 cannot create; 74 input or output; 75 busy
or timed out; 76 not ours or damaged; 77 permission; 130, 143 stopped by signal
";

fn usage(message: impl Into<String>) -> anyhow::Error {
    Failure::error(exit::USAGE, message)
}

fn bad(option: &str, value: &str, range: &str) -> anyhow::Error {
    usage(format!("{option} '{}': must be {range}", value.escape_default()))
}

/// The option's value as text.
fn text(parser: &mut Parser, option: &str) -> Result<String> {
    let value = raw(parser, option)?;
    match value.into_string() {
        Ok(text) => Ok(text),
        Err(raw) => Err(bad(option, &raw.to_string_lossy(), "UTF-8 text")),
    }
}

fn raw(parser: &mut Parser, option: &str) -> Result<OsString> {
    parser.value().map_err(|_| usage(format!("{option}: a value is missing")))
}

fn bytes_of(value: OsString) -> Vec<u8> {
    std::os::unix::ffi::OsStringExt::into_vec(value)
}

fn key(value: &str) -> Result<Key> {
    let range = "a decimal or 0x hex number of 32 bits other than 0 (IPC_PRIVATE)";
    let number = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        // from_str_radix would take a sign.
        Some(hex) if hex.starts_with(['+', '-']) => None,
        Some(hex) => u32::from_str_radix(hex, 16).ok().map(|n| n as i32),
        None => value.parse::<i32>().ok(),
    };
    number.and_then(Key::new).ok_or_else(|| bad("--key", value, range))
}

fn ftok(value: &str) -> Result<Key> {
    let range = "PATH,ID with ID one character or 1..255";
    let (path, id) = value.rsplit_once(',').ok_or_else(|| bad("--ftok", value, range))?;
    let id = match (id.parse::<u8>(), id.as_bytes()) {
        (Ok(number), _) if number > 0 => number,
        (Err(_), [byte]) if byte.is_ascii_graphic() => *byte,
        _ => return Err(bad("--ftok", value, range)),
    };
    Key::from_file(Path::new(path), id).map_err(|e| {
        usage(format!("--ftok '{}': {e}: must name an existing file", value.escape_default()))
    })
}

/// A number of bytes with an optional K or M.
fn size(option: &str, value: &str, low: u32, high: u32, range: &str) -> Result<u32> {
    let (digits, unit) = match value.as_bytes().last() {
        Some(b'K' | b'k') => (&value[..value.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&value[..value.len() - 1], 1 << 20),
        _ => (value, 1),
    };
    number(digits)
        .and_then(|n| n.checked_mul(unit))
        .filter(|n| (low..=high).contains(n))
        .ok_or_else(|| bad(option, value, range))
}

/// Decimal digits only: no sign.
fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn mode(value: &str, low: u32) -> Result<u32> {
    let octal = value.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let number = octal.then(|| u32::from_str_radix(value, 8).ok()).flatten();
    let range = if low == 0 {
        "an octal number, 0000..0777"
    } else {
        "an octal number, 0600..0777, with read and write for the owner"
    };
    number.filter(|n| *n <= 0o777 && n & low == low).ok_or_else(|| bad("--mode", value, range))
}

fn user(option: &str, value: &str) -> Result<u32> {
    if let Some(uid) = number(value).filter(|uid| *uid != u32::MAX) {
        return Ok(uid);
    }
    match nix::unistd::User::from_name(value) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ => Err(bad(option, value, "a user's name or uid (0..4294967294)")),
    }
}

fn group(option: &str, value: &str) -> Result<u32> {
    if let Some(gid) = number(value).filter(|gid| *gid != u32::MAX) {
        return Ok(gid);
    }
    match nix::unistd::Group::from_name(value) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        _ => Err(bad(option, value, "a group's name or gid (0..4294967294)")),
    }
}

/// Seconds with an optional fraction, without the weight of floating point parsing.
fn seconds(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if whole.is_empty() || (fraction.is_empty() && value.contains('.')) {
        return None;
    }
    let mut nanos = 0;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    for i in 0..9 {
        nanos = nanos * 10 + fraction.as_bytes().get(i).map_or(0, |b| u32::from(b - b'0'));
    }
    Some(Duration::new(u64::from(number(whole)?), nanos))
}

fn address(value: &str) -> Result<usize> {
    let hex = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")).unwrap_or(value);
    let digits = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let parsed = digits.then(|| usize::from_str_radix(hex, 16).ok()).flatten();
    parsed
        .filter(|n| *n != 0)
        .ok_or_else(|| bad("--address", value, "a hex number other than 0 that an address can be"))
}

impl Common {
    fn new() -> Self {
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
    fn take(&mut self, arg: &str, parser: &mut Parser) -> Result<bool> {
        match arg {
            "-k" | "--key" => {
                self.options.key = key(&text(parser, "--key")?)?;
                self.key_given = true;
            }
            "--ftok" => {
                self.options.key = ftok(&text(parser, "--ftok")?)?;
                self.ftok_given = true;
            }
            "-0" | "--null" => self.separator = 0,
            "--protocol" => {
                let name = text(parser, "--protocol")?;
                self.protocol = match name.as_str() {
                    "ring" => Protocol::Ring,
                    "shared_use_st" => Protocol::SharedUse,
                    _ => return Err(bad("--protocol", &name, "ring or shared_use_st")),
                };
            }
            "--owner" => {
                self.options.owner = Some(user("--owner", &text(parser, "--owner")?)?);
            }
            "--address" => {
                let AttachOptions { address: place, .. } = &mut self.options.attach;
                *place = Some(address(&text(parser, "--address")?)?);
            }
            "--round" => self.options.attach.round = true,
            "--lock" => self.options.lock = true,
            "--syslog" => self.settings.syslog = true,
            "-v" | "--verbose" => self.settings.louder(),
            "-q" | "--quiet" => self.settings.quieter(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        if self.key_given && self.ftok_given {
            return Err(usage("--key and --ftok: only one of them can name the key"));
        }
        if self.options.attach.round && self.options.attach.address.is_none() {
            return Err(usage("--round: needs --address"));
        }
        Ok(())
    }
}

/// One argument, as it is to be named in messages.
fn next(parser: &mut Parser) -> Result<Option<(String, bool)>> {
    let arg = parser.next().map_err(|e| usage(e.to_string()))?;
    Ok(match arg {
        None => None,
        Some(Arg::Short(c)) => Some((format!("-{c}"), false)),
        Some(Arg::Long(name)) => Some((format!("--{name}"), false)),
        Some(Arg::Value(value)) => Some((value.to_string_lossy().into_owned(), true)),
    })
}

fn unknown(arg: &str, operand: bool, program: &str, command: &str) -> anyhow::Error {
    if operand {
        let arg = arg.escape_default();
        return usage(format!("'{arg}': {program} takes no such argument{command}"));
    }
    usage(format!("{}: no such option{command}", arg.escape_default()))
}

fn print<T>(arg: &str, program: &str, head: &str) -> Option<Parsed<T>> {
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
pub fn server(mut parser: Parser) -> Result<Parsed<ServerCommand>> {
    const NAME: &str = "shmdemo-server";
    let mut common = Common::new();
    let mut sizes = GeometryArgs::default();
    let mut change = PermChange::default();
    let (mut prefix, mut persist) = (Vec::new(), false);
    let (mut json, mut watch, mut force) = (false, None, false);
    let mut word = Word::Serve;
    let mut command = "";
    let mut first = true;
    while let Some((arg, operand)) = next(&mut parser)? {
        let was_first = core::mem::replace(&mut first, false);
        if operand && was_first {
            (word, command) = match arg.as_str() {
                "status" => (Word::Status, " after 'status'"),
                "set" => (Word::Set, " after 'set'"),
                "remove" => (Word::Remove, " after 'remove'"),
                _ => {
                    let arg = arg.escape_default();
                    return Err(usage(format!(
                        "'{arg}': no such command, must be status, set or remove, or none"
                    )));
                }
            };
            continue;
        }
        if !operand {
            if let Some(done) = print(&arg, NAME, SERVER_HELP) {
                return Ok(done);
            }
            if common.take(&arg, &mut parser)? {
                continue;
            }
        }
        match (word, arg.as_str()) {
            _ if operand => return Err(unknown(&arg, true, NAME, command)),
            (Word::Serve, "--lanes") => {
                let value = text(&mut parser, "--lanes")?;
                let lanes = number(&value).filter(|n| (1..=layout::MAX_LANES).contains(n));
                sizes.lanes = Some(lanes.ok_or_else(|| bad("--lanes", &value, "1..32"))?);
            }
            (Word::Serve, "--size") => {
                let value = text(&mut parser, "--size")?;
                let (low, high) = (layout::MIN_RING, layout::MAX_RING);
                sizes.size = Some(size("--size", &value, low, high, "256..16M bytes")?);
            }
            (Word::Serve, "--max-message") => {
                let value = text(&mut parser, "--max-message")?;
                let range = "1..64K bytes";
                let most = layout::MAX_MESSAGE;
                sizes.max_message = Some(size("--max-message", &value, 1, most, range)?);
            }
            (Word::Serve, "--mode") => {
                common.options.mode = Some(mode(&text(&mut parser, "--mode")?, 0o600)?);
            }
            (Word::Serve, "--group") => {
                common.options.group = Some(group("--group", &text(&mut parser, "--group")?)?);
            }
            (Word::Serve, "--prefix") => {
                prefix = bytes_of(raw(&mut parser, "--prefix")?);
                if prefix.len() > MAX_PREFIX {
                    let shown = String::from_utf8_lossy(&prefix);
                    return Err(bad("--prefix", &shown, "0..256 bytes long"));
                }
            }
            (Word::Serve, "--persist") => persist = true,
            (Word::Status, "--json") => json = true,
            (Word::Status, "--watch") => {
                let value = text(&mut parser, "--watch")?;
                let range = Duration::from_millis(100)..=Duration::from_secs(86_400);
                let time = seconds(&value).filter(|time| range.contains(time));
                watch = Some(time.ok_or_else(|| bad("--watch", &value, "0.1..86400 seconds"))?);
            }
            (Word::Set, "--mode") => {
                change.mode = Some(mode(&text(&mut parser, "--mode")?, 0)?);
            }
            (Word::Set, "--uid") => {
                change.uid = Some(user("--uid", &text(&mut parser, "--uid")?)?);
            }
            (Word::Set, "--gid") => {
                change.gid = Some(group("--gid", &text(&mut parser, "--gid")?)?);
            }
            (Word::Remove, "--force") => force = true,
            _ => return Err(unknown(&arg, false, NAME, command)),
        }
    }
    common.check()?;
    let settings = common.settings;
    let command = match word {
        Word::Serve => {
            check_geometry(&sizes)?;
            common.options.geometry = sizes.geometry();
            let serve = Serve { common, geometry: sizes, prefix, persist };
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

fn check_geometry(sizes: &GeometryArgs) -> Result<()> {
    let geometry = sizes.geometry();
    let least = layout::min_ring_for(geometry.max_message);
    match sizes.size {
        Some(size) if geometry.ring_bytes < least => Err(bad(
            "--size",
            &size.to_string(),
            &format!("at least {least} for messages of {} bytes", geometry.max_message),
        )),
        _ => geometry.check().map_err(crate::Error::BadGeometry).context("sizes"),
    }
}

/// Parses the command line of `shmdemo-client`.
pub fn client(mut parser: Parser) -> Result<Parsed<ClientArgs>> {
    const NAME: &str = "shmdemo-client";
    let mut common = Common::new();
    let mut end_word = b"end".to_vec();
    let mut timeout = None;
    while let Some((arg, operand)) = next(&mut parser)? {
        if !operand {
            if let Some(done) = print(&arg, NAME, CLIENT_HELP) {
                return Ok(done);
            }
            if common.take(&arg, &mut parser)? {
                continue;
            }
        }
        match arg.as_str() {
            _ if operand => return Err(unknown(&arg, true, NAME, "")),
            "--no-create" => common.options.create = false,
            "--end-word" => {
                end_word = bytes_of(raw(&mut parser, "--end-word")?);
                if end_word.len() > layout::MAX_MESSAGE as usize {
                    return Err(bad("--end-word", "…", "0..64K bytes long"));
                }
            }
            "--timeout" => {
                let value = text(&mut parser, "--timeout")?;
                let range = "seconds, 0..4294967295, a fraction is allowed";
                let time = seconds(&value).ok_or_else(|| bad("--timeout", &value, range))?;
                timeout = Some(time);
            }
            "--mode" => {
                common.options.mode = Some(mode(&text(&mut parser, "--mode")?, 0o600)?);
            }
            _ => return Err(unknown(&arg, false, NAME, "")),
        }
    }
    common.check()?;
    if end_word.contains(&common.separator) {
        let shown = String::from_utf8_lossy(&end_word);
        return Err(bad("--end-word", &shown, "without the separator, since no line holds it"));
    }
    let settings = common.settings;
    Ok(Parsed::Run(settings, ClientArgs { common, end_word, timeout }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The README shows what `--help` says, to the letter, and the memory map of `layout.rs`.
    #[test]
    fn readme_is_in_step() {
        let readme = include_str!("../../README.md");
        let server = format!("```text\n{SERVER_HELP}{COMMON_HELP}{EXIT_HELP}```\n");
        assert!(readme.contains(&server), "shmdemo-server --help");
        let client = CLIENT_HELP.strip_suffix("Both programs:\n").unwrap();
        assert!(readme.contains(&format!("```text\n{client}```\n")), "shmdemo-client --help");
        let mut rows = 0;
        for row in include_str!("../layout.rs").lines().filter_map(|l| l.strip_prefix("//! |")) {
            let row = row.replace("[`", "`").replace("`]", "`");
            assert!(readme.contains(&format!("|{row}\n")), "memory map: |{row}");
            rows += 1;
        }
        assert!(rows > 30, "the memory map has {rows} rows");
    }

    /// Every test that the security page names exists.
    #[test]
    fn security_page_is_in_step() {
        let files = [
            ("commands.rs", include_str!("../../tests/commands.rs")),
            ("exchange.rs", include_str!("../../tests/exchange.rs")),
            ("rules.rs", include_str!("../../tests/rules.rs")),
            ("trust.rs", include_str!("../../tests/trust.rs")),
            ("src/ring/tests.rs", include_str!("../ring/tests.rs")),
        ];
        let page = include_str!("../../doc/security.md");
        let words: Vec<&str> = page.split('`').collect();
        let mut named = 0;
        for three in words.windows(3) {
            let Some((file, text)) = files.iter().find(|(name, _)| *name == three[0]) else {
                continue;
            };
            named += 1;
            let test = three[2];
            assert!(text.contains(&format!("#[test]\nfn {test}()")), "{file} has no test {test}");
        }
        assert!(named > 12, "the page names {named} tests");
    }

    #[test]
    fn numbers() {
        assert_eq!(key("1234").unwrap().raw(), 1234);
        assert_eq!(key("0x4d2").unwrap().raw(), 1234);
        assert_eq!(key("0xffffffff").unwrap().raw(), -1);
        for wrong in ["0", "0x0", "", "0x", "12a", "4294967296", "0x100000000", "0x-1", " 1"] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("--size", "16K", 256, 1 << 24, "").unwrap(), 16384);
        assert_eq!(size("--size", "16M", 256, 1 << 24, "").unwrap(), 1 << 24);
        for wrong in ["", "K", "255", "17M", "-1", "+300", "4294967295K", "1G", "16 K"] {
            assert!(size("--size", wrong, 256, 1 << 24, "").is_err(), "{wrong}");
        }
        assert_eq!(mode("0660", 0o600).unwrap(), 0o660);
        for wrong in ["", "0800", "1777", "0060", "rw", "-1"] {
            assert!(mode(wrong, 0o600).is_err(), "{wrong}");
        }
        assert_eq!(seconds("1.5").unwrap(), Duration::from_millis(1500));
        assert_eq!(seconds("0").unwrap(), Duration::ZERO);
        for wrong in ["", ".", "1.", ".5", "-1", "1e3", "inf", "1.5.5", "1.x", "99999999999"] {
            assert!(seconds(wrong).is_none(), "{wrong}");
        }
        assert_eq!(address("0x40000000").unwrap(), 0x4000_0000);
        for wrong in ["", "0", "0x", "xyz", "-1", "+1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
