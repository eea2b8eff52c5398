//! Roles: who is the server, who is the producer of which lane, who creates.
//!
//! All are semaphores of one set that has the segment's key. A role's semaphore is 0 when free;
//! claiming it is one `semop` that waits for zero and adds 1 with SEM_UNDO, so the kernel frees
//! it when the holder ends, however it ends, and 0 needs no initialising.
//!
//! | number | name | value |
//! | ---: | --- | --- |
//! | 0 | create | 1 while somebody creates, joins or removes the channel (undone by the kernel) |
//! | 1 | server | 1 while there is a server (undone) |
//! | 2 | free lanes | lanes that nobody holds; a claimed one is given back (undone) |
//! | 3 | creating | from before a segment is made until it is ready a number of its size, else 0: tells a half-made one |
//! | 4 | server bell | rings for the server asleep; also grows when a client ends |
//! | 5 + k | lane k | 1 while lane k has a producer (undone) |
//! | 37 + k | room bell k | rings for lane k's producer asleep; also grows when a server ends |
//!
//! The last property is had by adding 1 for good and taking 1 with SEM_UNDO in the same `semop`:
//! nothing changes now, and the end of the process adds 1. So the kernel itself wakes a peer
//! that sleeps, whatever instant a process was killed at.
//!
//! Source: [semop(2)](https://man7.org/linux/man-pages/man2/semop.2.html), section SEM_UNDO.

use super::Options;
use crate::deadline::Deadline;
use crate::error::{Error, Object, Result, Role};
use crate::segment::layout::{BadField, MAX_LANES};
use crate::sysv::sem::{self, Op, SemId, Wait, SEMVMX};
use crate::sysv::{Key, PermChange, SysError};
use crate::wake::Bell;
use core::time::Duration;
use nix::errno::Errno;

mod claims;

const CREATE: u16 = 0;
const SERVER: u16 = 1;
const FREE_LANES: u16 = 2;
const CREATING: u16 = 3;
const SERVER_BELL: u16 = 4;
const LANES: u16 = 5;
const ROOM_BELLS: u16 = LANES + MAX_LANES as u16;

/// Number of semaphores of a channel's set.
pub const SEMAPHORES: u16 = ROOM_BELLS + MAX_LANES as u16;

/// The semaphore set of one channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles {
    key: Key,
    id: SemId,
}

/// What the `creating` semaphore holds for a segment of so many bytes: never 0, at most SEMVMX, and
/// different for sizes that are near each other.
fn creating(bytes: u32) -> i32 {
    1 + (bytes / 64 % (SEMVMX as u32 - 1)) as i32
}

/// Is the owner of a set of that many semaphores accepted, and, for who joins, its mode?
pub(crate) fn accept_set(options: &Options, id: SemId, count: u16, joining: bool) -> Result<()> {
    match sem::stat(id) {
        Ok(perm) => options.accepts(Object::Semaphores, &perm, usize::from(count), joining),
        Err(e) => match (e.errno, sem::public_stat(options.key, id)) {
            (Errno::EACCES, Some((perm, size))) => {
                Err(options.closed(Object::Semaphores, &perm, size))
            }
            _ => Err(Error::from_sys(options.key, Object::Semaphores, e)),
        },
    }
}

/// The longest that anybody waits for who creates, joins, mends or removes: these take microseconds, so
/// whoever holds the lock longer is stopped.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// [`LOCK_WAIT`] for who would rather not wait: the lock is not held for longer than this by anybody
/// who is not stopped, even where many programs want the processor.
const SHORT_LOCK_WAIT: Duration = Duration::from_millis(500);

/// And behind any of these a few of this: on a machine that stood still, as a virtual one that was paused or
/// a board under a real-time program, the holder had none of that time either.
const MOMENT: Duration = Duration::from_millis(50);
const MOMENTS: u32 = 5;

/// Until when the lock is waited for by who waits for all else until `deadline`.
pub(crate) fn lock_wait(deadline: Deadline) -> Deadline {
    let left = deadline.left().unwrap_or(LOCK_WAIT);
    Deadline::after(left.clamp(SHORT_LOCK_WAIT, LOCK_WAIT))
}

/// Lanes whose bells one operation takes care of. SEMOPM, the most changes of one `semop`, was 32
/// by default for long (up to Linux 3.18), and may be set lower.
const LANES_AT_ONCE: usize = 7;

