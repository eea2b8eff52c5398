//! Sizes of a new channel, as they are given.

use super::values::{bad, usage};
use crate::segment::layout;
use crate::Geometry;
use anyhow::Result;

/// Sizes as given; what was not given has its default.
#[derive(Default)]
pub(super) struct GeometryArgs {
    pub lanes: Option<u32>,
    pub size: Option<u32>,
    pub max_message: Option<u32>,
}

impl GeometryArgs {
    pub(super) fn any(&self) -> bool {
        self.lanes.is_some() || self.size.is_some() || self.max_message.is_some()
    }

    /// The sizes to create with. A ring's size is rounded up to a power of two, and grows with
    /// `--max-message` unless it was given itself.
    pub(super) fn geometry(&self) -> Geometry {
        let max_message = self.max_message.unwrap_or(layout::DEFAULT_MAX_MESSAGE);
        let least = layout::min_ring_for(max_message);
        let ring_bytes = self.size.unwrap_or(layout::DEFAULT_RING.max(least)).next_power_of_two();
        Geometry { lanes: self.lanes.unwrap_or(layout::DEFAULT_LANES), ring_bytes, max_message }
    }
}

pub(super) fn check_geometry(sizes: &GeometryArgs) -> Result<()> {
    let geometry = sizes.geometry();
    let least = layout::min_ring_for(geometry.max_message);
    match sizes.size {
        Some(size) if geometry.ring_bytes < least => Err(bad(
            "--size",
            &size.to_string(),
            &format!("at least {least} for messages of {} bytes", geometry.max_message),
        )),
        _ => geometry
            .check()
            .map_err(|why| usage(format!("sizes: {}", crate::Error::BadGeometry(why)))),
    }
}
