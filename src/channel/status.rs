//! Looking at a channel without taking part in it: a read-only attach, nothing is changed.

use super::named::NamedSegment;
use super::roles::Roles;
use super::{inspect, Options};
use crate::error::{Error, Object, Result};
use crate::ring;
use crate::segment::atomic::Ordering::Relaxed;
use crate::segment::layout::{BadField, Geometry, LAYOUT_VERSION};
use crate::segment::Segment;
use crate::sysv::limits::{rmid_forced, RMID_FORCED};
use crate::sysv::shm::{ShmId, ShmStat};
use crate::sysv::Key;
use core::fmt;

/// What one lane shows.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct LaneStatus {
    /// Its producer; `None`: the lane is free.
    pub pid: Option<i32>,
    /// Messages committed since the channel was made; wraps at 2^32.
    pub sent: u32,
    /// Messages released by servers since the channel was made; wraps at 2^32.
    pub received: u32,
    /// Bytes queued, record headers and pads included.
    pub queued_bytes: u32,
    /// Messages given up because there was no room in time.
    pub refused: u32,
    /// Messages not sent because they were too long.
    pub too_long: u32,
    /// Most bytes that were queued at once.
    pub high_water: u32,
    /// The lane is damaged, by what; the numbers above are 0 then.
    pub damage: Option<BadField>,
    /// The server has set it aside, until its next producer makes it anew.
    pub set_aside: bool,
}

/// A channel as an onlooker sees it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Status {
    /// Its key.
    pub key: Key,
    /// The kernel's number of the segment.
    pub id: ShmId,
    /// What IPC_STAT says of the segment; the onlooker's own attach is not counted.
    pub stat: ShmStat,
    /// The kernel removes the segment with the last program that uses it
    /// (`kernel.shm_rmid_forced`).
    pub rmid_forced: bool,
    /// Layout version of the segment.
    pub layout_version: u32,
    /// Id of the semaphore set that belongs to the segment.
    pub generation: u32,
    /// The set of this key is that one.
    pub semaphores_present: bool,
    /// Its sizes.
    pub geometry: Geometry,
    /// The server; `None`: the role is free.
    pub server: Option<i32>,
    /// Its lanes, as many as it has.
    pub lanes: Vec<LaneStatus>,
}

impl Status {
    /// Looks at the channel of `options.key`.
    ///
    /// # Errors
    /// [`Error::NoChannel`]; [`Error::NotAccepted`] where owner or creator are not accepted;
    /// [`Error::NotOurs`] where it is no channel of this version or damaged; [`Error::Busy`] where who
    /// makes it has stopped.
    pub fn read(options: &Options) -> Result<Self> {
        let key = options.key;
        let found = NamedSegment::find(key)?.ok_or(Error::NoChannel(key))?;
        let stat = found.stat_as(options)?;
        options.accepts(Object::Segment, &stat.perm, stat.bytes, false)?;
        let attach = found.view()?;
        let bytes = attach.bytes();
        let segment = Segment::new(attach).ok_or_else(|| inspect::too_small(key, bytes))?;
        let geometry = inspect::await_header(key, &segment, bytes)?;
        let generation = segment.header().generation.load(Relaxed);
        let roles = Roles::find(key)?.filter(|roles| roles.id().raw() as u32 == generation);
        // At most MAX_LANES: `check_header` has seen to that.
        let mut lanes = Vec::with_capacity(geometry.lanes as usize);
        for number in 0..geometry.lanes {
            let control = segment.control(&geometry, number);
            let (counters, damage) = match ring::counters(control, geometry.ring_bytes) {
                Ok(counters) => (counters, None),
                Err(field) => (ring::Counters::default(), Some(field)),
            };
            let pid = roles.as_ref().and_then(|roles| roles.lane(number).ok().flatten());
            lanes.push(LaneStatus {
                pid,
                sent: counters.sent,
                received: counters.received,
                queued_bytes: counters.queued_bytes,
                refused: counters.refused,
                too_long: counters.too_long,
                high_water: counters.high_water,
                damage,
                set_aside: control.is_set_aside(),
            });
        }
        Ok(Self {
            key,
            id: found.id,
            stat,
            rmid_forced: rmid_forced(),
            layout_version: LAYOUT_VERSION,
            generation,
            semaphores_present: roles.is_some(),
            geometry,
            server: roles.as_ref().and_then(|roles| roles.server().ok().flatten()),
            lanes,
        })
    }

