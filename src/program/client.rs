//! `shmdemo-client`: each line of stdin becomes one message.

use super::args::Protocol;
use super::client_args::ClientArgs;
use super::sink::{would_end, RingSink, SharedUseSink, Sink};
use super::sizes::GeometryArgs;
use super::{exit, signals, stdio, Failure};
use crate::shared_use::{self, End, SharedUseSegment};
use crate::{Awaited, Channel, Deadline, Error, Object, Options};
use anyhow::Result;

/// What is read from stdin at once, if the longest message is not longer.
const CHUNK: usize = 32 << 10;

/// The same until more was there at once, for those whose lines come now and then.
const FIRST_CHUNK: usize = 1 << 10;

/// A line without its end is followed up to here to tell its length; then it is just "more".
const LONGEST_COUNTED: usize = 16 << 20;

/// What C programs of the demo show a person.
const PROMPT: &str = "Enter some text: ";

/// Runs the client.
pub(super) fn send(args: &ClientArgs) -> Result<u8> {
    stdio::check_stdin()?;
    signals::install().map_err(Failure::of_call("sigaction"))?;
    signals::end_reads().map_err(Failure::of_call("opening /"))?;
    let deadline = || args.timeout.map_or(Deadline::Never, Deadline::after);
    match args.common.protocol {
        Protocol::Ring => {
            // Until it has a lane it has nothing in hand: a signal ends it on the spot. Not while
            // it may create the channel, which takes no time worth speaking of.
            let waits = !args.common.options.create;
            let options = &args.common.options;
            let channel = signals::at_once_if(waits, || Channel::open(options, deadline()))?;
            super::log_opened(&channel, &GeometryArgs::default());
            let producer = signals::at_once_if(true, || channel.into_producer(deadline()))?;
            signals::interrupts(producer.interrupter());
            let (key, lane) = (producer.channel().key(), producer.lane());
            log::info!("claimed lane {lane} of key {key}");
            let mut sink = RingSink { producer, deadline: &deadline };
            let code = lines(args, &mut sink)?;
            drop(sink);
            log::info!("gave lane {lane} back, detached the segment of key {key}");
            Ok(code)
        }
        Protocol::SharedUse => {
            let options = &args.common.options;
            let open = || {
                // Who waits for the C programs says so.
                if options.foreign_semaphore {
                    match open_shared_use(options, End::Client, Deadline::Now) {
                        Err(Error::TimedOut { awaited: Awaited::Semaphore, .. }) => {
                            warn_of_semaphore(options);
                        }
                        Err(Error::TimedOut { .. }) => {}
                        other => return other,
                    }
                }
                open_shared_use(options, End::Client, deadline())
            };
            let segment = signals::at_once_if(true, open)?;
            log_shared_use(&segment, args.common.options.key);
            let end_word = if args.end_whole { &[][..] } else { &args.end_word };
            let code = lines(args, &mut SharedUseSink { segment, deadline: &deadline, end_word })?;
            log::info!("detached the segment of key {}", args.common.options.key);
            Ok(code)
        }
    }
}

/// Opens the segment of the C demo's kind. Where it is none, a person sees what it begins with.
pub(super) fn open_shared_use(
    options: &Options,
    end: End,
    deadline: Deadline,
) -> crate::Result<SharedUseSegment> {
    let opened = SharedUseSegment::open(options, end, deadline);
    if let Err(Error::NotOurs { key, object: Object::Segment, .. }) = &opened {
        if let Some(begin) = shared_use::begin(*key) {
            let hex = u64::from_be_bytes(begin);
            let shown = begin.map(|byte| if byte.is_ascii_graphic() { byte } else { b'.' });
            let text = core::str::from_utf8(&shown).unwrap_or_default();
            log::error!(
                "the segment of key {key} begins with {hex:016x} '{text}'; the C demo's \
                 with an int, then the text"
            );
        }
    }
    opened
}

pub(super) fn warn_of_semaphore(options: &Options) {
    log::warn!("waiting until a C program makes the semaphore of key {}", options.key());
}

pub(super) fn log_shared_use(segment: &SharedUseSegment, key: crate::sysv::Key) {
    super::warn_of_settings();
    let id = segment.id().raw();
    log::info!("attached segment id {id} of key {key} at address {:#x}", segment.address());
    if segment.open_to_all {
        log::warn!("everybody can write the segment of key {key}, as the C demo makes it");
    }
}

