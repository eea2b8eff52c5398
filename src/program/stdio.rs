//! Standard input and output without the standard library's buffers: whole batches, one system
//! call each.
#![allow(unsafe_code)]

use super::{exit, signals, Failure};
use anyhow::Result;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{poll, ppoll, PollFd, PollFlags, PollTimeout};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Was stdout closed (`>&-`) when the program began? The run-time opens /dev/null in its place
/// before `main`, and messages would vanish there.
static CLOSED: AtomicBool = AtomicBool::new(false);

extern "C" fn look_at_stdout() {
    // SAFETY: F_GETFD takes no further argument and touches no memory.
    if unsafe { libc::fcntl(1, libc::F_GETFD) } == -1 {
        CLOSED.store(true, Ordering::Relaxed);
    }
}

// SAFETY: the C library calls what stands in this section before the run-time and `main`, with
// the C calling convention; the function uses neither.
#[used]
#[link_section = ".init_array"]
static LOOK_AT_STDOUT: extern "C" fn() = look_at_stdout;

/// Fails if stdout was closed from the start.
pub fn check_stdout() -> Result<()> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(Failure::error(
            exit::IO,
            "stdout is closed (EBADF): redirect it to where the messages are to go",
        ));
    }
    Ok(())
}

/// Is there a person at the other end of stdin?
pub fn stdin_is_terminal() -> bool {
    nix::unistd::isatty(std::io::stdin()).unwrap_or(false)
}

/// Why [`write_all`] stopped: after so many bytes, for that reason.
pub struct Stopped {
    pub written: usize,
    pub errno: Errno,
}

/// Writes all of `bytes` to stdout.
pub fn write_all(bytes: &[u8]) -> core::result::Result<(), Stopped> {
    let stdout = std::io::stdout();
    let mut written = 0;
    while written < bytes.len() {
        match nix::unistd::write(stdout.as_fd(), &bytes[written..]) {
            Ok(0) => return Err(Stopped { written, errno: Errno::EIO }),
            Ok(n) => written += n,
            Err(Errno::EINTR) => {}
            // Somebody made it non-blocking: wait for room.
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut fds, PollTimeout::NONE);
            }
            Err(errno) => return Err(Stopped { written, errno }),
        }
    }
    Ok(())
}

/// Prints a text that is no message: help, version, status.
pub fn print(text: &str) -> Result<()> {
    check_stdout()?;
    write_all(text.as_bytes()).map_err(|stopped| output_failure(stopped.errno, ""))
}

/// The failure of a write to stdout.
pub fn output_failure(errno: Errno, more: &str) -> anyhow::Error {
    let next = match errno {
        Errno::EPIPE => "its reader is gone: start it again",
        Errno::ENOSPC => "the file system is full: free some space",
        _ => "see where stdout goes",
    };
    let message = format!("writing to stdout: {errno:?} ({}): {next}{more}", errno.desc());
    Failure::error(exit::IO, message)
}

/// What a read from stdin brought.
pub enum Input {
    /// So many bytes.
    Bytes(usize),
    /// There are no more.
    End,
    /// A signal asks to stop.
    Stopped,
}

/// Waits for input and reads what there is, at most `into.len()` bytes.
pub fn read(into: &mut [u8]) -> Result<Input> {
    let stdin = std::io::stdin();
    let fd: BorrowedFd<'_> = stdin.as_fd();
    let failed = |errno: Errno| {
        let message = format!("reading stdin: {errno:?} ({})", errno.desc());
        Failure::error(exit::IO, message)
    };
    loop {
        {
            let held = signals::HeldBack::new().map_err(failed)?;
            if signals::stop().is_some() {
                return Ok(Input::Stopped);
            }
            let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
            match ppoll(&mut fds, None, Some(held.mask())) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        if signals::stop().is_some() {
            return Ok(Input::Stopped);
        }
        match nix::unistd::read(fd, into) {
            Ok(0) => return Ok(Input::End),
            Ok(n) => return Ok(Input::Bytes(n)),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}
