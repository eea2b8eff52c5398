//! Finding, creating, joining and adopting a channel.
//!
//! Any number of programs may start at once. They settle who creates under the creation lock, a
//! semaphore that the kernel frees when its holder dies, so a creator killed halfway leaves
//! something the next one recognises: a segment that is not `STATE_READY`, made by the very
//! process that the `making` semaphore names.

use super::inspect::{
    accept_set, acceptable, attach, check_header, find_segment, foreign, stat, too_small,
};
use super::{Channel, Opened, Options};
use crate::error::{Awaited, Error, Object, Result};
use crate::layout::{Geometry, LAYOUT_VERSION, MAGIC, STATE_READY};
use crate::memory::Segment;
use crate::ring;
use crate::roles::Roles;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sysv::shm::{self, ShmId};
use crate::sysv::{sem, Key, PermChange};
use crate::wait::Deadline;
use core::time::Duration;
use nix::errno::Errno;
use std::time::Instant;

/// The longest that starting, removing and mending wait for somebody else who creates, joins or
/// removes: these take microseconds, so whoever holds the lock longer is stopped.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often a client that must not create looks whether somebody else did.
const LOOK: Duration = Duration::from_millis(50);

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
                        sem::set(roles.id(), &change)
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
            let _ = sem::remove(roles.id());
        }
        roles.unlock();
        result
    }

    fn under_lock(options: &Options, roles: Roles) -> Result<Attempt> {
        let key = options.key;
        let Some(id) = find_segment(key)? else {
            if !options.create {
                // Removed since the look. The set may be one that was made to adopt it.
                if roles.in_use()?.is_none() && !roles.awaited() {
                    let _ = sem::remove(roles.id());
                }
                return Ok(Attempt::Again);
            }
            // Holders of roles without a segment use one that was removed: the set goes too, so
            // that they notice, and a new one is made.
            if roles.in_use()?.is_some() || roles.awaited() {
                sem::remove(roles.id()).map_err(|e| Error::from_sys(key, Object::Semaphores, e))?;
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
                let _ = sem::remove(roles.id());
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
            sem::set(self.roles.id(), &change)
                .map_err(|e| Error::from_sys(self.key, Object::Semaphores, e))?;
        }
        if options.lock {
            shm::lock(id).map_err(error)?;
        }
        Ok(())
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
