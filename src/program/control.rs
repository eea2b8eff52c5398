//! `shmdemo-server status`, `set` and `remove`.

use super::args::{Common, Protocol, StatusArgs};
use super::watch::{over, Watch};
use super::{exit, signals, stdio, Failure};
use crate::shared_use;
use crate::sysv::PermChange;
use crate::Status;
use anyhow::Result;
use std::fmt::Write as _;

pub(super) fn status(args: &StatusArgs) -> Result<u8> {
    let terminal = stdio::stdout_is_terminal();
    signals::install().map_err(Failure::of_call("sigaction"))?;
    let mut watch = args.watch.map(|_| Watch::default());
    let mut seen = false;
    loop {
        let mut text = String::new();
        match describe(args, watch.as_mut(), &mut text) {
            Ok(()) => seen = true,
            // It was there and is gone: the next one is waited for. A reader of objects hears of
            // that one.
            Err(e) if seen && args.watch.is_some() && is_gone(&e) => {
                text.clear();
                if !args.json {
                    let key = args.common.options.key;
                    writeln!(text, "no channel of key {key} now: waiting for the next")?;
                }
            }
            Err(e) => return Err(e),
        }
        if !text.is_empty() && (args.json || args.watch.is_some()) {
            text.push('\n');
        }
        if args.watch.is_some() && terminal && !args.json {
            text = over(&text);
        }
        stdio::print(&text)?;
        let Some(pause) = args.watch else { return Ok(exit::OK) };
        if signals::stop().is_none() {
            let pause = nix::sys::time::TimeSpec::from_duration(pause);
            // A signal ends it: the time of the next look does not matter then.
            let held = signals::HeldBack::new()?;
            if signals::stop().is_none() {
                let _ = nix::poll::ppoll(&mut [], Some(pause), Some(held.mask()));
            }
        }
        if signals::stop().is_some() {
            return Ok(exit::OK);
        }
    }
}

fn is_gone(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<crate::Error>();
    error.is_some_and(|e| e.is_removed() || matches!(e, crate::Error::NoChannel(_)))
}

fn describe(args: &StatusArgs, watch: Option<&mut Watch>, text: &mut String) -> Result<()> {
    let options = &args.common.options;
    if args.common.protocol == Protocol::SharedUse {
        let seen = shared_use::look(options)?;
        if args.json {
            write!(text, "{}", seen.json())?;
        } else {
            write!(text, "{seen}")?;
        }
        return Ok(());
    }
    let status = Status::read(options)?;
    if args.json {
        write!(text, "{}", status.json())?;
    } else {
        write!(text, "{status}")?;
        if let Some(watch) = watch {
            watch.describe(&status, text);
        }
    }
    Ok(())
}

pub(super) fn set(common: &Common, change: &PermChange) -> Result<u8> {
    match common.protocol {
        Protocol::Ring => crate::set(&common.options, change),
        Protocol::SharedUse => shared_use::set(&common.options, change),
    }?;
    log::info!("changed segment and semaphores of key {}", common.options.key);
    Ok(exit::OK)
}

pub(super) fn remove(common: &Common, force: bool) -> Result<u8> {
    match common.protocol {
        Protocol::Ring => crate::remove(&common.options, force),
        Protocol::SharedUse => shared_use::remove(&common.options, force),
    }?;
    log::info!("removed segment and semaphores of key {}", common.options.key);
    Ok(exit::OK)
}
