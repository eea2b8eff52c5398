//! Finding, creating, joining and adopting a channel.
//!
//! Any number of programs may start at once. They settle who creates under the creation lock, a
//! semaphore that the kernel frees when its holder dies, so a creator killed halfway leaves
//! something the next one recognises: a segment that is not `STATE_READY`, of the size that the
//! `creating` semaphore notes.

use super::inspect::{acceptable, check_header, foreign, too_small};
use super::named::NamedSegment;
use super::roles::{lock_wait, Roles};
use super::{Channel, Opened, Options};
use crate::deadline::Deadline;
use crate::error::{Awaited, Error, Object, Result};
use crate::ring;
use crate::segment::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::segment::layout::{Geometry, LAYOUT_VERSION, MAGIC, STATE_READY};
use crate::segment::Segment;
use crate::sysv::PermChange;
use core::time::Duration;
use nix::errno::Errno;

/// How long a client that must not create waits before it looks whether somebody else did: the first
/// time, and each time twice as long up to the last. There is nothing yet to sleep on.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Outcome of one attempt to open: done, or begin again because somebody was faster.
enum Attempt {
    Done(Channel),
    Again,
    NotThere,
}

impl Channel {
    /// Opens the channel of `options.key`, creating it if need be and allowed.
    ///
    /// `deadline` bounds the waiting for somebody else's channel (`create` off), and for who is stopped
    /// halfway through creating (5 seconds at the most, half of one at the least, and a quarter more).
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::NotAccepted`]: what stands under the key is not taken, and
    /// was not changed. [`Error::CannotCreate`], [`Error::TimedOut`], [`Error::Busy`] (somebody
    /// is stopped halfway through creating), [`Error::StillAttached`], [`Error::NoSysvIpc`],
    /// [`Error::BadGeometry`], [`Error::System`].
    pub fn open(options: &Options, deadline: Deadline) -> Result<Self> {
        options.geometry.check().map_err(Error::BadGeometry)?;
        let (mut tries, mut pause) = (0, FIRST_LOOK);
        loop {
            match Self::attempt(options, deadline) {
                Ok(Attempt::Done(channel)) => return Ok(channel),
                Ok(Attempt::NotThere) => {
                    if deadline.passed() {
                        let awaited = Awaited::Channel;
                        return Err(Error::TimedOut { key: options.key, awaited });
                    }
                    std::thread::sleep(deadline.left().map_or(pause, |left| left.min(pause)));
                    pause = LAST_LOOK.min(2 * pause);
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

    fn attempt(options: &Options, deadline: Deadline) -> Result<Attempt> {
        let key = options.key;
        let found = NamedSegment::find(key)?;
        if let Some(found) = found {
            // Before anything is made or changed: is this ours to use at all?
            if !acceptable(found, options)? {
                return Ok(Attempt::Again);
            }
        } else if !options.create {
            return Ok(Attempt::NotThere);
        }
        let roles = match Roles::find(key)? {
            Some(roles) => {
                roles.accept(options, true)?;
                roles
            }
            None => match Roles::create(key, options.creation_mode())? {
                Some(roles) => {
                    if let Err(e) = options.give_over(|change| roles.set(change)) {
                        let _ = roles.remove();
                        return Err(e);
                    }
                    roles
                }
                None => return Ok(Attempt::Again),
            },
        };
        roles.lock(lock_wait(deadline))?;
        let result = Self::under_lock(options, roles);
        // A set that serves no segment is not left behind.
        if matches!(result, Err(Error::CannotCreate { .. })) && roles.in_use()?.is_none() {
            let _ = roles.remove();
        }
        roles.unlock();
        result
    }

    fn under_lock(options: &Options, roles: Roles) -> Result<Attempt> {
        let key = options.key;
        let Some(found) = NamedSegment::find(key)? else {
            if !options.create {
                // Removed since the look. The set may be one that was made to adopt it.
                if roles.in_use()?.is_none() && !roles.awaited() {
                    let _ = roles.remove();
                }
                return Ok(Attempt::Again);
            }
            // Holders of roles without a segment use one that was removed: the set goes too, so
            // that they notice, and a new one is made.
            if roles.in_use()?.is_some() || roles.awaited() {
                roles.remove()?;
                return Ok(Attempt::Again);
            }
            return Self::create(options, roles);
        };
        let stat = found.stat_as(options)?;
        options.accepts(Object::Segment, &stat.perm, stat.bytes, true)?;
        let attach = found.attach(options.place)?;
        if stat.removed {
            return Ok(Attempt::Again);
        }
        let bytes = attach.bytes();
        let Some(segment) = Segment::new(attach) else {
            return Err(too_small(key, bytes));
        };
        // Acquire: pairs with the creator's Release of STATE_READY.
        if segment.header().state.load(Acquire) != STATE_READY {
            // We hold the lock, so nobody is making it now. If somebody began to make one of this
            // size and did not finish, it is nobody's yet: make it anew.
            let half_made = roles.unfinished_of(stat.bytes) && !foreign(segment.header());
            if half_made {
                await_alone(found)?;
                found.remove()?;
                return Ok(Attempt::Again);
            }
        }
        let geometry = check_header(key, segment.header(), bytes)?;
        if roles.unfinished() {
            roles.set_creating(None)?; // it was finished, and its maker killed before it said so
        }
        let mut opened = Opened::Joined;
        if segment.header().generation.load(Relaxed) != roles.id().raw() as u32 {
            adopt(&segment, found, &geometry, &roles)?;
            opened = Opened::Adopted;
        }
        let lane_changes = options.lane_changes;
        let mut channel =
            Self { key, geometry, roles, opened, lane_changes, adjusted: None, segment };
        channel.adjust(options)?;
        channel.lock_if(options)?;
        Ok(Attempt::Done(channel))
    }

    fn create(options: &Options, roles: Roles) -> Result<Attempt> {
        let key = options.key;
        let geometry = options.geometry;
        let size = geometry.segment_bytes();
        roles.set_creating(Some(size))?;
        let made = match NamedSegment::create(key, size as usize, options.creation_mode()) {
            Ok(made) => made,
            Err(e) => {
                roles.set_creating(None)?;
                return match e.errno {
                    Errno::EEXIST => Ok(Attempt::Again),
                    _ => Err(Error::cannot_create(key, size, e)),
                };
            }
        };
        let finish = || {
            let segment = match made.attach(options.place)? {
                attach if attach.bytes() >= size as usize => Segment::new(attach),
                _ => None,
            };
            let Some(segment) = segment else { return Err(too_small(key, 0)) };
            roles.set_free_lanes(geometry.lanes)?;
            write_header(&segment, &geometry, roles.id().raw() as u32);
            options.give_over(|change| made.set(change))?;
            let opened = Opened::Created;
            let lane_changes = options.lane_changes;
            let channel =
                Self { key, geometry, roles, opened, lane_changes, adjusted: None, segment };
            channel.lock_if(options)?;
            // Release: all of the above; pairs with the Acquire of every `state` load. From
            // here on the segment is a channel.
            channel.segment.header().state.store(STATE_READY, Release);
            Ok(channel)
        };
        match finish() {
            Ok(channel) => {
                roles.set_creating(None)?;
                Ok(Attempt::Done(channel))
            }
            Err(e) => {
                // An address that can't be attached, a lock that is not allowed: leave nothing. What
                // can't be removed (a filter without shmctl) keeps the note that it is half-made.
                if made.remove().is_ok() {
                    let _ = roles.remove();
                }
                Err(e)
            }
        }
    }

    /// Mode and group of a channel that is there, if they are to be changed and the caller may.
    fn adjust(&mut self, options: &Options) -> Result<()> {
        let change = PermChange { uid: None, gid: options.group, mode: options.mode };
        let before = self.named().stat()?.perm;
        let euid = nix::unistd::geteuid().as_raw();
        let may = euid == 0 || euid == before.uid || euid == before.cuid;
        let same = change.mode.unwrap_or(before.mode) == before.mode
            && change.gid.unwrap_or(before.gid) == before.gid;
        if !options.adjust || !may || same {
            return Ok(());
        }
        self.named().set(&change)?;
        self.roles.set(&change)?;
        self.adjusted = Some(before);
        Ok(())
    }

    fn lock_if(&self, options: &Options) -> Result<()> {
        match options.lock {
            true => self.named().lock(),
            false => Ok(()),
        }
    }
}

impl Options {
    /// Gives what was just created, the segment or else the set, the owner and group asked for.
    pub(crate) fn give_over(&self, set: impl FnOnce(&PermChange) -> Result<()>) -> Result<()> {
        let change = PermChange { uid: self.create_as, gid: self.group, mode: None };
        if change.is_empty() {
            return Ok(());
        }
        set(&change)
    }
}

/// Waits until nobody but the caller is attached; onlookers are gone in a moment. So many looks, not so much
/// time: where the machine stood still, the others did.
fn await_alone(segment: NamedSegment) -> Result<()> {
    const LOOKS: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(5);
    let mut looks = 1;
    loop {
        let stat = segment.stat()?;
        if stat.attaches <= 1 {
            return Ok(());
        }
        if looks == LOOKS {
            let (key, others) = (segment.key, stat.attaches - 1);
            return Err(Error::StillAttached { key, others, last_pid: stat.last_pid });
        }
        std::thread::sleep(PAUSE);
        looks += 1;
    }
}

/// Gives a segment whose semaphores were removed the new set. Under the new set's lock.
fn adopt(segment: &Segment, named: NamedSegment, geometry: &Geometry, roles: &Roles) -> Result<()> {
    // Whoever else is attached may still write as the holder of a role in the removed set.
    await_alone(named)?;
    roles.set_free_lanes(geometry.lanes)?;
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
        ring::init(segment.control(geometry, number), 0);
    }
    header.magic.store(MAGIC, Relaxed);
}