    /// One JSON object, on one line.
    pub fn json(&self) -> impl fmt::Display + '_ {
        Json(self)
    }
}

/// Seconds since the epoch as UTC, `YYYY-MM-DD hh:mm:ss`; `never` for 0.
struct Utc(i64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("never");
        }
        let (days, seconds) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        // Civil date from days since 1970-01-01 (proleptic Gregorian, eras of 400 years that
        // begin in March).
        let z = days + 719_468;
        let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}")
    }
}

/// What IPC_STAT tells, as lines of text.
pub(crate) fn write_stat(
    f: &mut impl fmt::Write,
    key: Key,
    id: ShmId,
    stat: &ShmStat,
    rmid_forced: bool,
) -> fmt::Result {
    let perm = &stat.perm;
    writeln!(f, "segment     id {}, key {}", id.raw(), key)?;
    writeln!(
        f,
        "owner       uid {}, gid {}, creator uid {}, mode {:04o}{}",
        perm.uid,
        perm.gid,
        perm.cuid,
        perm.mode,
        if perm.mode & 0o002 == 0 { "" } else { " (everybody can write it)" }
    )?;
    writeln!(
        f,
        "size        {} bytes, {} attached{}{}",
        stat.bytes,
        stat.attaches,
        if stat.locked { ", locked" } else { "" },
        if stat.removed { ", removed" } else { "" }
    )?;
    let unseen = [stat.creator_pid, stat.last_pid].contains(&0);
    writeln!(
        f,
        "pids        creator {}, last {}{}",
        stat.creator_pid,
        stat.last_pid,
        if unseen { " (0: outside of this pid namespace, or ended there)" } else { "" }
    )?;
    writeln!(f, "attached    {} UTC", Utc(stat.attach_time))?;
    writeln!(f, "detached    {} UTC", Utc(stat.detach_time))?;
    writeln!(f, "changed     {} UTC", Utc(stat.change_time))?;
    if rmid_forced {
        writeln!(f, "kept        no: {}", RMID_FORCED)?;
    }
    Ok(())
}

/// What IPC_STAT tells, as members of a JSON object, each with a comma behind it.
pub(crate) fn write_stat_json(
    f: &mut impl fmt::Write,
    key: Key,
    id: ShmId,
    stat: &ShmStat,
    rmid_forced: bool,
) -> fmt::Result {
    let perm = &stat.perm;
    write!(
        f,
        "\"key\":{},\"id\":{},\"uid\":{},\"gid\":{},\"cuid\":{},\"cgid\":{},\"mode\":\"{:04o}\",\
         \"size\":{},\"attached\":{},\"locked\":{},\"removed\":{},\"creator_pid\":{},\
         \"last_pid\":{},\"attach_time\":{},\"detach_time\":{},\"change_time\":{},\"rmid_forced\":{},",
        key.raw(),
        id.raw(),
        perm.uid,
        perm.gid,
        perm.cuid,
        perm.cgid,
        perm.mode,
        stat.bytes,
        stat.attaches,
        stat.locked,
        stat.removed,
        stat.creator_pid,
        stat.last_pid,
        stat.attach_time,
        stat.detach_time,
        stat.change_time,
        rmid_forced
    )
}

/// A pid, or what stands for none.
struct Pid(Option<i32>);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => f.pad_integral(true, "", itoa(pid).as_str()),
            None => f.pad("-"),
        }
    }
}

