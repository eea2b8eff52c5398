//! A channel: one segment and one semaphore set under one key, attached. How it is found, created
//! and joined is in `open.rs`; what is looked at before, in `inspect.rs`.

pub(crate) mod admin;
pub(crate) mod claimant;
pub(crate) mod inspect;
pub(crate) mod named;
mod open;
pub(crate) mod roles;
pub(crate) mod status;
mod users;

use crate::error::{Error, Object, Refusal, Result};
use crate::segment::layout::Geometry;
use crate::segment::Segment;
use crate::sysv::shm::{Place, ShmId};
use crate::sysv::{Key, Perm};
use named::NamedSegment;
use roles::Roles;

/// How to open a channel: [`Options::new`] has the defaults, each method changes one.
///
/// ```
/// # use shmdemo::{Geometry, Key, Options};
/// let geometry = Geometry { lanes: 8, ..Default::default() };
/// let options = Options::new(Key::DEFAULT).geometry(geometry).mode(0o660);
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing before they are used to open"]
pub struct Options {
    pub(crate) key: Key,
    pub(crate) geometry: Geometry,
    pub(crate) create: bool,
    pub(crate) mode: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) adjust: bool,
    pub(crate) owner: Option<u32>,
    pub(crate) create_as: Option<u32>,
    pub(crate) place: Place,
    pub(crate) lock: bool,
    pub(crate) text_bytes: Option<u32>,
    pub(crate) foreign_semaphore: bool,
    pub(crate) lane_changes: u32,
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
            place: Place::default(),
            lock: false,
            text_bytes: None,
            foreign_semaphore: false,
            lane_changes: 64,
        }
    }

    /// Key of segment and semaphore set.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Sizes, if this call creates the channel; who joins takes what is there.
    pub fn geometry(mut self, geometry: Geometry) -> Self {
        self.geometry = geometry;
        self
    }

    /// Whether to create the channel if there is none (the default), or to wait for somebody else to.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Mode of what is created, nine bits; default 0600. One that everybody can write also says that
    /// a channel is joined that everybody can write.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Group of what is created, a gid.
    pub fn group(mut self, gid: u32) -> Self {
        self.group = Some(gid);
        self
    }

    /// Whether mode and group, where given, are also set on a channel that is there (IPC_SET), if the
    /// caller may; default: no. For servers: a client never changes a live channel.
    pub fn adjust(mut self, adjust: bool) -> Self {
        self.adjust = adjust;
        self
    }

    /// A user (uid), besides the caller and root, whose segment is accepted.
    pub fn owner(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    /// The owner (uid) of what is created, instead of the caller; accepted like
    /// [`owner`](Self::owner).
    pub fn create_as(mut self, uid: u32) -> Self {
        self.create_as = Some(uid);
        self
    }

    /// The address to attach at, instead of the kernel's choice; `round`: down to a multiple of
    /// `SHMLBA` (SHM_RND).
    ///
    /// Source: [shmat(2)](https://man7.org/linux/man-pages/man2/shmat.2.html).
    pub fn address(mut self, address: usize, round: bool) -> Self {
        self.place = Place { address: Some(address), round };
        self
    }

    /// Whether to keep the segment out of swap (SHM_LOCK); default: no.
    pub fn lock(mut self, lock: bool) -> Self {
        self.lock = lock;
        self
    }

    /// Size of the text in a segment of the C demo's kind, in bytes, 1 to
    /// [`MAX_TEXT_BYTES`](crate::shared_use::MAX_TEXT_BYTES); default: what the segment has, and
    /// [`TEXT_BYTES`](crate::shared_use::TEXT_BYTES) for a new one. A channel has none.
    pub fn text_bytes(mut self, bytes: u32) -> Self {
        self.text_bytes = Some(bytes);
        self
    }

    /// How many changes from one lane to another a consumer keeps in mind between the oldest record that it
    /// holds and the newest; default 64, 1 to 65 536. With more of them, records have to be released first
    /// ([`Consumer::must_release`](crate::Consumer::must_release)). Each takes 12 bytes (16 on 64-bit
    /// machines) of the consumer's memory, when it begins.
    pub fn lane_changes(mut self, changes: u32) -> Self {
        self.lane_changes = changes.clamp(1, 65_536);
        self
    }

    /// Whether the C programs of a segment of the C demo's kind keep a binary semaphore under its key, which
    /// is then taken before each access and given back after it, as they do (`semop` of -1 and +1 on a set
    /// of one; with SEM_UNDO); default: no. It is waited for, never made.
    pub fn foreign_semaphore(mut self, foreign: bool) -> Self {
        self.foreign_semaphore = foreign;
        self
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
        if users::are_nobodys([perm.uid, perm.cuid]) {
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
#[non_exhaustive]
pub enum Opened {
    /// Made it.
    Created,
    /// Found it.
    Joined,
    /// Found the segment without its semaphores and gave it new ones.
    Adopted,
}

/// An attached channel, without a role in it.
#[derive(Debug)]
#[must_use = "a channel that is dropped is detached"]
pub struct Channel {
    key: Key,
    geometry: Geometry,
    roles: Roles,
    opened: Opened,
    /// See [`Options::lane_changes`].
    lane_changes: u32,
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

    pub(crate) fn lane_changes(&self) -> usize {
        self.lane_changes as usize
    }

    fn named(&self) -> NamedSegment {
        NamedSegment { key: self.key, id: self.id() }
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
        match self.named().stat()?.removed {
            false => Ok(()),
            true => Err(Error::Removed { key: self.key, object: Object::Segment }),
        }
    }
}
