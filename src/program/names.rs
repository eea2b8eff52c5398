//! Users and groups by name; without the weight of all else that is known of them.
#![allow(unsafe_code)]

use nix::libc;
use std::ffi::CString;

/// The uid of a user; `None`: there is none of this name, or none of a name with a NUL inside.
///
/// Source: [getpwnam(3)](https://man7.org/linux/man-pages/man3/getpwnam.3.html).
pub(super) fn uid_of(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` is a C string that lives through the call. What is returned is null or a passwd
    // entry that stays until the next such call; it is read before, and no other thread makes any: the
    // programs have one.
    unsafe { libc::getpwnam(name.as_ptr()).as_ref() }.map(|user| user.pw_uid)
}

/// The gid of a group; `None`: as [`uid_of`].
///
/// Source: [getgrnam(3)](https://man7.org/linux/man-pages/man3/getgrnam.3.html).
pub(super) fn gid_of(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: as in `uid_of`.
    unsafe { libc::getgrnam(name.as_ptr()).as_ref() }.map(|group| group.gr_gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_there_are_and_are_not() {
        // One test: two threads may not ask at once.
        assert_eq!(uid_of("root"), Some(0));
        assert_eq!(gid_of("root"), Some(0));
        for name in ["", "nobody has this name", "root\0"] {
            assert_eq!((uid_of(name), gid_of(name)), (None, None), "{name:?}");
        }
    }
}
