//! One connection to the broker: CONNECT and CONNACK, signs of life, the end.

use crate::args::{Args, Direction};
use crate::link::{Frame, Link};
use crate::{exit, signals, Failure};
use anyhow::Result;
use mqttrs::{Connect, LastWill, Packet, Protocol, Publish, QoS, QosPid};
use nix::errno::Errno;
use nix::poll::{ppoll, PollFd, PollFlags};
use nix::sys::time::TimeSpec;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Types of packets: MQTT 3.1.1, table 2.1.
pub const CONNACK: u8 = 2;
pub const PUBLISH: u8 = 3;
pub const PUBACK: u8 = 4;
pub const SUBACK: u8 = 9;
pub const PINGRESP: u8 = 13;

/// Waits until one of the descriptors is ready, a time is over, or a signal comes; none that came before is
/// missed.
///
/// Source: [ppoll(2)](https://man7.org/linux/man-pages/man2/poll.2.html).
pub fn wait(fds: &mut [PollFd<'_>], time: Option<Duration>) -> Result<()> {
    let held = signals::HeldBack::new()?;
    if signals::stop().is_some() {
        return Ok(());
    }
    match ppoll(fds, time.map(TimeSpec::from), Some(held.mask())) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(Failure::error(exit::IO, format!("ppoll: {errno}"))),
    }
}

pub struct Session {
    pub link: Link,
    keep_alive: Duration,
    /// Last time that something was sent, and that something came.
    sent: Instant,
    heard: Instant,
    pinged: Option<Instant>,
}

/// Why there is no session, or none any more: something to try again.
pub type Broken = io::Error;

impl Session {
    /// Asks the broker to take this client. `longest`: bytes of a packet's body.
    pub fn ask(stream: TcpStream, args: &Args, longest: usize) -> io::Result<Self> {
        let now = Instant::now();
        let link = Link::new(stream, longest)?;
        let mut session =
            Self { link, keep_alive: args.keep_alive, sent: now, heard: now, pinged: None };
        let will = args.will.as_deref().map(|topic| LastWill {
            topic,
            message: b"offline",
            qos: QoS::AtLeastOnce,
            retain: true,
        });
        let connect = Connect {
            protocol: Protocol::MQTT311,
            keep_alive: args.keep_alive.as_secs() as u16,
            client_id: &args.client_id,
            // What comes for 'in' while it is away is kept for it; 'out' keeps all itself.
            clean_session: args.direction == Direction::Out,
            last_will: will,
            username: args.login.as_ref().map(|login| login.user.as_str()),
            password: args.login.as_ref().map(|login| login.password.as_slice()),
        };
        session.link.put(&Packet::Connect(connect))?;
        Ok(session)
    }

    /// Has the broker taken it? False: it has not answered yet.
    ///
    /// # Errors
    /// Outside, what is not to be tried again: the broker takes no such client.
    pub fn answer(&mut self, args: &Args) -> Result<std::result::Result<bool, Broken>> {
        match self.exchange() {
            Ok(Some(frame)) => Ok(self.answered(args, frame)?.map(|()| true)),
            Ok(None) => Ok(Ok(false)),
            Err(e) => Ok(Err(e)),
        }
    }

    /// The first packet that the broker sent: it must be CONNACK.
    fn answered(&mut self, args: &Args, frame: Frame) -> Result<std::result::Result<(), Broken>> {
        let code = match (frame.head >> 4, self.link.body(frame)) {
            (CONNACK, [_, code]) => *code,
            _ => {
                return Ok(Err(io::Error::new(ErrorKind::InvalidData, "the answer is no CONNACK")))
            }
        };
        self.link.take(frame);
        let (broker, client) = (&args.broker, &args.client_id);
        let refused = |code, why: &str, next: &str| {
            Failure::error(
                code,
                format!("broker {broker} refuses client '{client}': {why}; {next}"),
            )
        };
        match code {
            0 => {}
            1 => {
                return Err(refused(
                    exit::UNAVAILABLE,
                    "it does not speak MQTT 3.1.1",
                    "see --broker",
                ))
            }
            2 => {
                return Err(refused(
                    exit::UNAVAILABLE,
                    "it does not take that name",
                    "see --client-id",
                ))
            }
            3 => return Ok(Err(io::Error::other("the broker says it is not available"))),
            4 => return Err(refused(exit::PERMISSION, "bad user or password", "see --login")),
            _ => {
                return Err(refused(
                    exit::PERMISSION,
                    "not authorised",
                    "see --login, and its access list",
                ))
            }
        }
        if let Some(topic) = &args.will {
            return Ok(self.say(topic, b"online"));
        }
        Ok(Ok(()))
    }

