//! The last questions: is all taken, is the channel still there, may this process end?

use super::Producer;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::wake::{self, Bed, Waited};

impl Producer {
    /// How many of the lane's messages the server has not released yet.
    ///
    /// # Errors
    /// [`Error::NotOurs`] where the lane's words are damaged.
    pub fn queued(&self) -> Result<u32> {
        let ring = self.tx.bytes().len();
        let counters =
            crate::ring::counters(self.tx.control(), ring).map_err(|d| self.damage(d))?;
        Ok(self.tx.sent().wrapping_sub(counters.received))
    }

    /// Is the server about to remove the channel, so that what was just committed may be lost?
    ///
    /// The server says so, fences, prints what is committed, then removes; a producer commits,
    /// fences, then asks here. So a message is either seen by the server or its sender is told.
    pub fn closing(&self) -> bool {
        self.channel.segment().header().is_closing()
    }

    /// Is everything this lane holds released by the server?
    ///
    /// # Errors
    /// [`Error::NotOurs`] where the lane's words are damaged.
    pub fn is_drained(&mut self) -> Result<bool> {
        self.tx.is_drained().map_err(|d| Error::from_damage(self.channel.key(), self.lane, d))
    }

    /// Fails where the server has set the lane aside.
    pub(super) fn check_lane(&self) -> Result<()> {
        match self.tx.control().aside_field() {
            Some(field) => Err(self.damage(field)),
            None => Ok(()),
        }
    }

    /// Fails where the channel was removed and not all that was sent had been received.
    ///
    /// # Errors
    /// [`Error::Removed`]; [`Error::NotOurs`] where the lane's words are damaged.
    pub fn check(&mut self) -> Result<()> {
        self.check_claimant()?;
        self.check_lane()?;
        match self.channel.check() {
            // Removed comes after released, so this look is the last word.
            Err(e) if e.is_removed() && self.is_drained()? => Ok(()),
            other => other,
        }
    }

    /// Makes sure of all that was sent, before the end ([`Waited::Ready`]): it is received, or waits
    /// in a channel that goes on. Where the server is about to remove the channel, sleeps until that
    /// is done, until `deadline` or an
    /// [`Interrupter::wake`](crate::Interrupter::wake); what became of it is not known then.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn finish(&mut self, deadline: Deadline) -> Result<Waited> {
        self.check_claimant()?;
        self.ring_surely();
        let waited = self.wait_until_taken(deadline)?;
        if waited == Waited::Ready {
            self.check()?;
        }
        Ok(waited)
    }

    /// Sleeps while a server is there that is about to remove the channel, and has not taken all.
    fn wait_until_taken(&mut self, deadline: Deadline) -> Result<Waited> {
        let lane = self.lane;
        let bell = self.channel.roles().room_bell(lane);
        let bed = Bed { bell, deadline, longest: None };
        let control = self.channel.segment().control(&self.channel.geometry(), lane);
        // All of the ring free: rung for at the release of the last message.
        let need = self.tx.bytes().len();
        let (header, tx) = (self.channel.segment().header(), &mut self.tx);
        // `closing` is asked after the last commit: a server that has not said it yet will see
        // that commit. One that is killed meanwhile rings by that.
        let mut damaged = None;
        let mut taken = |_| match control.aside_field().map_or_else(|| tx.is_drained(), Err) {
            Ok(drained) => drained || !header.is_closing(),
            Err(field) => {
                damaged = Some(field);
                true
            }
        };
        let (doorbell, spin) = (&control.room_bell, &mut self.spin);
        let waited = wake::sleep_or_poll(&mut self.polled, doorbell, &bed, need, spin, &mut taken);
        if let Some(field) = damaged {
            return Err(self.damage(field));
        }
        // A channel that is gone, or a server: the wait is over, and `check` tells whether all was taken.
        match waited {
            Err(e) if e.is_removed() => return Ok(Waited::Ready),
            Err(e) => return Err(e),
            Ok(Waited::Ready) => return Ok(Waited::Ready),
            Ok(_) => {}
        }
        match self.channel.check().and_then(|()| self.server_present()) {
            Ok(true) => waited,
            Ok(false) => Ok(Waited::Ready),
            Err(e) if e.is_removed() => Ok(Waited::Ready),
            Err(e) => Err(e),
        }
    }

    /// Does somebody hold the server role now?
    ///
    /// # Errors
    /// [`Error::Removed`].
    pub fn server_present(&self) -> Result<bool> {
        self.channel.roles().server().map(|pid| pid.is_some())
    }
}
