//! Killing, or something else, at the places of a path, each time in a new process.

use super::path::{Path, LONG};
use super::trace::{Reached, Tracee};
use super::{deadline, full, next_ids, say, setting, stay};
use crate::support::{raw, Channel, Random};

/// Processes that are sent to a place: some turn off on the way, by what the clock or the kernel's
/// tables say at that moment. Each is killed where it is, and what it left looked at.
const TURNS: usize = 10;

/// Kills a process at the places of a window of its life, each time another one made and brought
/// there, and lets `check` look at what it left.
///
/// `begin` makes a channel, what else there is to it, and the process, stopped at the window's
/// begin. `check` gets the first two when the process is a zombie and returns how far it had
/// come, from 0 to `whole`: the later it was killed, the further.
///
/// At some `spread` of the places, or at each n-th (`SHMDEMO_KILL_STRIDE=n`), or at all of them
/// (`SHMDEMO_TORTURE=full`); in any case before and after every system call and every change of
/// the segment.
pub fn kill_everywhere<G>(
    name: &str,
    spread: usize,
    whole: u32,
    random: &mut Random,
    begin: impl Fn() -> (Channel, G, Tracee),
    check: impl FnMut(Channel, G) -> u32,
) {
    at_every_place(name, spread, whole, random, begin, |_, tracee| tracee.kill(), check);
}

/// As [`kill_everywhere`], with something else done at each place, which ends the process too.
pub fn at_every_place<G>(
    name: &str,
    spread: usize,
    whole: u32,
    random: &mut Random,
    begin: impl Fn() -> (Channel, G, Tracee),
    act: impl Fn(&Channel, &mut Tracee),
    mut check: impl FnMut(Channel, G) -> u32,
) {
    deadline();
    stay();
    let begin = || {
        let mut same = next_ids(100_000_000);
        let (channel, ground, mut tracee) = begin();
        // Recording the path attaches the segment, which the kernel notes: so it has been always.
        raw::shm_id(channel.key).map(raw::shm_bytes);
        same &= next_ids(200_000_000);
        tracee.exact &= same;
        (channel, ground, tracee)
    };
    let (channel, ground, mut tracee) = begin();
    let path = Path::record(&mut tracee, &channel);
    act(&channel, &mut tracee);
    assert_eq!(check(channel, ground), whole, "{name}: killed after all of it");
    drop(tracee);
    let usual = if full() { 1 } else { path.len().div_ceil(spread) };
    let stride = setting("SHMDEMO_KILL_STRIDE").unwrap_or(usual).max(1);
    let places = path.choose(stride, random);
    let (mut exact, mut missed, mut again, mut last, mut steps) = (true, 0, 0, 0, Vec::new());
    for place in &places {
        let context = Context { name, number: path.number(*place) };
        let (mut reached, mut far) = (Reached::Elsewhere, 0);
        for turn in 0..TURNS {
            deadline();
            let (channel, ground, mut tracee) = begin();
            reached = path.go(&mut tracee, *place);
            match reached {
                Reached::Place => act(&channel, &mut tracee),
                Reached::Elsewhere => tracee.kill(),
            }
            far = check(channel, ground);
            exact &= tracee.exact;
            if reached == Reached::Place {
                break;
            }
            again += usize::from(turn == 0);
        }
        missed += usize::from(reached == Reached::Elsewhere);
        if exact && reached == Reached::Place {
            assert!(far >= last, "{context:?}: undone: {far} after {last}");
            if far > last {
                steps.push(context.number);
            }
            last = far;
        }
        std::mem::forget(context);
    }
    assert!(!exact || last == whole, "{name}: killed at the last place: {last}");
    // How many were missed is reported.
    assert!(missed * 20 <= places.len(), "{name}: {missed} of {} places missed", places.len());
    let mut notes = String::new();
    if path.holes > 0 {
        notes += &format!("; {} long loops run through after {LONG} instructions", path.holes);
    }
    if again > missed {
        notes += &format!("; {} reached at a later turn", again - missed);
    }
    if !exact {
        notes += "; addresses or ids vary here, so the places do a little";
    }
    say(&format!(
        "{name}: {} instructions, {} system calls, {} changes of the segment; done at {} of {} \
         places (around these and at each {stride}.), {missed} missed, steps for others at \
         {steps:?}{notes}",
        path.instructions,
        path.calls,
        path.stores,
        places.len() - missed,
        path.len(),
    ));
}

/// Says where it was when a check fails.
#[derive(Debug)]
struct Context<'a> {
    name: &'a str,
    number: usize,
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        say(&format!("killed in '{}' at its place {}", self.name, self.number));
    }
}
