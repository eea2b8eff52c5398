//! Where log lines go: stderr, or syslog by the crate of that name.

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::errno::Errno;
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Mutex;
use syslog::{Facility, LogFormat, Logger, Severity};

/// How much is logged, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    level: LevelFilter,
    pub syslog: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { level: LevelFilter::Warn, syslog: false }
    }
}

impl Settings {
    pub(super) fn louder(&mut self) {
        self.level = match self.level {
            LevelFilter::Off => LevelFilter::Error,
            LevelFilter::Error => LevelFilter::Warn,
            LevelFilter::Warn => LevelFilter::Info,
            LevelFilter::Info => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        };
    }

    pub(super) fn quieter(&mut self) {
        self.level = match self.level {
            LevelFilter::Trace => LevelFilter::Debug,
            LevelFilter::Debug => LevelFilter::Info,
            LevelFilter::Info => LevelFilter::Warn,
            LevelFilter::Warn => LevelFilter::Error,
            _ => LevelFilter::Off,
        };
    }
}

/// `<priority>name[pid]: text`: RFC 3164 without the time, which the local syslogd puts in by
/// itself, in its own time zone.
#[derive(Debug, Clone)]
struct Local {
    name: &'static str,
    pid: u32,
}

impl<T: std::fmt::Display> LogFormat<T> for Local {
    fn format<W: Write>(&self, w: &mut W, severity: Severity, message: T) -> syslog::Result<()> {
        let priority = Facility::LOG_DAEMON as u8 | severity as u8;
        write!(w, "<{priority}>{}[{}]: {message}", self.name, self.pid)
            .map_err(syslog::Error::Write)
    }
}

/// Where the local syslogd listens.
const DEV_LOG: &str = "/dev/log";

/// Its socket: of datagrams, or, with some old ones, a stream. The crate's own backend speaks UDP and TCP
/// as well, which weighs 4 kB.
enum Socket {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

impl Socket {
    /// Messages never wait for a log line: a syslogd that hangs fills its socket, and a send that
    /// blocks would hang with it.
    fn connect() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        match socket.connect(DEV_LOG) {
            Ok(()) => {
                socket.set_nonblocking(true)?;
                Ok(Self::Datagram(socket))
            }
            Err(e) if e.raw_os_error() == Some(Errno::EPROTOTYPE as i32) => {
                let stream = UnixStream::connect(DEV_LOG)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Stream(stream))
            }
            Err(e) => Err(e),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Datagram(socket) => socket.send(bytes),
            Self::Stream(socket) => socket.write(bytes),
        }
    }

    /// One line in one piece; in a stream, NUL ends it.
    fn write_fmt(&mut self, line: std::fmt::Arguments<'_>) -> io::Result<()> {
        let mut line = std::fmt::format(line);
        if matches!(self, Self::Stream(_)) {
            line.push('\0');
        }
        match self.write(line.as_bytes())? {
            n if n == line.len() => Ok(()),
            _ => Err(ErrorKind::WriteZero.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The way to the local syslogd.
struct Syslog {
    format: Local,
    /// None: nobody listens; tried again with each line.
    logger: Option<Logger<Socket, Local>>,
    /// Lines that syslogd did not take, since it took one.
    lost: u32,
}

impl Syslog {
    fn connect(&mut self) -> io::Result<()> {
        self.logger = Some(Logger::new(Socket::connect()?, self.format.clone()));
        Ok(())
    }

    /// Hands one line over, or counts it as lost; false: it is for stderr.
    fn send(&mut self, level: Level, message: &str) -> bool {
        // Once more where syslogd was started again: its socket is a new one.
        for _ in 0..2 {
            if self.logger.is_none() {
                let _ = self.connect();
            }
            let Some(logger) = &mut self.logger else { return false };
            let told = match self.lost {
                0 => Ok(()),
                lost => {
                    logger.warning(&format!("syslogd did not take {lost} lines before this")[..])
                }
            };
            if told.is_ok() {
                self.lost = 0;
            }
            let sent = told.and_then(|()| match level {
                Level::Error => logger.err(message),
                Level::Warn => logger.warning(message),
                Level::Info => logger.info(message),
                _ => logger.debug(message),
            });
            match sent {
                Ok(()) => return true,
                Err(syslog::Error::Write(e)) if e.kind() == ErrorKind::WouldBlock => {
                    self.lost += 1;
                    // Why a program ends is said somewhere.
                    return level != Level::Error;
                }
                Err(_) => self.logger = None,
            }
        }
        false
    }
}

struct Sink {
    name: &'static str,
    syslog: Option<Mutex<Syslog>>,
}

impl Sink {
    fn stderr(&self, level: Level, message: &dyn std::fmt::Display) {
        let word = match level {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        // In one piece, so that lines of several programs on one terminal stay whole. A line that stderr
        // does not take is lost: there is nowhere to say so.
        let line = format!("{}: {word}{message}\n", self.name);
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match nix::unistd::write(io::stderr(), rest) {
                Ok(n) if n > 0 => rest = &rest[n..],
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(syslog) = &self.syslog else {
            return self.stderr(record.level(), record.args());
        };
        let text = record.args().to_string();
        let Ok(mut syslog) = syslog.lock() else { return };
        if !syslog.send(record.level(), &text) {
            self.stderr(record.level(), &text);
        }
    }

    fn flush(&self) {}
}

/// Starts logging for the program `name`.
pub(super) fn start(name: &'static str, settings: Settings) {
    log::set_max_level(settings.level);
    let mut sink = Sink { name, syslog: None };
    let mut missing = None;
    if settings.syslog {
        let format = Local { name, pid: std::process::id() };
        let mut syslog = Syslog { format, logger: None, lost: 0 };
        missing = syslog.connect().err();
        sink.syslog = Some(Mutex::new(syslog));
    }
    // Fails only if called twice.
    let _ = log::set_boxed_logger(Box::new(sink));
    if let Some(e) = missing {
        log::warn!(
            "no syslogd takes messages at /dev/log ({e}): logging to stderr until there is one"
        );
    }
}
