//! Which user a number means.
//!
//! A user namespace has numbers only for the users that are mapped into it. All others are shown as
//! one and the same, the overflow uid (65534 as a rule): two of them that look equal need not be.
//!
//! Source: [user_namespaces(7)](https://man7.org/linux/man-pages/man7/user_namespaces.7.html),
//! section "Unmapped user and group IDs".

use crate::sysv::proc;

/// Does one of these numbers stand for users that have none here, so that it says nothing of who it is?
///
/// Where `/proc` does not tell, the overflow uid counts as that: it is refused, not trusted.
pub(crate) fn are_nobodys(uids: [u32; 2]) -> bool {
    let overflow = proc::read("/proc/sys/kernel/overflowuid");
    let overflow = overflow.and_then(|text| text.trim().parse().ok()).unwrap_or(65_534);
    uids.contains(&overflow)
        && !proc::read("/proc/self/uid_map").is_some_and(|map| maps(&map, overflow))
}

/// Is `uid` in one of the ranges of this map: the first one inside, outside, how many?
fn maps(map: &str, uid: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        let (inside, count) = (numbers.next().flatten(), numbers.nth(1).flatten());
        let offset = inside.and_then(|first| uid.checked_sub(first));
        matches!((offset, count), (Some(offset), Some(count)) if offset < count)
    })
}

#[cfg(test)]
mod tests {
    use super::maps;

    #[test]
    fn ranges_of_a_map() {
        assert!(maps("         0          0 4294967295\n", 65_534));
        assert!(maps("0 1000 1\n1 100000 65536\n", 65_534));
        assert!(maps("65534 1000 1\n", 65_534));
        for map in ["", "0 1000 1\n", "1000 1000 1", "0 100000 65534\n", "65535 0 10\n", "x y z\n"]
        {
            assert!(!maps(map, 65_534), "{map}");
        }
    }
}
