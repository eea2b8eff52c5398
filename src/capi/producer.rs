//! The sending side for C.

use super::fault::{self, misuse, Fault};
use super::options::{options, shmdemo_options};
use super::{deadline, Waker, SHMDEMO_OK};
use crate::{Awaited, Channel, Deadline, Error, Producer, Reservation, Waited};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use std::os::fd::AsRawFd;

/// Flag: do not ring for the consumer.
pub const SHMDEMO_QUIETLY: u32 = 1;
/// Flag: this is the End record.
pub const SHMDEMO_END: u32 = 2;

/// A producer: opaque in C.
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct shmdemo_producer {
    /// The one field that other threads and signal handlers use.
    waker: Waker,
    work: Work,
}

#[derive(Debug)]
struct Work {
    producer: Producer,
    /// Bytes that were reserved and not yet committed.
    reserved: Option<usize>,
}

/// The part of a handle that its one user at a time works with.
///
/// # Safety
/// `handle` is null or came from `shmdemo_producer_open` and is not closed, and no other thread
/// is in a function that takes it, except for `wake`.
unsafe fn work<'a>(handle: *mut shmdemo_producer) -> Result<(&'a Waker, &'a mut Work), Fault> {
    if handle.is_null() {
        return Err(misuse("the producer is NULL"));
    }
    // SAFETY: the caller's promise. Two fields apart, so that `wake` may use the waker meanwhile.
    let (waker, work) = unsafe { (&(*handle).waker, &mut (*handle).work) };
    work.producer.check_claimed_here()?;
    Ok((waker, work))
}

/// Opens a channel and claims a lane.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_open(
    producer: *mut *mut shmdemo_producer,
    given: *const shmdemo_options,
    timeout_ms: i32,
) -> c_int {
    fault::call("shmdemo_producer_open", || {
        if producer.is_null() {
            return Err(misuse("the place for the producer is NULL"));
        }
        // SAFETY: not null, and the caller's to write, as the header says.
        unsafe { producer.write(null_mut()) };
        // SAFETY: the caller's promise.
        let options = unsafe { options(given) }?;
        let deadline = deadline(timeout_ms)?;
        let opened = Channel::open(&options, deadline)?.into_producer(deadline)?;
        let waker = Waker::new(opened.interrupter());
        let work = Work { producer: opened, reserved: None };
        let handle = Box::into_raw(Box::new(shmdemo_producer { waker, work }));
        // SAFETY: as above.
        unsafe { producer.write(handle) };
        Ok(SHMDEMO_OK)
    })
}

/// Gives the lane back and frees the handle.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_close(producer: *mut shmdemo_producer) {
    if producer.is_null() {
        return;
    }
    // SAFETY: from `shmdemo_producer_open`, and the caller gives it up.
    let mut handle = unsafe { Box::from_raw(producer) };
    handle.work.producer.ring_surely();
}

impl Work {
    fn checked(&self, len: usize) -> Result<(), Fault> {
        let max = self.producer.max_message();
        if len > max as usize {
            self.producer.count_too_long();
            return Err(Error::TooLong { len, max }.into());
        }
        Ok(())
    }

    /// Waits for room; the place of `len` bytes.
    fn reserve(&mut self, waker: &Waker, len: usize, timeout_ms: i32) -> Result<*mut u8, Fault> {
        self.reserved = None;
        self.checked(len)?;
        // Mostly there is room; only a wait needs to know until when.
        let mut until = Deadline::Now;
        loop {
            if let Reservation::Slot(mut slot) = self.producer.reserve(len, until)? {
                let place = slot.as_ptr().as_ptr();
                self.reserved = Some(len);
                return Ok(place);
            }
            if waker.take() {
                return Err(Fault::Woken);
            }
            if until == Deadline::Now {
                until = deadline(timeout_ms)?;
            }
            if until.passed() {
                let awaited = Awaited::Room(self.producer.lane());
                return Err(Error::TimedOut { key: self.producer.channel().key(), awaited }.into());
            }
        }
    }

    /// After a commit: not to be allowed to look is not that nothing was sent.
    fn sent(&self, error: Error) -> Error {
        match error {
            Error::System { key, source } if source.is_refusal() => Error::NotRung { key },
            other => other,
        }
    }

