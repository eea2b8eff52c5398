//! A lane that somebody damaged: its next producer makes it anew.

use crate::channel::roles::lock_wait;
use crate::channel::Channel;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::ring::{self, Tx};
use core::time::Duration;

impl Channel {
    /// The producer's end of a lane that was just claimed, made anew if need be.
    pub(super) fn take_up(&self, lane: u32, deadline: Deadline) -> Result<Tx> {
        let geometry = self.geometry();
        let control = self.segment().control(&geometry, lane);
        let taken = || {
            // The consumer's words, too: a message behind damage of theirs would be lost.
            ring::counters(control, geometry.ring_bytes)?;
            Tx::new(self.segment().lane(&geometry, lane), geometry.max_message)
        };
        if !control.is_set_aside() {
            if let Ok(tx) = taken() {
                return Ok(tx);
            }
        }
        let give_up = lock_wait(deadline);
        loop {
            // Under the lock no server begins.
            self.roles().lock(give_up)?;
            let server = self.roles().server();
            let anew = control.is_set_aside() || matches!(server, Ok(None));
            match anew {
                true => control.make_anew(),
                // A server that has not seen it yet would go on from positions of its own.
                false => control.condemn(),
            }
            self.roles().unlock();
            server?;
            let tx = taken();
            match tx {
                Ok(tx) if anew => return Ok(tx),
                Err(field) if anew || give_up.passed() => {
                    return Err(Error::from_damage(self.key(), lane, field));
                }
                _ => {}
            }
            let _ = self.roles().server_bell().post();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
