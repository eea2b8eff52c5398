//! POSIX message queue.

use super::fd;
use crate::message::LONGEST;
use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::{Context, Result};
use nix::mqueue::{
    mq_close, mq_open, mq_receive, mq_send, mq_set_nonblock, mq_unlink, MQ_OFlag, MqAttr, MqdT,
};
use nix::sys::stat::Mode;
use std::rc::Rc;

pub struct PosixMq;

/// What everybody may ask for (`fs.mqueue.msg_max`); more needs a privilege.
const FOR_ALL: usize = 10;

pub struct End {
    queue: Rc<MqdT>,
    wait: Wait,
    buffer: [u8; LONGEST],
}

fn create(spec: &Spec, direction: u32, depth: usize) -> nix::Result<MqdT> {
    let name = format!("/{}", spec.name(direction));
    let attr = MqAttr::new(0, depth as _, spec.size.longest() as _, 0);
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
    let queue = mq_open(&*name, flags, Mode::from_bits_truncate(0o600), Some(&attr))?;
    mq_unlink(&*name)?;
    Ok(queue)
}

fn end(spec: &Spec, queue: &Rc<MqdT>) -> Result<End> {
    if spec.wait == Wait::Spin {
        mq_set_nonblock(queue)?;
    }
    // The descriptor is a number that both processes inherited.
    Ok(End { queue: queue.clone(), wait: spec.wait, buffer: [0; LONGEST] })
}

impl Transport for PosixMq {
    const NAME: &'static str = "POSIX mq";
    type Link = Rc<MqdT>;
    type Tx = End;
    type Rx = End;

    fn available() -> Result<()> {
        let name = format!("/shmdemo-compare-{}", std::process::id());
        let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR;
        let attr = MqAttr::new(0, 1, 64, 0);
        let queue = mq_open(&*name, flags, Mode::from_bits_truncate(0o600), Some(&attr))
            .context("mq_open (CONFIG_POSIX_MQUEUE?)")?;
        mq_unlink(&*name)?;
        Ok(mq_close(queue)?)
    }
    fn link(spec: &Spec, direction: u32) -> Result<Rc<MqdT>> {
        let queue = create(spec, direction, spec.depth());
        Ok(Rc::new(queue.or_else(|_| create(spec, direction, FOR_ALL))?))
    }
    fn tx(spec: &Spec, queue: &Rc<MqdT>) -> Result<End> {
        end(spec, queue)
    }
    fn rx(spec: &Spec, queue: &Rc<MqdT>) -> Result<End> {
        end(spec, queue)
    }
}

impl Tx for End {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        fd::retry(self.wait, || mq_send(&self.queue, message, 0))?;
        Ok(())
    }
}

impl Rx for End {
    #[inline]
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (queue, buffer, mut priority) = (&self.queue, &mut self.buffer, 0);
        let len = fd::retry(self.wait, || mq_receive(queue, buffer, &mut priority))?;
        each(&self.buffer[..len])
    }
}
