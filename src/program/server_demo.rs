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
        } else if let Some(number) = signals::stop() {
            log::info!("stopped by {}", signals::name(number));
            code = signals::server_exit(number);
            break;
        }
        if let (true, Some(number)) = (args.persist, signals::stop()) {
            code = signals::server_exit(number);
            break;
        }
    }
    notify.stopping();
    if args.persist {
        log::info!("detached; the segment of key {key} stays");
        return Ok(code);
    }
    segment.remove()?;
    log::info!("detached and removed the segment of key {key}");
    Ok(code)
}
