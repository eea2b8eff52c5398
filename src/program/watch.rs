//! `shmdemo-server status --watch`: what changes from one look to the next.

use crate::Status;
use std::fmt::Write;
use std::time::Instant;

/// Characters of a bar that shows how full a ring is.
const BAR: usize = 40;

/// The last look, for rates.
#[derive(Default)]
pub(super) struct Watch {
    last: Option<Look>,
}

struct Look {
    when: Instant,
    generation: u32,
    /// Sent and received of each lane.
    counts: Vec<(u32, u32)>,
}

impl Watch {
    /// The lanes' rates since the last look and how full they are, 80 columns wide at most.
    pub(super) fn describe(&mut self, status: &Status, text: &mut String) {
        let now = Look {
            when: Instant::now(),
            generation: status.generation,
            counts: status.lanes.iter().map(|lane| (lane.sent, lane.received)).collect(),
        };
        // Another channel under the same key begins anew.
        let last = self.last.take().filter(|last| {
            last.generation == now.generation && last.counts.len() == now.counts.len()
        });
        // Writing to a String can't fail.
        let _ = writeln!(text, "lane     sent/s received/s  ring");
        for (number, lane) in status.lanes.iter().enumerate() {
            let (sent, received) = match &last {
                Some(last) => {
                    let time = (now.when.duration_since(last.when).as_millis() as u64).max(1);
                    let (sent, received) = last.counts[number];
                    // Rounded to whole numbers: to format others takes 20 kB of code.
                    let rate = |now: u32, before: u32| {
                        let count = u64::from(now.wrapping_sub(before));
                        ((count * 1000 + time / 2) / time).to_string()
                    };
                    (rate(lane.sent, sent), rate(lane.received, received))
                }
                None => ("-".into(), "-".into()),
            };
            let ring = status.geometry.ring_bytes.max(1) as usize;
            let queued = (lane.queued_bytes as usize).min(ring);
            // A message queued is never shown as none.
            let marks = (queued * BAR).div_ceil(ring);
            let _ = writeln!(
                text,
                "{number:>4} {sent:>10} {received:>10}  [{:<BAR$}] {:>3}%",
                "#".repeat(marks),
                queued * 100 / ring
            );
        }
        self.last = Some(now);
    }
}

/// Puts a picture over the last one on a terminal, line by line, so that it does not flicker.
pub(super) fn over(picture: &str) -> String {
    let lines = picture.replace('\n', "\x1b[K\n");
    format!("\x1b[H{lines}\x1b[J")
}
