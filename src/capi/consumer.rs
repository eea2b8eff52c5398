//! The receiving side for C.

use super::fault::{self, misuse, Fault};
use super::options::{options, shmdemo_options};
use super::{deadline, Waker, SHMDEMO_OK};
use crate::segment::layout::{KIND_DATA, KIND_END};
use crate::{Channel, Consumer, Deadline, Kind, Waited};
use core::ffi::{c_int, c_void};
use core::ptr::{null, null_mut};
use std::os::fd::AsRawFd;

/// Kind of a record: a message.
pub const SHMDEMO_KIND_DATA: u32 = KIND_DATA;
/// Kind of a record: a producer's End record.
pub const SHMDEMO_KIND_END: u32 = KIND_END;

/// A record in the ring: see the header.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_camel_case_types, missing_docs)] // the C name; the fields are described there
pub struct shmdemo_record {
    pub data: *const c_void,
    pub len: usize,
    pub kind: u32,
    pub lane: u32,
}

/// The consumer: opaque in C.
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct shmdemo_consumer {
    /// The one field that other threads and signal handlers use.
    waker: Waker,
    consumer: Consumer,
}

/// The part of a handle that its one user at a time works with.
///
/// # Safety
/// `handle` is null or came from `shmdemo_consumer_open` and is not closed, and no other thread
/// is in a function that takes it, except for `wake`.
unsafe fn work<'a>(handle: *mut shmdemo_consumer) -> Result<(&'a Waker, &'a mut Consumer), Fault> {
    if handle.is_null() {
        return Err(misuse("the consumer is NULL"));
    }
    // SAFETY: the caller's promise. Two fields apart, so that `wake` may use the waker meanwhile.
    let (waker, consumer) = unsafe { (&(*handle).waker, &mut (*handle).consumer) };
    consumer.check_claimed_here()?;
    Ok((waker, consumer))
}

/// Opens a channel and claims the server role.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_open(
    consumer: *mut *mut shmdemo_consumer,
    given: *const shmdemo_options,
    timeout_ms: i32,
) -> c_int {
    fault::call("shmdemo_consumer_open", || {
        if consumer.is_null() {
            return Err(misuse("the place for the consumer is NULL"));
        }
        // SAFETY: not null, and the caller's to write, as the header says.
        unsafe { consumer.write(null_mut()) };
        // SAFETY: the caller's promise.
        let options = unsafe { options(given) }?;
        let opened = Channel::open(&options, deadline(timeout_ms)?)?.into_consumer()?;
        let waker = Waker::new(opened.interrupter());
        let handle = Box::into_raw(Box::new(shmdemo_consumer { waker, consumer: opened }));
        // SAFETY: as above.
        unsafe { consumer.write(handle) };
        Ok(SHMDEMO_OK)
    })
}

/// Gives the role back and frees the handle.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_close(consumer: *mut shmdemo_consumer) {
    if consumer.is_null() {
        return;
    }
    // SAFETY: from `shmdemo_consumer_open`, and the caller gives it up.
    let handle = unsafe { Box::from_raw(consumer) };
    drop(handle);
}

/// Waits until there is a record; 1: there is, 0: not in time.
fn wait(waker: &Waker, consumer: &mut Consumer, until: Deadline) -> Result<c_int, Fault> {
    loop {
        if waker.take() {
            return Err(Fault::Woken);
        }
        if consumer.wait(until)? == Waited::Ready {
            return Ok(1);
        }
        // A client ended, a signal came, or it was woken: who is to end it says so.
        if until.passed() && !waker.is_set() {
            return Ok(0);
        }
    }
}

/// Waits for a record.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_wait(
    consumer: *mut shmdemo_consumer,
    timeout_ms: i32,
) -> c_int {
    fault::call("shmdemo_consumer_wait", || {
        // SAFETY: the caller's promise.
        let (waker, consumer) = unsafe { work(consumer) }?;
        wait(waker, consumer, deadline(timeout_ms)?)
    })
}

/// A descriptor for poll(2).
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_fd(consumer: *mut shmdemo_consumer) -> c_int {
    fault::call("shmdemo_consumer_fd", || {
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        Ok(consumer.fd()?.as_raw_fd())
    })
}

const NONE: shmdemo_record = shmdemo_record { data: null(), len: 0, kind: 0, lane: 0 };

/// Looks at the next record; its payload stays in the ring.
fn peek(consumer: &mut Consumer) -> Result<Option<shmdemo_record>, Fault> {
    let record = consumer.next_record()?;
    Ok(record.map(|record| shmdemo_record {
        data: record.as_ptr().as_ptr().cast_const().cast(),
        len: record.len(),
        kind: match record.kind() {
            Kind::Data => SHMDEMO_KIND_DATA,
            Kind::End => SHMDEMO_KIND_END,
        },
        lane: record.lane(),
    }))
}

