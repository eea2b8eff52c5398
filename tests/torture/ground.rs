//! A small channel in a known state, and what it takes to tell what went through it.

use super::{fresh, objects};
use crate::support::{raw, Channel};
use nix::libc;
use shmdemo::{Consumer, Deadline, Geometry, Key, Kind, Options, Producer};

pub const LANES: u32 = 2;
pub const RING: u32 = 512;
pub const GEOMETRY: Geometry = Geometry { lanes: LANES, ring_bytes: RING, max_message: 200 };

/// The end word.
pub const END: &[u8] = b"end";

/// The channel's options for the library.
pub fn options(channel: &Channel) -> Options {
    let key = Key::new(channel.key).expect("not 0");
    Options::new(key).geometry(GEOMETRY)
}

pub fn open(channel: &Channel) -> shmdemo::Channel {
    shmdemo::Channel::open(&options(channel), Deadline::Now).expect("open")
}

pub fn producer(channel: &Channel) -> Producer {
    open(channel).into_producer(Deadline::Now).expect("a lane is free")
}

pub fn consumer(channel: &Channel) -> Consumer {
    open(channel).into_consumer().expect("the server role is free")
}

/// The `number`-th message: told from every other of the same length, and from a part of it.
pub fn text(number: usize, length: usize) -> Vec<u8> {
    let letter = |at| b'A' + ((number * 7 + at * 11) % 26) as u8;
    (0..length).map(letter).collect()
}

pub fn texts(lengths: &[usize]) -> Vec<Vec<u8>> {
    lengths.iter().enumerate().map(|(number, length)| text(number, *length)).collect()
}

/// Where a ring's records end that begin at `begin`, one after another.
pub fn ends(begin: u32, lengths: &[usize]) -> Vec<u32> {
    let mut end = begin;
    let record = |length: &usize| {
        let need = (8 + *length as u32).next_multiple_of(8);
        let to_end = RING - end % RING;
        end += if need > to_end { to_end + need } else { need };
        end
    };
    lengths.iter().map(record).collect()
}

/// All that a consumer can take, released at the end.
pub fn drain(consumer: &mut Consumer) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(record) = consumer.next_record().expect("peek") {
        let mut bytes = vec![0; record.len()];
        record.copy_to(&mut bytes);
        if record.kind() == Kind::End {
            bytes.extend(b" (end)");
        }
        all.push(bytes);
    }
    consumer.release();
    all
}

/// A channel whose first lane's ring begins at `begin` and holds messages of these lengths;
/// and, if that is meant, the end word; made by a process that is gone. Returns how many messages
/// went through it before.
pub fn lay(begin: u32, queued: &[usize], end: bool) -> (Channel, u32) {
    let channel = Channel::new();
    let moved = fresh(|| {
        let (mut from, mut to) = (consumer(&channel), producer(&channel));
        let (mut at, mut moved) = (0, 0);
        while at < begin {
            let record = (begin - at).min(128);
            to.send(&vec![b'.'; record as usize - 8], Deadline::Now).expect("send");
            drain(&mut from);
            (at, moved) = (at + record, moved + 1);
        }
        for message in texts(queued) {
            to.send(&message, Deadline::Now).expect("send");
        }
        if end {
            let slot = to.reserve(END.len(), Deadline::Now).expect("reserve").slot().expect("room");
            slot.commit_end(END.len());
        }
        vec![moved]
    });
    (channel, moved[0].into())
}

/// Does somebody hold the creation lock, the first semaphore of the set?
pub fn creation_locked(channel: &Channel) -> bool {
    raw::sem_look(channel.key, 0, libc::GETVAL) == Some(1)
}

/// Removes the channel, by fair means; nothing is left of it.
pub fn clear(channel: &Channel) {
    shmdemo::remove(&options(channel), false).expect("remove");
    assert_eq!(objects(channel.key), (0, 0), "segments and semaphore sets");
}
