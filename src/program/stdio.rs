//! Standard input and output without the standard library's buffers: whole batches, one system
//! call each.
#![allow(unsafe_code)]

use super::notify::Notify;
use super::{exit, signals, Failure};
use anyhow::Result;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which of the descriptors 0 to 2 were closed (`>&-`) when the program began?
static CLOSED: [AtomicBool; 3] =
    [AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false)];

/// Puts something in the place of each that is closed, so that no socket or file opened later gets
/// its number, and messages with it. The run-time would open /dev/null, where messages vanish, or
/// abort without a word where there is none.
extern "C" fn fill_closed() {
    for (fd, closed) in (0..).zip(&CLOSED) {
        // SAFETY: F_GETFD takes no further argument and touches no memory.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1 {
            continue;
        }
        closed.store(true, Ordering::Relaxed);
        // The lowest free number is this one. A folder takes no write (EBADF) and gives no bytes.
        let root: [libc::c_char; 2] = [b'/' as _, 0];
        // SAFETY: `root` is a C string that lives through the call; nothing else is passed.
        let filled = unsafe { libc::open(root.as_ptr(), libc::O_RDONLY) };
        if filled == -1 {
            // Nor does a socket that is connected to nothing.
            // SAFETY: plain numbers.
            unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0) };
        }
    }
}

// SAFETY: the C library calls what stands in this section before the run-time and `main`, with
// the C calling convention; the function uses neither.
#[used]
#[link_section = ".init_array"]
static FILL_CLOSED: extern "C" fn() = fill_closed;

fn check(fd: usize, message: &str) -> Result<()> {
    match CLOSED[fd].load(Ordering::Relaxed) {
        true => Err(Failure::error(exit::IO, message)),
        false => Ok(()),
    }
}

/// Fails if stdin was closed from the start.
pub(super) fn check_stdin() -> Result<()> {
    check(0, "stdin is closed (EBADF): redirect it from where the lines are to come")
}

/// Fails if stdout was closed from the start.
pub(super) fn check_stdout() -> Result<()> {
    check(1, "stdout is closed (EBADF): redirect it to where the messages are to go")
}

/// Stdin, without the standard library's buffer of 8 KiB.
fn stdin() -> BorrowedFd<'static> {
    // SAFETY: the number is in use from `fill_closed` on, which came first: nobody closes it, and a signal's
    // handler puts another file in its place in one step (dup2).
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

/// Stdout, without the standard library's buffer.
pub(super) fn stdout() -> BorrowedFd<'static> {
    // SAFETY: as in `stdin`; this one has the same file all the time.
    unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) }
}

/// Is there a person at the other end of stdin?
pub(super) fn stdin_is_terminal() -> bool {
    nix::unistd::isatty(stdin()).unwrap_or(false)
}

/// And of stdout?
pub(super) fn stdout_is_terminal() -> bool {
    nix::unistd::isatty(stdout()).unwrap_or(false)
}

/// Where the first such byte is: memchr(3), written for each processor by who wrote the C library.
#[inline]
pub(super) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: it reads nothing outside of these `len()` bytes.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    // What it found is one of them, so behind their begin.
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

/// Why [`write_all`] stopped: after so many bytes, for that reason.
pub(super) struct Stopped {
    pub written: usize,
    pub errno: Errno,
}

/// Stdout takes one line a write: /dev/kmsg, where a write is a record and may have some thousand
/// bytes, and sockets of datagrams refuse larger ones.
static ONE_LINE: AtomicBool = AtomicBool::new(false);

/// A write stood still after a signal had asked to stop, and was given up.
static GAVE_UP: AtomicBool = AtomicBool::new(false);

/// Was a write given up since a signal asked to stop?
pub(super) fn gave_up() -> bool {
    GAVE_UP.load(Ordering::Relaxed)
}

/// Writes all of `bytes`, which are lines that end with `separator`, to stdout. Where that stands still,
/// a manager that wants signs of life has them: a signal ends the program nevertheless.
pub(super) fn write_all(
    bytes: &[u8],
    separator: u8,
    notify: Option<&mut Notify>,
) -> core::result::Result<(), Stopped> {
    let often = notify.as_ref().and_then(|notify| notify.often());
    let (Some(notify), Some(_)) = (notify, often) else {
        return write_lines(bytes, separator, &mut || ());
    };
    signals::interrupt_writes(often);
    let written = write_lines(bytes, separator, &mut || notify.alive());
    signals::interrupt_writes(None);
    written
}