    /// A word about this program itself: retained, and nobody waits for its acknowledgement.
    pub fn say(&mut self, topic: &str, payload: &[u8]) -> std::result::Result<(), Broken> {
        self.link.put(&Packet::Publish(Publish {
            dup: false,
            qospid: QosPid::AtMostOnce,
            retain: true,
            topic_name: topic,
            payload,
        }))
    }

    pub fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(self.link.fd(), self.link.wants())
    }

    /// The same for who can take no more: errors and room alone.
    pub fn poll_fd_deaf(&self) -> PollFd<'_> {
        PollFd::new(self.link.fd(), self.link.wants() & PollFlags::POLLOUT)
    }

    /// Writes, reads, and gives the first packet that is there, which the caller takes.
    pub fn exchange(&mut self) -> io::Result<Option<Frame>> {
        if let Some(frame) = self.link.frame()? {
            return Ok(Some(frame));
        }
        self.link.flush()?;
        // A part of a packet is a sign of life, too: a long one may take longer than the keep-alive.
        if self.link.fill()? {
            self.heard = Instant::now();
        }
        self.link.frame()
    }

    /// Something was sent just now.
    pub fn spoke(&mut self) {
        self.sent = Instant::now();
    }

    /// A PINGRESP came.
    pub fn answered_ping(&mut self) {
        self.pinged = None;
    }

    /// Sends a ping when it is time. `deaf`: nothing is read just now, so no answer is missed.
    ///
    /// # Errors
    /// No answer came in time.
    pub fn keep_alive(&mut self, deaf: bool) -> io::Result<()> {
        let now = Instant::now();
        if deaf {
            self.heard = now;
        }
        match self.pinged {
            Some(then) if now >= then + self.keep_alive => {
                if self.heard > then {
                    self.pinged = None;
                } else {
                    return Err(io::Error::new(ErrorKind::TimedOut, "the broker answers no ping"));
                }
            }
            None if now >= self.sent.min(self.heard) + self.keep_alive / 2 => self.ping()?,
            _ => {}
        }
        Ok(())
    }

    pub fn ping(&mut self) -> io::Result<()> {
        let now = Instant::now();
        (self.pinged, self.sent) = (Some(now), now);
        self.link.put(&Packet::Pingreq)?;
        self.link.flush()
    }

    /// Is the last ping answered?
    pub fn is_answered(&self) -> bool {
        self.pinged.is_none()
    }

    /// How long until [`keep_alive`](Self::keep_alive) has something to do.
    pub fn left(&self) -> Duration {
        let next = match self.pinged {
            Some(then) => then + self.keep_alive,
            None => self.sent.min(self.heard) + self.keep_alive / 2,
        };
        next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// The orderly end: the broker does not send the will.
    pub fn close(mut self, args: &Args) {
        if let Some(topic) = &args.will {
            let _ = self.say(topic, b"offline");
        }
        let _ = self.link.put(&Packet::Disconnect);
        let until = Instant::now() + Duration::from_secs(1);
        while self.link.flush().is_ok() && self.link.wants().contains(PollFlags::POLLOUT) {
            if Instant::now() > until
                || wait(&mut [self.poll_fd_deaf()], Some(Duration::from_millis(50))).is_err()
            {
                break;
            }
        }
    }
}