impl Roles {
    /// The existing set of `key`, checked for its size; `None`: there is none.
    pub(crate) fn find(key: Key) -> Result<Option<Self>> {
        match sem::find(key) {
            Ok(id) => Self { key, id }.checked(),
            Err(e) if e.errno == Errno::ENOENT => Ok(None),
            Err(e) => Err(Error::from_sys(key, Object::Semaphores, e)),
        }
    }

    fn checked(self) -> Result<Option<Self>> {
        match sem::has_count(self.key, self.id, SEMAPHORES) {
            Ok(true) => Ok(Some(self)),
            Ok(false) => {
                let field = BadField {
                    field: "number of semaphores",
                    found: sem::count(self.key),
                    expected: u32::from(SEMAPHORES),
                };
                let key = self.key;
                Err(Error::NotOurs { key, object: Object::Semaphores, lane: None, field })
            }
            // Gone since: as if it had not been there.
            Err(e) if matches!(e.errno, Errno::EIDRM | Errno::EINVAL | Errno::ENOENT) => Ok(None),
            // No permission to look: the owner is checked, and named, next.
            Err(e) if e.errno == Errno::EACCES => Ok(Some(self)),
            Err(e) => Err(Error::from_sys(self.key, Object::Semaphores, e)),
        }
    }

    /// Makes a new set; `None`: somebody else just did.
    pub(crate) fn create(key: Key, mode: u32) -> Result<Option<Self>> {
        match sem::create(key, SEMAPHORES, mode) {
            Ok(id) => Ok(Some(Self { key, id })),
            Err(e) if e.errno == Errno::EEXIST => Ok(None),
            Err(e) => Err(Error::cannot_create(key, u32::from(SEMAPHORES), e)),
        }
    }

    /// The set's number, which is the channel's generation.
    pub(crate) fn id(&self) -> SemId {
        self.id
    }

    fn error(&self, e: SysError) -> Error {
        Error::from_sys(self.key, Object::Semaphores, e)
    }

    /// Is the set's owner accepted, and, for who joins, its mode?
    pub(crate) fn accept(&self, options: &Options, joining: bool) -> Result<()> {
        accept_set(options, self.id, SEMAPHORES, joining)
    }

    /// IPC_SET.
    pub(crate) fn set(&self, change: &PermChange) -> Result<()> {
        sem::set(self.id, change).map_err(|e| self.error(e))
    }

    /// IPC_RMID; a set that is gone already is removed.
    pub(crate) fn remove(&self) -> Result<()> {
        match sem::remove(self.id).map_err(|e| self.error(e)) {
            Err(Error::Removed { .. }) => Ok(()),
            other => other,
        }
    }

    /// Takes the creation lock, held until [`unlock`](Self::unlock) or the end of the process. Behind the
    /// deadline it is asked for a few [`MOMENT`]s more.
    pub(crate) fn lock(&self, deadline: Deadline) -> Result<()> {
        let ops = [Op::new(CREATE, 0), Op::undo(CREATE, 1)];
        let mut late = 0;
        loop {
            let wait = if late == 0 { deadline.for_sem() } else { Wait::For(MOMENT) };
            match sem::operate(self.id, &ops, wait) {
                Ok(()) => return Ok(()),
                Err(e) if e.errno == Errno::EINTR && late == 0 => {}
                Err(e) if matches!(e.errno, Errno::EAGAIN | Errno::EINTR) => {
                    if late == MOMENTS {
                        let pid = sem::pid(self.id, CREATE).unwrap_or(0);
                        return Err(Error::Busy { key: self.key, role: Role::Creator, pid });
                    }
                    late += 1;
                }
                Err(e) => return Err(self.error(e)),
            }
        }
    }

    /// Gives the creation lock back. A removed set has none any more.
    pub(crate) fn unlock(&self) {
        let _ = sem::operate(self.id, &[Op::undo(CREATE, -1)], Wait::Never);
    }

    /// Does somebody hold the creation lock, or is a segment half-made? The value is a hint: it
    /// is settled under the lock.
    pub(crate) fn creation_under_way(&self) -> bool {
        [CREATE, CREATING].iter().any(|num| sem::value(self.id, *num).is_ok_and(|v| v > 0))
    }

    /// Notes that a segment of so many bytes is about to be made, or (`None`) that it is done.
    /// Under the lock.
    pub(crate) fn set_creating(&self, bytes: Option<u32>) -> Result<()> {
        // No SEM_UNDO is ever used on this one: it outlives its maker.
        let value = bytes.map_or(0, creating);
        sem::set_value(self.id, CREATING, value).map_err(|e| self.error(e))
    }

