//! Messages on stdout as whole lines, though a server may be killed in the midst of one.
//!
//! A line that a predecessor began and did not finish is ended before the first message; that message
//! comes again, whole. In a file one sees what stands last. What went into a pipe or socket only its
//! reader knows: there the server notes in the segment what it writes to, for as long as a kill could
//! tear a line.

use super::notify::Notify;
use super::stdio::{stdout, write_all, Stopped};
use crate::Consumer;
use nix::fcntl::{fcntl, open, FcntlArg, OFlag};
use nix::libc::PIPE_BUF;
use nix::sys::stat::{fstat, Mode, SFlag};
use nix::unistd::{lseek, Whence};

/// Stdout, for messages.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// A line was written: what a predecessor left is seen to.
    begun: bool,
    /// The pipe's or socket's inode number, cut to the word that notes it; 0: stdout is neither.
    stream: u32,
    /// So many bytes it takes whole or not at all (`pipe(7)`, PIPE_BUF).
    at_once: usize,
}

impl Lines {
    /// Writes all of `bytes`, which are lines that end with `separator`; see [`write_all`].
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        separator: u8,
        notify: &mut Notify,
        consumer: Option<&Consumer>,
    ) -> Result<(), Stopped> {
        if bytes.is_empty() {
            return Ok(());
        }
        let note = |stream| {
            if let Some(consumer) = consumer {
                consumer.note_writing(stream);
            }
        };
        if !self.begun {
            let found = self.find_out();
            if found.map_or_else(|| self.is_noted(consumer), |last| last != separator) {
                write_all(&[separator], separator, Some(notify))?; // one byte: written or not
                note(0);
            }
            self.begun = true;
        }
        if self.stream == 0 || bytes.len() <= self.at_once {
            return write_all(bytes, separator, Some(notify));
        }
        note(self.stream);
        let end = write_all(bytes, separator, Some(notify));
        let written = end.as_ref().map_or_else(|stopped| stopped.written, |()| bytes.len());
        if written == 0 || bytes[written - 1] == separator {
            note(0);
        }
        end
    }

    /// Was a predecessor killed while it wrote to this very stream?
    fn is_noted(&self, consumer: Option<&Consumer>) -> bool {
        self.stream != 0 && consumer.is_some_and(|consumer| consumer.writing() == self.stream)
    }

    /// What stdout is. The byte before the place where it writes, if it is a file, not at its begin, and
    /// one that may be read.
    fn find_out(&mut self) -> Option<u8> {
        let stat = fstat(stdout()).ok()?;
        let kind = stat.st_mode & SFlag::S_IFMT.bits();
        if kind == SFlag::S_IFIFO.bits() || kind == SFlag::S_IFSOCK.bits() {
            self.stream = stat.st_ino as u32;
            self.at_once = if kind == SFlag::S_IFIFO.bits() { PIPE_BUF } else { 0 };
        }
        if kind != SFlag::S_IFREG.bits() {
            return None;
        }
        let flags = OFlag::from_bits_truncate(fcntl(stdout(), FcntlArg::F_GETFL).ok()?);
        let appends = flags.contains(OFlag::O_APPEND);
        let whence = if appends { Whence::SeekEnd } else { Whence::SeekCur };
        let at = lseek(stdout(), 0, whence).ok()?;
        let file =
            open("/proc/self/fd/1", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut byte = [0];
        lseek(&file, at.checked_sub(1)?, Whence::SeekSet).ok()?;
        (nix::unistd::read(&file, &mut byte) == Ok(1)).then_some(byte[0])
    }
}
