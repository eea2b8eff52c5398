//! `out`: the channel's server. A message is looked at, sent, and released when the broker has
//! acknowledged it; whatever breaks before that, it comes again.

use crate::args::Args;
use crate::dial::Dialer;
use crate::session::{self, Session, PINGRESP, PUBACK};
use crate::status::Status;
use crate::{exit, signals, Failure};
use anyhow::{Context, Result};
use mqttrs::{Packet, Pid, Publish, QosPid};
use nix::poll::{PollFd, PollFlags};
use shmdemo::{Channel, Consumer, Deadline, Descriptor, Error, Kind};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long the end waits for acknowledgements.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// So many connections in a row that brought nothing: then one message at a time.
const IN_VAIN: u32 = 3;
/// So many more that broke at the same message, alone on the way: it is let go of.
const ALONE: u32 = 5;
/// A broker that refuses a message closes the connection within this time.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A record that is held.
struct Held {
    /// Its number on the way; `None`: nothing is to be sent of it (an End record).
    pid: Option<Pid>,
    done: bool,
}

struct Out<'a> {
    args: &'a Args,
    consumer: Consumer,
    fd: Descriptor,
    held: VecDeque<Held>,
    next_pid: Pid,
    buffer: Vec<u8>,
    status: Status,
    /// Connections in a row that brought no acknowledgement.
    in_vain: u32,
    /// Those of them that broke at one message alone.
    alone: u32,
    /// That one: its lane, a copy, and when it was sent last.
    alone_one: (u32, Vec<u8>),
    alone_since: Option<Instant>,
    stopping: bool,
}

pub fn run(args: &Args) -> Result<u8> {
    signals::install().context("sigaction")?;
    let channel = Channel::open(&args.options, Deadline::Never)?;
    let longest = channel.geometry().max_message as usize;
    let mut consumer = channel.into_consumer()?;
    signals::interrupts(consumer.interrupter());
    let fd = consumer.fd()?;
    let mut notify = crate::notify::Notify::from_environment();
    notify.ready(&format!("taking key {} to {}", args.options.key(), args.broker));
    let mut out = Out {
        args,
        consumer,
        fd,
        held: VecDeque::with_capacity(args.window),
        next_pid: Pid::new(),
        buffer: vec![0; longest],
        status: Status::new(args),
        in_vain: 0,
        alone: 0,
        alone_one: (0, Vec::new()),
        alone_since: None,
        stopping: false,
    };
    let mut dialer = Dialer::new(args, 64);
    let mut session: Option<Session> = None;
    let mut end: Option<Instant> = None;
    out.status.write(true);
    loop {
        notify.alive();
        if signals::stop().is_some() && end.is_none() {
            out.stopping = true;
            notify.stopping();
            end = Some(Instant::now() + LAST_WORDS);
        }
        if end.is_some_and(|end| session.is_none() || out.held.is_empty() || Instant::now() >= end)
        {
            break;
        }
        match &mut session {
            Some(open) => {
                if let Err(e) = out.turn(open, &mut dialer)? {
                    session = None;
                    out.broken(&e)?;
                    dialer.broken(&e);
                }
            }
            None => {
                session = dialer.turn()?;
                if let Some(session) = &mut session {
                    out.begun(session);
                    continue;
                }
            }
        }
        out.status.write(false);
        let mut time = [notify.often(), out.status.left(), end.map(|_| Duration::from_millis(50))]
            .into_iter()
            .flatten()
            .min();
        let mut shorter = |other: Duration| time = Some(time.map_or(other, |time| time.min(other)));
        match &session {
            None => {
                // Not the channel: nothing can be done about it. But a removal is heard of.
                dialer.wait(time)?;
                out.consumer.channel().check()?;
            }
            Some(session) => {
                shorter(session.left());
                let mut fds = vec![session.poll_fd()];
                if out.has_room(session) {
                    fds.push(PollFd::new(out.fd.as_fd(), PollFlags::POLLIN));
                }
                session::wait(&mut fds, time)?;
            }
        }
    }
    if let Some(session) = session {
        session.close(args);
    }
    out.status.now.connected = false;
    out.status.write(true);
    log::info!("stopped: {} messages acknowledged", out.status.now.acknowledged);
    Ok(signals::stop().map_or(exit::OK, signals::server_exit))
}

/// A lane that is damaged is set aside and told of; `None` then. The others go on.
fn tolerated<T>(result: shmdemo::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e @ Error::NotOurs { lane: Some(_), .. }) => {
            log::error!("{e}");
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}

