//! Byte streams: pipe, FIFO, Unix stream socket. A length goes before each message; one write
//! per message; a read takes what is there.

use super::fd::{self, Ends};
use crate::message::LONGEST;
use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::{bail, Result};
use nix::fcntl::{open, OFlag};
use nix::sys::socket::SockType;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};

pub struct Pipe;
/// Writes of many messages, as a buffered writer makes them.
pub struct PipeBatched;
pub struct Fifo;
pub struct UnixStream;

/// Bytes before each message: its length.
const PREFIX: usize = 4;
/// What a read asks for.
const CHUNK: usize = 64 << 10;
/// What a buffered writer collects: the usual 8 KiB.
const BUFFER: usize = 8 << 10;

pub struct Sender {
    fd: OwnedFd,
    wait: Wait,
    /// Collect so many bytes before they are written.
    collect: usize,
    filled: usize,
    buffer: [u8; BUFFER + PREFIX + LONGEST],
}

pub struct Receiver {
    fd: OwnedFd,
    wait: Wait,
    start: usize,
    end: usize,
    buffer: Box<[u8; CHUNK]>,
}

fn sender(spec: &Spec, fd: OwnedFd, collect: usize) -> Result<Sender> {
    fd::set_wait(&fd, spec.wait)?;
    let buffer = [0; BUFFER + PREFIX + LONGEST];
    Ok(Sender { fd, wait: spec.wait, collect, filled: 0, buffer })
}

fn receiver(spec: &Spec, fd: OwnedFd) -> Result<Receiver> {
    fd::set_wait(&fd, spec.wait)?;
    Ok(Receiver { fd, wait: spec.wait, start: 0, end: 0, buffer: Box::new([0; CHUNK]) })
}

impl Transport for Pipe {
    const NAME: &'static str = "pipe";
    type Link = Ends;
    type Tx = Sender;
    type Rx = Receiver;

    fn link(_spec: &Spec, _direction: u32) -> Result<Ends> {
        let (read, write) = nix::unistd::pipe()?;
        Ok(Ends::new(write, read))
    }
    fn tx(spec: &Spec, ends: &Ends) -> Result<Sender> {
        sender(spec, ends.take_tx(), 0)
    }
    fn rx(spec: &Spec, ends: &Ends) -> Result<Receiver> {
        receiver(spec, ends.take_rx())
    }
    fn parted(ends: &Ends) {
        ends.close();
    }
}

impl Transport for PipeBatched {
    const NAME: &'static str = "pipe, batches of 8 KiB";
    const BATCHED: bool = true;
    type Link = Ends;
    type Tx = Sender;
    type Rx = Receiver;

    fn offers(wait: Wait) -> bool {
        wait == Wait::Block
    }
    fn link(spec: &Spec, direction: u32) -> Result<Ends> {
        Pipe::link(spec, direction)
    }
    fn tx(spec: &Spec, ends: &Ends) -> Result<Sender> {
        sender(spec, ends.take_tx(), BUFFER)
    }
    fn rx(spec: &Spec, ends: &Ends) -> Result<Receiver> {
        Pipe::rx(spec, ends)
    }
    fn parted(ends: &Ends) {
        ends.close();
    }
}

impl Transport for Fifo {
    const NAME: &'static str = "FIFO";
    type Link = Ends;
    type Tx = Sender;
    type Rx = Receiver;

    fn link(spec: &Spec, direction: u32) -> Result<Ends> {
        let path = std::env::temp_dir().join(spec.name(direction));
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600))?;
        // Opened for both, the first open does not wait for the other end.
        let both = open(&path, OFlag::O_RDWR, Mode::empty());
        let ends = (|| -> nix::Result<Ends> {
            let _both = both?;
            let write = open(&path, OFlag::O_WRONLY, Mode::empty())?;
            let read = open(&path, OFlag::O_RDONLY, Mode::empty())?;
            Ok(Ends::new(write, read))
        })();
        std::fs::remove_file(&path)?;
        Ok(ends?)
    }
    fn tx(spec: &Spec, ends: &Ends) -> Result<Sender> {
        sender(spec, ends.take_tx(), 0)
    }
    fn rx(spec: &Spec, ends: &Ends) -> Result<Receiver> {
        receiver(spec, ends.take_rx())
    }
    fn parted(ends: &Ends) {
        ends.close();
    }
}

impl Transport for UnixStream {
    const NAME: &'static str = "Unix stream";
    type Link = Ends;
    type Tx = Sender;
    type Rx = Receiver;

    fn link(_spec: &Spec, _direction: u32) -> Result<Ends> {
        fd::socket_pair(SockType::Stream)
    }
    fn tx(spec: &Spec, ends: &Ends) -> Result<Sender> {
        sender(spec, ends.take_tx(), 0)
    }
    fn rx(spec: &Spec, ends: &Ends) -> Result<Receiver> {
        receiver(spec, ends.take_rx())
    }
    fn parted(ends: &Ends) {
        ends.close();
    }
}

impl Tx for Sender {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let begin = self.filled;
        let end = begin + PREFIX + message.len();
        self.buffer[begin..begin + PREFIX].copy_from_slice(&(message.len() as u32).to_ne_bytes());
        self.buffer[begin + PREFIX..end].copy_from_slice(message);
        self.filled = end;
        if self.filled >= self.collect {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let mut written = 0;
        while written < self.filled {
            let rest = &self.buffer[written..self.filled];
            written += fd::retry(self.wait, || nix::unistd::write(&self.fd, rest))?;
        }
        self.filled = 0;
        Ok(())
    }
}

impl Receiver {
    /// The next complete message in the buffer.
    #[inline]
    fn next(&self) -> Option<(usize, usize)> {
        let head = self.buffer[self.start..self.end].first_chunk::<PREFIX>()?;
        let begin = self.start + PREFIX;
        let end = begin + u32::from_ne_bytes(*head) as usize;
        (end <= self.end).then_some((begin, end))
    }
}

impl Rx for Receiver {
    #[inline]
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut some = false;
        loop {
            while let Some((begin, end)) = self.next() {
                each(&self.buffer[begin..end])?;
                self.start = end;
                some = true;
            }
            if some {
                return Ok(());
            }
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let room = &mut self.buffer[self.end..];
            match fd::retry(self.wait, || nix::unistd::read(self.fd.as_fd(), room))? {
                0 => bail!("the other end is closed"),
                n => self.end += n,
            }
        }
    }
}
