//! Looking at a channel, and removing it, from C.

use super::fault::{self, misuse};
use super::options::{options, shmdemo_options};
use super::SHMDEMO_OK;
use crate::segment::layout::MAX_LANES;
use crate::Status;
use core::ffi::c_int;
use core::mem::size_of;

/// Flag: remove it even if somebody uses it.
pub const SHMDEMO_FORCE: u32 = 1;
/// In the place of a pid: the role is free.
pub const SHMDEMO_NOBODY: i32 = -1;

/// What one lane shows: see the header.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types, missing_docs)] // the C name; the fields are described there
pub struct shmdemo_lane_status {
    pub pid: i32,
    pub sent: u32,
    pub received: u32,
    pub queued_bytes: u32,
    pub refused: u32,
    pub too_long: u32,
    pub high_water_bytes: u32,
    pub set_aside: u32,
}

/// A channel as an onlooker sees it: see the header.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types, missing_docs)] // the C name; the fields are described there
pub struct shmdemo_status {
    pub size: u32,
    pub key: i32,
    pub id: i32,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub segment_bytes: u32,
    pub attached: u32,
    pub layout_version: u32,
    pub ring_bytes: u32,
    pub max_message: u32,
    pub server_pid: i32,
    pub rmid_forced: u32,
    pub lanes: u32,
    pub lane: [shmdemo_lane_status; MAX_LANES as usize],
}

const NO_LANE: shmdemo_lane_status = shmdemo_lane_status {
    pid: SHMDEMO_NOBODY,
    sent: 0,
    received: 0,
    queued_bytes: 0,
    refused: 0,
    too_long: 0,
    high_water_bytes: 0,
    set_aside: 0,
};

impl shmdemo_status {
    fn of(seen: &Status, size: u32) -> Self {
        let nobody = |pid: Option<i32>| pid.unwrap_or(SHMDEMO_NOBODY);
        let mut lane = [NO_LANE; MAX_LANES as usize];
        for (to, from) in lane.iter_mut().zip(&seen.lanes) {
            *to = shmdemo_lane_status {
                pid: nobody(from.pid),
                sent: from.sent,
                received: from.received,
                queued_bytes: from.queued_bytes,
                refused: from.refused,
                too_long: from.too_long,
                high_water_bytes: from.high_water,
                set_aside: u32::from(from.set_aside || from.damage.is_some()),
            };
        }
        Self {
            size,
            key: seen.key.raw(),
            id: seen.id.raw(),
            uid: seen.stat.perm.uid,
            gid: seen.stat.perm.gid,
            mode: seen.stat.perm.mode,
            segment_bytes: seen.geometry.segment_bytes(),
            attached: seen.stat.attaches.min(u64::from(u32::MAX)) as u32,
            layout_version: seen.layout_version,
            ring_bytes: seen.geometry.ring_bytes,
            max_message: seen.geometry.max_message,
            server_pid: nobody(seen.server),
            rmid_forced: u32::from(seen.rmid_forced),
            lanes: seen.geometry.lanes,
            lane,
        }
    }
}

/// What the first version of the struct has, and more than any version will have.
const SIZES: core::ops::RangeInclusive<usize> = size_of::<shmdemo_status>()..=65536;

/// Looks at a channel without taking part in it.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_status_read(
    given: *const shmdemo_options,
    status: *mut shmdemo_status,
    size: usize,
) -> c_int {
    fault::call("shmdemo_status_read", || {
        if status.is_null() {
            return Err(misuse("the place for the status is NULL"));
        }
        if !SIZES.contains(&size) {
            return Err(misuse("size must be sizeof(struct shmdemo_status)"));
        }
        // SAFETY: the caller's promise.
        let options = unsafe { options(given) }?;
        let seen = shmdemo_status::of(&Status::read(&options)?, size as u32);
        // SAFETY: the caller's struct has `size` bytes, at least those of this version.
        unsafe {
            core::ptr::write_bytes(status.cast::<u8>(), 0, size);
            status.write_unaligned(seen);
        }
        Ok(SHMDEMO_OK)
    })
}

/// Removes segment and semaphores.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_remove(given: *const shmdemo_options, flags: u32) -> c_int {
    fault::call("shmdemo_remove", || {
        if flags & !SHMDEMO_FORCE != 0 {
            return Err(misuse("unknown bit in flags"));
        }
        // SAFETY: the caller's promise.
        let options = unsafe { options(given) }?;
        crate::remove(&options, flags & SHMDEMO_FORCE != 0)?;
        Ok(SHMDEMO_OK)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::layout::BadField;
    use crate::{Channel, Deadline, Key, Options};

    #[test]
    fn a_lane_that_is_damaged_or_set_aside_is_said_to_be() {
        let key = Key::of_a_test();
        let channel = Channel::open(&Options::new(key), Deadline::Now).expect("a channel");
        let mut seen = Status::read(&Options::new(key)).expect("status");
        let told = |seen: &Status| shmdemo_status::of(seen, 0).lane[0].set_aside;
        let damage = BadField { field: "tail", found: 1, expected: 0 };
        for (set_aside, damage) in
            [(false, None), (false, Some(damage)), (true, None), (true, Some(damage))]
        {
            (seen.lanes[0].set_aside, seen.lanes[0].damage) = (set_aside, damage);
            assert_eq!(told(&seen), u32::from(set_aside || damage.is_some()));
        }
        channel.remove().expect("remove");
    }
}
