//! The segment of a key, by its number: the kernel's calls on it, with errors that name it. (The set
//! beside it: `roles.rs`.)

use super::Options;
use crate::error::{Error, Object, Result};
use crate::sysv::shm::{self, Access, Attach, Place, ShmId, ShmStat};
use crate::sysv::{Key, PermChange, SysError};
use nix::errno::Errno;

#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedSegment {
    pub key: Key,
    pub id: ShmId,
}

impl NamedSegment {
    /// The segment of `key`, if there is one.
    pub(crate) fn find(key: Key) -> Result<Option<Self>> {
        match shm::find(key) {
            Ok(id) => Ok(Some(Self { key, id })),
            Err(e) if e.errno == Errno::ENOENT => Ok(None),
            Err(e) => Err(Error::from_sys(key, Object::Segment, e)),
        }
    }

    /// Makes a new one; what it means that this fails is the caller's to say.
    pub(crate) fn create(
        key: Key,
        bytes: usize,
        mode: u32,
    ) -> core::result::Result<Self, SysError> {
        shm::create(key, bytes, mode).map(|id| Self { key, id })
    }

    fn named<T>(self, result: crate::sysv::Result<T>) -> Result<T> {
        result.map_err(|e| Error::from_sys(self.key, Object::Segment, e))
    }

    /// IPC_STAT of a segment that was accepted.
    pub(crate) fn stat(self) -> Result<ShmStat> {
        self.named(shm::stat(self.id))
    }

    /// IPC_STAT; where that is not allowed, the refusal that names owner, mode and size.
    pub(crate) fn stat_as(self, options: &Options) -> Result<ShmStat> {
        shm::stat(self.id).map_err(|e| match (e.errno, shm::public_stat(self.id)) {
            (Errno::EACCES, Some((perm, size))) => options.closed(Object::Segment, &perm, size),
            _ => Error::from_sys(self.key, Object::Segment, e),
        })
    }

    /// Attaches it, to read and write.
    pub(crate) fn attach(self, place: Place) -> Result<Attach> {
        self.attach_for(place, Access::Write)
    }

    /// Attaches it to look only.
    pub(crate) fn view(self) -> Result<Attach> {
        self.attach_for(Place::default(), Access::Read)
    }

    fn attach_for(self, place: Place, access: Access) -> Result<Attach> {
        let Self { key, id } = self;
        Attach::new(id, place, access).map_err(|e| match e.errno {
            // Of `shmat` this one says: no such segment any more, or a bad address.
            Errno::EINVAL if place.address.is_some() && shm::stat(id).is_ok() => {
                Error::System { key, source: e }
            }
            Errno::EINVAL => Error::Removed { key, object: Object::Segment },
            _ => Error::from_sys(key, Object::Segment, e),
        })
    }

    /// IPC_SET.
    pub(crate) fn set(self, change: &PermChange) -> Result<()> {
        self.named(shm::set(self.id, change))
    }

    /// SHM_LOCK.
    pub(crate) fn lock(self) -> Result<()> {
        self.named(shm::lock(self.id))
    }

    /// IPC_RMID; one that is gone already is removed.
    pub(crate) fn remove(self) -> Result<()> {
        match self.named(shm::remove(self.id)) {
            Err(Error::Removed { .. }) => Ok(()),
            other => other,
        }
    }
}
