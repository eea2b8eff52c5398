//! The closing handshake: a server that is about to remove the channel, and producers that go on
//! sending meanwhile.
//!
//! The server says so, fences, then takes what is committed; a producer commits, fences, then
//! asks. Both fences are SeqCst, so one comes first: either the server sees the message or its
//! sender is told.

use super::atomic::{fence, Ordering};
use super::layout::{Header, CLOSING, CLOSING_AT_END};

impl Header {
    /// Says that the server is about to remove the channel. It looks at the lanes after this.
    pub(crate) fn announce_close(&self) {
        if !self.end_taken() {
            self.closing.store(CLOSING, Ordering::Relaxed);
        }
        // Pairs with the fence in `is_closing`.
        fence(Ordering::SeqCst);
    }

    /// Notes that an End record was taken, before it is released: it is gone from the ring then,
    /// so should this server be killed before it has removed the channel, the next one ends.
    pub(crate) fn note_end(&self) {
        self.closing.store(CLOSING_AT_END, Ordering::Relaxed);
    }

    /// Was an End record taken by a server that has not removed the channel yet?
    pub(crate) fn end_taken(&self) -> bool {
        self.closing.load(Ordering::Relaxed) == CLOSING_AT_END
    }

    /// Takes back whatever was said: the channel stays.
    pub(crate) fn withdraw_close(&self) {
        self.closing.store(0, Ordering::Relaxed);
    }

    /// Has the server said so? The caller has committed before.
    pub(crate) fn is_closing(&self) -> bool {
        // Pairs with the fence in `announce_close`.
        fence(Ordering::SeqCst);
        self.closing.load(Ordering::Relaxed) != 0
    }
}
