//! A channel: one segment and one semaphore set under one key, attached. How it is found, created
//! and joined is in `open.rs`; what is looked at before, in `inspect.rs`.

pub(crate) mod admin;
pub(crate) mod claimant;
pub(crate) mod inspect;
mod open;
pub(crate) mod roles;
pub(crate) mod status;
mod users;

use crate::error::{Error, Object, Refusal, Result};
use crate::segment::layout::Geometry;
use crate::segment::Segment;
use crate::sysv::shm::{AttachOptions, ShmId};
use crate::sysv::{Key, Perm};
use roles::Roles;

/// How to open a channel.
#[derive(Debug, Clone)]
pub struct Options {
    /// Key of segment and semaphore set.
    pub key: Key,
    /// Sizes, if this call creates the channel; who joins takes what is there.
    pub geometry: Geometry,
    /// Create the channel if there is none; otherwise wait for somebody else to.
    pub create: bool,
    /// Mode of what is created; default 0600. One that everybody can write also says that a
    /// channel is joined that everybody can write.
    pub mode: Option<u32>,
    /// Group of what is created.
    pub group: Option<u32>,
    /// Mode and group, where given, are also set on a channel that is there (IPC_SET), if the
    /// caller may. For servers: a client never changes a live channel.
    pub adjust: bool,
    /// A user, besides the caller and root, whose segment is accepted.
    pub owner: Option<u32>,
    /// The owner of what is created, instead of the caller; accepted like `owner`.
    pub create_as: Option<u32>,
    /// Where to attach.
    pub attach: AttachOptions,
    /// Keep the segment out of swap (SHM_LOCK).
    pub lock: bool,
    /// Size of the text in a segment of the C demo's kind, in bytes, 1 to
    /// [`MAX_TEXT_BYTES`](crate::shared_use::MAX_TEXT_BYTES); `None`: what the segment has, and
    /// [`TEXT_BYTES`](crate::shared_use::TEXT_BYTES) for a new one. A channel has none.
    pub text_bytes: Option<u32>,
}

impl Options {
    /// The defaults for `key`.
    pub fn new(key: Key) -> Self {
        Self {
            key,
            geometry: Geometry::default(),
            create: true,
            mode: None,
            group: None,
            adjust: false,
            owner: None,
            create_as: None,
            attach: AttachOptions::default(),
            lock: false,
            text_bytes: None,
        }
    }

    fn creation_mode(&self) -> u32 {
        self.mode.unwrap_or(0o600)
    }

    /// Is an object of this owner and mode accepted? `joining`: the mode counts too.
    pub(crate) fn accepts(
        &self,
        object: Object,
        perm: &Perm,
        size: usize,
        joining: bool,
    ) -> Result<()> {
        let refuse = |why| {
            let Perm { uid, cuid, mode, .. } = *perm;
            Err(Error::NotAccepted { key: self.key, object, uid, cuid, mode, size, why })
        };
        // Also where it is the number of `--owner` or our own: it says nothing.
        if [perm.uid, perm.cuid].into_iter().any(users::is_nobodys) {
            return refuse(Refusal::Nobodys);
        }
        if !self.trusts(perm) {
            return refuse(Refusal::Owner);
        }
        let meant = self.mode.is_some_and(|mode| mode & 0o002 != 0);
        if joining && perm.mode & 0o002 != 0 && !meant {
            return refuse(Refusal::OpenToAll);
        }
        Ok(())
    }

    /// Are owner and creator users whose segment is used?
    fn trusts(&self, perm: &Perm) -> bool {
        let euid = nix::unistd::geteuid().as_raw();
        [perm.uid, perm.cuid]
            .into_iter()
            .all(|uid| uid == euid || uid == 0 || [self.owner, self.create_as].contains(&Some(uid)))
    }

    /// The refusal where the kernel did not let the caller look: whose it is everybody may know.
    pub(crate) fn closed(&self, object: Object, perm: &Perm, size: usize) -> Error {
        let Perm { uid, cuid, mode, .. } = *perm;
        let why = match self.accepts(object, perm, size, false) {
            Err(Error::NotAccepted { why, .. }) => why,
            _ => Refusal::Closed,
        };
        Error::NotAccepted { key: self.key, object, uid, cuid, mode, size, why }
    }
}

/// What [`Channel::open`] did to get the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Made it.
    Created,
    /// Found it.
    Joined,
    /// Found the segment without its semaphores and gave it new ones.
    Adopted,
}

/// An attached channel, without a role in it.
pub struct Channel {
    key: Key,
    geometry: Geometry,
    roles: Roles,
    opened: Opened,
    /// Mode and group that a channel found was changed from.
    adjusted: Option<Perm>,
    segment: Segment,
}

impl Channel {
    /// The channel's key.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The channel's sizes, as its creator chose them.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// How it was got.
    pub fn opened(&self) -> Opened {
        self.opened
    }

    /// Owner, group and mode that the channel had before [`Options::adjust`] changed them.
    pub fn adjusted(&self) -> Option<Perm> {
        self.adjusted
    }

    /// The kernel's number of the segment, as `ipcs -m` shows it.
    pub fn id(&self) -> ShmId {
        self.segment.attach().id()
    }

    /// Where the segment is attached in this process.
    pub fn address(&self) -> usize {
        self.segment.attach().base().as_ptr() as usize
    }

    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Are segment and semaphores still those of the key? Two system calls.
    ///
    /// # Errors
    /// [`Error::Removed`] if one of them was removed.
    pub fn check(&self) -> Result<()> {
        self.check_segment()?;
        self.roles.check()
    }

    /// Is the segment still that of the key? For who hears of the semaphores by using them.
    pub(crate) fn check_segment(&self) -> Result<()> {
        match inspect::stat_ours(self.key, self.id())?.removed {
            false => Ok(()),
            true => Err(Error::Removed { key: self.key, object: Object::Segment }),
        }
    }
}
