//! `shmdemo-server --protocol shared_use_st`: prints what C programs of the demo write.

use super::args::Serve;
use super::notify::Notify;
use super::torn::Lines;
use super::{client, exit, signals, stdio};
use crate::shared_use::{End, SharedUseSegment};
use crate::{Deadline, Error, Waited};
use anyhow::Result;
use core::time::Duration;

/// C programs that have not made their semaphore yet are looked for as often.
const LOOK: Duration = Duration::from_millis(100);

/// `None`: a signal came before the C programs had made their semaphore.
fn open(args: &Serve, notify: &mut Notify) -> Result<Option<SharedUseSegment>> {
    let options = &args.common.options;
    let mut told = false;
    loop {
        let until = match options.foreign_semaphore {
            true => Deadline::after(LOOK),
            false => Deadline::Never,
        };
        match client::open_shared_use(options, End::Server, until) {
            Err(Error::TimedOut { .. }) => {
                if !core::mem::replace(&mut told, true) {
                    client::warn_of_semaphore(options);
                }
                notify.alive();
                if signals::stop().is_some() {
                    return Ok(None);
                }
            }
            other => return Ok(Some(other?)),
        }
    }
}

pub(super) fn serve(args: &Serve) -> Result<u8> {
    let options = &args.common.options;
    let key = options.key;
    let mut notify = Notify::from_environment();
    let Some(segment) = open(args, &mut notify)? else {
        return Ok(signals::stop().map_or(exit::OK, signals::server_exit));
    };
    client::log_shared_use(&segment, key);
    let prefix = args.prefix.len();
    // Prefix, text and separator; made once, and not on the stack, which may be small.
    let mut line = vec![0; prefix + segment.text_bytes() + 1];
    line[..prefix].copy_from_slice(&args.prefix);
    if segment.is_written() {
        log::info!("a text of an earlier run, or of a program that began before, is waiting");
    }
    let (mut code, mut last_look, mut lines) = (exit::OK, false, Lines::default());
    notify.ready(&format!("serving key {key}, protocol shared_use_st"));
    loop {
        notify.alive();
        if segment.wait(true, Deadline::Never)? == Waited::Ready {
            let end = prefix + segment.read(&mut line[prefix..]);
            let is_end = !args.end_word.is_empty() && line[prefix..end] == args.end_word;
            let ends = is_end && !args.persist;
            if !is_end {
                line[end] = args.common.separator;
                let written = lines.write(&line[..=end], args.common.separator, &mut notify, None);
                if let Err(stopped) = written {
                    let more = format!("; the text is still in the segment of key {key}");
                    return Err(stdio::output_failure(stopped.errno, &more));
                }
            }
            while segment.taken()? != Waited::Ready {
                notify.alive();
                if signals::stop().is_some() {
                    break; // a C program keeps the semaphore: the text is there again, next time
                }
            }
            if ends {
                log::info!("a client sent the end word");
                break;
            }
        }
        // Also under a flood of texts. Where the segment goes, so would the one text in it.
        if let Some(number) = signals::stop() {
            if !args.persist && !last_look && segment.is_written() {
                last_look = true;
                continue;
            }
            log::info!("stopped by {}", signals::name(number));
            code = signals::server_exit(number);
            break;
        }
    }
    notify.stopping();
    if args.persist {
        log::info!("detached; the segment of key {key} stays");
        return Ok(code);
    }
    if let Ok((others @ 1.., last)) = segment.others() {
        // The server itself, unless somebody came or went since.
        let last = match last == std::process::id() as i32 {
            true => String::new(),
            false => format!(", the last by pid {last}"),
        };
        log::warn!(
            "the segment of key {key} goes under {others} other attach(es){last}: end those programs, \
             nobody reads what they write now"
        );
    }
    segment.remove()?;
    log::info!("detached and removed the segment of key {key}");
    Ok(code)
}
