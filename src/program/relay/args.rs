//! The command line of `shmdemo-server relay`.

use super::{Full, Place, Relay};
use crate::program::args::{next, unknown, Common, Parsed, Protocol};
use crate::program::help::{EXIT_HELP, RELAY_HELP};
use crate::program::values::{bad, key, text, usage};
use anyhow::Result;
use lexopt::Parser;

/// Most targets of one relay.
const MOST: usize = 8;

/// `KEY`, `KEY:ring` or `KEY:shared_use_st`.
fn place(option: &str, value: &str) -> Result<Place> {
    let (number, protocol) = value.split_once(':').unwrap_or((value, "ring"));
    let protocol = match protocol {
        "ring" => Protocol::Ring,
        "shared_use_st" => Protocol::SharedUse,
        _ => return Err(bad(option, value, "KEY, KEY:ring or KEY:shared_use_st")),
    };
    Ok(Place { key: key(option, number)?, protocol, full: Full::Wait })
}

/// Parses what follows the word `relay`.
pub(in crate::program) fn parse(mut parser: Parser) -> Result<Parsed<Relay>> {
    const NAME: &str = "shmdemo-server";
    const COMMAND: &str = " after 'relay'";
    let mut common = Common::new();
    let (mut from, mut to) = (None, heapless::Vec::<Place, MOST>::new());
    let (mut persist, mut skip) = (false, false);
    while let Some((arg, operand)) = next(&mut parser)? {
        if operand {
            return Err(unknown(&arg, true, NAME, COMMAND));
        }
        match arg.as_str() {
            "-h" | "--help" => return Ok(Parsed::Print(format!("{RELAY_HELP}{EXIT_HELP}"))),
            "-V" | "--version" => {
                return Ok(Parsed::Print(format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))))
            }
            "--from" => from = Some(place("--from", &text(&mut parser, "--from")?)?),
            "--to" => to
                .push(place("--to", &text(&mut parser, "--to")?)?)
                .map_err(|_| usage("--to: 8 of them at the most"))?,
            "--when-full" => {
                let value = text(&mut parser, "--when-full")?;
                let full = match value.as_str() {
                    "wait" => Full::Wait,
                    "drop" => Full::Drop,
                    _ => return Err(bad("--when-full", &value, "wait or drop")),
                };
                to.last_mut().ok_or_else(|| usage("--when-full: stands behind its --to"))?.full =
                    full;
            }
            "--persist" => persist = true,
            "--skip-too-long" => skip = true,
            "--owner" | "--syslog" | "-v" | "--verbose" | "-q" | "--quiet" => {
                common.take(&arg, &mut parser)?;
            }
            _ => return Err(unknown(&arg, false, NAME, COMMAND)),
        }
    }
    let from = from.ok_or_else(|| usage("relay: --from is missing"))?;
    if to.is_empty() {
        return Err(usage("relay: --to is missing"));
    }
    let keys = || core::iter::once(from.key).chain(to.iter().map(|place| place.key));
    if keys().enumerate().any(|(n, key)| keys().skip(n + 1).any(|other| other == key)) {
        return Err(usage("relay: a key stands there twice"));
    }
    let settings = common.settings;
    Ok(Parsed::Run(settings, Relay { options: common.options, from, to, persist, skip }))
}
