//! A channel: one segment and one semaphore set under one key. Finding, checking, creating,
//! joining, adopting and removing it.
//!
//! Any number of programs may start at once. They settle who creates under the creation lock, a
//! semaphore that the kernel frees when its holder dies, so a creator killed halfway leaves
//! something the next one recognises: a segment that is not `STATE_READY`, made by the very
//! process that the `making` semaphore names.

use crate::error::{Awaited, Error, Object, Result};
use crate::layout::{BadField, Geometry, Header, LAYOUT_VERSION, MAGIC, STATE_READY};
use crate::memory::Segment;
use crate::ring;
use crate::roles::Roles;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sysv::shm::{self, Attach, AttachOptions, ShmId, ShmStat};
use crate::sysv::{Key, Perm, PermChange};
use crate::wait::Deadline;
use core::time::Duration;
use nix::errno::Errno;
use std::time::Instant;

/// How to open a channel.
#[derive(Debug, Clone)]
pub struct Options {
    /// Key of segment and semaphore set.
    pub key: Key,
    /// Sizes, if this call creates the channel; who joins takes what is there.
    pub geometry: Geometry,
    /// Create the channel if there is none; otherwise wait for somebody else to.
    pub create: bool,
    /// Mode of what is created, and, if given, applied by its owner to what is there; default
    /// 0600.
    pub mode: Option<u32>,
    /// Group of what is created, and applied by its owner to what is there.
    pub group: Option<u32>,
    /// A user, besides the caller and root, whose segment is accepted.
    pub owner: Option<u32>,
    /// Where to attach.
    pub attach: AttachOptions,
    /// Keep the segment out of swap (SHM_LOCK).
    pub lock: bool,
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
            owner: None,
            attach: AttachOptions::default(),
            lock: false,
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
        let euid = nix::unistd::geteuid().as_raw();
        let trusted = |uid| uid == euid || uid == 0 || Some(uid) == self.owner;
        let refuse = |open_to_all| {
            let Perm { uid, cuid, mode, .. } = *perm;
            Err(Error::NotAccepted { key: self.key, object, uid, cuid, mode, size, open_to_all })
        };
        if !trusted(perm.uid) || !trusted(perm.cuid) {
            return refuse(false);
        }
        let meant = self.mode.is_some_and(|mode| mode & 0o002 != 0);
        if joining && perm.mode & 0o002 != 0 && !meant {
            return refuse(true);
        }
        Ok(())
    }

    fn perm_change(&self) -> PermChange {
        PermChange { uid: None, gid: self.group, mode: self.mode }
    }
}

/// The longest that starting, removing and mending wait for somebody else who creates, joins or
/// removes: these take microseconds, so whoever holds the lock longer is stopped.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often a client that must not create looks whether somebody else did.
const LOOK: Duration = Duration::from_millis(50);

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
    segment: Segment,
}

/// Outcome of one attempt to open: done, or begin again because somebody was faster.
enum Attempt {
    Done(Channel),
    Again,
    NotThere,
}

