//! The way to a session. It waits for nothing itself: names are looked up and addresses tried by a thread,
//! since neither getaddrinfo(3) nor std's connect ends at a signal, and each may take many seconds.

use crate::args::Args;
use crate::link;
use crate::session::{self, Broken, Session};
use crate::signals;
use anyhow::Result;
use nix::poll::{PollFd, PollFlags};
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for the answer to CONNECT.
const ANSWER: Duration = Duration::from_secs(10);
/// The first pause between two connections.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The thread's stack, in bytes: the resolver's modules may be anybody's.
const STACK: usize = 256 << 10;

/// Pauses between connections: each twice as long as the one before, until one was of use.
struct Pauses {
    next: Duration,
    longest: Duration,
    until: Option<Instant>,
}

impl Pauses {
    fn new(longest: Duration) -> Self {
        Self { next: FIRST_PAUSE, longest, until: None }
    }

    fn begin(&mut self) {
        self.until = Some(Instant::now() + self.next);
        self.next = (self.next * 2).min(self.longest);
    }

    /// How long to wait before the next connection; `None`: no more.
    fn left(&self) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// How far the way is gone.
enum Way {
    /// A thread connects. `done` is at its end when that is about to end; who ends meanwhile leaves it to
    /// exit(3).
    Connecting { thread: JoinHandle<io::Result<TcpStream>>, done: UnixStream },
    /// The broker was asked to take this client, and may answer until then.
    Asked { session: Session, until: Instant },
}

impl Way {
    fn begin(broker: &str) -> io::Result<Self> {
        let (done, open) = UnixStream::pair()?;
        done.set_nonblocking(true)?;
        let broker = broker.to_string();
        // The signals are the main thread's, whose waits they end.
        let _held = signals::HeldBack::new()?;
        let thread = std::thread::Builder::new().name("connect".into()).stack_size(STACK);
        let started = thread.spawn(move || {
            let connected = link::connect(&broker);
            drop(open);
            connected
        });
        match started {
            Ok(thread) => Ok(Self::Connecting { thread, done }),
            Err(e) => Err(io::Error::new(e.kind(), format!("no thread to connect with: {e}"))),
        }
    }
}

/// Has the other end been closed? Nothing is ever written there.
fn is_at_end(mut stream: &UnixStream) -> bool {
    !matches!(stream.read(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock)
}

/// Calls the broker until it answers, with a pause after each time that it did not.
pub struct Dialer<'a> {
    args: &'a Args,
    /// Bytes of the longest packet's body that is to be read.
    longest: usize,
    pauses: Pauses,
    way: Option<Way>,
    /// That the broker is away was told, and not yet that it is back.
    told: bool,
}

impl<'a> Dialer<'a> {
    pub fn new(args: &'a Args, longest: usize) -> Self {
        Self { args, longest, pauses: Pauses::new(args.retry), way: None, told: false }
    }

    /// Goes on as far as it can now: a session, once the broker has taken this client.
    ///
    /// # Errors
    /// What is not to be tried again: the broker takes no such client.
    pub fn turn(&mut self) -> Result<Option<Session>> {
        match self.step()? {
            Ok(None) => Ok(None),
            Ok(Some(session)) => {
                log::info!("connected to {} as '{}'", self.args.broker, self.args.client_id);
                self.told = false;
                Ok(Some(session))
            }
            Err(e) => {
                self.broken(&e);
                Ok(None)
            }
        }
    }

    /// `None`: not yet; the way goes on, or there is a pause.
    fn step(&mut self) -> Result<std::result::Result<Option<Session>, Broken>> {
        let way = match self.way.take() {
            Some(way) => way,
            None if self.pauses.left().is_some() => return Ok(Ok(None)),
            None => match Way::begin(&self.args.broker) {
                Ok(way) => way,
                Err(e) => return Ok(Err(e)),
            },
        };
        let (mut session, until) = match way {
            Way::Asked { session, until } => (session, until),
            Way::Connecting { ref done, .. } if !is_at_end(done) => {
                self.way = Some(way);
                return Ok(Ok(None));
            }
            Way::Connecting { thread, .. } => {
                let connected = thread.join().unwrap_or_else(|_| Err(ErrorKind::Other.into()));
                let ask = |stream| Session::ask(stream, self.args, self.longest);
                match connected.and_then(ask) {
                    Ok(session) => (session, Instant::now() + ANSWER),
                    Err(e) => return Ok(Err(e)),
                }
            }
        };
        Ok(match session.answer(self.args)? {
            Ok(true) => Ok(Some(session)),
            Ok(false) if Instant::now() < until => {
                self.way = Some(Way::Asked { session, until });
                Ok(None)
            }
            Ok(false) => Err(ErrorKind::TimedOut.into()),
            Err(e) => Err(e),
        })
    }

    /// The connection was of use: after the next failure the pause is short.
    pub fn was_of_use(&mut self) {
        self.pauses.next = FIRST_PAUSE;
    }

    /// There is no connection, or none any more: told once until it is back, and tried again after a pause.
    pub fn broken(&mut self, e: &io::Error) {
        let level = if self.told { log::Level::Debug } else { log::Level::Warn };
        log::log!(
            level,
            "broker {}: {e}: trying again, at most {} s apart",
            self.args.broker,
            self.args.retry.as_secs()
        );
        self.told = true;
        self.pauses.begin();
    }

    /// Waits until there may be something to do for [`turn`](Self::turn), a signal comes, or that time is over.
    pub fn wait(&self, time: Option<Duration>) -> Result<()> {
        let left = match &self.way {
            None => Some(self.pauses.left().unwrap_or_default()),
            Some(Way::Connecting { .. }) => None,
            Some(Way::Asked { until, .. }) => Some(until.saturating_duration_since(Instant::now())),
        };
        let mut fd = self.way.as_ref().map(|way| match way {
            Way::Connecting { done, .. } => PollFd::new(done.as_fd(), PollFlags::POLLIN),
            Way::Asked { session, .. } => session.poll_fd(),
        });
        session::wait(fd.as_mut_slice(), [left, time].into_iter().flatten().min())
    }
}
