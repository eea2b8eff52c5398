//! What to open: the C struct, checked and turned into [`Options`].

use super::fault::{self, misuse, Fault};
use super::SHMDEMO_OK;
use crate::segment::layout::{
    min_ring_for, DEFAULT_LANES, DEFAULT_MAX_MESSAGE, DEFAULT_RING, MAX_MESSAGE, MAX_RING, MIN_RING,
};
use crate::sysv::Key;
use crate::{Error, Geometry, Options};
use core::ffi::c_int;
use core::mem::size_of;

/// Value of a field that says nothing.
pub const SHMDEMO_UNSET: u32 = u32::MAX;
/// Flag: wait for somebody else to create the channel.
pub const SHMDEMO_NO_CREATE: u32 = 1;
/// Flag: keep the segment out of swap.
pub const SHMDEMO_LOCK: u32 = 2;

/// How to open a channel: see the header.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types, missing_docs)] // the C name; the fields are described there
pub struct shmdemo_options {
    pub size: u32,
    pub key: i32,
    pub lanes: u32,
    pub ring_bytes: u32,
    pub max_message: u32,
    pub flags: u32,
    pub mode: u32,
    pub group: u32,
    pub owner: u32,
    pub create_as: u32,
    pub lane_changes: u32,
}

/// What a program was compiled with that knows the first version of the struct.
const FIRST: usize = size_of::<shmdemo_options>();

/// Larger than any version of it will ever be.
const LARGEST: usize = 4096;

impl shmdemo_options {
    fn defaults() -> Self {
        Self {
            size: size_of::<Self>() as u32,
            key: Key::DEFAULT.raw(),
            lanes: DEFAULT_LANES,
            ring_bytes: 0,
            max_message: DEFAULT_MAX_MESSAGE,
            flags: 0,
            mode: SHMDEMO_UNSET,
            group: SHMDEMO_UNSET,
            owner: SHMDEMO_UNSET,
            create_as: SHMDEMO_UNSET,
            lane_changes: 64,
        }
    }

    /// Rounded up as the programs do it; what no channel can have is left for the check.
    fn geometry(&self) -> Geometry {
        let ring_bytes = match self.ring_bytes {
            0 => DEFAULT_RING.max(min_ring_for(self.max_message.min(MAX_MESSAGE))),
            n if (MIN_RING..=MAX_RING).contains(&n) => n.next_power_of_two(),
            n => n,
        };
        Geometry { lanes: self.lanes, ring_bytes, max_message: self.max_message }
    }

    fn checked(&self) -> Result<Options, Fault> {
        let key = Key::new(self.key).ok_or_else(|| misuse("key 0 is IPC_PRIVATE"))?;
        if self.flags & !(SHMDEMO_NO_CREATE | SHMDEMO_LOCK) != 0 {
            return Err(misuse("unknown bit in flags"));
        }
        let set = |value: u32| (value != SHMDEMO_UNSET).then_some(value);
        if set(self.mode).is_some_and(|mode| !(0o600..=0o777).contains(&mode)) {
            return Err(misuse("mode must be 0600 to 0777, or SHMDEMO_UNSET"));
        }
        if !(1..=65_536).contains(&self.lane_changes) {
            return Err(misuse("lane_changes must be 1 to 65536"));
        }
        let geometry = self.geometry();
        geometry.check().map_err(Error::BadGeometry)?;
        let mut options = Options::new(key)
            .geometry(geometry)
            .create(self.flags & SHMDEMO_NO_CREATE == 0)
            .lock(self.flags & SHMDEMO_LOCK != 0)
            .lane_changes(self.lane_changes);
        (options.mode, options.group) = (set(self.mode), set(self.group));
        (options.owner, options.create_as) = (set(self.owner), set(self.create_as));
        Ok(options)
    }
}

/// The caller's struct, of whatever version; null: the defaults.
///
/// # Safety
/// `given` is null or points to a struct with `size` filled in.
pub(super) unsafe fn options(given: *const shmdemo_options) -> Result<Options, Fault> {
    if given.is_null() {
        return shmdemo_options::defaults().checked();
    }
    // SAFETY: the caller's promise; only `size` is read before it is known.
    let size = unsafe { core::ptr::addr_of!((*given).size).read_unaligned() } as usize;
    if !(FIRST..=LARGEST).contains(&size) {
        return Err(misuse("options were not filled by shmdemo_options_init"));
    }
    let known = size_of::<shmdemo_options>();
    for at in known..size {
        // SAFETY: the struct has `size` bytes. What this version does not know must be unused.
        if unsafe { given.cast::<u8>().add(at).read() } != 0 {
            return Err(misuse("options use a field that this version of the library lacks"));
        }
    }
    // SAFETY: at least FIRST bytes, which is all of this version's struct.
    unsafe { given.read_unaligned() }.checked()
}

/// Fills in the defaults.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_options_init(options: *mut shmdemo_options, size: usize) -> c_int {
    fault::call("shmdemo_options_init", || {
        if options.is_null() {
            return Err(misuse("options is NULL"));
        }
        if !(FIRST..=LARGEST).contains(&size) {
            return Err(misuse("size must be sizeof(struct shmdemo_options)"));
        }
        let mut defaults = shmdemo_options::defaults();
        defaults.size = size as u32;
        // SAFETY: the caller's struct has `size` bytes, at least those of this version.
        unsafe {
            core::ptr::write_bytes(options.cast::<u8>(), 0, size);
            options.write_unaligned(defaults);
        }
        Ok(SHMDEMO_OK)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_channel_can_have_is_refused() {
        let defaults = shmdemo_options::defaults();
        assert!(defaults.checked().is_ok());
        for ring_bytes in [1, MIN_RING - 1, MAX_RING + 1, u32::MAX] {
            let options = shmdemo_options { ring_bytes, ..defaults };
            assert_eq!(options.geometry().ring_bytes, ring_bytes);
            assert!(options.checked().is_err(), "{ring_bytes}");
        }
        let options = shmdemo_options { ring_bytes: 100_000, ..defaults };
        assert_eq!(options.checked().ok().map(|o| o.geometry.ring_bytes), Some(131_072));
    }

    #[test]
    fn each_flag_is_one_option() {
        let with = |flags| shmdemo_options { flags, ..shmdemo_options::defaults() }.checked();
        for (flags, create, lock) in [
            (0, true, false),
            (SHMDEMO_NO_CREATE, false, false),
            (SHMDEMO_LOCK, true, true),
            (SHMDEMO_NO_CREATE | SHMDEMO_LOCK, false, true),
        ] {
            let options = with(flags).ok().expect("known flags");
            assert_eq!((options.create, options.lock), (create, lock), "{flags}");
        }
        for unknown in (0..32).map(|bit| 1 << bit) {
            let known = unknown == SHMDEMO_NO_CREATE || unknown == SHMDEMO_LOCK;
            assert_eq!(with(unknown).is_ok(), known, "{unknown:#x}");
        }
    }
}