fn itoa(n: i32) -> heapless::String<12> {
    use fmt::Write;
    let mut text = heapless::String::new();
    let _ = write!(text, "{}", n.max(0)); // 10 digits at the most
    text
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { stat, geometry, .. } = self;
        write_stat(f, self.key, self.id, stat, self.rmid_forced)?;
        writeln!(
            f,
            "protocol    ring, layout version {}, generation {}{}",
            self.layout_version,
            self.generation,
            if self.semaphores_present { "" } else { " (its semaphores are gone)" }
        )?;
        writeln!(
            f,
            "lanes       {} of {} bytes, messages up to {} bytes",
            geometry.lanes, geometry.ring_bytes, geometry.max_message
        )?;
        match self.server {
            Some(0) => writeln!(f, "server      pid 0, outside of this pid namespace")?,
            Some(pid) => writeln!(f, "server      pid {pid}")?,
            None => writeln!(f, "server      none, the role is free")?,
        }
        writeln!(
            f,
            "lane     pid       sent   received    queued/capacity refused too-long highwater"
        )?;
        for (number, lane) in self.lanes.iter().enumerate() {
            writeln!(
                f,
                "{number:>4} {:>7} {:>10} {:>10} {:>9}/{:<8} {:>7} {:>8} {:>9}",
                Pid(lane.pid),
                lane.sent,
                lane.received,
                lane.queued_bytes,
                geometry.ring_bytes,
                lane.refused,
                lane.too_long,
                lane.high_water
            )?;
            if let Some(BadField { field, found, expected }) = lane.damage {
                writeln!(f, "     damaged: {field} is {found}, expected {expected}")?;
            }
            if lane.set_aside {
                writeln!(f, "     set aside: the next client that has this lane makes it anew")?;
            }
        }
        Ok(())
    }
}

struct Json<'a>(&'a Status);

/// A number, or `null`.
struct Nullable(Option<i32>);

impl fmt::Display for Nullable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(n) => write!(f, "{n}"),
            None => f.write_str("null"),
        }
    }
}

impl fmt::Display for Json<'_> {
    /// Numbers, booleans, nulls and words without quotes, so nothing needs escaping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { stat, geometry, .. } = self.0;
        f.write_str("{")?;
        write_stat_json(f, self.0.key, self.0.id, stat, self.0.rmid_forced)?;
        write!(
            f,
            "\"protocol\":\"ring\",\"layout_version\":{},\"generation\":{},\"semaphores_present\":{},\
             \"ring_bytes\":{},\"max_message\":{},\"server_pid\":{},\"lanes\":[",
            self.0.layout_version,
            self.0.generation,
            self.0.semaphores_present,
            geometry.ring_bytes,
            geometry.max_message,
            Nullable(self.0.server)
        )?;
        for (number, lane) in self.0.lanes.iter().enumerate() {
            write!(
                f,
                "{}{{\"lane\":{number},\"pid\":{},\"sent\":{},\"received\":{},\
                 \"queued_bytes\":{},\"capacity_bytes\":{},\"refused\":{},\"too_long\":{},\
                 \"high_water_bytes\":{},\"set_aside\":{},\"damage\":",
                if number == 0 { "" } else { "," },
                Nullable(lane.pid),
                lane.sent,
                lane.received,
                lane.queued_bytes,
                geometry.ring_bytes,
                lane.refused,
                lane.too_long,
                lane.high_water,
                lane.set_aside
            )?;
            match lane.damage {
                None => f.write_str("null}")?,
                Some(BadField { field, found, expected }) => write!(
                    f,
                    "{{\"field\":\"{field}\",\"found\":{found},\"expected\":{expected}}}}}"
                )?,
            }
        }
        f.write_str("]}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Pid, Utc};

    #[test]
    fn times_are_utc() {
        for (seconds, text) in [
            (0, "never"),
            (1, "1970-01-01 00:00:01"),
            (951_868_799, "2000-02-29 23:59:59"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (13_574_649_599, "2400-02-29 23:59:59"),
            (-1, "1969-12-31 23:59:59"),
        ] {
            assert_eq!(Utc(seconds).to_string(), text);
        }
    }

    #[test]
    fn pids_stand_in_columns() {
        assert_eq!(format!("{:>8}|{:>3}", Pid(Some(4_194_304)), Pid(None)), " 4194304|  -");
    }
}
