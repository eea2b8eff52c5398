//! `shmdemo-server`: prints each message.

use super::args::{Protocol, Serve};
use super::damage::DamagedLanes;
use super::notify::Notify;
use super::torn::Lines;
use super::{exit, server_demo, signals, stdio, Failure};
use crate::{Channel, Consumer, Deadline, Kind};
use anyhow::Result;

/// Output is written when so much of it is there, or when there is nothing more to print.
const BATCH: usize = 32 << 10;

/// The same until a batch has been larger, for those whose lines come now and then.
const FIRST_BATCH: usize = 1 << 10;

/// Why the server is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// A client sent the end word.
    EndWord,
    /// A signal came.
    Signal(i32),
}

/// Runs the server.
pub(super) fn serve(args: &Serve) -> Result<u8> {
    stdio::check_stdout()?;
    signals::install().map_err(Failure::of_call("sigaction"))?;
    signals::end_writes().map_err(Failure::of_call("sigaction"))?;
    if args.common.protocol == Protocol::SharedUse {
        return server_demo::serve(args);
    }
    let channel = Channel::open(&args.common.options, Deadline::Never)?;
    super::log_opened(&channel, &args.geometry);
    let consumer = channel.into_consumer()?;
    signals::interrupts(consumer.interrupter());
    let key = consumer.channel().key();
    log::info!("claimed the server role of key {key}");
    let notify = Notify::from_environment();
    notify.ready(&format!("serving key {key}"));
    let longest = consumer.channel().geometry().max_message as usize + args.prefix.len() + 1;
    // Allocated once, and not on the stack, which may be small; written to as far as there was need of it.
    let mut out = Vec::with_capacity(BATCH + longest);
    out.resize(FIRST_BATCH + longest, 0);
    let damaged = DamagedLanes::default();
    let lines = Lines::default();
    let mut printer = Printer { args, consumer, notify, lines, longest, out, filled: 0, damaged };
    if args.persist {
        printer.consumer.forget_end();
    }
    let done = match printer.run() {
        // What was not written stays, and that is what stopping means to it.
        Err(_) if args.persist && stdio::gave_up() => {
            Done::Signal(signals::stop().unwrap_or(nix::libc::SIGTERM))
        }
        Err(e) if is_removed(&e) => {
            // What is still in the segment is printed; nobody else can get at it any more.
            if let Err(e) = printer.consumer.stop_looking() {
                printer.damaged.tell(e)?;
            }
            printer.drain(false)?;
            return Err(e);
        }
        other => other?,
    };
    printer.notify.stopping();
    let code = match done {
        Done::EndWord => {
            log::info!("a client sent the end word");
            exit::OK
        }
        Done::Signal(number) => {
            log::info!("stopped by {}", signals::name(number));
            signals::server_exit(number)
        }
    };
    if args.persist {
        drop(printer);
        log::info!("gave the server role back, detached; the segment of key {key} stays");
        return Ok(code);
    }
    if let Err(e) = printer.consumer.announce_close() {
        printer.damaged.tell(e)?;
    }
    printer.drain(false)?;
    printer.consumer.channel().remove()?;
    drop(printer);
    log::info!("detached and removed segment and semaphores of key {key}");
    Ok(code)
}

fn is_removed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<crate::Error>().is_some_and(crate::Error::is_removed)
}

struct Printer<'a> {
    args: &'a Serve,
    consumer: Consumer,
    notify: Notify,
    lines: Lines,
    /// The longest line: prefix, message, separator.
    longest: usize,
    /// What is to be written is at its begin: a batch, and behind it one longest line.
    out: Vec<u8>,
    /// Bytes to be written.
    filled: usize,
    damaged: DamagedLanes,
}

impl Printer<'_> {
    fn run(&mut self) -> Result<Done> {
        // The end word that a predecessor took, who was killed before it had ended.
        if self.consumer.end_pending() {
            return Ok(Done::EndWord);
        }
        loop {
            if let Some(done) = self.drain(true)? {
                return Ok(done);
            }
            if let Some(number) = signals::stop() {
                return Ok(Done::Signal(number));
            }
            // Whatever it is that ended the wait: the loop looks at all of it.
            if let Err(e) = self.consumer.wait(self.notify.deadline()) {
                self.damaged.tell(e)?;
            }
        }
    }

    /// Prints and releases all that is there. If it may `stop`, it does so at the end word
    /// (unless it is to persist) and at a signal, with what it has printed until then.
    fn drain(&mut self, stop: bool) -> Result<Option<Done>> {
        let separator = self.args.common.separator;
        let longest = self.longest;
        let mut done = None;
        loop {
            while self.has_room() {
                let room = &mut self.out[self.filled..];
                let lines = self.consumer.copy_lines(room, &self.args.prefix, separator);
                self.filled += lines;
                if lines > 0 {
                    continue;
                }
                // The next lane's turn, or what is no message.
                let record = match self.consumer.next_record() {
                    Ok(Some(record)) => record,
                    Ok(None) => break,
                    Err(e) => {
                        // What came before it is good.
                        self.flush()?;
                        self.damaged.tell(e)?;
                        continue;
                    }
                };
                if record.kind() == Kind::End {
                    if stop && !self.args.persist {
                        // Before it is released: whoever is killed in between, the end is not lost.
                        self.consumer.note_end();
                        done = Some(Done::EndWord);
                    }
                    // By itself: it takes part in no line.
                    break;
                }
                let (prefix, line) =
                    self.out[self.filled..][..longest].split_at_mut(self.args.prefix.len());
                prefix.copy_from_slice(&self.args.prefix);
                record.copy_to(line);
                line[record.len()] = separator;
                self.filled += prefix.len() + record.len() + 1;
            }
            let more = self.consumer.holds();
            self.flush()?;
            self.notify.alive();
            if stop {
                done = done.or(signals::stop().map(Done::Signal));
            }
            if done.is_some() || !more {
                return Ok(done);
            }
        }
    }

    /// Can one more longest line be added? The buffer grows up to a whole batch, within what is allocated.
    fn has_room(&mut self) -> bool {
        let (whole, len) = (BATCH + self.longest, self.out.len());
        if len < whole && self.filled + self.longest >= len {
            self.out.resize((2 * len).min(whole), 0);
        }
        self.filled + self.longest < self.out.len()
    }

    /// Writes what is collected, then releases it: a message leaves the ring only once it is
    /// written.
    fn flush(&mut self) -> Result<()> {
        let separator = self.args.common.separator;
        let (lines, consumer) = (&mut self.lines, Some(&self.consumer));
        let written = lines.write(&self.out[..self.filled], separator, &mut self.notify, consumer);
        if let Err(stopped) = written {
            let extra = self.args.prefix.len() + 1;
            self.consumer.release_within(stopped.written, extra)?;
            let key = self.consumer.channel().key();
            let more = format!("; the messages not written are still in the segment of key {key}");
            return Err(stdio::output_failure(stopped.errno, &more));
        }
        self.filled = 0;
        self.consumer.release();
        Ok(())
    }
}
