//! The binary semaphore that some of the C programs keep beside the segment, a set of one under the
//! segment's key: -1 before each access, +1 after it.
//!
//! It is theirs: they make it, set it to 1 and remove it, at any time. Here it is waited for, used as
//! they use it, with SEM_UNDO, so that this process's end gives it back, and left where it is.
//!
//! Source: [semop(2)](https://man7.org/linux/man-pages/man2/semop.2.html), section SEM_UNDO.

use super::LOOK;
use crate::channel::roles::accept_set;
use crate::channel::Options;
use crate::error::{Error, Object, Result};
use crate::segment::layout::BadField;
use crate::sysv::sem::{self, Op, SemId, Wait};
use core::cell::Cell;
use nix::errno::Errno;

#[derive(Debug)]
pub(super) struct ForeignSemaphore {
    options: Options,
    /// `None`: it was removed, and perhaps is made anew.
    id: Cell<Option<SemId>>,
    /// This process is between its -1 and its +1.
    held: Cell<bool>,
}

impl ForeignSemaphore {
    /// `None`: there is none yet.
    ///
    /// # Errors
    /// [`Error::NotAccepted`] by owner; [`Error::NotOurs`] where the set is not one binary semaphore;
    /// [`Error::System`].
    pub(super) fn find(options: &Options) -> Result<Option<Self>> {
        let Some(id) = find(options)? else { return Ok(None) };
        let (id, held) = (Cell::new(Some(id)), Cell::new(false));
        Ok(Some(Self { options: options.clone(), id, held }))
    }

    /// Is there one?
    pub(super) fn is_there(&self) -> bool {
        self.id.get().is_some()
    }

    /// Takes it, and waits for it for [`LOOK`]; `false`: somebody else has it, a signal came, or there
    /// is none now.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(super) fn enter(&self) -> Result<bool> {
        if self.held.get() {
            return Ok(true);
        }
        if !self.is_there() {
            self.id.set(find(&self.options)?);
        }
        let Some(id) = self.id.get() else {
            std::thread::sleep(LOOK);
            return Ok(false);
        };
        match sem::operate(id, &[Op::undo(0, -1)], Wait::For(LOOK)) {
            Ok(()) => self.held.set(true),
            Err(e) => match e.errno {
                Errno::EAGAIN | Errno::EINTR => {}
                Errno::EIDRM | Errno::EINVAL => self.id.set(None),
                _ => return Err(Error::from_sys(self.options.key, Object::Semaphores, e)),
            },
        }
        Ok(self.held.get())
    }

    /// Gives it back, if it was taken.
    pub(super) fn leave(&self) {
        if let (true, Some(id)) = (self.held.replace(false), self.id.get()) {
            // Only where it is 0 still: a C program that begins may have set it to 1 meanwhile, which
            // forgot this process's -1 as well.
            let _ = sem::operate(id, &[Op::new(0, 0), Op::undo(0, 1)], Wait::Never);
        }
    }
}

fn find(options: &Options) -> Result<Option<SemId>> {
    let key = options.key;
    let settle = |e: crate::sysv::SysError| match e.errno {
        Errno::ENOENT | Errno::EIDRM | Errno::EINVAL => Ok(None),
        _ => Err(Error::from_sys(key, Object::Semaphores, e)),
    };
    let id = match sem::find(key) {
        Ok(id) => id,
        Err(e) => return settle(e),
    };
    accept_set(options, id, 1, false)?;
    let refuse = |field, found| {
        let field = BadField { field, found, expected: 1 };
        Err(Error::NotOurs { key, object: Object::Semaphores, lane: None, field })
    };
    match sem::has_count(key, id, 1) {
        Ok(true) => {}
        Ok(false) => return refuse("number of semaphores", sem::count(key)),
        Err(e) => return settle(e),
    }
    match sem::value(id, 0) {
        Ok(0 | 1) => Ok(Some(id)),
        Ok(more) => refuse("value of the semaphore", more as u32),
        Err(e) => settle(e),
    }
}
