//! Unix sockets that keep messages apart: datagram and sequenced packet.

use super::fd::{self, Ends};
use crate::message::LONGEST;
use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::{ensure, Result};
use nix::sys::socket::{recv, send, MsgFlags, SockType};
use std::os::fd::{AsRawFd, OwnedFd};

pub struct UnixDatagram;
pub struct UnixSeqpacket;

pub struct End {
    fd: OwnedFd,
    wait: Wait,
    buffer: [u8; LONGEST],
}

fn end(spec: &Spec, fd: OwnedFd) -> Result<End> {
    fd::set_wait(&fd, spec.wait)?;
    Ok(End { fd, wait: spec.wait, buffer: [0; LONGEST] })
}

impl Transport for UnixDatagram {
    const NAME: &'static str = "Unix datagram";
    type Link = Ends;
    type Tx = End;
    type Rx = End;

    fn link(_spec: &Spec, _direction: u32) -> Result<Ends> {
        fd::socket_pair(SockType::Datagram)
    }
    fn tx(spec: &Spec, ends: &Ends) -> Result<End> {
        end(spec, ends.take_tx())
    }
    fn rx(spec: &Spec, ends: &Ends) -> Result<End> {
        end(spec, ends.take_rx())
    }
    fn parted(ends: &Ends) {
        ends.close();
    }
}

impl Transport for UnixSeqpacket {
    const NAME: &'static str = "Unix seqpacket";
    type Link = Ends;
    type Tx = End;
    type Rx = End;

    fn link(_spec: &Spec, _direction: u32) -> Result<Ends> {
        fd::socket_pair(SockType::SeqPacket)
    }
    fn tx(spec: &Spec, ends: &Ends) -> Result<End> {
        end(spec, ends.take_tx())
    }
    fn rx(spec: &Spec, ends: &Ends) -> Result<End> {
        end(spec, ends.take_rx())
    }
    fn parted(ends: &Ends) {
        ends.close();
    }
}

impl Tx for End {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let fd = self.fd.as_raw_fd();
        let sent = fd::retry(self.wait, || send(fd, message, MsgFlags::MSG_NOSIGNAL))?;
        ensure!(sent == message.len(), "{sent} bytes of {}", message.len());
        Ok(())
    }
}

impl Rx for End {
    #[inline]
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (fd, buffer) = (self.fd.as_raw_fd(), &mut self.buffer);
        let len = fd::retry(self.wait, || recv(fd, buffer, MsgFlags::empty()))?;
        each(&self.buffer[..len])
    }
}
