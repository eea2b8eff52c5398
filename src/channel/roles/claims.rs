//! Claiming roles and giving them back.

use super::{lock_wait, Roles, FREE_LANES, LANES, LANES_AT_ONCE, ROOM_BELLS, SERVER, SERVER_BELL};
use crate::deadline::Deadline;
use crate::error::{Awaited, Error, Object, Result, Role};
use crate::segment::layout::BadField;
use crate::sysv::sem::{self, Op, Wait};
use core::time::Duration;
use nix::errno::Errno;

/// The two operations that change nothing now and add 1 to `num` when the process ends.
const fn ring_at_end(num: u16) -> [Op; 2] {
    [Op::new(num, 1), Op::undo(num, -1)]
}

impl Roles {
    /// Claims the server role for a channel of `lanes` lanes.
    ///
    /// # Errors
    /// [`Error::Busy`] with the holder's pid, or that of who is stopped halfway through removing;
    /// [`Error::Removed`].
    pub(crate) fn claim_server(&self, lanes: u32) -> Result<()> {
        for _ in 0..100 {
            match self.try_claim_server(lanes) {
                // Who removes holds it for a moment, under the lock, and is no server: what comes of
                // that is awaited, not told.
                Err(Error::Busy { pid, .. }) if self.creator()? == Some(pid) => {
                    self.await_lock(Deadline::Never)?;
                }
                // The removal failed, just now: the role was given back before the lock.
                Err(Error::Busy { pid, .. }) if self.server()? != Some(pid) => {}
                other => return other,
            }
        }
        self.try_claim_server(lanes)
    }

    /// Does somebody hold the server role and the creation lock at once, as who removes does, or did so just
    /// now and gave the lanes back?
    fn being_removed(&self) -> Result<bool> {
        let creator = self.creator()?;
        let holds_all = creator.is_some() && creator == self.server()?;
        Ok(holds_all || sem::value(self.id, FREE_LANES).is_ok_and(|free| free > 0))
    }

    /// Waits until nobody creates, joins or removes.
    fn await_lock(&self, deadline: Deadline) -> Result<()> {
        self.lock(lock_wait(deadline))?;
        self.unlock();
        Ok(())
    }

    /// As [`claim_server`](Self::claim_server), once: who removes is told of as a server.
    fn try_claim_server(&self, lanes: u32) -> Result<()> {
        for first in (0..lanes as u16).step_by(LANES_AT_ONCE) {
            let mut ops: heapless::Vec<Op, 16> = heapless::Vec::new();
            if first == 0 {
                let _ = ops.extend_from_slice(&[Op::new(SERVER, 0), Op::undo(SERVER, 1)]);
            }
            // The role comes first: until a bell is seen to, nobody relies on this server's end.
            for lane in (first..lanes as u16).take(LANES_AT_ONCE) {
                let _ = ops.extend_from_slice(&ring_at_end(ROOM_BELLS + lane));
            }
            if let Err(e) = self.claim(&ops, Role::Server, SERVER) {
                if first > 0 {
                    self.release_server(u32::from(first));
                }
                return Err(e);
            }
        }
        Ok(())
    }

    /// Gives the server role back and rings every room bell, as the process's end would.
    pub(crate) fn release_server(&self, lanes: u32) {
        for first in (0..lanes as u16).step_by(LANES_AT_ONCE) {
            let mut ops: heapless::Vec<Op, 16> = heapless::Vec::new();
            if first == 0 {
                let _ = ops.push(Op::undo(SERVER, -1));
            }
            for lane in (first..lanes as u16).take(LANES_AT_ONCE) {
                let _ = ops.push(Op::undo(ROOM_BELLS + lane, 1));
            }
            self.give_back(&ops);
        }
    }

