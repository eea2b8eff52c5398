//! The command line of `shmdemo-client`.

use super::args::{end_word_of, print, unknown, Common, Parsed, Protocol, END_WORD};
use super::help::CLIENT_HELP;
use super::values::{bad, group, mode, seconds, text, usage, user};
use super::words::Words;
use crate::Options;
use anyhow::Result;
use core::time::Duration;

/// `shmdemo-client`.
pub(super) struct ClientArgs {
    pub common: Common,
    pub end_word: Vec<u8>,
    /// The C program at the other end compares whole lines with the end word.
    pub end_whole: bool,
    pub timeout: Option<Duration>,
}

/// Parses the command line of `shmdemo-client`.
pub(super) fn parse(mut words: Words) -> Result<Parsed<ClientArgs>> {
    const NAME: &str = "shmdemo-client";
    let mut common = Common::new();
    let (mut end_word, mut end_whole) = (END_WORD.to_vec(), false);
    let mut timeout = None;
    while let Some((arg, operand)) = words.next()? {
        if !operand {
            if let Some(done) = print(&arg, NAME, CLIENT_HELP) {
                return Ok(done);
            }
            if common.take(&arg, &mut words)? {
                continue;
            }
        }
        match arg.as_str() {
            _ if operand => return Err(unknown(&arg, true, NAME, "")),
            "--no-create" => common.options.create = false,
            "--end-word" => end_word = end_word_of(&mut words)?,
            "--end-whole" => end_whole = true,
            "--timeout" => {
                let value = text(&mut words, "--timeout")?;
                let range = "seconds, 0..4294967295, a fraction is allowed";
                let time = seconds(&value).ok_or_else(|| bad("--timeout", &value, range))?;
                timeout = Some(time);
            }
            "--mode" => {
                common.options.mode = Some(mode(&text(&mut words, "--mode")?, 0o600)?);
            }
            "--group" => {
                common.options.group = Some(group("--group", &text(&mut words, "--group")?)?);
            }
            "--create-as" => {
                let name = text(&mut words, "--create-as")?;
                common.options.create_as = Some(user("--create-as", &name)?);
            }
            _ => return Err(unknown(&arg, false, NAME, "")),
        }
    }
    common.check()?;
    let Options { create, group, create_as, .. } = common.options;
    if !create && (group.is_some() || create_as.is_some()) {
        return Err(usage("--group, --create-as: nothing is created with --no-create"));
    }
    if end_word.contains(&common.separator) {
        let shown = String::from_utf8_lossy(&end_word);
        return Err(bad("--end-word", &shown, "without the separator, since no line holds it"));
    }
    if end_whole && common.protocol != Protocol::SharedUse {
        return Err(usage(
            "--end-whole: only with --protocol shared_use_st; the ring compares whole lines",
        ));
    }
    let settings = common.settings;
    Ok(Parsed::Run(settings, ClientArgs { common, end_word, end_whole, timeout }))
}
