//! The library: one lane per direction, at its default sizes.

use crate::message::LONGEST;
use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::{Context, Result};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use shmdemo::{Channel, Consumer, Deadline, Descriptor, Geometry, Key, Options, Producer, Waited};
use std::os::fd::AsFd;

/// Each message is sent and rung for by itself.
pub struct Shmdemo;
/// Rung for once per batch, as the program `shmdemo-client` does for what one read brings.
pub struct Batched;

/// Received in an event loop: poll(2) on the consumer's descriptor.
pub struct Polled;

/// Messages of a batch.
const BATCH: u32 = 64;

pub struct Sender {
    producer: Producer,
    wait: Wait,
    /// Messages to a ring of the bell.
    every: u32,
    quiet: u32,
}

pub struct Receiver {
    consumer: Consumer,
    wait: Wait,
    /// Where it is waited for, in place of the consumer's own wait.
    fd: Option<Descriptor>,
    buffer: [u8; LONGEST],
}

fn options(key: Key) -> Options {
    let geometry = Geometry { lanes: 1, ..Geometry::default() };
    Options::new(key).geometry(geometry)
}

fn sender(spec: &Spec, key: Key, every: u32) -> Result<Sender> {
    let channel = Channel::open(&options(key), Deadline::Never)?;
    let producer = channel.into_producer(Deadline::Never)?;
    Ok(Sender { producer, wait: spec.wait, every, quiet: 0 })
}

fn receiver(spec: &Spec, key: Key) -> Result<Receiver> {
    let consumer = Channel::open(&options(key), Deadline::Never)?.into_consumer()?;
    Ok(Receiver { consumer, wait: spec.wait, fd: None, buffer: [0; LONGEST] })
}

fn key(spec: &Spec, direction: u32) -> Result<Key> {
    Key::new(spec.key(direction)).context("key 0")
}

fn remove(key: Key) {
    // The receiver has removed it unless it failed.
    let _ = shmdemo::remove(&options(key), true);
}

impl Transport for Shmdemo {
    const NAME: &'static str = "shmdemo";
    type Link = Key;
    type Tx = Sender;
    type Rx = Receiver;

    fn link(spec: &Spec, direction: u32) -> Result<Key> {
        key(spec, direction)
    }
    fn tx(spec: &Spec, key: &Key) -> Result<Sender> {
        sender(spec, *key, 1)
    }
    fn rx(spec: &Spec, key: &Key) -> Result<Receiver> {
        receiver(spec, *key)
    }
    fn remove(_spec: &Spec, key: Key) {
        remove(key);
    }
}

impl Transport for Batched {
    const NAME: &'static str = "shmdemo, batches of 64";
    const BATCHED: bool = true;
    type Link = Key;
    type Tx = Sender;
    type Rx = Receiver;

    fn offers(wait: Wait) -> bool {
        wait == Wait::Block
    }
    fn link(spec: &Spec, direction: u32) -> Result<Key> {
        key(spec, direction)
    }
    fn tx(spec: &Spec, key: &Key) -> Result<Sender> {
        sender(spec, *key, BATCH)
    }
    fn rx(spec: &Spec, key: &Key) -> Result<Receiver> {
        receiver(spec, *key)
    }
    fn remove(_spec: &Spec, key: Key) {
        remove(key);
    }
}

impl Transport for Polled {
    const NAME: &'static str = "shmdemo, by its descriptor";
    type Link = Key;
    type Tx = Sender;
    type Rx = Receiver;

    fn offers(wait: Wait) -> bool {
        wait == Wait::Block
    }
    fn link(spec: &Spec, direction: u32) -> Result<Key> {
        key(spec, direction)
    }
    fn tx(spec: &Spec, key: &Key) -> Result<Sender> {
        sender(spec, *key, 1)
    }
    fn rx(spec: &Spec, key: &Key) -> Result<Receiver> {
        let mut receiver = receiver(spec, *key)?;
        receiver.fd = Some(receiver.consumer.fd()?);
        Ok(receiver)
    }
    fn remove(_spec: &Spec, key: Key) {
        remove(key);
    }
}

impl Tx for Sender {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        if self.wait == Wait::Spin {
            loop {
                if let Some(mut slot) = self.producer.try_reserve(message.len())? {
                    slot.write(0, message);
                    slot.commit_quietly(message.len());
                    return Ok(());
                }
                core::hint::spin_loop();
            }
        }
        if self.every == 1 {
            self.producer.send(message, Deadline::Never)?;
            return Ok(());
        }
        loop {
            if let Some(mut slot) = self.producer.reserve(message.len(), Deadline::Never)?.slot() {
                slot.write(0, message);
                slot.commit_quietly(message.len());
                break;
            }
        }
        self.quiet += 1;
        if self.quiet == self.every {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.quiet = 0;
        self.producer.ring();
        Ok(())
    }
}

impl Rx for Receiver {
    #[inline]
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        loop {
            let mut some = false;
            while let Some(record) = self.consumer.next_record()? {
                let message = &mut self.buffer[..record.len()];
                record.copy_to(message);
                each(message)?;
                some = true;
            }
            if some {
                self.consumer.release();
                return Ok(());
            }
            match (self.wait, &self.fd) {
                (Wait::Spin, _) => core::hint::spin_loop(),
                (Wait::Block, None) => drop::<Waited>(self.consumer.wait(Deadline::Never)?),
                (Wait::Block, Some(fd)) => {
                    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
                    poll(&mut fds, PollTimeout::NONE)?;
                }
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.consumer.channel().remove();
    }
}
