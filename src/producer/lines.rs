//! Many lines at once as messages, for `shmdemo-client`.

use super::Producer;

impl Producer {
    /// Stages lines from the begin of `bytes`, for as long as each takes no more than a copy; returns how
    /// many lines and bytes that were. `length` tells of what is left how long the next line is, without
    /// its separator, which is one byte; `None`: there is none to be staged.
    pub(crate) fn stage_lines(
        &mut self,
        bytes: &[u8],
        mut length: impl FnMut(&[u8]) -> Option<usize>,
    ) -> (u64, usize) {
        let (mut lines, mut end, mut behind) = (0, 0, 0);
        if self.claimant.is_this() {
            self.tx.stage_each(|| {
                // The one before is staged.
                end += behind;
                lines += u64::from(behind > 0);
                behind = 0;
                let line = bytes[end..].get(..length(&bytes[end..])?)?;
                behind = line.len() + 1;
                Some(line)
            });
        }
        (self.unrung, self.unsure) = (self.unrung | (lines > 0), self.unsure | (lines > 0));
        (lines, end)
    }
}
