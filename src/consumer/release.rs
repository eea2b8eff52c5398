//! Letting go of records: all, the oldest, or those of which so many bytes were written.

use super::{Consumer, Run};
use crate::error::Result;
use crate::ring::Rx;
use crate::segment::layout::MAX_LANES;

impl Consumer {
    /// Are there records looked at and not released yet?
    pub fn holds(&self) -> bool {
        self.lanes.iter().any(Rx::holds)
    }

    /// How many records are looked at and not released yet?
    pub fn held(&self) -> usize {
        self.runs.iter().map(|run| run.records as usize).sum()
    }

    /// Goes back to the oldest record not released: what was looked at since comes again, in order
    /// within its lane, as it would for the next consumer.
    ///
    /// # Errors
    /// [`Error::Forked`](crate::Error::Forked) in a child made by fork(2).
    pub fn rewind(&mut self) -> Result<()> {
        self.check_claimant()?;
        self.go_back();
        self.runs.clear();
        self.full = false;
        Ok(())
    }

    fn go_back(&mut self) {
        // A look that found nothing is true no more.
        if self.armed && self.holds() {
            self.disarm();
        }
        for rx in &mut self.lanes {
            rx.rewind();
        }
    }

    /// Releases all records looked at: their room is the producers' again, who are woken if they
    /// wait for it.
    pub fn release(&mut self) {
        if !self.claimant.is_this() {
            return;
        }
        self.runs.clear();
        self.full = false;
        let (roles, geometry) = (*self.channel.roles(), self.channel.geometry());
        for (lane, rx) in self.lanes.iter_mut().enumerate().filter(|(_, rx)| rx.holds()) {
            let free = rx.release();
            let doorbell = &rx.control().room_bell;
            doorbell.ring_for_room(free, geometry.ring_bytes, &roles.room_bell(lane as u32));
        }
    }

    /// Releases the `count` oldest of the records looked at, or all if there are fewer; the others are
    /// still held, and more can be looked at.
    ///
    /// # Errors
    /// [`NotOurs`](crate::Error::NotOurs) naming lane and field, where a producer changed what was looked at: that lane
    /// is set aside, with all of it that is held. The others' are released.
    pub fn release_first(&mut self, count: usize) -> Result<()> {
        self.check_claimant()?;
        let (mut left, mut done) = (count, 0);
        let mut counts = [0; MAX_LANES as usize];
        for run in &mut self.runs {
            let taken = run.records.min(u32::try_from(left).unwrap_or(u32::MAX));
            if !run.void {
                counts[run.lane] += taken;
            }
            run.records -= taken;
            left -= taken as usize;
            if run.records > 0 {
                break;
            }
            done += 1;
        }
        self.runs.drain(..done);
        self.full &= done == 0;
        let (roles, geometry) = (*self.channel.roles(), self.channel.geometry());
        let mut damaged = Ok(());
        for (lane, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let rx = &mut self.lanes[lane];
            let bell = roles.room_bell(lane as u32);
            match rx.release_first(count) {
                // The half of the ring that it would like may be held for long.
                Ok(_) if rx.holds() => drop(rx.control().room_bell.ring(&bell)),
                Ok(free) => {
                    rx.control().room_bell.ring_for_room(free, geometry.ring_bytes, &bell);
                }
                Err(field) if damaged.is_ok() => damaged = Err(self.set_aside(lane, field)),
                Err(field) => {
                    // Told next.
                    let _ = self.set_aside(lane, field);
                    self.untold |= 1 << lane;
                }
            }
        }
        damaged
    }

    /// Releases only the records whose payloads, each with `extra` bytes beside it, are complete
    /// within the first `bytes` of what was looked at, in order; the others come again.
    ///
    /// For a batch of which only a part could be written.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record).
    pub fn release_within(&mut self, bytes: usize, extra: usize) -> Result<()> {
        self.check_claimant()?;
        self.go_back();
        let mut left = bytes;
        'all: for at in 0..self.runs.len() {
            let Run { lane, records, .. } = self.runs[at];
            for _ in 0..records {
                let rx = &mut self.lanes[lane];
                let before = rx.position();
                let next = rx.next();
                let Some(found) = next.map_err(|d| self.set_aside(lane, d))? else {
                    break 'all;
                };
                let size = found.len as usize + extra;
                if size > left {
                    self.lanes[lane].seek(before);
                    break 'all;
                }
                left -= size;
            }
        }
        self.release();
        Ok(())
    }
}