/// Looks at the next record.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_peek(
    consumer: *mut shmdemo_consumer,
    record: *mut shmdemo_record,
) -> c_int {
    fault::call("shmdemo_consumer_peek", || {
        if record.is_null() {
            return Err(misuse("the place for the record is NULL"));
        }
        // SAFETY: not null, and the caller's to write.
        unsafe { record.write(NONE) };
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        let Some(found) = peek(consumer)? else { return Ok(0) };
        // SAFETY: as above.
        unsafe { record.write(found) };
        Ok(1)
    })
}

/// Releases all records looked at.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_release(consumer: *mut shmdemo_consumer) -> c_int {
    fault::call("shmdemo_consumer_release", || {
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        consumer.release();
        Ok(SHMDEMO_OK)
    })
}

/// Releases the oldest of the records looked at.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_release_first(
    consumer: *mut shmdemo_consumer,
    count: usize,
) -> c_int {
    fault::call("shmdemo_consumer_release_first", || {
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        consumer.release_first(count)?;
        Ok(SHMDEMO_OK)
    })
}

/// Goes back to the oldest record that is not released.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_rewind(consumer: *mut shmdemo_consumer) -> c_int {
    fault::call("shmdemo_consumer_rewind", || {
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        consumer.rewind()?;
        Ok(SHMDEMO_OK)
    })
}

/// How many records were looked at and not released?
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_held(consumer: *mut shmdemo_consumer) -> c_int {
    fault::call("shmdemo_consumer_held", || {
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        Ok(c_int::try_from(consumer.held()).unwrap_or(c_int::MAX))
    })
}

/// Have records to be released before more can be looked at? 1: yes, 0: no.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_must_release(consumer: *mut shmdemo_consumer) -> c_int {
    fault::call("shmdemo_consumer_must_release", || {
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        Ok(c_int::from(consumer.must_release()))
    })
}

/// Waits for a record, copies it and releases it.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_receive(
    consumer: *mut shmdemo_consumer,
    buffer: *mut c_void,
    size: usize,
    record: *mut shmdemo_record,
    timeout_ms: i32,
) -> c_int {
    fault::call("shmdemo_consumer_receive", || {
        if record.is_null() {
            return Err(misuse("the place for the record is NULL"));
        }
        // SAFETY: not null, and the caller's to write.
        unsafe { record.write(NONE) };
        // SAFETY: the caller's promise.
        let (waker, consumer) = unsafe { work(consumer) }?;
        if buffer.is_null() && size > 0 {
            return Err(misuse("the buffer is NULL"));
        }
        if consumer.holds() {
            return Err(misuse("records were peeked at and not released"));
        }
        let until = deadline(timeout_ms)?;
        let found = loop {
            if wait(waker, consumer, until)? == 0 {
                return Ok(0);
            }
            if let Some(found) = peek(consumer)? {
                break found;
            }
        };
        // SAFETY: as above; without the copy there is no data to point to.
        unsafe { record.write(shmdemo_record { data: null(), ..found }) };
        if found.len > size {
            // It comes again.
            consumer.rewind()?;
            return Err(Fault::Buffer { len: found.len, size });
        }
        if found.len > 0 {
            // SAFETY: `found` has `len` bytes inside the ring, the buffer at least as many.
            unsafe { core::ptr::copy(found.data.cast::<u8>(), buffer.cast::<u8>(), found.len) };
        }
        consumer.release();
        // SAFETY: as above.
        unsafe { record.write(shmdemo_record { data: buffer, ..found }) };
        Ok(1)
    })
}

/// Says that the channel is about to be removed.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_closing(consumer: *mut shmdemo_consumer) -> c_int {
    fault::call("shmdemo_consumer_closing", || {
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        consumer.announce_close()?;
        Ok(SHMDEMO_OK)
    })
}

/// Removes segment and semaphores.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_remove(consumer: *mut shmdemo_consumer) -> c_int {
    fault::call("shmdemo_consumer_remove", || {
        // SAFETY: the caller's promise.
        let (_, consumer) = unsafe { work(consumer) }?;
        consumer.channel().remove()?;
        Ok(SHMDEMO_OK)
    })
}

/// Ends the consumer's wait.
#[no_mangle]
pub unsafe extern "C" fn shmdemo_consumer_wake(consumer: *const shmdemo_consumer) {
    if !consumer.is_null() {
        // SAFETY: the caller's promise; nobody ever has this field for itself alone.
        unsafe { &(*consumer).waker }.wake();
    }
}
