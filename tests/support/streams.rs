//! Pipes, sockets and terminals that take little or nothing.
#![allow(unsafe_code)]

use super::raw::{checked, terminal};
use nix::libc::{self, c_int};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

/// A pair of datagram sockets, the first of which sends no datagram of more than some 4 kB.
pub fn small_datagrams() -> (UnixDatagram, UnixDatagram) {
    let pair = UnixDatagram::pair().expect("two sockets");
    send_little(&pair.0);
    pair
}

/// The same of a stream.
pub fn small_streams() -> (UnixStream, UnixStream) {
    let pair = UnixStream::pair().expect("two sockets");
    send_little(&pair.0);
    pair
}

fn send_little(socket: &impl AsRawFd) {
    let (least, size): (c_int, _) = (0, std::mem::size_of::<c_int>() as u32);
    let (fd, option) = (socket.as_raw_fd(), std::ptr::addr_of!(least).cast());
    // SAFETY: the kernel reads one int, which lives through the call; it makes it the least it may be.
    checked(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, option, size) })
        .expect("SO_SNDBUF");
}

/// Bytes that wait in a pipe.
pub fn readable(pipe: &impl AsRawFd) -> usize {
    let (fd, mut bytes) = (pipe.as_raw_fd(), 0 as c_int);
    let place = std::ptr::addr_of_mut!(bytes);
    // SAFETY: FIONREAD writes an int to a local one.
    checked(unsafe { libc::ioctl(fd, libc::FIONREAD, place) }).expect("FIONREAD");
    bytes as usize
}

/// A pipe that has room for nothing: who reads, who writes.
pub fn full_pipe() -> (OwnedFd, OwnedFd) {
    use nix::fcntl::{fcntl, FcntlArg, OFlag};
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_NONBLOCK).expect("a pipe");
    while nix::unistd::write(&writer, &[b'.'; 512]).is_ok() {}
    for end in [&reader, &writer] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::empty())).expect("F_SETFL");
    }
    (reader, writer)
}

/// A terminal whose output is stopped, as by Ctrl-S: its other end, and itself.
pub fn stopped_terminal() -> (OwnedFd, OwnedFd) {
    let (main, other) = terminal().expect("a terminal");
    // SAFETY: plain numbers.
    checked(unsafe { libc::tcflow(other.as_raw_fd(), libc::TCOOFF) }).expect("tcflow");
    (main, other)
}