    /// Did somebody begin to make a segment and not finish? Under the lock.
    pub(crate) fn unfinished(&self) -> bool {
        sem::value(self.id, CREATING).is_ok_and(|noted| noted > 0)
    }

    /// Did somebody begin to make a segment of so many bytes and not finish? Under the lock. No pid
    /// is asked: what one namespace calls it, or gave to another one since, means nothing here.
    pub(crate) fn unfinished_of(&self, bytes: usize) -> bool {
        let noted = u32::try_from(bytes).ok().map(creating);
        sem::value(self.id, CREATING).is_ok_and(|value| Some(value) == noted)
    }

    /// Sets the number of free lanes. Under the lock, while nobody holds a lane.
    pub(crate) fn set_free_lanes(&self, lanes: u32) -> Result<()> {
        sem::set_value(self.id, FREE_LANES, lanes as i32).map_err(|e| self.error(e))
    }

    /// Does somebody hold or await a role in this set? The pid of one that does, and its role.
    pub(crate) fn in_use(&self) -> Result<Option<(Role, i32)>> {
        let values = self.values()?;
        let lanes = (0..MAX_LANES).map(|lane| (Role::Lane(lane), LANES + lane as u16));
        for (role, num) in [(Role::Server, SERVER)].into_iter().chain(lanes) {
            if values[usize::from(num)] > 0 {
                if let Some(pid) = self.holder(num)? {
                    return Ok(Some((role, pid)));
                }
            }
        }
        Ok(None)
    }

    /// Does somebody wait for a lane?
    pub(crate) fn awaited(&self) -> bool {
        sem::waiters(self.id, FREE_LANES).is_ok_and(|n| n > 0)
    }

    /// The values of all semaphores, by one look of the kernel's.
    fn values(&self) -> Result<[u16; SEMAPHORES as usize]> {
        sem::values(self.id).map_err(|e| self.error(e))
    }

    fn holder(&self, num: u16) -> Result<Option<i32>> {
        match sem::value(self.id, num).map_err(|e| self.error(e))? {
            n if n > 0 => Ok(Some(sem::pid(self.id, num).map_err(|e| self.error(e))?)),
            _ => Ok(None),
        }
    }

    /// The pid of who creates, joins or removes right now.
    pub(crate) fn creator(&self) -> Result<Option<i32>> {
        self.holder(CREATE)
    }

    /// The server's pid; `None`: the role is free.
    pub(crate) fn server(&self) -> Result<Option<i32>> {
        self.holder(SERVER)
    }

    /// The pid of lane `lane`'s producer; `None`: the lane is free.
    pub(crate) fn lane(&self, lane: u32) -> Result<Option<i32>> {
        self.holder(LANES + lane as u16)
    }

    /// Semaphore on which the server sleeps.
    pub(crate) fn server_bell(&self) -> Bell {
        self.bell(SERVER_BELL)
    }

    /// Semaphore on which lane `lane`'s producer sleeps.
    pub(crate) fn room_bell(&self, lane: u32) -> Bell {
        self.bell(ROOM_BELLS + lane as u16)
    }

    fn bell(&self, num: u16) -> Bell {
        Bell::new(self.key, self.id, num)
    }

    /// Rings for every producer of the lanes `which`, by bits, that may sleep, whatever became of its doorbell's
    /// words: two calls, and one more for each few that are not rung for already.
    pub(crate) fn remind_producers(&self, which: u32) {
        let Ok(values) = self.values() else {
            return; // a removed set: the sleeps themselves have ended
        };
        let mut ops: heapless::Vec<Op, LANES_AT_ONCE> = heapless::Vec::new();
        for lane in 0..MAX_LANES as u16 {
            let (held, bell) = (values[usize::from(LANES + lane)], ROOM_BELLS + lane);
            if which & (1 << lane) != 0 && held > 0 && values[usize::from(bell)] == 0 {
                let _ = ops.push(Op::new(bell, 1));
            }
            if ops.is_full() || (lane + 1 == MAX_LANES as u16 && !ops.is_empty()) {
                let _ = sem::operate(self.id, &ops, Wait::Never);
                ops.clear();
            }
        }
    }

    /// Is the set still there?
    pub(crate) fn check(&self) -> Result<()> {
        sem::value(self.id, SERVER).map(drop).map_err(|e| self.error(e))
    }
}

#[cfg(test)]
mod tests;
