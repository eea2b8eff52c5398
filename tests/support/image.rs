//! Segment images as a hostile peer could leave them, and every reader of the library put to
//! them: an onlooker (`Status`), who joins, the consumer, the producer.
//!
//! Each reader goes on, or fails with `Error::NotOurs` naming a field (or `Error::Removed` and
//! `Error::StillAttached` where an image asks for new semaphores, `Error::TooLong` where it says
//! a smaller `max_message`). A panic, a message longer than the ring can take, more messages than a ring has room for and an access beside the segment, which
//! lies between two pages that nothing may touch, end the process. The ordinary tests replay the
//! images of `corpus.txt`; the fuzzer finds new ones.

use super::raw::{guarded_place, sem_id, sem_remove, shm_bytes, shm_id, shm_remove, View};
use nix::libc;
use shmdemo::{Channel, Deadline, Error, Geometry, Key, Kind, Options, Status};

/// 18 lanes with the smallest ring fill two pages exactly: the page behind the last byte is
/// already the guard.
pub const GEOMETRY: Geometry = Geometry { lanes: 18, ring_bytes: 256, max_message: 100 };

/// The longest message that these rings can be made for: two records of it fill one.
const LONGEST: usize = 120;

/// Where the header holds the id of the semaphore set, which is another one in each process.
const GENERATION: std::ops::Range<usize> = 12..16;
/// What stands there in an image.
const ANY_GENERATION: &[u8] = b"GENE";

/// A channel whose segment is overwritten again and again.
pub struct Ground {
    options: Options,
    /// The segment of a channel at work, [`ANY_GENERATION`] in it.
    pub clean: Vec<u8>,
}

impl Ground {
    /// Makes the channel: records queued in two lanes, one of them with positions behind the
    /// first turn of its ring, a pad among them.
    pub fn new(key: i32) -> Self {
        let key = Key::new(key).expect("a key other than 0");
        let options = Options::new(key).geometry(GEOMETRY);
        let mut ground = Self { options, clean: Vec::new() };
        ground.make();
        ground.clean = shm_bytes(ground.segment());
        ground.clean[GENERATION].copy_from_slice(ANY_GENERATION);
        ground.options = ground.options.clone().address(guarded_place(ground.clean.len()), false);
        ground
    }

    fn key(&self) -> i32 {
        self.options.key().raw()
    }

    fn segment(&self) -> i32 {
        shm_id(self.key()).expect("the segment")
    }

    fn open(&self) -> shmdemo::Result<Channel> {
        Channel::open(&self.options, Deadline::Now)
    }

    fn make(&self) {
        self.remove();
        let mut first = self.open().unwrap().into_producer(Deadline::Now).unwrap();
        let mut second = self.open().unwrap().into_producer(Deadline::Now).unwrap();
        let mut consumer = self.open().unwrap().into_consumer().unwrap();
        for _ in 0..3 {
            first.send(&[b'x'; 60], Deadline::Now).unwrap();
            while consumer.next_record().unwrap().is_some() {}
            consumer.release();
        }
        first.send(b"after the pad", Deadline::Now).unwrap();
        first.send(&[b'y'; 100], Deadline::Now).unwrap();
        second.send(b"", Deadline::Now).unwrap();
        second.send(b"hello", Deadline::Now).unwrap();
    }

    fn remove(&self) {
        if let Some(id) = shm_id(self.key()) {
            shm_remove(id);
        }
        if let Some(id) = sem_id(self.key()) {
            sem_remove(id);
        }
    }

    /// The channel with this image in its segment; what the image lacks at its end is as in the
    /// clean one.
    fn lay(&self, image: &[u8]) {
        if shm_id(self.key()).is_none() || sem_id(self.key()).is_none() {
            self.make();
        }
        let mut whole = self.clean.clone();
        let length = image.len().min(whole.len());
        whole[..length].copy_from_slice(&image[..length]);
        if &whole[GENERATION] == ANY_GENERATION {
            let id = sem_id(self.key()).expect("the semaphores");
            whole[GENERATION].copy_from_slice(&id.to_ne_bytes());
        }
        View::attach(self.segment()).write(0, &whole);
    }

