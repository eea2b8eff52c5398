//! Small files of `/proc`, as text; without the weight of the standard library's files.
//!
//! Source: [proc(5)](https://man7.org/linux/man-pages/man5/proc.5.html).

use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::sys::stat::Mode;

/// What the file holds; `None` where it can't be read, or is no text.
pub(crate) fn read(path: &str) -> Option<String> {
    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let (mut all, mut part) = (Vec::new(), [0; 512]);
    loop {
        match nix::unistd::read(&file, &mut part) {
            Ok(0) => return String::from_utf8(all).ok(),
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_file_is_read_whole() {
        let table = read("/proc/self/mountinfo").unwrap();
        assert_eq!(table, std::fs::read_to_string("/proc/self/mountinfo").unwrap());
        assert_eq!(read("/proc/there is none"), None);
        assert_eq!(read("/proc/self"), None, "a folder");
    }
}
