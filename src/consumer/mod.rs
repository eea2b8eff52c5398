//! The receiving side: the server, which consumes every lane.

use crate::channel::claimant::Claimant;
use crate::channel::roles::{Roles, LOCK_WAIT};
use crate::channel::Channel;
use crate::deadline::Deadline;
use crate::error::{Error, Result, Role};
use crate::ring::{Found, Rx};
use crate::segment::layout::BadField;
use crate::wake::{self, Bed, Interrupter, Look, Polled, SpinPolicy, Waited};

mod aside;
mod descriptor;
#[cfg(feature = "programs")]
mod lines;
mod record;
mod release;

pub use record::Record;

/// Most records taken from one lane before the next lane has its turn.
const QUOTA: u32 = 256;

/// All lanes, by bits.
const ALL: u32 = u32::MAX;

/// Records looked at one after another in one lane.
#[derive(Debug)]
struct Run {
    lane: usize,
    records: u32,
    /// The lane was set aside since: there is nothing to be released.
    void: bool,
}

/// The server of a channel. Dropping it gives the role back; messages not released stay in the
/// segment for the next server.
///
/// The role is this process's. In a child made by fork(2) every call fails with [`Error::Forked`]
/// or does nothing, and dropping it only detaches.
#[derive(Debug)]
#[must_use = "a consumer that is dropped gives its role back"]
pub struct Consumer {
    /// As many as the channel has: who can serve 32 need not have the room for them.
    lanes: Vec<Rx>,
    /// Lanes that ever had a record, by bits.
    used: u32,
    /// The lane whose turn it is.
    turn: usize,
    /// Records it may still give before the next one's turn.
    quota: u32,
    /// Lanes that are set aside, by bits.
    aside: u32,
    /// Those of them of which was not told yet, by bits.
    untold: u32,
    /// What was looked at since the last release, in order; its capacity never changes.
    runs: Vec<Run>,
    /// The last look found no place for another run.
    full: bool,
    spin: SpinPolicy,
    /// Where it sleeps instead, if it was asked for.
    polled: Option<Box<dyn Polled>>,
    /// A sleep is announced there.
    armed: bool,
    /// Where the last look that found nothing had come to: see [`arm`](Self::arm).
    turned: u32,
    claimant: Claimant,
    channel: Channel,
}

impl Channel {
    /// Claims the server role.
    ///
    /// # Errors
    /// [`Error::Busy`] with the pid of the server there is, or of who is stopped halfway through
    /// creating, mending or removing; [`Error::Removed`].
    pub fn into_consumer(self) -> Result<Consumer> {
        let geometry = self.geometry();
        let claimant = Claimant::this();
        self.roles().claim_server(geometry.lanes).map_err(|e| self.without_role(e))?;
        // Under the lock: no lane is made anew meanwhile.
        if let Err(e) = self.roles().lock(Deadline::after(LOCK_WAIT)) {
            self.roles().release_server(geometry.lanes);
            return Err(e);
        }
        let (mut aside, mut untold) = (0, 0);
        let mut lanes = Vec::with_capacity(geometry.lanes as usize);
        for number in 0..geometry.lanes {
            let lane = self.segment().lane(&geometry, number);
            let (rx, taken) = Rx::new(lane, geometry.max_message);
            untold |= u32::from(taken.is_err()) << number;
            aside |= u32::from(rx.is_aside()) << number;
            lanes.push(rx);
        }
        self.roles().unlock();
        let consumer = Consumer {
            lanes,
            used: 0,
            turn: 0,
            quota: QUOTA,
            aside,
            untold,
            runs: Vec::with_capacity(self.lane_changes()),
            full: false,
            spin: SpinPolicy::new(),
            polled: None,
            armed: false,
            turned: 0,
            claimant,
            channel: self,
        };
        // A predecessor may have been killed while it was closing, or before it rang for room.
        if !consumer.end_pending() {
            consumer.channel.segment().header().withdraw_close();
        }
        consumer.ring_for_room();
        Ok(consumer)
    }
}

