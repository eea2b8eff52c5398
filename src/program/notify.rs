//! Tells a service manager that the server is ready, alive and stopping: the datagrams of
//! [sd_notify(3)](https://man7.org/linux/man-pages/man3/sd_notify.3.html), without its library.
//!
//! Nothing is sent where `NOTIFY_SOCKET` is not set. Signs of life are sent only where the manager
//! asks for them (`WATCHDOG_USEC`): they are the one timer that an idle server has then.

use crate::Deadline;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// How long to wait for room in the socket of a manager that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// The manager's socket, if there is one.
pub(super) struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often to send a sign of life.
    every: Option<Duration>,
    next: Instant,
}

impl Notify {
    /// As the environment says.
    pub(super) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                _ => SocketAddr::from_pathname(&name),
            };
            match address.and_then(|address| Ok((UnixDatagram::unbound()?, address))) {
                Ok(socket) => Some(socket),
                Err(e) => {
                    log::warn!("NOTIFY_SOCKET is no socket's name, so nobody is told: {e}");
                    None
                }
            }
        });
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").map_or(true, |pid| pid == u64::from(std::process::id()));
        // Twice as often as the manager wants it, as sd_watchdog_enabled(3) advises.
        let every = number("WATCHDOG_USEC")
            .filter(|usec| ours && *usec > 0 && socket.is_some())
            .map(|usec| Duration::from_micros((usec / 2).max(1)));
        Self { socket, every, next: Instant::now() }
    }

    /// It serves now. This is the one word that a manager must not miss, so it waits for room in
    /// the socket, a second at most; the others are let go where there is none.
    pub(super) fn ready(&self, status: &str) {
        if let Some((socket, _)) = &self.socket {
            let _ = socket.set_write_timeout(Some(PATIENCE));
        }
        // Said once, here: what comes later goes the same way.
        if let Err(e) = self.send(&format!("READY=1\nSTATUS={status}")) {
            log::warn!(
                "the service manager is not told that the server is ready: NOTIFY_SOCKET: {e}: \
                 serving nevertheless; start it without NOTIFY_SOCKET where nobody listens"
            );
        }
        if let Some((socket, _)) = &self.socket {
            let _ = socket.set_nonblocking(true);
        }
    }

    /// It is about to end.
    pub(super) fn stopping(&self) {
        let _ = self.send("STOPPING=1");
    }

    /// It is alive; sent only when it is time.
    pub(super) fn alive(&mut self) {
        let Some(every) = self.every else { return };
        let now = Instant::now();
        if now >= self.next {
            self.next = now + every;
            let _ = self.send("WATCHDOG=1");
        }
    }

    /// So often who may be held up has to look whether a sign of life is due; `None`: nobody asks.
    pub(super) fn often(&self) -> Option<Duration> {
        self.every.map(|every| (every / 2).max(Duration::from_millis(1)))
    }

    /// Until when the server may sleep.
    pub(super) fn deadline(&self) -> Deadline {
        match self.every {
            // The next one may be due now, which is not the same as not to sleep at all.
            Some(_) => Deadline::At(self.next.max(Instant::now() + Duration::from_millis(1))),
            None => Deadline::Never,
        }
    }

    /// A manager that is not there, or does not read, is no reason to stop serving.
    fn send(&self, text: &str) -> std::io::Result<()> {
        match &self.socket {
            Some((socket, address)) => socket.send_to_addr(text.as_bytes(), address).map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_is_looked_for_twice_as_often_as_it_is_due() {
        let next = Instant::now();
        let every = |usec| Notify { socket: None, every: Some(Duration::from_micros(usec)), next };
        assert_eq!(every(200_000).often(), Some(Duration::from_millis(100)));
        assert_eq!(every(1).often(), Some(Duration::from_millis(1)));
        assert_eq!(Notify { socket: None, every: None, next }.often(), None);
    }

    #[test]
    fn one_that_is_due_is_no_reason_not_to_sleep_at_all() {
        for overdue in [0, 3600] {
            let next = Instant::now().checked_sub(Duration::from_secs(overdue));
            let every = Some(Duration::from_millis(1));
            let notify = Notify { socket: None, every, next: next.unwrap_or_else(Instant::now) };
            let begin = Instant::now();
            match notify.deadline() {
                Deadline::At(when) => assert!(when > begin),
                other => panic!("{other:?}"),
            }
        }
    }
}