/// Reads stdin and sends its lines.
fn lines(args: &ClientArgs, sink: &mut dyn Sink) -> Result<u8> {
    let separator = args.common.separator;
    let size = CHUNK.max(sink.longest() + 1);
    // Allocated once, and not on the stack, which may be small; written to as far as there was need of it.
    let mut buffer = Vec::with_capacity(size);
    let terminal = stdio::stdin_is_terminal();
    // Bytes in the buffer; the line's number; bytes of a line that is too long, gone already.
    let (mut filled, mut number, mut skipped) = (0, 0_u64, 0);
    // The last read left no room: more may be there.
    let mut filled_up = true;
    loop {
        if terminal {
            stdio::print(PROMPT)?;
        }
        if filled_up {
            buffer.resize((2 * buffer.len()).clamp(FIRST_CHUNK, size), 0);
        }
        let ended = match stdio::read(&mut buffer[filled..])? {
            stdio::Input::Bytes(n) => {
                filled += n;
                filled_up = filled == buffer.len();
                false
            }
            stdio::Input::End => true,
            stdio::Input::Stopped => return Ok(stopped(number)),
        };
        // Where nothing is left to be sent, `finish` tells what became of the lines before.
        if filled > 0 {
            sink.begin().map_err(|e| not_sent(e, sink, number, number + 1))?;
        }
        let mut start = 0;
        while start < filled {
            if skipped == 0 {
                let ahead = &buffer[start..filled];
                let (lines, bytes) = sink.send_ahead(ahead, separator, &args.end_word);
                (number, start) = (number + lines, start + bytes);
            }
            let rest = &buffer[start..filled];
            let (line, next) = match stdio::find(separator, rest) {
                Some(at) => (&rest[..at], start + at + 1),
                // The last line needs no end.
                None if ended => (rest, filled),
                None => break,
            };
            number += 1;
            if skipped > 0 || line.len() > sink.longest() {
                return Err(too_long(sink, number, skipped + line.len(), false));
            }
            let is_end = !args.end_word.is_empty() && line == args.end_word;
            if !is_end && sink.ends_peer(line) {
                return Err(ends_peer(args, sink, number));
            }
            let sent = if is_end { sink.send_end(line) } else { sink.send(line) };
            match sent {
                Ok(true) if is_end => {
                    if !sink.finish().map_err(|e| not_sent(e, sink, number, number))? {
                        return Ok(stopped(number));
                    }
                    log::info!("sent the end word after {} lines", number - 1);
                    return Ok(exit::OK);
                }
                Ok(true) => {}
                Ok(false) => {
                    sink.ring().map_err(|e| not_sent(e, sink, number - 1, number - 1))?;
                    return Ok(stopped(number - 1));
                }
                Err(e) => {
                    let _ = sink.ring(); // one failure is enough
                    return Err(not_sent(e, sink, number - 1, number));
                }
            }
            start = next;
        }
        sink.ring().map_err(|e| not_sent(e, sink, number, number))?;
        if ended {
            // The end of a line whose first part is gone already.
            if skipped > 0 {
                return Err(too_long(sink, number + 1, skipped, false));
            }
            if !sink.finish().map_err(|e| not_sent(e, sink, number, number))? {
                return Ok(stopped(number));
            }
            if terminal {
                stdio::print("\n")?;
            }
            log::info!("end of input after {number} lines");
            return Ok(exit::OK);
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if filled > sink.longest() {
            // Longer than any message: only its length is still of interest.
            skipped += filled;
            filled = 0;
            if skipped > LONGEST_COUNTED {
                return Err(too_long(sink, number + 1, skipped, true));
            }
        }
        if signals::stop().is_some() {
            return Ok(stopped(number));
        }
    }
}

/// A signal ends it after that many lines.
fn stopped(number: u64) -> u8 {
    let signal = signals::stop().unwrap_or(0);
    log::info!("stopped by {} after line {number}", signals::name(signal));
    exit::SIGNAL + signal as u8
}

fn too_long(sink: &mut dyn Sink, number: u64, length: usize, more: bool) -> anyhow::Error {
    sink.count_too_long();
    let _ = sink.ring(); // one failure is enough
    let (more, longest) = (if more { "more than " } else { "" }, sink.longest());
    let larger = sink.larger();
    Failure::error(
        exit::TOO_LONG,
        format!(
            "line {number} was not sent: it has {more}{length} bytes and a message at most \
             {longest} (EMSGSIZE); the lines before it were sent: split the line, or {larger}"
        ),
    )
}

fn ends_peer(args: &ClientArgs, sink: &mut dyn Sink, number: u64) -> anyhow::Error {
    let _ = sink.ring(); // one failure is enough
    let why = would_end(&args.end_word);
    Failure::error(
        exit::TOO_LONG,
        format!("line {number} was not sent, the lines before it were: {why}"),
    )
}

/// Names the first line that did not go, or may not have gone, through. `sent`: the lines before
/// it that went into the ring; `first`: the one that did not.
fn not_sent(error: Error, sink: &dyn Sink, sent: u64, first: u64) -> anyhow::Error {
    let removed = error.is_removed();
    let untaken = if removed { sink.untaken().min(sent) } else { 0 };
    let mut what = match first > sent {
        true => format!("line {first} was not sent"),
        false => format!("after line {sent}"),
    };
    if untaken > 0 {
        let from = sent - untaken + 1;
        what += &format!("; lines {from} to {sent} were sent and may not have been printed");
    }
    Failure::by(error, what)
}