impl Consumer {
    /// The next record of any lane, in turn; `None`: there is none now, or some have to be released
    /// first ([`must_release`](Self::must_release)). Order is kept within a lane.
    ///
    /// # Errors
    /// [`Error::NotOurs`] naming lane and field, where somebody wrote what must not be there: once.
    /// That lane is set aside, and what was in it lost; the next call goes on with the others. It
    /// comes back when its next producer has made it anew.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>> {
        let next = match self.advance()? {
            None if self.polled.is_some() => self.advance_or_arm()?,
            next => next,
        };
        let Some((lane, found)) = next else { return Ok(None) };
        if self.armed {
            self.disarm();
        }
        let bytes = self.lanes[lane].bytes();
        Ok(Some(Record { bytes, found, lane: lane as u32 }))
    }

    #[inline]
    fn advance(&mut self) -> Result<Option<(usize, Found)>> {
        if !self.claimant.is_this() {
            return Err(self.claimant.error(self.channel.key(), Role::Server));
        }
        if self.aside != 0 {
            self.see_to_aside()?;
        }
        self.full = false;
        // Every lane once; one whose turn is over comes again at the end.
        let mut left = self.lanes.len();
        while left > 0 {
            let lane = self.turn;
            let rx = &mut self.lanes[lane];
            if self.quota > 0 {
                left -= 1;
                match rx.ready() {
                    Ok(false) => {}
                    Ok(true) => match open_run(&mut self.runs, lane) {
                        Some(run) => match rx.next() {
                            Ok(Some(found)) => {
                                self.quota -= 1;
                                run.records += 1;
                                return Ok(Some((lane, found)));
                            }
                            Ok(None) => {}
                            Err(damage) => return Err(self.set_aside(lane, damage)),
                        },
                        None => self.full = true,
                    },
                    Err(damage) => return Err(self.set_aside(lane, damage)),
                }
            }
            // Not `%`: many ARMv7 processors can't divide.
            self.turn = if lane + 1 < self.lanes.len() { lane + 1 } else { 0 };
            self.quota = QUOTA;
        }
        Ok(None)
    }

    /// A look found nothing: arms, which may find something after all.
    #[cold]
    fn advance_or_arm(&mut self) -> Result<Option<(usize, Found)>> {
        match self.arm()? {
            true => self.advance(),
            false => Ok(None),
        }
    }

    /// Is there a record that [`next_record`](Self::next_record) did not give because too many changes of
    /// lane lie between the oldest that is held and the newest? See [`Options::lane_changes`](crate::Options::lane_changes).
    pub fn must_release(&self) -> bool {
        self.full
    }

    /// [`check_claimant`](Self::check_claimant) at the price of one load.
    pub(crate) fn check_claimed_here(&self) -> Result<()> {
        match self.claimant.is_this() {
            true => Ok(()),
            false => self.check_claimant(),
        }
    }

    /// Fails in a process that was forked from the one that claimed the role.
    pub(crate) fn check_claimant(&self) -> Result<()> {
        self.claimant.check(self.channel.key(), Role::Server)
    }

    /// Sleeps until there is a record that was not looked at yet ([`Waited::Ready`]), a client has ended,
    /// [`Interrupter::wake`], a signal or `deadline`. Records may be held meanwhile; but a producer
    /// whose ring they fill waits as well.
    ///
    /// An idle server uses no processor time: it sleeps without a limit, after some microseconds of
    /// looking where that has paid lately.
    ///
    /// # Errors
    /// [`Error::Removed`]; [`Error::NotOurs`] naming lane and field; [`Error::ReleaseFirst`] where
    /// [`must_release`](Self::must_release).
    pub fn wait(&mut self, deadline: Deadline) -> Result<Waited> {
        self.check_claimed_here()?;
        if self.full {
            let changes = self.runs.capacity();
            return Err(Error::ReleaseFirst { key: self.channel.key(), changes });
        }
        let end = self.sleep(deadline)?;
        match end {
            Waited::Ready => return Ok(Waited::Ready),
            // A producer may have been the one that rang, and wait for room.
            Waited::Woken => self.channel.roles().remind_producers(ALL),
            Waited::TimedOut => {}
        }
        self.check_claimant()?;
        self.channel.check()?;
        Ok(end)
    }

    fn sleep(&mut self, deadline: Deadline) -> Result<Waited> {
        if self.aside != 0 {
            self.see_to_aside()?;
        }
        let roles = *self.channel.roles();
        let doorbell = &self.channel.segment().header().server_bell;
        let (lanes, used, mut damaged) = (&mut self.lanes, &mut self.used, None);
        let mut ready = |how| {
            look(lanes, used, how, &roles).unwrap_or_else(|damage| {
                damaged = Some(damage);
                true
            })
        };
        let bed = Bed { bell: roles.server_bell(), deadline, longest: None };
        let (polled, spin) = (&mut self.polled, &mut self.spin);
        let end = wake::sleep_or_poll(polled, doorbell, &bed, 0, spin, &mut ready);
        self.armed = polled.is_some() && matches!(end, Ok(Waited::Woken | Waited::TimedOut));
        if let Some((lane, field)) = damaged {
            return Err(self.set_aside(lane as usize, field));
        }
        end
    }

    fn ring_for_room(&self) {
        for (lane, rx) in self.lanes.iter().enumerate() {
            rx.control().room_bell.ring(&self.channel.roles().room_bell(lane as u32));
        }
    }

    /// Looks at nothing that is committed after this call.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record).
    pub fn stop_looking(&mut self) -> Result<()> {
        let mut damaged = None;
        for (lane, rx) in self.lanes.iter_mut().enumerate() {
            if let Err(field) = rx.stop_looking() {
                damaged = Some((lane, field));
            }
        }
        // One of them; any other is told of when it is looked at.
        damaged.map_or(Ok(()), |(lane, field)| Err(self.set_aside(lane, field)))
    }

    /// Notes in the segment that an End record was taken, before it is released: should this
    /// server be killed before it has removed the channel, the next one ends in its stead.
    pub fn note_end(&self) {
        if self.claimant.is_this() {
            self.channel.segment().header().note_end();
        }
    }

    /// Was a predecessor killed after it had taken an End record and before it had ended?
    pub fn end_pending(&self) -> bool {
        self.channel.segment().header().end_taken()
    }

    /// Takes [`note_end`](Self::note_end) back: this server does not end at an End record.
    pub fn forget_end(&self) {
        if self.claimant.is_this() {
            self.channel.segment().header().withdraw_close();
        }
    }

    /// Tells the producers that the channel is about to be removed, and looks at nothing that is
    /// committed after that: see [`Producer::closing`](crate::Producer::closing). The caller
    /// takes what is there, releases it and removes the channel.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record).
    pub fn announce_close(&mut self) -> Result<()> {
        self.check_claimant()?;
        self.channel.segment().header().announce_close();
        self.stop_looking()
    }

    /// The channel.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// A handle that ends this consumer's waits, for signal handlers and other threads.
    pub fn interrupter(&self) -> Interrupter {
        self.channel.roles().server_bell().interrupter()
    }
}

