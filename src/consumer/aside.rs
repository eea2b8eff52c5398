//! Lanes that are damaged: set aside, told once, and taken up when they were made anew.

use super::Consumer;
use crate::error::{Error, Result};
use crate::segment::layout::BadField;

impl Consumer {
    /// Looks at that lane no more; the error that tells it.
    #[cold]
    pub(super) fn set_aside(&mut self, lane: usize, field: BadField) -> Error {
        self.lanes[lane].set_aside();
        for run in self.runs.iter_mut().filter(|run| run.lane == lane) {
            run.void = true;
        }
        self.aside |= 1 << lane;
        // Its producer may be asleep for room that will never be.
        let _ = self.channel.roles().room_bell(lane as u32).post();
        Error::from_damage(self.channel.key(), lane as u32, field)
    }

    /// Tells of lanes that were damaged from the start, and takes up those that were made anew.
    #[cold]
    pub(super) fn see_to_aside(&mut self) -> Result<()> {
        for lane in 0..self.lanes.len() {
            if self.untold & (1 << lane) != 0 {
                self.untold &= !(1 << lane);
                let field = self.lanes[lane].damage();
                return Err(Error::from_damage(self.channel.key(), lane as u32, field));
            }
            if self.lanes[lane].is_made_anew() {
                self.aside &= !(1 << lane);
                self.lanes[lane].take_up_anew().map_err(|d| self.set_aside(lane, d))?;
            }
        }
        Ok(())
    }
}
