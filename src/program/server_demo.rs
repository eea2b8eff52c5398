//! `shmdemo-server --protocol shared_use_st`: prints what C programs of the demo write.

use super::args::{Serve, MAX_PREFIX};
use super::notify::Notify;
use super::{client, exit, signals, stdio};
use crate::shared_use::{End, SharedUseSegment, TEXT_BYTES};
use crate::Deadline;
use anyhow::Result;

/// The text that ends the C demo.
const END_WORD: &[u8] = b"end";

pub fn serve(args: &Serve) -> Result<u8> {
    let options = &args.common.options;
    let key = options.key;
    let segment = SharedUseSegment::open(options, End::Server, Deadline::Never)?;
    client::log_shared_use(&segment, key);
    let mut text: heapless::Vec<u8, TEXT_BYTES> = heapless::Vec::new();
    let mut line: heapless::Vec<u8, { MAX_PREFIX + TEXT_BYTES + 1 }> = heapless::Vec::new();
    let mut notify = Notify::from_environment();
    if segment.is_written() {
        log::info!("a text of an earlier run, or of a program that began before, is waiting");
    }
    let mut code = exit::OK;
    notify.ready(&format!("serving key {key}, protocol shared_use_st"));
    loop {
        notify.alive();
        if segment.wait(true, Deadline::Never)? {
            segment.read(&mut text);
            let ends = text == END_WORD && !args.persist;
            if text != END_WORD {
                line.clear();
                // Prefix, text and separator fit by the buffer's size.
                let _ = line.extend_from_slice(&args.prefix);
                let _ = line.extend_from_slice(&text);
                let _ = line.push(args.common.separator);
                if let Err(stopped) = stdio::write_messages(&line, args.common.separator) {
                    let more = format!("; the text is still in the segment of key {key}");
                    return Err(stdio::output_failure(stopped.errno, &more));
                }
            }
            segment.taken();
            if ends {
                log::info!("a client sent the end word");
                break;
            }
        }
        // Also under a flood of texts: what was taken is printed, and the next is its writer's.
        if let Some(number) = signals::stop() {
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
    match segment.others() {
        Ok((others @ 1.., last)) if last != std::process::id() as i32 => log::warn!(
            "removing the segment of key {key} under {others} other attach(es), the last by pid {last}"
        ),
        Ok((others @ 1.., _)) => {
            log::warn!("removing the segment of key {key} under {others} other attach(es)");
        }
        _ => {}
    }
    segment.remove()?;
    log::info!("detached and removed the segment of key {key}");
    Ok(code)
}