impl Channel {
    /// Opens the channel of `options.key`, creating it if need be and allowed.
    ///
    /// `deadline` bounds the waiting for somebody else's channel (`create` off).
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::NotAccepted`]: what stands under the key is not taken, and
    /// was not changed. [`Error::CannotCreate`], [`Error::TimedOut`], [`Error::Busy`] (somebody
    /// is stopped halfway through creating), [`Error::StillAttached`], [`Error::NoSysvIpc`],
    /// [`Error::BadGeometry`], [`Error::System`].
    pub fn open(options: &Options, deadline: Deadline) -> Result<Self> {
        options.geometry.check().map_err(Error::BadGeometry)?;
        let mut tries = 0;
        loop {
            match Self::attempt(options) {
                Ok(Attempt::Done(channel)) => return Ok(channel),
                Ok(Attempt::NotThere) => {
                    if deadline.passed() {
                        let awaited = Awaited::Channel;
                        return Err(Error::TimedOut { key: options.key, awaited });
                    }
                    std::thread::sleep(deadline.left().map_or(LOOK, |left| left.min(LOOK)));
                }
                // Somebody removed or created it meanwhile. Each time somebody else got ahead,
                // so this ends; the bound is for a program that does nothing but remove.
                Ok(Attempt::Again) | Err(Error::Removed { .. }) if tries < 10_000 => tries += 1,
                Ok(Attempt::Again) => {
                    return Err(Error::Removed { key: options.key, object: Object::Segment })
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn attempt(options: &Options) -> Result<Attempt> {
        let key = options.key;
        let found = find_segment(key)?;
        if let Some(id) = found {
            // Before anything is made or changed: is this ours to use at all?
            if !acceptable(id, options)? {
                return Ok(Attempt::Again);
            }
        } else if !options.create {
            return Ok(Attempt::NotThere);
        }
        let roles = match Roles::find(key)? {
            Some(roles) => {
                accept_set(&roles, options, true)?;
                roles
            }
            None => match Roles::create(key, options.creation_mode())? {
                Some(roles) => {
                    if let Some(gid) = options.group {
                        let change = PermChange { gid: Some(gid), ..Default::default() };
                        crate::sysv::sem::set(roles.id(), &change)
                            .map_err(|e| Error::from_sys(key, Object::Semaphores, e))?;
                    }
                    roles
                }
                None => return Ok(Attempt::Again),
            },
        };
        roles.lock(Deadline::after(LOCK_WAIT))?;
        let result = Self::under_lock(options, roles);
        // A set that serves no segment is not left behind.
        if matches!(result, Err(Error::CannotCreate { .. })) && roles.in_use()?.is_none() {
            let _ = crate::sysv::sem::remove(roles.id());
        }
        roles.unlock();
        result
    }

    fn under_lock(options: &Options, roles: Roles) -> Result<Attempt> {
        let key = options.key;
        let Some(id) = find_segment(key)? else {
            if !options.create {
                return Ok(Attempt::Again);
            }
            // Holders of roles without a segment use one that was removed: the set goes too, so
            // that they notice, and a new one is made.
            if roles.in_use()?.is_some() || roles.awaited() {
                crate::sysv::sem::remove(roles.id())
                    .map_err(|e| Error::from_sys(key, Object::Semaphores, e))?;
                return Ok(Attempt::Again);
            }
            return Self::create(options, roles);
        };
        let stat = stat(key, id)?;
        options.accepts(Object::Segment, &stat.perm, stat.bytes, true)?;
        let attach = attach(key, id, &options.attach)?;
        if stat.removed {
            return Ok(Attempt::Again);
        }
        let bytes = attach.bytes();
        let Some(segment) = Segment::new(attach) else {
            return Err(too_small(key, bytes));
        };
        // Acquire: pairs with the creator's Release of STATE_READY.
        if segment.header().state.load(Acquire) != STATE_READY {
            // We hold the lock, so nobody is making it now. If the one that the set names made
            // it and did not finish, it is nobody's yet: make it anew.
            let half_made = roles.maker() == Some(stat.creator_pid) && !foreign(segment.header());
            if half_made {
                await_alone(key, id)?;
                shm::remove(id).map_err(|e| Error::from_sys(key, Object::Segment, e))?;
                return Ok(Attempt::Again);
            }
        }
        let geometry = check_header(key, segment.header(), bytes)?;
        if roles.maker().is_some() {
            roles.set_making(false)?; // it was finished, and its maker killed before it said so
        }
        let mut opened = Opened::Joined;
        if segment.header().generation.load(Relaxed) != roles.id().raw() as u32 {
            adopt(key, &segment, id, &geometry, &roles)?;
            opened = Opened::Adopted;
        }
        let channel = Self { key, geometry, roles, opened, segment };
        channel.apply(options)?;
        Ok(Attempt::Done(channel))
    }

    fn create(options: &Options, roles: Roles) -> Result<Attempt> {
        let key = options.key;
        let geometry = options.geometry;
        let size = geometry.segment_bytes();
        roles.set_making(true)?;
        let id = match shm::create(key, size as usize, options.creation_mode()) {
            Ok(id) => id,
            Err(e) => {
                roles.set_making(false)?;
                return match e.errno {
                    Errno::EEXIST => Ok(Attempt::Again),
                    Errno::ENOSYS => Err(Error::NoSysvIpc),
                    _ => Err(Error::CannotCreate { key, size, source: e }),
                };
            }
        };
        let finish = || {
            let segment = match attach(key, id, &options.attach)? {
                attach if attach.bytes() >= size as usize => Segment::new(attach),
                _ => None,
            };
            let Some(segment) = segment else { return Err(too_small(key, 0)) };
            roles.set_tickets(geometry.lanes)?;
            write_header(&segment, &geometry, roles.id().raw() as u32);
            let channel = Self { key, geometry, roles, opened: Opened::Created, segment };
            channel.apply(options)?;
            // Release: all of the above; pairs with the Acquire of every `state` load. From
            // here on the segment is a channel.
            channel.segment.header().state.store(STATE_READY, Release);
            Ok(channel)
        };
        match finish() {
            Ok(channel) => {
                roles.set_making(false)?;
                Ok(Attempt::Done(channel))
            }
            Err(e) => {
                // An address that can't be attached, a lock that is not allowed: leave nothing.
                let _ = shm::remove(id);
                let _ = crate::sysv::sem::remove(roles.id());
                Err(e)
            }
        }
    }

    /// Mode, group and lock as asked for; mode and group only by who may set them.
    fn apply(&self, options: &Options) -> Result<()> {
        let id = self.segment.attach().id();
        let error = |e| Error::from_sys(self.key, Object::Segment, e);
        let change = options.perm_change();
        let euid = nix::unistd::geteuid().as_raw();
        let perm = stat(self.key, id)?.perm;
        if !change.is_empty() && (euid == 0 || euid == perm.uid || euid == perm.cuid) {
            shm::set(id, &change).map_err(error)?;
            crate::sysv::sem::set(self.roles.id(), &change)
                .map_err(|e| Error::from_sys(self.key, Object::Semaphores, e))?;
        }
        if options.lock {
            shm::lock(id).map_err(error)?;
        }
        Ok(())
    }

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
        if stat(self.key, self.id())?.removed {
            return Err(Error::Removed { key: self.key, object: Object::Segment });
        }
        self.roles.check()
    }
}

/// The segment of `key`, if there is one.
pub(crate) fn find_segment(key: Key) -> Result<Option<ShmId>> {
    match shm::find(key) {
        Ok(id) => Ok(Some(id)),
        Err(e) if e.errno == Errno::ENOENT => Ok(None),
        Err(e) => Err(Error::from_sys(key, Object::Segment, e)),
    }
}

/// IPC_STAT; where that is not allowed, the refusal that names owner, mode and size.
pub(crate) fn stat(key: Key, id: ShmId) -> Result<ShmStat> {
    shm::stat(id).map_err(|e| match (e.errno, shm::public_stat(id)) {
        (Errno::EACCES, Some((Perm { uid, cuid, mode, .. }, size))) => {
            let object = Object::Segment;
            Error::NotAccepted { key, object, uid, cuid, mode, size, open_to_all: false }
        }
        _ => Error::from_sys(key, Object::Segment, e),
    })
}

pub(crate) fn attach(key: Key, id: ShmId, options: &AttachOptions) -> Result<Attach> {
    Attach::new(id, options).map_err(|e| match e.errno {
        // Of `shmat` this one says: no such segment any more, or a bad address.
        Errno::EINVAL if options.address.is_some() && shm::stat(id).is_ok() => {
            Error::System { key, source: e }
        }
        Errno::EINVAL => Error::Removed { key, object: Object::Segment },
        _ => Error::from_sys(key, Object::Segment, e),
    })
}

pub(crate) fn too_small(key: Key, bytes: usize) -> Error {
    let field = BadField {
        field: "segment size",
        found: u32::try_from(bytes).unwrap_or(u32::MAX),
        expected: crate::layout::HEADER_BYTES,
    };
    Error::NotOurs { key, object: Object::Segment, lane: None, field }
}

/// Is the header neither a channel's nor one that a channel's creator could have left halfway?
fn foreign(header: &Header) -> bool {
    let magic = header.magic.load(Relaxed);
    magic != MAGIC && magic != 0
}

/// Checks header and state of a segment that may be anybody's.
pub(crate) fn check_header(key: Key, header: &Header, bytes: usize) -> Result<Geometry> {
    let refuse = |field| Error::NotOurs { key, object: Object::Segment, lane: None, field };
    // Acquire: pairs with the creator's Release of STATE_READY.
    let state = header.state.load(Acquire);
    let geometry = Geometry::from_header(header, bytes).map_err(refuse)?;
    if state != STATE_READY {
        return Err(refuse(BadField { field: "state", found: state, expected: STATE_READY }));
    }
    Ok(geometry)
}

/// A look at the segment before anything is made or changed; false: look again.
fn acceptable(id: ShmId, options: &Options) -> Result<bool> {
    let key = options.key;
    let stat = match stat(key, id) {
        Err(Error::Removed { .. }) => return Ok(false),
        other => other?,
    };
    options.accepts(Object::Segment, &stat.perm, stat.bytes, true)?;
    let look = AttachOptions { read_only: true, ..Default::default() };
    let attach = attach(key, id, &look)?;
    let bytes = attach.bytes();
    let Some(segment) = Segment::new(attach) else { return Err(too_small(key, bytes)) };
    match check_header(key, segment.header(), bytes) {
        Ok(_) => Ok(true),
        // Being made at this moment, or half-made: that is settled under the lock.
        Err(_) if !foreign(segment.header()) && under_way(key)? => Ok(true),
        // Made and finished since the look: look again.
        Err(e) => match check_header(key, segment.header(), bytes) {
            Ok(_) => Ok(true),
            Err(_) if self::stat(key, id)?.removed => Ok(false),
            Err(_) => Err(e),
        },
    }
}

fn under_way(key: Key) -> Result<bool> {
    Ok(Roles::find(key)?.is_some_and(|roles| roles.creation_under_way()))
}

/// Is the semaphore set's owner accepted, and, for who joins, its mode?
pub(crate) fn accept_set(roles: &Roles, options: &Options, joining: bool) -> Result<()> {
    let key = options.key;
    let public = crate::sysv::sem::public_stat(roles.id());
    match crate::sysv::sem::stat(roles.id()) {
        Ok(perm) => {
            let size = usize::from(crate::roles::SEMAPHORES);
            options.accepts(Object::Semaphores, &perm, size, joining)
        }
        Err(e) => match (e.errno, public) {
            (Errno::EACCES, Some((Perm { uid, cuid, mode, .. }, size))) => {
                let object = Object::Semaphores;
                Err(Error::NotAccepted { key, object, uid, cuid, mode, size, open_to_all: false })
            }
            _ => Err(Error::from_sys(key, Object::Semaphores, e)),
        },
    }
}

/// Waits until nobody but the caller is attached; onlookers are gone in a moment.
fn await_alone(key: Key, id: ShmId) -> Result<()> {
    let give_up = Instant::now() + Duration::from_secs(1);
    loop {
        let stat = stat(key, id)?;
        if stat.attaches <= 1 {
            return Ok(());
        }
        if Instant::now() >= give_up {
            let others = stat.attaches - 1;
            return Err(Error::StillAttached { key, others, last_pid: stat.last_pid });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Gives a segment whose semaphores were removed the new set. Under the new set's lock.
fn adopt(key: Key, segment: &Segment, id: ShmId, geometry: &Geometry, roles: &Roles) -> Result<()> {
    // Whoever else is attached may still write as the holder of a role in the removed set.
    await_alone(key, id)?;
    roles.set_tickets(geometry.lanes)?;
    segment.header().generation.store(roles.id().raw() as u32, Relaxed);
    Ok(())
}

fn write_header(segment: &Segment, geometry: &Geometry, generation: u32) {
    let header = segment.header();
    header.layout_version.store(LAYOUT_VERSION, Relaxed);
    header.generation.store(generation, Relaxed);
    header.segment_bytes.store(geometry.segment_bytes(), Relaxed);
    header.lanes.store(geometry.lanes, Relaxed);
    header.lane_bytes.store(geometry.lane_bytes(), Relaxed);
    header.ring_bytes.store(geometry.ring_bytes, Relaxed);
    header.max_message.store(geometry.max_message, Relaxed);
    header.closing.store(0, Relaxed);
    header.server_bell.init();
    for number in 0..geometry.lanes {
        let (words, _) = segment.lane(geometry, number);
        ring::init(&words, 0);
    }
    header.magic.store(MAGIC, Relaxed);
}
