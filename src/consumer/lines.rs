//! Many messages at once, as lines, for `shmdemo-server`.

use super::Consumer;
use crate::segment::atomic::Ordering::Relaxed;

impl Consumer {
    /// Copies payloads of the lane whose turn it is to the begin of `out`, each between `prefix` and
    /// `separator`, for as long as they are messages that fit; returns how many bytes that were. They
    /// count as looked at. What ends it, [`next_record`](Self::next_record) tells.
    pub(crate) fn copy_lines(&mut self, out: &mut [u8], prefix: &[u8], separator: u8) -> usize {
        let (lane, mut filled) = (self.turn, 0);
        let ready = self.claimant.is_this() && matches!(self.lanes[lane].ready(), Ok(true));
        if self.quota == 0 || !ready {
            return 0;
        }
        let Some(run) = super::open_run(&mut self.runs, lane) else { return 0 };
        let taken = self.lanes[lane].each_message(self.quota, |bytes, found| {
            let (rest, len) = (&mut out[filled..], found.len as usize);
            if rest.len() <= prefix.len() + len {
                return false;
            }
            let (begin, rest) = rest.split_at_mut(prefix.len());
            if !prefix.is_empty() {
                begin.copy_from_slice(prefix);
            }
            bytes.copy_out(found.offset, &mut rest[..len]);
            rest[len] = separator;
            filled += prefix.len() + len + 1;
            true
        });
        self.quota -= taken;
        run.records += taken;
        filled
    }

    /// Notes in the segment that a batch of lines is being written to `stream`, or (0) that none is. Relaxed:
    /// who reads it has claimed the role that this one had.
    pub(crate) fn note_writing(&self, stream: u32) {
        if self.claimant.is_this() {
            self.channel.segment().header().writing.store(stream, Relaxed);
        }
    }

    /// What a predecessor noted last. Any value is good: one that is made up costs an empty line.
    pub(crate) fn writing(&self) -> u32 {
        self.channel.segment().header().writing.load(Relaxed)
    }
}
