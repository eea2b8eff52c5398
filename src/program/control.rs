//! `shmdemo-server status`, `set` and `remove`.

use super::args::{Common, Protocol, StatusArgs};
use super::watch::{over, Watch};
use super::{exit, signals, stdio};
use crate::shared_use;
use crate::sysv::PermChange;
use crate::Status;
use anyhow::{Context, Result};
use std::fmt::Write as _;

pub fn status(args: &StatusArgs) -> Result<u8> {
    let terminal = nix::unistd::isatty(std::io::stdout()).unwrap_or(false);
    signals::install().context("sigaction")?;
    let mut watch = args.watch.map(|_| Watch::default());
    loop {
        let mut text = String::new();
        describe(args, watch.as_mut(), &mut text)?;
        if args.json || args.watch.is_some() {
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

pub fn set(common: &Common, change: &PermChange) -> Result<u8> {
    let protocol = common.protocol;
    crate::manage::set(&common.options, change, protocol == Protocol::SharedUse)?;
    log::info!("changed segment and semaphores of key {}", common.options.key);
    Ok(exit::OK)
}

pub fn remove(common: &Common, force: bool) -> Result<u8> {
    let protocol = common.protocol;
    crate::manage::remove(&common.options, force, protocol == Protocol::SharedUse)?;
    log::info!("removed segment and semaphores of key {}", common.options.key);
    Ok(exit::OK)
}
