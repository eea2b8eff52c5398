//! System V message queue.

use super::fd;
use crate::message::LONGEST;
use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

pub struct SysvMsg;

#[repr(C)]
struct Buffer {
    kind: libc::c_long,
    text: [u8; LONGEST],
}

pub struct End {
    id: i32,
    wait: Wait,
    buffer: Buffer,
}

impl End {
    fn new(spec: &Spec, id: i32) -> Self {
        Self { id, wait: spec.wait, buffer: Buffer { kind: 1, text: [0; LONGEST] } }
    }

    fn flags(&self) -> i32 {
        if self.wait == Wait::Spin {
            libc::IPC_NOWAIT
        } else {
            0
        }
    }
}

impl Transport for SysvMsg {
    const NAME: &'static str = "SysV msg";
    type Link = i32;
    type Tx = End;
    type Rx = End;

    fn link(_spec: &Spec, _direction: u32) -> Result<i32> {
        // SAFETY: no pointers.
        let id = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
        Errno::result(id).context("msgget")
    }
    fn tx(spec: &Spec, id: &i32) -> Result<End> {
        Ok(End::new(spec, *id))
    }
    fn rx(spec: &Spec, id: &i32) -> Result<End> {
        Ok(End::new(spec, *id))
    }
    fn remove(_spec: &Spec, id: i32) {
        // SAFETY: IPC_RMID uses no pointer.
        unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

impl Tx for End {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.buffer.text[..message.len()].copy_from_slice(message);
        let (from, len) = ((&raw const self.buffer).cast(), message.len());
        fd::retry(self.wait, || {
            // SAFETY: `from` is a live `msgbuf` with at least `len` bytes of text.
            Errno::result(unsafe { libc::msgsnd(self.id, from, len, self.flags()) })
        })?;
        Ok(())
    }
}

impl Rx for End {
    #[inline]
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (id, flags, to) = (self.id, self.flags(), (&raw mut self.buffer).cast());
        let len = loop {
            // SAFETY: `to` is a live `msgbuf` with room for LONGEST bytes of text.
            match Errno::result(unsafe { libc::msgrcv(id, to, LONGEST, 0, flags) }) {
                Err(Errno::ENOMSG) => core::hint::spin_loop(),
                Err(Errno::EINTR) => {}
                other => break other? as usize,
            }
        };
        each(&self.buffer.text[..len])
    }
}
