//! What a way between two processes has to offer to be measured.

use crate::message::Size;
use anyhow::Result;

/// How a process waits for the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It sleeps until it is woken.
    Block,
    /// It looks again and again and is never woken.
    Spin,
}

impl Wait {
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "blocking",
            Self::Spin => "spinning",
        }
    }
}

/// One measurement's demands.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub size: Size,
    pub wait: Wait,
    /// Tells this run's keys and names from all others'.
    pub id: u32,
}

/// What each way may hold, where that can be chosen: one default ring of shmdemo's.
const ROOM: usize = 16 << 10;

impl Spec {
    /// How many messages fit, where that can be chosen.
    pub fn depth(&self) -> usize {
        (ROOM / self.size.longest()).clamp(16, 256)
    }

    /// A name that nobody else uses.
    pub fn name(&self, direction: u32) -> String {
        format!("shmdemo-compare-{}-{}-{direction}", std::process::id(), self.id)
    }

    /// A System V key that nobody else uses.
    pub fn key(&self, direction: u32) -> i32 {
        let pid = std::process::id() & 0xffff;
        ((0x63 << 24) | (pid << 8) | (((self.id << 1) | direction) & 0xff)) as i32
    }
}

/// One way of handing messages from one process to another.
pub trait Transport {
    /// As tables show it.
    const NAME: &'static str;
    /// Only throughput: its messages go in batches, so the first one waits for the others.
    const BATCHED: bool = false;
    /// A message takes a millisecond, not microseconds.
    const SLOW: bool = false;

    /// What is made before the two processes part.
    type Link;
    type Tx: Tx + 'static;
    type Rx: Rx + 'static;

    /// Is it to be had here? `Err` says what is missing. It may prepare something, once.
    fn available() -> Result<()> {
        Ok(())
    }
    /// Does it have such a form?
    fn offers(_wait: Wait) -> bool {
        true
    }
    /// Makes one direction, before the two processes part.
    fn link(spec: &Spec, direction: u32) -> Result<Self::Link>;
    /// The sending end, in its process.
    fn tx(spec: &Spec, link: &Self::Link) -> Result<Self::Tx>;
    /// The receiving end, in its process.
    fn rx(spec: &Spec, link: &Self::Link) -> Result<Self::Rx>;
    /// The two processes have parted: what they share is theirs.
    fn parted(_link: &Self::Link) {}
    /// Both processes have ended, one way or another: nothing is to stay behind.
    fn remove(_spec: &Spec, _link: Self::Link) {}
}

/// A sending end.
pub trait Tx {
    /// Both ends are open.
    fn start(&mut self) -> Result<()> {
        Ok(())
    }
    /// Sends one message, waiting for room.
    fn send(&mut self, message: &[u8]) -> Result<()>;
    /// Nothing may stay in a buffer of this process.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A receiving end.
pub trait Rx {
    /// Both ends are open.
    fn start(&mut self) -> Result<()> {
        Ok(())
    }
    /// Waits for a message and hands over all that are there.
    fn receive(&mut self, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()>;
}
