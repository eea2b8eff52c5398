//! A consumer among other things that a program waits for: a descriptor to poll.

use super::{Consumer, ALL};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::wake::{self, Descriptor, Waited};

impl Consumer {
    /// A descriptor for poll(2), epoll(7), select(2) and what is built on them. It is readable
    /// (`POLLIN`) while there may be something to look at, or an error or a removal to hear of: until
    /// [`next_record`](Self::next_record) has said that there is nothing, and again from when there is.
    ///
    /// - **Level-triggered**: records may be left for the next turn. With `EPOLLET`, look until
    ///   there is nothing; where [`must_release`](Self::must_release), release and look on.
    /// - Readable once more than needed at times, as other descriptors: then there is nothing.
    /// - [`wait`](Self::wait) works as before, and an [`Interrupter`](crate::Interrupter) makes it readable once.
    ///   Signals interrupt poll(2) alone.
    /// - Do not read or write it. Close it (drop all of its clones) after it left the event loop; after
    ///   the consumer it is set by nobody.
    ///
    /// The first call starts a thread with a stack of 32 KiB and all signals blocked, which sleeps on
    /// the semaphore in this one's stead: one more context switch a message now and then, none in a
    /// burst. Who never calls this has none. The thread is this process's: in a child made by fork(2)
    /// there is no thread, the descriptor is the parent's, and every call fails as the others do; open
    /// the channel after the fork.
    ///
    /// # Errors
    /// [`Error::System`](crate::Error::System) where there can be no descriptor (`EMFILE`, `ENFILE`) or no thread (`EAGAIN`).
    pub fn fd(&mut self) -> Result<Descriptor> {
        self.check_claimant()?;
        let polled = match self.polled.take() {
            Some(polled) => polled,
            None => wake::start_descriptor(self.channel.roles().server_bell())?,
        };
        Ok(self.polled.insert(polled).descriptor())
    }

    /// A look found nothing: announces a sleep at the descriptor. True: there is something after all.
    #[cold]
    pub(super) fn arm(&mut self) -> Result<bool> {
        if self.full {
            return Ok(false); // there is something, once some are released
        }
        let came_to = self.lanes.iter().fold(0_u32, |sum, rx| sum.wrapping_add(rx.position().0));
        if self.armed && self.turned == came_to {
            // It was woken and found nothing, perhaps by a producer that waits for room, or by one that
            // ended. Or it was not woken.
            self.channel.roles().remind_producers(ALL);
            self.channel.check()?;
        }
        self.turned = came_to;
        Ok(self.sleep(Deadline::Now)? == Waited::Ready)
    }

    /// There is a record: the descriptor is to be readable, should it not have been rung for.
    #[cold]
    pub(super) fn disarm(&mut self) {
        self.armed = false;
        if let Some(polled) = &mut self.polled {
            polled.disarm(&self.channel.segment().header().server_bell);
        }
    }
}