/// The last run, if it is one of `lane`, or a new one; `None`: too many runs, release first.
#[inline]
fn open_run(runs: &mut Vec<Run>, lane: usize) -> Option<&mut Run> {
    let going_on = runs.last().is_some_and(|run| run.lane == lane && !run.void);
    if !going_on {
        if runs.last().is_some_and(|run| run.records == 0) {
            runs.pop();
        }
        if runs.len() == runs.capacity() {
            return None;
        }
        runs.push(Run { lane, records: 0, void: false });
    }
    runs.last_mut()
}

/// Is there a record? Before a sleep (the last look) no producer is left to wait for room that there
/// is. An error comes with its lane.
fn look(
    lanes: &mut [Rx],
    used: &mut u32,
    how: Look,
    roles: &Roles,
) -> core::result::Result<bool, (u32, BadField)> {
    for (lane, rx) in (0..).zip(lanes.iter_mut()) {
        if how == Look::Quick && *used & (1 << lane) == 0 {
            continue;
        }
        if rx.ready().map_err(|damage| (lane, damage))? || rx.is_made_anew() {
            *used |= 1 << lane;
            return Ok(true);
        }
    }
    if how == Look::Last {
        see_to_producers(lanes, roles);
    }
    Ok(false)
}

/// Before a sleep: no producer waits for room that there is.
#[inline(never)] // a look is short
fn see_to_producers(lanes: &mut [Rx], roles: &Roles) {
    let mut doubtful = 0_u32;
    for (lane, rx) in (0..).zip(lanes) {
        if rx.in_doubt() {
            rx.republish();
            doubtful |= 1 << lane;
        } else if rx.holds() {
            // It would like half of the ring, which may be held for long.
            let _ = rx.control().room_bell.ring(&roles.room_bell(lane));
        }
    }
    // A set that is gone ends the sleep by itself.
    match doubtful {
        0 => {}
        one if one.is_power_of_two() => drop(roles.room_bell(one.trailing_zeros()).remind()),
        several => roles.remind_producers(several),
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Before another has the role, and sleeps at the same bell.
        self.polled = None;
        // Else the role is the parent's: this process only detaches.
        if self.check_claimant().is_ok() {
            self.channel.roles().release_server(self.channel.geometry().lanes);
        }
    }
}
