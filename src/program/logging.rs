//! Where log lines go: stderr, or syslog by the crate of that name.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Mutex;
use syslog::{Facility, LogFormat, Logger, LoggerBackend, Severity};

/// How much is logged, and where.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    level: LevelFilter,
    pub syslog: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { level: LevelFilter::Warn, syslog: false }
    }
}

impl Settings {
    pub fn louder(&mut self) {
        self.level = match self.level {
            LevelFilter::Off => LevelFilter::Error,
            LevelFilter::Error => LevelFilter::Warn,
            LevelFilter::Warn => LevelFilter::Info,
            LevelFilter::Info => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        };
    }

    pub fn quieter(&mut self) {
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

struct Sink {
    name: &'static str,
    syslog: Option<Mutex<Logger<LoggerBackend, Local>>>,
}

impl Sink {
    fn stderr(&self, level: Level, message: &dyn std::fmt::Display) {
        // Into one buffer, so that lines of several programs on one terminal stay whole. A line
        // that stderr does not take is lost: there is nowhere to say so.
        let mut line = heapless::String::<1024>::new();
        let word = match level {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        let whole = writeln!(line, "{}: {word}{message}", self.name);
        let mut stderr = std::io::stderr().lock();
        let _ = match whole {
            Ok(()) => stderr.write_all(line.as_bytes()),
            Err(_) => writeln!(stderr, "{}: {word}{message}", self.name),
        };
    }

    fn to_syslog(
        logger: &mut Logger<LoggerBackend, Local>,
        level: Level,
        message: &str,
    ) -> syslog::Result<()> {
        match level {
            Level::Error => logger.err(message),
            Level::Warn => logger.warning(message),
            Level::Info => logger.info(message),
            _ => logger.debug(message),
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
        let Ok(mut logger) = syslog.lock() else { return };
        if Self::to_syslog(&mut logger, record.level(), &text).is_ok() {
            return;
        }
        // syslogd was started again: its socket is a new one.
        match syslog::unix(logger.formatter.clone()) {
            Ok(new) => {
                *logger = new;
                if Self::to_syslog(&mut logger, record.level(), &text).is_err() {
                    self.stderr(record.level(), &text);
                }
            }
            Err(_) => self.stderr(record.level(), &text),
        }
    }

    fn flush(&self) {}
}

/// Starts logging for the program `name`.
pub fn start(name: &'static str, settings: Settings) {
    log::set_max_level(settings.level);
    let mut sink = Sink { name, syslog: None };
    let mut missing = None;
    if settings.syslog {
        match syslog::unix(Local { name, pid: std::process::id() }) {
            Ok(logger) => sink.syslog = Some(Mutex::new(logger)),
            Err(e) => missing = Some(e),
        }
    }
    // Fails only if called twice.
    let _ = log::set_boxed_logger(Box::new(sink));
    if let Some(e) = missing {
        log::warn!("no syslogd takes messages at /dev/log ({e}): logging to stderr instead");
    }
}
