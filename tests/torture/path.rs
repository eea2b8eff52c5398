//! Every instruction from one place of a process's life to another, and the way to each.

use super::deadline;
use super::trace::{Reached, Stop, Tracee};
use crate::support::{raw, Channel, Random};
use std::collections::HashMap;

/// Longest part of a path, from one system call or change of the segment to the next, that is
/// recorded: what comes after in a longer one (a loop over a large private buffer) is run through,
/// up to the next system call.
pub const LONG: usize = if cfg!(debug_assertions) { 100_000 } else { 10_000 };

/// Most rounds of one string instruction (`rep movs`) that are places of their own.
const ROUNDS: usize = 16;

/// What a single step costs, in hops.
const STEP_COST: u32 = 5;

/// A length of a path without a hole in it.
struct Stretch {
    /// System calls from the window's begin to this stretch's.
    calls: usize,
    /// The address of the next instruction, at the stretch's begin and after each instruction.
    places: Vec<u64>,
    /// System calls made in this stretch before each place.
    made: Vec<usize>,
    /// How to come to each place: from which earlier one, by a break point or by a step.
    plan: Vec<(usize, Hop)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hop {
    Begin,
    Break,
    Step,
}

/// Every instruction from one place of a process's life to another.
pub struct Path {
    stretches: Vec<Stretch>,
    images: Vec<(String, u64)>,
    /// System calls in it.
    pub calls: usize,
    /// Instructions in it; a string instruction counts once.
    pub instructions: usize,
    /// Lengths of more than [`LONG`] instructions without a system call, run through after that.
    pub holes: usize,
    /// Places just after a system call or a change of the segment.
    changes: Vec<Place>,
    /// Changes of the segment.
    pub stores: usize,
}

/// A place of a path: between two instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    stretch: usize,
    index: usize,
}

impl Path {
    /// Steps the process to its second [`mark`], or its end; `channel` is what it works on.
    pub fn record(tracee: &mut Tracee, channel: &Channel) -> Path {
        // Attached for the moment only: who mends a channel looks for others who are.
        let shared = || raw::shm_id(channel.key).map(raw::shm_bytes);
        let mut path = Path {
            stretches: Vec::new(),
            images: tracee.images.clone(),
            // A program stands at the entry of its first one.
            calls: usize::from(!tracee.images.is_empty()),
            instructions: 0,
            holes: 0,
            changes: Vec::new(),
            stores: 0,
        };
        let clock = tracee.clock_code();
        let mut holds = shared();
        let (mut places, mut made) = (Vec::new(), Vec::new());
        let (mut begin, mut calls_before) = (0, path.calls);
        // Instructions since the last system call or change; rounds of the last instruction.
        let (mut since, mut rounds) = (0, 0);
        loop {
            let registers = tracee.registers();
            let at = registers.rip;
            if clock.contains(&at) {
                // It reads again and again while the time is being set, so its path is never the
                // same. The return address is on the stack.
                let calls = tracee.break_at(tracee.word(registers.rsp));
                path.calls += calls.expect("the clock's return");
                continue;
            }
            let again = places.last() == Some(&at);
            rounds = if again { rounds + 1 } else { 0 };
            path.instructions += usize::from(!again);
            let now = shared();
            if now != holds {
                path.stores += 1;
                since = 0;
            }
            if since == 0 {
                let (stretch, index) = (path.stretches.len(), places.len());
                path.changes.push(Place { stretch, index });
            }
            holds = now;
            places.push(at);
            made.push(path.calls - calls_before);
            let code = tracee.code(at);
            if code & 0xff == 0xcc {
                break;
            }
            if rounds == ROUNDS {
                let length = string_instruction(code);
                let end = tracee.break_at(at + length);
                end.expect("the end of a string instruction");
                continue;
            }
            let call = code & 0xffff == 0x050f;
            if call || since % 1000 == 0 {
                deadline();
            }
            since = if call { 0 } else { since + 1 };
            path.calls += usize::from(call);
            if since > LONG {
                let stretch = (std::mem::take(&mut places), std::mem::take(&mut made));
                path.stretches.push(Stretch::new(begin, stretch.0, stretch.1));
                path.holes += 1;
                let before = tracee.run_to_call();
                assert!(shared() == holds, "the segment changed in a stretch that is run through");
                if before.is_none() || tracee.run_to_call().is_none() {
                    break;
                }
                path.calls += 1;
                (begin, calls_before, since) = (path.calls, path.calls, 0);
            } else if tracee.step().is_none() {
                break;
            }
        }
        path.instructions -= 1; // places are one more
        path.stretches.push(Stretch::new(begin, places, made));
        path
    }