    /// Claims any free lane of `lanes`, waiting for one until `deadline`.
    ///
    /// # Errors
    /// [`Error::TimedOut`]; [`Error::Removed`]; [`Error::Busy`] with the pid of who is stopped halfway
    /// through removing.
    pub(crate) fn claim_lane(&self, lanes: u32, deadline: Deadline) -> Result<u32> {
        // The ticket is waited for, so that a lane is free for whoever has one.
        let mut looks = 0;
        loop {
            match sem::operate(self.id, &[Op::undo(FREE_LANES, -1)], deadline.for_sem()) {
                Ok(()) => break,
                Err(e) if e.errno == Errno::EINTR => {}
                // Who removes has all of them for a moment, under the lock, and the server role.
                Err(e) if e.errno == Errno::EAGAIN && looks < 100 && self.being_removed()? => {
                    looks += 1;
                    self.await_lock(deadline)?;
                }
                Err(e) if e.errno == Errno::EAGAIN => {
                    let awaited = Awaited::Lane(lanes);
                    return Err(Error::TimedOut { key: self.key, awaited });
                }
                Err(e) => return Err(self.error(e)),
            }
        }
        for lane in 0..lanes {
            let num = LANES + lane as u16;
            let [ring, unring] = ring_at_end(SERVER_BELL);
            let ops = [Op::new(num, 0), Op::undo(num, 1), ring, unring];
            match self.claim(&ops, Role::Lane(lane), num) {
                Ok(()) => return Ok(lane),
                Err(Error::Busy { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        let _ = sem::operate(self.id, &[Op::undo(FREE_LANES, 1)], Wait::Never);
        let field = BadField { field: "free_lanes", found: 1, expected: 0 };
        Err(Error::NotOurs { key: self.key, object: Object::Semaphores, lane: None, field })
    }

    /// Gives a lane back and rings the server bell, as the process's end would.
    pub(crate) fn release_lane(&self, lane: u32) {
        let num = LANES + lane as u16;
        self.give_back(&[Op::undo(num, -1), Op::undo(FREE_LANES, 1), Op::undo(SERVER_BELL, 1)]);
    }

    /// Claims the server role and all lanes at once, so that nobody can while the channel is removed;
    /// without a segment there are none to be claimed. How many lanes it claimed.
    ///
    /// # Errors
    /// [`Error::Busy`] with a role that is held, or just being claimed, and its holder.
    pub(crate) fn claim_all(&self, lanes: Option<u32>) -> Result<u32> {
        let key = self.key;
        // A set whose maker was killed before it gave the lanes out has none.
        let none_yet =
            [sem::value(self.id, FREE_LANES), sem::pid(self.id, FREE_LANES)] == [Ok(0), Ok(0)];
        let lanes = lanes.filter(|_| !none_yet).unwrap_or(0);
        let ops = Self::all(1, -(lanes as i16));
        for _ in 0..100 {
            if let Some((role, pid)) = self.in_use()? {
                return Err(Error::Busy { key, role, pid });
            }
            match sem::operate(self.id, &ops, Wait::For(Duration::from_millis(10))) {
                Ok(()) => return Ok(lanes),
                Err(e) if matches!(e.errno, Errno::EAGAIN | Errno::EINTR) => {}
                Err(e) => return Err(self.error(e)),
            }
        }
        let pid = sem::pid(self.id, FREE_LANES).unwrap_or(0);
        Err(Error::Busy { key, role: Role::Lane(0), pid })
    }

    /// Takes [`claim_all`](Self::claim_all) of so many lanes back.
    pub(crate) fn release_all(&self, lanes: u32) {
        let _ = sem::operate(self.id, &Self::all(-1, lanes as i16), Wait::Never);
    }

    fn all(server: i16, lanes: i16) -> heapless::Vec<Op, 3> {
        let free = (server > 0).then_some(Op::new(SERVER, 0));
        // A change of 0 would be a wait.
        let lanes = (lanes != 0).then_some(Op::undo(FREE_LANES, lanes));
        free.into_iter().chain([Op::undo(SERVER, server)]).chain(lanes).collect()
    }

    /// Gives a role back. A removed set has none any more.
    fn give_back(&self, ops: &[Op]) {
        for _ in 0..100 {
            match sem::operate(self.id, ops, Wait::Never) {
                Err(e) if e.errno == Errno::ERANGE => self.empty_bells(ops),
                _ => return,
            }
        }
    }

    /// Empties the bells that `ops` would ring: one that nobody ever answered is full.
    fn empty_bells(&self, ops: &[Op]) {
        let bell = |num: u16| num == SERVER_BELL || num >= ROOM_BELLS;
        for op in ops.iter().filter(|op| op.change > 0 && bell(op.num)) {
            self.bell(op.num).silence();
        }
    }

    fn claim(&self, ops: &[Op], role: Role, num: u16) -> Result<()> {
        let mut tries = 0;
        loop {
            match sem::operate(self.id, ops, Wait::Never) {
                Ok(()) => return Ok(()),
                Err(e) if e.errno == Errno::EAGAIN => match self.holder(num)? {
                    Some(pid) => return Err(Error::Busy { key: self.key, role, pid }),
                    // It ended just now.
                    None if tries < 100 => tries += 1,
                    None => return Err(Error::Busy { key: self.key, role, pid: 0 }),
                },
                Err(e) if e.errno == Errno::ERANGE && tries < 100 => {
                    tries += 1;
                    self.empty_bells(ops);
                }
                Err(e) => return Err(self.error(e)),
            }
        }
    }
}
