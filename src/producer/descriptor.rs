//! A producer among other things that a program waits for: a descriptor to poll.

use super::Producer;
use crate::error::Result;
use crate::wake::{self, Descriptor};

impl Producer {
    /// A descriptor for poll(2), epoll(7), select(2) and what is built on them. It is readable
    /// (`POLLIN`, not `POLLOUT`) while there may be room: until a [`reserve`](Self::reserve) or
    /// [`send`](Self::send) with [`Deadline::Now`](crate::Deadline::Now) has found none, and again from when half of the
    /// ring is free (or, for long messages, room for two), or there is a removal to hear of.
    /// [`try_reserve`](Self::try_reserve) leaves it as it is.
    ///
    /// For the rest it is as [`Consumer::fd`](crate::Consumer::fd) says.
    ///
    /// # Errors
    /// [`Error::System`](crate::Error::System) where there can be no descriptor (`EMFILE`, `ENFILE`) or no thread (`EAGAIN`).
    pub fn fd(&mut self) -> Result<Descriptor> {
        self.check_claimant()?;
        let polled = match self.polled.take() {
            Some(polled) => polled,
            None => wake::start_descriptor(self.channel.roles().room_bell(self.lane))?,
        };
        Ok(self.polled.insert(polled).descriptor())
    }

    /// Was there a call of [`fd`](Self::fd)?
    #[cfg(feature = "capi")]
    pub(crate) fn polls(&self) -> bool {
        self.polled.is_some()
    }

    /// There is room: the descriptor is to be readable, should it not have been rung for.
    #[cold]
    pub(super) fn disarm(&mut self) {
        self.armed = false;
        let control = self.channel.segment().control(&self.channel.geometry(), self.lane);
        if let Some(polled) = &mut self.polled {
            polled.disarm(&control.room_bell);
        }
    }
}