    /// How many places it has.
    pub fn len(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.places.len()).sum()
    }

    /// The places before and after every system call and every change of the segment, the last
    /// one, and of the others each `stride`-th, by chance which one first.
    ///
    /// Between two changes the process touches its own memory alone, which goes with it: a kill
    /// at any place there is the same to everybody else.
    pub fn choose(&self, stride: usize, random: &mut Random) -> Vec<Place> {
        let all = self.stretches.iter().enumerate();
        let all: Vec<Place> = all
            .flat_map(|(stretch, s)| (0..s.places.len()).map(move |index| Place { stretch, index }))
            .collect();
        let mut chosen = vec![false; all.len()];
        chosen.iter_mut().skip(random.below(stride)).step_by(stride).for_each(|c| *c = true);
        for place in &self.changes {
            let number = self.number(*place);
            chosen[number.saturating_sub(1)..=number].fill(true);
        }
        chosen[all.len() - 1] = true;
        all.into_iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(place, _)| place).collect()
    }

    /// Its number in the path.
    pub fn number(&self, place: Place) -> usize {
        let before = self.stretches[..place.stretch].iter();
        before.map(|stretch| stretch.places.len()).sum::<usize>() + place.index
    }

    /// Brings a process from the path's begin to a place.
    pub fn go(&self, tracee: &mut Tracee, place: Place) -> Reached {
        let stretch = &self.stretches[place.stretch];
        let mut calls = 2 * stretch.calls;
        if calls > 0 && !self.images.is_empty() {
            calls -= 1; // it stands at the entry of the first one already
        }
        for _ in 0..calls {
            if tracee.run_to_call() != Some(Stop::Call) {
                return Reached::Elsewhere;
            }
        }
        let mut hops = Vec::new();
        let mut index = place.index;
        while stretch.plan[index].1 != Hop::Begin {
            hops.push(index);
            index = stretch.plan[index].0;
        }
        let mut made = 0;
        for index in hops.into_iter().rev() {
            let there = match stretch.plan[index].1 {
                Hop::Break => tracee.break_at(self.moved(stretch.places[index], tracee)),
                _ => (tracee.step() == Some(Stop::Trap)).then_some(0),
            };
            match there {
                Some(calls) => made += calls,
                None => return Reached::Elsewhere,
            }
        }
        let here = self.moved(stretch.places[place.index], tracee);
        match tracee.registers().rip == here && made == stretch.made[place.index] {
            true => Reached::Place,
            false => Reached::Elsewhere,
        }
    }

    /// An address of the recorded process in this one: each has its files elsewhere.
    fn moved(&self, at: u64, tracee: &Tracee) -> u64 {
        let Some((name, base)) = self.images.iter().rfind(|(_, base)| *base <= at) else {
            return at;
        };
        let now = tracee.images.iter().find(|(now, _)| now == name).expect("the same files");
        at - base + now.1
    }
}

impl Stretch {
    fn new(calls: usize, places: Vec<u64>, made: Vec<usize>) -> Stretch {
        let plan = plan(&places);
        Stretch { calls, places, made, plan }
    }
}

/// The cheapest way to every place. A break point at a place's address, set anywhere after the
/// last time the path met that address, stops there.
fn plan(places: &[u64]) -> Vec<(usize, Hop)> {
    let mut plan = vec![(0, Hop::Begin)];
    let mut costs: Vec<u32> = vec![0];
    let mut met = HashMap::from([(places[0], 0)]);
    // The cheapest of all places from each one of these on, in order.
    let mut cheapest: Vec<usize> = vec![0];
    for index in 1..places.len() {
        let first = met.insert(places[index], index).map_or(0, |last| last + 1);
        let from = cheapest[cheapest.partition_point(|place| *place < first)..].first();
        let (cost, hop) = match from {
            Some(from) if costs[*from] < costs[index - 1] + STEP_COST => {
                (costs[*from] + 1, (*from, Hop::Break))
            }
            _ => (costs[index - 1] + STEP_COST, (index - 1, Hop::Step)),
        };
        plan.push(hop);
        costs.push(cost);
        while cheapest.last().is_some_and(|last| costs[*last] >= cost) {
            cheapest.pop();
        }
        cheapest.push(index);
    }
    plan
}

/// Length of a string instruction: prefixes and one byte.
fn string_instruction(code: u64) -> u64 {
    let bytes = code.to_le_bytes();
    let prefixes = bytes.iter().take_while(|b| matches!(b, 0xf2 | 0xf3 | 0x66 | 0x48)).count();
    assert!(matches!(bytes[prefixes], 0xa4..=0xaf), "no string instruction: {code:x}");
    prefixes as u64 + 1
}