fn write_lines(
    bytes: &[u8],
    separator: u8,
    alive: &mut dyn FnMut(),
) -> core::result::Result<(), Stopped> {
    let (mut written, mut stood_still) = (0, 0);
    // A stop was asked for: a write that stood still since the last look, a second ago, is given up.
    let give_up = |stood_still: &mut i32| {
        *stood_still += i32::from(signals::stop().is_some());
        GAVE_UP.fetch_or(*stood_still > 1, Ordering::Relaxed);
        gave_up()
    };
    while written < bytes.len() {
        alive();
        let rest = &bytes[written..];
        let line = || find(separator, rest).map_or(rest.len(), |at| at + 1);
        let part = if ONE_LINE.load(Ordering::Relaxed) { &rest[..line()] } else { rest };
        match nix::unistd::write(stdout(), part) {
            Ok(0) => return Err(Stopped { written, errno: Errno::EIO }),
            Ok(n) => {
                written += n;
                stood_still = 0;
            }
            Err(Errno::EINTR) if give_up(&mut stood_still) => {
                return Err(Stopped { written, errno: Errno::EINTR })
            }
            Err(Errno::EINTR) => {}
            // Somebody made it non-blocking: wait for room.
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(stdout(), PollFlags::POLLOUT)];
                if poll(&mut fds, PollTimeout::NONE).is_err() && give_up(&mut stood_still) {
                    return Err(Stopped { written, errno: Errno::EINTR });
                }
            }
            Err(Errno::EINVAL | Errno::EMSGSIZE) if part.len() > line() => {
                ONE_LINE.store(true, Ordering::Relaxed);
            }
            Err(errno) => return Err(Stopped { written, errno }),
        }
    }
    Ok(())
}

/// Prints a text that is no message: help, version, status.
pub(super) fn print(text: &str) -> Result<()> {
    check_stdout()?;
    write_all(text.as_bytes(), b'\n', None).map_err(|stopped| output_failure(stopped.errno, ""))
}

/// The failure of a write to stdout.
pub(super) fn output_failure(errno: Errno, more: &str) -> anyhow::Error {
    let next = match errno {
        Errno::EPIPE => "its reader is gone: start it again",
        Errno::ENOSPC => "the file system is full: free some space",
        Errno::EFBIG => {
            "the file may not grow any more: raise the limit (`ulimit -f`, LimitFSIZE= in a unit) \
             or begin a new file"
        }
        Errno::EINTR => {
            "it took nothing more when a signal asked to stop: see who reads it, or whether Ctrl-S \
             stopped its terminal"
        }
        Errno::EINVAL | Errno::EMSGSIZE => {
            "it takes no line as long as this one: send shorter ones, or redirect it to a file or \
             a pipe"
        }
        _ => "see where stdout goes",
    };
    let message = format!("writing to stdout: {errno:?} ({}): {next}{more}", errno.desc());
    Failure::error(exit::IO, message)
}

/// What a read from stdin brought.
pub(super) enum Input {
    /// So many bytes.
    Bytes(usize),
    /// There are no more.
    End,
    /// A signal asks to stop.
    Stopped,
}

/// Waits for input and reads what there is, at most `into.len()` bytes. A signal ends it: see
/// [`signals::end_reads`].
pub(super) fn read(into: &mut [u8]) -> Result<Input> {
    loop {
        let read = nix::unistd::read(stdin(), into);
        match read {
            Ok(n) if n > 0 => return Ok(Input::Bytes(n)),
            _ if signals::stop().is_some() => return Ok(Input::Stopped),
            Ok(_) => return Ok(Input::End),
            Err(Errno::EINTR) => {}
            // Somebody made it non-blocking: wait for input.
            Err(Errno::EAGAIN) => {
                let _ = poll(&mut [PollFd::new(stdin(), PollFlags::POLLIN)], PollTimeout::NONE);
            }
            Err(errno) => {
                let message = format!(
                    "reading stdin: {errno:?} ({}): see where stdin comes from",
                    errno.desc()
                );
                return Err(Failure::error(exit::IO, message));
            }
        }
    }
}