    fn commit(&mut self, len: usize, flags: u32) -> Result<(), Fault> {
        let reserved = self.reserved.ok_or_else(|| misuse("nothing is reserved"))?;
        if len > reserved {
            return Err(misuse("len is more than was reserved"));
        }
        // The same place again: nothing was committed since, and room only grows.
        let slot = self.producer.try_reserve(reserved)?;
        let slot = slot.ok_or_else(|| misuse("nothing is reserved"))?;
        match (flags & SHMDEMO_END != 0, flags & SHMDEMO_QUIETLY != 0) {
            (true, _) => slot.commit_end(len),
            (false, true) => slot.commit_quietly(len),
            (false, false) => slot.commit(len),
        }
        self.reserved = None;
        match flags & SHMDEMO_QUIETLY {
            0 => {
                self.producer.check_rung()?;
                Ok(self.producer.check().map_err(|e| self.sent(e))?)
            }
            _ => Ok(()),
        }
    }
}

fn check_flags(flags: u32) -> Result<(), Fault> {
    match flags & !(SHMDEMO_QUIETLY | SHMDEMO_END) {
        0 => Ok(()),
        _ => Err(misuse("unknown bit in flags")),
    }
}

/// Reserves room for one message in the ring.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_reserve(
    producer: *mut shmdemo_producer,
    len: usize,
    timeout_ms: i32,
    data: *mut *mut c_void,
) -> c_int {
    fault::call("shmdemo_producer_reserve", || {
        if data.is_null() {
            return Err(misuse("the place for the address is NULL"));
        }
        // SAFETY: not null, and the caller's to write.
        unsafe { data.write(null_mut()) };
        // SAFETY: the caller's promise.
        let (waker, work) = unsafe { work(producer) }?;
        deadline(timeout_ms)?;
        let place = work.reserve(waker, len, timeout_ms)?;
        // SAFETY: as above.
        unsafe { data.write(place.cast()) };
        Ok(SHMDEMO_OK)
    })
}

/// Sends the first bytes of what was reserved.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_commit(
    producer: *mut shmdemo_producer,
    len: usize,
    flags: u32,
) -> c_int {
    fault::call("shmdemo_producer_commit", || {
        // SAFETY: the caller's promise.
        let (_, work) = unsafe { work(producer) }?;
        check_flags(flags)?;
        work.commit(len, flags)?;
        Ok(SHMDEMO_OK)
    })
}

/// Sends a copy of the caller's bytes.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_send(
    producer: *mut shmdemo_producer,
    data: *const c_void,
    len: usize,
    flags: u32,
    timeout_ms: i32,
) -> c_int {
    fault::call("shmdemo_producer_send", || {
        // SAFETY: the caller's promise.
        let (waker, work) = unsafe { work(producer) }?;
        check_flags(flags)?;
        deadline(timeout_ms)?;
        if data.is_null() && len > 0 {
            return Err(misuse("data is NULL"));
        }
        let place = match work.reserve(waker, len, timeout_ms) {
            Err(fault @ Fault::Channel(Error::TimedOut { .. })) => {
                // Who has a descriptor is told of room and sends it then.
                if !work.producer.polls() {
                    work.producer.count_refused();
                }
                return Err(fault);
            }
            other => other?,
        };
        if len > 0 {
            // SAFETY: `len` bytes were reserved at `place`; `data` has as many, as the header
            // says, and may be anywhere, the segment included.
            unsafe { core::ptr::copy(data.cast::<u8>(), place, len) };
        }
        work.commit(len, flags)?;
        Ok(SHMDEMO_OK)
    })
}

/// Makes sure that the consumer does not sleep past what was committed.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_ring(producer: *mut shmdemo_producer) -> c_int {
    fault::call("shmdemo_producer_ring", || {
        // SAFETY: the caller's promise.
        let (_, work) = unsafe { work(producer) }?;
        work.producer.ring_surely();
        work.producer.check_rung()?;
        work.producer.check()?;
        Ok(SHMDEMO_OK)
    })
}

