//! Lanes that were found damaged, and how often: told of less and less often.

use crate::layout::MAX_LANES;
use crate::Error;
use anyhow::Result;

#[derive(Default)]
pub(super) struct DamagedLanes([u32; MAX_LANES as usize]);

impl DamagedLanes {
    /// One bad lane is one bad lane: it is told, the 1st, 2nd, 4th … time, and the others go on.
    ///
    /// # Errors
    /// Any other error.
    pub(super) fn tell(&mut self, error: Error) -> Result<()> {
        let Error::NotOurs { lane: Some(lane), .. } = error else { return Err(error.into()) };
        let times = &mut self.0[lane as usize];
        *times = times.saturating_add(1);
        if times.is_power_of_two() {
            log::error!("{error} (seen {times} times)");
        }
        Ok(())
    }
}