    /// Puts every reader to the image; returns the fields that were found wrong.
    pub fn try_readers(&mut self, image: &[u8]) -> Vec<&'static str> {
        let readers = [Self::look, Self::consume, Self::produce, Self::join];
        let mut fields = Vec::new();
        for reader in readers {
            self.lay(image);
            let mut result = reader(self);
            for _ in 0..10 {
                let Err(Error::System { source, .. }) = &result else { break };
                if source.errno() != libc::EINVAL {
                    break;
                }
                // The place is used by something else.
                self.options = self.options.clone().address(guarded_place(self.clean.len()), false);
                result = reader(self);
            }
            match result {
                Ok(()) => {}
                Err(Error::NotOurs { field, .. }) => fields.push(field.field),
                Err(Error::Removed { .. } | Error::StillAttached { .. }) => {}
                Err(Error::NoChannel(_) | Error::TooLong { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        fields
    }

    fn look(&self) -> shmdemo::Result<()> {
        let status = Status::read(&self.options)?;
        for lane in &status.lanes {
            assert!(lane.queued_bytes <= GEOMETRY.ring_bytes, "{lane:?}");
        }
        assert!(status.json().to_string().ends_with('}'));
        assert!(!status.to_string().is_empty());
        Ok(())
    }

    fn join(&self) -> shmdemo::Result<()> {
        let channel = self.open()?;
        let Geometry { lanes, ring_bytes, max_message } = channel.geometry();
        assert_eq!((lanes, ring_bytes), (GEOMETRY.lanes, GEOMETRY.ring_bytes));
        assert!(max_message as usize <= LONGEST);
        channel.check()
    }

    fn consume(&self) -> shmdemo::Result<()> {
        let mut consumer = self.open()?.into_consumer()?;
        // What a ring can hold at most, of empty messages, in every lane; twice.
        let most = 2 * GEOMETRY.lanes * GEOMETRY.ring_bytes / 8;
        let (mut count, mut bytes, mut buffer) = (0, 0, [0; LONGEST]);
        while let Some(record) = consumer.next_record()? {
            assert!(record.len() <= buffer.len(), "a message of {} bytes", record.len());
            record.copy_to(&mut buffer);
            assert!(matches!(record.kind(), Kind::Data | Kind::End));
            bytes += record.len() + 1;
            count += 1;
            assert!(count <= most, "more messages than there is room for");
        }
        consumer.release_within(bytes / 2, 1)?;
        let _ = consumer.wait(Deadline::Now)?;
        while consumer.next_record()?.is_some() {
            count += 1;
            assert!(count <= most, "more messages than there is room for");
        }
        consumer.release();
        consumer.announce_close()?;
        consumer.wait(Deadline::Now).map(drop)
    }

    fn produce(&self) -> shmdemo::Result<()> {
        let mut producer = self.open()?.into_producer(Deadline::Now)?;
        for length in [0, 5, 100, 1, 99] {
            if let Some(mut slot) = producer.try_reserve(length)? {
                assert_eq!(slot.len(), length);
                slot.write(0, &[b'z'; 100][..length]);
                slot.commit(length);
            }
            producer.is_drained()?;
            producer.closing();
            producer.queued()?;
        }
        match producer.send(&[b'!'; 100], Deadline::Now) {
            Err(Error::TimedOut { .. }) => Ok(()),
            other => other,
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The images of `corpus.txt`, each a line `name: offset=hex bytes ...`: what it changes in the
/// clean one. Lines with `#` are comments.
pub fn corpus(text: &str, clean: &[u8]) -> Vec<(String, Vec<u8>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| edited(line, clean)).collect()
}

fn edited(line: &str, clean: &[u8]) -> (String, Vec<u8>) {
    let (name, edits) = line.split_once(": ").unwrap_or_else(|| panic!("no name: {line}"));
    let mut image = clean.to_vec();
    for edit in edits.split_whitespace() {
        let (at, hex) = edit.split_once('=').unwrap_or_else(|| panic!("no '=': {line}"));
        let at: usize = at.parse().unwrap_or_else(|_| panic!("no offset: {line}"));
        for (byte, digits) in image[at..].iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).expect("ASCII");
            *byte = u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("not hex: {line}"));
        }
    }
    (name.to_string(), image)
}
