//! The sending side: one lane, reserved, written and committed by this process alone.

use crate::channel::claimant::Claimant;
use crate::channel::Channel;
use crate::deadline::Deadline;
use crate::error::{Awaited, Error, Result, Role};
use crate::ring::{Reserved, Tx};
use crate::segment::atomic::Ordering;
use crate::segment::layout::BadField;
use crate::sysv::SysError;
use crate::wake::{self, Bed, Interrupter, Polled, SpinPolicy, Waited};

mod anew;
mod descriptor;
mod finish;
#[cfg(feature = "programs")]
mod lines;
mod slot;
mod sure;

pub use slot::Slot;

/// The producer of one lane. Dropping it gives the lane back.
///
/// The lane is this process's. In a child made by fork(2) every call fails with [`Error::Forked`]
/// or does nothing, a slot reserved before the fork sends nothing, and dropping it only detaches.
#[derive(Debug)]
#[must_use = "a producer that is dropped gives its lane back"]
pub struct Producer {
    tx: Tx,
    lane: u32,
    spin: SpinPolicy,
    claimant: Claimant,
    /// Something is committed or staged that was not rung for.
    unrung: bool,
    /// And the server may sleep past it, should a peer have spoiled the words by which it is rung for.
    unsure: bool,
    /// How often a wait for room has made sure of it.
    sure: sure::Sure,
    /// What the last ring failed with.
    failed: Option<SysError>,
    /// Where it sleeps for room instead, if it was asked for.
    polled: Option<Box<dyn Polled>>,
    /// A sleep is announced there.
    armed: bool,
    channel: Channel,
}

/// How a wait for room ended.
#[derive(Debug)]
#[must_use = "a slot is room that nothing was written to yet"]
pub enum Reservation<'a> {
    /// There is room: this.
    Slot(Slot<'a>),
    /// There is none, and something else was to be seen to: as [`Waited::Woken`].
    Woken,
    /// There was none in time.
    TimedOut,
}

impl<'a> Reservation<'a> {
    /// The room, if there is some.
    pub fn slot(self) -> Option<Slot<'a>> {
        match self {
            Reservation::Slot(slot) => Some(slot),
            Reservation::Woken | Reservation::TimedOut => None,
        }
    }
}

impl Channel {
    /// Claims a free lane, waiting for one until `deadline`.
    ///
    /// # Errors
    /// [`Error::TimedOut`] while other clients hold all lanes; [`Error::Removed`]; [`Error::Busy`] with
    /// the pid of who is stopped halfway through removing; [`Error::NotOurs`] where the lane is damaged and
    /// a server holds on to it.
    pub fn into_producer(self, deadline: Deadline) -> Result<Producer> {
        let geometry = self.geometry();
        let claimant = Claimant::this();
        let claimed = self.roles().claim_lane(geometry.lanes, deadline);
        let lane = claimed.map_err(|e| self.without_role(e))?;
        let tx = match self.take_up(lane, deadline) {
            Ok(tx) => tx,
            Err(e) => {
                self.roles().release_lane(lane);
                return Err(e);
            }
        };
        let spin = SpinPolicy::new();
        let mut producer = Producer {
            tx,
            lane,
            spin,
            claimant,
            unrung: true,
            unsure: true,
            sure: sure::Sure::new(),
            failed: None,
            polled: None,
            armed: false,
            channel: self,
        };
        // What a predecessor committed and was killed before ringing for.
        producer.ring();
        Ok(producer)
    }
}