/// Is everything that was committed safe? Waits for a consumer that is removing the channel.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_finish(
    producer: *mut shmdemo_producer,
    timeout_ms: i32,
) -> c_int {
    fault::call("shmdemo_producer_finish", || {
        // SAFETY: the caller's promise.
        let (waker, work) = unsafe { work(producer) }?;
        let until = deadline(timeout_ms)?;
        loop {
            match work.producer.finish(until)? {
                Waited::Ready => return Ok(SHMDEMO_OK),
                _ if waker.take() => return Err(Fault::Woken),
                Waited::Woken => {}
                Waited::TimedOut => {
                    let awaited = Awaited::Taken(work.producer.lane());
                    let key = work.producer.channel().key();
                    return Err(Error::TimedOut { key, awaited }.into());
                }
            }
        }
    })
}

/// A descriptor for poll(2).
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_fd(producer: *mut shmdemo_producer) -> c_int {
    fault::call("shmdemo_producer_fd", || {
        // SAFETY: the caller's promise.
        let (_, work) = unsafe { work(producer) }?;
        Ok(work.producer.fd()?.as_raw_fd())
    })
}

/// Ends the producer's wait.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_wake(producer: *const shmdemo_producer) {
    if !producer.is_null() {
        // SAFETY: the caller's promise; nobody ever has this field for itself alone.
        unsafe { &(*producer).waker }.wake();
    }
}

/// Number of the lane.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_lane(producer: *mut shmdemo_producer) -> c_int {
    fault::call("shmdemo_producer_lane", || {
        // SAFETY: the caller's promise.
        let (_, work) = unsafe { work(producer) }?;
        Ok(work.producer.lane() as c_int) // below 32
    })
}

/// Longest message.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_producer_max_message(producer: *mut shmdemo_producer) -> c_int {
    fault::call("shmdemo_producer_max_message", || {
        // SAFETY: the caller's promise.
        let (_, work) = unsafe { work(producer) }?;
        Ok(work.producer.max_message() as c_int) // at most MAX_MESSAGE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysv::SysError;
    use crate::{Consumer, Key, Options};
    use core::time::Duration;
    use nix::errno::Errno;

    fn pair() -> (Work, Consumer) {
        let key = Key::of_a_test();
        let open = || Channel::open(&Options::new(key), Deadline::Now).expect("a channel");
        let consumer = open().into_consumer().expect("the role");
        let producer = open().into_producer(Deadline::Now).expect("a lane");
        (Work { producer, reserved: None }, consumer)
    }

    #[test]
    fn a_message_is_rung_for_unless_it_is_to_be_quiet() {
        let (mut work, consumer) = pair();
        let channel = consumer.channel();
        channel.roles().server_bell().silence(); // taking a lane rang
        for (flags, rung) in
            [(SHMDEMO_QUIETLY, false), (0, true), (SHMDEMO_END | SHMDEMO_QUIETLY, true)]
        {
            // Somebody sleeps there, as far as the words tell.
            channel
                .segment()
                .header()
                .server_bell
                .awaiting
                .store(1, core::sync::atomic::Ordering::Relaxed);
            let slot = work.producer.reserve(3, Deadline::Now).expect("a lane").slot();
            drop(slot.expect("room"));
            work.reserved = Some(3);
            assert!(work.commit(4, flags).is_err());
            assert!(work.commit(3, flags).is_ok());
            assert!(work.commit(0, flags).is_err(), "nothing is reserved any more");
            let end = channel
                .roles()
                .server_bell()
                .sleep(crate::sysv::sem::Wait::For(Duration::ZERO))
                .expect("a set");
            assert_eq!(end == Waited::Woken, rung, "{flags}");
        }
        channel.remove().expect("remove");
    }

    #[test]
    fn not_to_be_allowed_to_look_is_not_that_nothing_was_sent() {
        let (work, consumer) = pair();
        let key = consumer.channel().key();
        let told = |errno| {
            let source = SysError { call: "semctl(GETVAL)", errno };
            work.sent(Error::System { key, source })
        };
        assert!(matches!(told(Errno::EACCES), Error::NotRung { .. }));
        assert!(matches!(told(Errno::EPERM), Error::NotRung { .. }));
        assert!(matches!(told(Errno::ENOMEM), Error::System { .. }));
        consumer.channel().remove().expect("remove");
    }
}
