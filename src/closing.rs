//! The closing handshake: a server that is about to remove the channel, and producers that go on
//! sending meanwhile.
//!
//! The server says so, fences, then takes what is committed; a producer commits, fences, then
//! asks. Both fences are SeqCst, so one comes first: either the server sees the message or its
//! sender is told.

use crate::layout::Header;
use crate::sync::{fence, Ordering};

impl Header {
    /// Says that the server is about to remove the channel. It looks at the lanes after this.
    pub fn say_closing(&self) {
        self.closing.store(1, Ordering::Relaxed);
        // Pairs with the fence in `is_closing`.
        fence(Ordering::SeqCst);
    }

    /// Has the server said so? The caller has committed before.
    pub fn is_closing(&self) -> bool {
        // Pairs with the fence in `say_closing`.
        fence(Ordering::SeqCst);
        self.closing.load(Ordering::Relaxed) != 0
    }
}
