//! The command line of `shmdemo-server relay`.

use super::{Full, Place, Relay};
use crate::program::args::{end_word_of, unknown, Common, Parsed, Protocol, END_WORD};
use crate::program::help::{EXIT_HELP, RELAY_HELP};
use crate::program::values::{bad, key, text, usage};
use crate::program::words::Words;
use anyhow::Result;

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
    Ok(Place { key: key(option, number)?, protocol, full: Full::Wait, semaphore: false })
}

/// Parses what follows the word `relay`.
pub(in crate::program) fn parse(mut words: Words) -> Result<Parsed<Relay>> {
    const NAME: &str = "shmdemo-server";
    const COMMAND: &str = " after 'relay'";
    let mut common = Common::new();
    let (mut from, mut to) = (None, heapless::Vec::<Place, MOST>::new());
    let (mut persist, mut skip, mut end_whole, mut from_last) = (false, false, false, false);
    let mut end_word = END_WORD.to_vec();
    while let Some((arg, operand)) = words.next()? {
        if operand {
            return Err(unknown(&arg, true, NAME, COMMAND));
        }
        match arg.as_str() {
            "-h" | "--help" => return Ok(Parsed::Print(format!("{RELAY_HELP}{EXIT_HELP}"))),
            "-V" | "--version" => {
                return Ok(Parsed::Print(format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))))
            }
            "--from" => {
                from = Some(place("--from", &text(&mut words, "--from")?)?);
                from_last = true;
            }
            "--to" => {
                to.push(place("--to", &text(&mut words, "--to")?)?)
                    .map_err(|_| usage("--to: 8 of them at the most"))?;
                from_last = false;
            }
            "--foreign-semaphore" => {
                let before = if from_last { from.as_mut() } else { to.last_mut() };
                match before {
                    Some(place) if place.protocol == Protocol::SharedUse => place.semaphore = true,
                    _ => {
                        return Err(usage(
                            "--foreign-semaphore: stands behind its --from or --to, which has \
                             :shared_use_st",
                        ))
                    }
                }
            }
            "--end-word" => {
                end_word = end_word_of(&mut words)?;
                if end_word.is_empty() {
                    return Err(bad("--end-word", "", "a word; --persist passes none on"));
                }
            }
            "--end-whole" => end_whole = true,
            "--when-full" => {
                let value = text(&mut words, "--when-full")?;
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
                common.take(&arg, &mut words)?;
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
    Ok(Parsed::Run(
        settings,
        Relay { options: common.options, from, to, end_word, end_whole, persist, skip },
    ))
}