impl Out<'_> {
    fn window(&self) -> usize {
        if self.in_vain >= IN_VAIN {
            1
        } else {
            self.args.window
        }
    }

    /// May another message be put on the way?
    fn has_room(&self, session: &Session) -> bool {
        let known_alive = self.in_vain < IN_VAIN || session.is_answered();
        !self.stopping
            && known_alive
            && self.held.len() < self.window()
            && !session.link.is_crowded()
    }

    fn begun(&mut self, session: &mut Session) {
        self.status.now.connections += 1;
        self.status.now.connected = true;
        if self.in_vain >= IN_VAIN {
            // First that it is alive, then what may be its end.
            let _ = session.ping();
        }
    }

    /// All that can be done now. Inside, the connection's failure.
    fn turn(&mut self, session: &mut Session, dialer: &mut Dialer<'_>) -> Result<io::Result<()>> {
        loop {
            // Acknowledgements first: they make room.
            let mut heard = false;
            loop {
                match session.exchange() {
                    Ok(None) => break,
                    Ok(Some(frame)) => {
                        let body = session.link.body(frame);
                        match (frame.head >> 4, body) {
                            (PUBACK, [high, low]) => {
                                self.acknowledged(u16::from_be_bytes([*high, *low]));
                                heard = true;
                            }
                            (PINGRESP, []) => session.answered_ping(),
                            _ => {
                                return Ok(Err(io::Error::new(
                                    ErrorKind::InvalidData,
                                    "an unexpected packet",
                                )))
                            }
                        }
                        session.link.take(frame);
                    }
                    Err(e) => return Ok(Err(e)),
                }
            }
            if heard {
                dialer.was_of_use();
                (self.in_vain, self.alone) = (0, 0);
                self.release()?;
            }
            let mut some = false;
            while self.has_room(session) {
                match self.send_next(session)? {
                    Ok(true) => some = true,
                    Ok(false) => break,
                    Err(e) => return Ok(Err(e)),
                }
            }
            if !some {
                return Ok(session.keep_alive(false));
            }
            session.spoke();
        }
    }

    fn send_next(&mut self, session: &mut Session) -> Result<io::Result<bool>> {
        let record = match tolerated(self.consumer.next_record())? {
            Some(Some(record)) => record,
            Some(None) => return Ok(Ok(false)),
            None => return Ok(Ok(true)), // on with the other lanes
        };
        if record.kind() == Kind::End {
            // As a server with --persist: who sent it is done, the channel stays.
            self.held.push_back(Held { pid: None, done: true });
            return self.release().map(|()| Ok(true));
        }
        let payload = &mut self.buffer[..record.len()];
        record.copy_to(payload);
        let lane = record.lane();
        let by_lane;
        let topic_name = if self.args.topic.contains("%l") {
            by_lane = self.args.topic.replace("%l", &lane.to_string());
            &by_lane
        } else {
            &self.args.topic
        };
        let pid = self.next_pid;
        self.next_pid = pid + 1;
        let qospid = QosPid::AtLeastOnce(pid);
        let publish = Publish { dup: false, qospid, retain: false, topic_name, payload };
        self.held.push_back(Held { pid: Some(pid), done: false });
        self.status.now.passed += 1;
        self.status.now.on_the_way += 1;
        if self.in_vain >= IN_VAIN {
            self.alone_since = Some(Instant::now());
            if self.alone_one.0 != lane || self.alone_one.1 != payload {
                self.alone_one = (lane, payload.to_vec());
                self.alone = 0;
            }
        }
        Ok(session.link.put(&Packet::Publish(publish)).map(|()| true))
    }

    fn acknowledged(&mut self, number: u16) {
        let is = |held: &&mut Held| held.pid.is_some_and(|pid| pid.get() == number) && !held.done;
        // In order, usually: the first one.
        if let Some(held) = self.held.iter_mut().find(is) {
            held.done = true;
            self.status.now.acknowledged += 1;
            self.status.now.on_the_way -= 1;
        }
    }

    /// Releases what is done with, up to the oldest that is not.
    fn release(&mut self) -> Result<()> {
        let count = self.held.iter().take_while(|held| held.done).count();
        if count > 0 {
            self.held.drain(..count);
            tolerated(self.consumer.release_first(count))?;
        }
        Ok(())
    }

    /// The connection is gone: what was not acknowledged comes again with the next one.
    fn broken(&mut self, e: &io::Error) -> Result<()> {
        // An acknowledgement may be behind another one's that is missing.
        self.status.now.again += self.held.iter().filter(|held| held.pid.is_some()).count() as u64;
        let sent = self.held.iter().any(|held| !held.done);
        self.held.clear();
        self.consumer.rewind()?;
        self.status.now.on_the_way = 0;
        self.status.now.connected = false;
        if sent {
            self.in_vain += 1;
        }
        // Closed by a broker that lived just before: not by its death, its silence or the network's.
        let closed = matches!(
            e.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        );
        if self.alone_since.take().is_some_and(|since| closed && since.elapsed() < AT_ONCE) {
            self.alone += 1;
            if self.alone >= ALONE {
                self.let_go()?;
                (self.alone, self.in_vain) = (0, 0);
            }
        }
        Ok(())
    }

    /// Of the oldest message, which the broker will not take: so that the others go on.
    fn let_go(&mut self) -> Result<()> {
        let Some(Some(record)) = tolerated(self.consumer.next_record())? else { return Ok(()) };
        let lane = record.lane();
        let message = &mut self.buffer[..record.len()];
        record.copy_to(message);
        if self.alone_one.0 != lane || self.alone_one.1 != message {
            return Ok(self.consumer.rewind()?); // another lane's turn has come
        }
        let length = message.len();
        let broker = &self.args.broker;
        match &self.args.refused {
            Some(path) => {
                let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path);
                let put = file.as_mut().map_err(|e| io::Error::new(e.kind(), e.to_string())).and_then(|file| {
                    file.write_all(message)?;
                    file.write_all(b"\n")?;
                    file.sync_data()
                });
                // It is in the channel still: better to stop than to lose it.
                put.map_err(|e| Failure::error(exit::IO, format!("--refused '{}': {e}", path.display())))?;
                log::error!(
                    "broker {broker} closes the connection at a message of {length} bytes: it is in '{}' now",
                    path.display()
                );
            }
            None => log::error!(
                "broker {broker} closes the connection at a message of {length} bytes, which is let go of: {}",
                message.escape_ascii()
            ),
        }
        self.consumer.release_first(1)?;
        self.status.now.refused += 1;
        self.status.write(true);
        Ok(())
    }
}
