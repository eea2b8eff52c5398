//! The bytes of a connection: a socket that never waits, what is to be written, what was read.

use mqttrs::Packet;
use nix::poll::PollFlags;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Longest wait for one of the broker's addresses to answer.
const CONNECT: Duration = Duration::from_secs(5);

/// More than this is not put into the way at once: what is sent should be sent soon.
const CROWDED: usize = 64 << 10;

/// Room for a packet's head and a message's topic, beside `longest`.
const ROOM: usize = (64 << 10) + 16;

/// A packet's type and its body, without the fixed header: MQTT 3.1.1, section 2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The first byte: type and flags.
    pub head: u8,
    /// All of it, in what was read.
    pub whole: usize,
    /// Where its body begins.
    pub body: usize,
}

pub struct Link {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    read: Vec<u8>,
    /// What was read and not taken yet.
    from: usize,
    to: usize,
    /// So many bytes that are still to come belong to a packet that is passed over.
    skip: usize,
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Connects to the first of the broker's addresses that answers. It may take long, and ends at no signal.
pub fn connect(broker: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in broker.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

impl Link {
    /// `longest`: bytes of a packet's body.
    pub fn new(stream: TcpStream, longest: usize) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let (out, read) = (Vec::with_capacity(CROWDED * 2), vec![0; longest + ROOM]);
        Ok(Self { stream, out, written: 0, read, from: 0, to: 0, skip: 0 })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What to poll for.
    pub fn wants(&self) -> PollFlags {
        match self.out.len() > self.written {
            true => PollFlags::POLLIN | PollFlags::POLLOUT,
            false => PollFlags::POLLIN,
        }
    }

    /// Is so much to be written already that more should wait?
    pub fn is_crowded(&self) -> bool {
        self.out.len() - self.written > CROWDED
    }

    /// Puts a packet behind what is to be written.
    pub fn put(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let body = match packet {
            Packet::Publish(publish) => publish.payload.len() + publish.topic_name.len(),
            _ => 2048,
        };
        let at = self.out.len();
        self.out.resize(at + body + 64, 0);
        let written = mqttrs::encode_slice(packet, &mut self.out[at..]);
        self.out.truncate(at + written.as_ref().copied().unwrap_or(0));
        written.map(drop).map_err(|_| bad("a packet that can't be encoded"))
    }

    /// Writes what the socket takes.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what there is, as far as there is room. Did anything come?
    pub fn fill(&mut self) -> io::Result<bool> {
        if self.from > 0 {
            self.read.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let mut came = false;
        while self.to < self.read.len() {
            let end = match self.stream.read(&mut self.read[self.to..]) {
                Ok(0) => ErrorKind::UnexpectedEof.into(),
                Ok(n) => {
                    came = true;
                    let passed = n.min(self.skip);
                    self.skip -= passed;
                    self.read.copy_within(self.to + passed..self.to + n, self.to);
                    self.to += n - passed;
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => e,
            };
            // What came before the end is looked at first: it may say why. The next read ends as well.
            return if came { Ok(true) } else { Err(end) };
        }
        Ok(came)
    }

    /// The first packet of what was read, if all of it is there; or the beginning of a message that is too
    /// long ([`is_whole`](Self::is_whole)), with its topic and number.
    ///
    /// # Errors
    /// Another packet that is longer than any that was asked for; a length that is none.
    pub fn frame(&self) -> io::Result<Option<Frame>> {
        let bytes = &self.read[self.from..self.to];
        let (mut length, mut at) = (0, 1);
        loop {
            let Some(byte) = bytes.get(at) else { return Ok(None) };
            length |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
            if at > 4 {
                return Err(bad("a packet's length has more than four bytes"));
            }
        }
        let whole = at + length;
        let frame = Frame { head: bytes[0], whole, body: at };
        if whole <= self.read.len() {
            return Ok((bytes.len() >= whole).then_some(frame));
        }
        if frame.head >> 4 != crate::session::PUBLISH {
            return Err(bad("a packet longer than any that was asked for"));
        }
        // Its topic, 64 KiB at most, has room.
        let topic =
            bytes.get(at..at + 2).map(|size| usize::from(u16::from_be_bytes([size[0], size[1]])));
        Ok(topic.is_some_and(|topic| bytes.len() >= at + topic + 4).then_some(frame))
    }

    /// Is all of it there?
    pub fn is_whole(&self, frame: Frame) -> bool {
        self.to - self.from >= frame.whole
    }

    /// The number of a message that is too long; `None`: nobody waits for its acknowledgement.
    pub fn number(&self, frame: Frame) -> Option<u16> {
        let body = &self.read[self.from + frame.body..self.to];
        let at = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        (frame.head & 0b110 != 0).then(|| u16::from_be_bytes([body[at], body[at + 1]]))
    }

    /// The body of that packet.
    pub fn body(&self, frame: Frame) -> &[u8] {
        &self.read[self.from + frame.body..self.from + frame.whole]
    }

    /// That packet whole, to be decoded.
    pub fn whole(&self, frame: Frame) -> &[u8] {
        &self.read[self.from..self.from + frame.whole]
    }

    /// It is done with. What of it is still to come is passed over.
    pub fn take(&mut self, frame: Frame) {
        let there = frame.whole.min(self.to - self.from);
        self.skip = frame.whole - there;
        self.from += there;
    }
}
