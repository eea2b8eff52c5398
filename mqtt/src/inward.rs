//! `in`: a client of the channel. A message is acknowledged when it is in the channel, so a broker that
//! keeps the session sends again what was not.

use crate::args::Args;
use crate::dial::Dialer;
use crate::session::{self, Session, PINGRESP, PUBLISH, SUBACK};
use crate::status::Status;
use crate::{exit, signals, Failure};
use anyhow::{Context, Result};
use mqttrs::{Packet, Pid, QoS, QosPid, Subscribe, SubscribeTopic};
use nix::poll::{PollFd, PollFlags};
use shmdemo::{Channel, Deadline, Descriptor, Error, Producer};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

struct Inward<'a> {
    args: &'a Args,
    producer: Producer,
    fd: Descriptor,
    longest: usize,
    status: Status,
    /// The first packet read is a message for which there is no room.
    full: bool,
}

pub fn run(args: &Args) -> Result<u8> {
    signals::install().context("sigaction")?;
    let channel = Channel::open(&args.options, Deadline::Never)?;
    let longest = channel.geometry().max_message as usize;
    let mut producer = channel.into_producer(Deadline::Never)?;
    let fd = producer.fd()?;
    let mut notify = crate::notify::Notify::from_environment();
    notify.ready(&format!("taking {} to key {}", args.broker, args.options.key()));
    let status = Status::new(args);
    let mut inward = Inward { args, producer, fd, longest, status, full: false };
    let mut dialer = Dialer::new(args, longest);
    let mut session: Option<Session> = None;
    inward.status.write(true);
    while signals::stop().is_none() {
        notify.alive();
        let done = match &mut session {
            Some(open) => inward.turn(open, &mut dialer)?,
            None => match dialer.turn()? {
                Some(open) => inward.subscribe(session.insert(open)),
                None => Ok(()),
            },
        };
        if let Err(e) = done {
            session = None;
            (inward.full, inward.status.now.connected) = (false, false);
            dialer.broken(&e);
        }
        inward.status.write(false);
        let mut time = [notify.often(), inward.status.left()].into_iter().flatten().min();
        let mut shorter = |other: Duration| time = Some(time.map_or(other, |time| time.min(other)));
        match &session {
            None => {
                dialer.wait(time)?;
            }
            Some(session) if inward.full => {
                shorter(session.left());
                let room = PollFd::new(inward.fd.as_fd(), PollFlags::POLLIN);
                session::wait(&mut [session.poll_fd_deaf(), room], time)?;
            }
            Some(session) => {
                shorter(session.left());
                session::wait(&mut [session.poll_fd()], time)?;
            }
        }
    }
    notify.stopping();
    if let Some(session) = session {
        session.close(args);
    }
    inward.status.now.connected = false;
    inward.status.write(true);
    log::info!("stopped: {} messages acknowledged", inward.status.now.acknowledged);
    Ok(signals::stop().map_or(exit::OK, signals::server_exit))
}

impl Inward<'_> {
    fn subscribe(&mut self, session: &mut Session) -> io::Result<()> {
        self.status.now.connections += 1;
        self.status.now.connected = true;
        // At each connection: a broker may have lost what it knew.
        let topic =
            SubscribeTopic { topic_path: self.args.topic.as_str().into(), qos: QoS::AtLeastOnce };
        let mut subscribe = Subscribe { pid: Pid::new(), topics: Default::default() };
        let _ = subscribe.topics.push(topic);
        session.link.put(&Packet::Subscribe(subscribe))
    }

    /// All that can be done now. Inside, the connection's failure.
    fn turn(&mut self, session: &mut Session, dialer: &mut Dialer<'_>) -> Result<io::Result<()>> {
        let mut got = 0;
        loop {
            let frame = match session.exchange() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(e) => return Ok(Err(e)),
            };
            match frame.head >> 4 {
                PUBLISH if !session.link.is_whole(frame) => {
                    let (broker, bytes) = (&self.args.broker, frame.whole);
                    log::error!(
                        "a message from {broker} is let go of: with its topic it has {bytes} bytes, and the \
                         channel takes {} (EMSGSIZE)",
                        self.longest
                    );
                    self.status.now.too_long += 1;
                    let pid =
                        session.link.number(frame).and_then(|number| Pid::try_from(number).ok());
                    let put = pid.map_or(Ok(()), |pid| session.link.put(&Packet::Puback(pid)));
                    if let Err(e) = put {
                        return Ok(Err(e));
                    }
                    session.spoke();
                }
                PUBLISH => {
                    let pid = match decode(session.link.whole(frame), session.link.body(frame)) {
                        Ok((payload, pid)) => {
                            if !self.put(payload)? {
                                break;
                            }
                            pid
                        }
                        Err(e) => return Ok(Err(e)),
                    };
                    if let Some(pid) = pid {
                        if let Err(e) = session.link.put(&Packet::Puback(pid)) {
                            return Ok(Err(e));
                        }
                        self.status.now.acknowledged += 1;
                    }
                    got += 1;
                    dialer.was_of_use();
                    session.spoke();
                }
                SUBACK => {
                    if session.link.body(frame).last().copied().unwrap_or(0x80) >= 0x80 {
                        let (broker, topic) = (&self.args.broker, &self.args.topic);
                        return Err(Failure::error(
                            exit::PERMISSION,
                            format!("broker {broker} refuses the filter '{topic}'; see --topic, and its access list"),
                        ));
                    }
                }
                PINGRESP => session.answered_ping(),
                _ => {
                    return Ok(Err(io::Error::new(ErrorKind::InvalidData, "an unexpected packet")))
                }
            }
            session.link.take(frame);
            if got % 64 == 0 {
                if let Err(e) = session.link.flush() {
                    return Ok(Err(e));
                }
            }
        }
        Ok(session.link.flush().and_then(|()| session.keep_alive(self.full)))
    }

    /// Puts a message into the channel; false: there is no room now.
    fn put(&mut self, payload: &[u8]) -> Result<bool> {
        match self.producer.send(payload, Deadline::Now) {
            Ok(()) => self.status.now.passed += 1,
            Err(Error::TimedOut { .. }) => {
                self.full = true;
                return Ok(false);
            }
            // Sent again it would be as long.
            Err(e @ Error::TooLong { .. }) => {
                log::error!("a message from {} is let go of: {e}", self.args.broker);
                self.status.now.too_long += 1;
            }
            Err(e) => return Err(e.into()),
        }
        self.full = false;
        Ok(true)
    }
}

/// Payload and number of a PUBLISH, if it has one. That there is all that it must have is looked at before
/// it is decoded, which the decoder does not.
fn decode<'a>(whole: &'a [u8], body: &[u8]) -> io::Result<(&'a [u8], Option<Pid>)> {
    let bad = || io::Error::new(ErrorKind::InvalidData, "a message that is none");
    let topic = body.get(..2).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    let number = if whole[0] & 0b110 == 0 { 0 } else { 2 };
    if topic.map_or(true, |topic| body.len() < 2 + topic + number) {
        return Err(bad());
    }
    match mqttrs::decode_slice(whole) {
        Ok(Some(Packet::Publish(publish))) => match publish.qospid {
            QosPid::AtMostOnce => Ok((publish.payload, None)),
            QosPid::AtLeastOnce(pid) => Ok((publish.payload, Some(pid))),
            // Nobody asked for that.
            QosPid::ExactlyOnce(_) => Err(bad()),
        },
        _ => Err(bad()),
    }
}