impl Producer {
    /// Reserves room for a message of at most `len` bytes; `None`: the ring is full now.
    ///
    /// # Errors
    /// [`Error::TooLong`]; [`Error::NotOurs`] where the lane's words are damaged.
    #[inline]
    pub fn try_reserve(&mut self, len: usize) -> Result<Option<Slot<'_>>> {
        let len = self.checked(len)?;
        let reserved = self.tx.reserve(len).map_err(|d| self.damage(d))?;
        if self.armed && reserved.is_some() {
            self.disarm();
        }
        Ok(reserved.map(|reserved| Slot { producer: self, reserved }))
    }

    /// Reserves room for a message of at most `len` bytes, waiting for it until `deadline` or an
    /// [`Interrupter::wake`].
    ///
    /// # Errors
    /// As [`try_reserve`](Self::try_reserve), and [`Error::Removed`].
    #[inline]
    pub fn reserve(&mut self, len: usize, deadline: Deadline) -> Result<Reservation<'_>> {
        let checked = self.checked(len)?;
        let reserved = match self.tx.reserve(checked).map_err(|d| self.damage(d))? {
            Some(reserved) => reserved,
            None => {
                // The consumer may sleep with messages it was not rung for yet.
                self.ring();
                match self.wait_for_room(checked, deadline)? {
                    Ok(reserved) => reserved,
                    Err(Waited::TimedOut) => return Ok(Reservation::TimedOut),
                    Err(_) => return Ok(Reservation::Woken),
                }
            }
        };
        if self.armed {
            self.disarm();
        }
        Ok(Reservation::Slot(Slot { producer: self, reserved }))
    }

    /// [`check_claimant`](Self::check_claimant) at the price of one load.
    pub(crate) fn check_claimed_here(&self) -> Result<()> {
        match self.claimant.is_this() {
            true => Ok(()),
            false => self.check_claimant(),
        }
    }

    /// Fails in a process that was forked from the one that claimed the lane.
    pub(crate) fn check_claimant(&self) -> Result<()> {
        self.claimant.check(self.channel.key(), Role::Lane(self.lane))
    }

    fn checked(&self, len: usize) -> Result<u32> {
        if !self.claimant.is_this() {
            return Err(self.claimant.error(self.channel.key(), Role::Lane(self.lane)));
        }
        let max = self.tx.max_message();
        match u32::try_from(len) {
            Ok(len) if len <= max => Ok(len),
            _ => Err(Error::TooLong { len, max }),
        }
    }

    fn damage(&self, damage: BadField) -> Error {
        Error::from_damage(self.channel.key(), self.lane, damage)
    }

    /// Sleeps until there is room for `len` bytes; else how the wait ended.
    #[cold]
    fn wait_for_room(
        &mut self,
        len: u32,
        deadline: Deadline,
    ) -> Result<core::result::Result<Reserved, Waited>> {
        self.check_claimed_here()?;
        let lane = self.lane;
        let bell = self.channel.roles().room_bell(lane);
        let ring = self.tx.bytes().len();
        // Room for this message and its pad, and half the ring: woken rarely, with much to do.
        let need = (2 * crate::segment::layout::record_bytes(len)).max(ring / 2);
        let nap = self.sure.nap(self.tx.sent());
        let mut bed = Bed { bell, deadline, longest: Some(nap) };
        let (mut reserved, mut damaged) = (None, None);
        let polls = self.polled.is_some();
        if polls {
            bed.longest = None; // it may be long until the next call: what a nap would be followed by
        }
        if (polls && self.sure.count()) || !self.tx.is_published() {
            self.unsure = true;
            self.ring_surely();
        }
        let end = loop {
            let control = self.channel.segment().control(&self.channel.geometry(), lane);
            let (tx, spin) = (&mut self.tx, &mut self.spin);
            let mut ready = |_| {
                match control.aside_field().map_or_else(|| tx.reserve(len), Err) {
                    Ok(found) => reserved = found,
                    Err(field) => damaged = Some(field),
                }
                reserved.is_some() || damaged.is_some()
            };
            let (polled, doorbell) = (&mut self.polled, &control.room_bell);
            self.armed = polled.is_some();
            let end = wake::sleep_or_poll(polled, doorbell, &bed, need, spin, &mut ready);
            if let Some(field) = damaged {
                return Err(self.damage(field));
            }
            let end = end?;
            match (end, reserved) {
                (Waited::Ready, Some(reserved)) => return Ok(Ok(reserved)),
                (Waited::TimedOut, _) if bed.longest.is_some() && !deadline.passed() => {
                    // Once, and then without a limit: the server does not sleep past these messages,
                    // whatever became of tail and bell.
                    bed.longest = None;
                    self.sure.count();
                    self.unsure = true;
                    self.ring_surely();
                }
                _ => break end,
            }
        };
        self.check_claimant()?;
        self.channel.check()?;
        Ok(Err(end))
    }

    /// Sends `message`, waiting for room until `deadline`, and rings for the server.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), [`Error::TimedOut`] where there is no room in time, and
    /// [`Error::NotRung`] where it was sent and this process may not ring any more.
    pub fn send(&mut self, message: &[u8], deadline: Deadline) -> Result<()> {
        loop {
            match self.reserve(message.len(), deadline)? {
                Reservation::Slot(mut slot) => {
                    slot.write(0, message);
                    slot.commit(message.len());
                    return self.check_rung();
                }
                Reservation::Woken => {}
                Reservation::TimedOut => {
                    let awaited = Awaited::Room(self.lane);
                    return Err(Error::TimedOut { key: self.channel.key(), awaited });
                }
            }
        }
    }

    /// Fails where the last ring did: the server may not know of what was committed.
    ///
    /// # Errors
    /// [`Error::NotRung`] where this process may not ring any more; those of
    /// [`check`](Self::check), where the semaphores are gone.
    pub(crate) fn check_rung(&mut self) -> Result<()> {
        match self.failed {
            None => Ok(()),
            Some(e) if e.is_refusal() => Err(Error::NotRung { key: self.channel.key() }),
            Some(_) => self.check(),
        }
    }

    /// Commits what was [staged](Slot::stage) and rings for the server if it sleeps: once after a
    /// batch of these, or of [`commit_quietly`](Slot::commit_quietly).
    #[inline]
    pub fn ring(&mut self) {
        // What was rung for once is the server's, which may sleep again since.
        if self.unrung && self.claimant.is_this() {
            self.unrung = false;
            self.tx.publish();
            let doorbell = &self.channel.segment().header().server_bell;
            if let Some(outcome) = doorbell.ring(&self.channel.roles().server_bell()) {
                self.rang(outcome);
            }
        }
    }

    fn rang(&mut self, outcome: core::result::Result<(), SysError>) {
        self.failed = outcome.err();
        self.unsure = self.failed.is_some();
    }

    /// As [`ring`](Self::ring), and makes sure that it does not sleep past what was sent even where
    /// another program wrote into the words that this depends on: to be called before a long wait
    /// for something else, such as input. One system call where the server sleeps, two at most.
    pub fn ring_surely(&mut self) {
        self.ring();
        if self.unsure && self.claimant.is_this() {
            self.tx.republish();
            let outcome = self.channel.roles().server_bell().remind();
            self.rang(outcome);
        }
    }

    /// Is the channel still there? To be asked before a batch that is rung for: where the server sleeps,
    /// as far as the words tell, the ring tells of the semaphores, and one call is enough.
    #[cfg(feature = "programs")]
    pub(crate) fn check_before_batch(&self) -> Result<()> {
        self.check_lane()?;
        match self.channel.segment().header().server_bell.has_sleeper() {
            true => self.channel.check_segment(),
            false => self.channel.check(),
        }
    }

    /// Counts a message that was longer than the channel takes, for `status`.
    pub fn count_too_long(&self) {
        let counter = &self.tx.control().producer.too_long;
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Counts a message that was given up because there was no room in time, for `status`.
    pub fn count_refused(&self) {
        let counter = &self.tx.control().producer.refused;
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Number of the lane.
    pub fn lane(&self) -> u32 {
        self.lane
    }

    /// Longest message, in bytes.
    pub fn max_message(&self) -> u32 {
        self.tx.max_message()
    }

    /// The channel.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// A handle that ends this producer's waits, for signal handlers and other threads.
    pub fn interrupter(&self) -> Interrupter {
        self.channel.roles().room_bell(self.lane).interrupter()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.polled = None;
        if self.check_claimant().is_err() {
            return; // the parent's: this process only detaches
        }
        self.tx.publish();
        self.channel.roles().release_lane(self.lane);
    }
}
