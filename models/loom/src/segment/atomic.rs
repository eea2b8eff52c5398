//! Loom's atomics, with a place to die before each operation.

use std::cell::Cell;

pub(crate) use loom::sync::atomic::Ordering;

loom::thread_local! {
    /// Steps this thread may still make; `None`: it lives on.
    static STEPS: Cell<Option<usize>> = Cell::new(None);
}

/// What a thread unwinds with that has made its last step.
pub(crate) struct Dead;

/// Runs `life`, which ends before its step number `steps`; true: it came to its own end.
pub(crate) fn mortal(steps: usize, life: impl FnOnce()) -> bool {
    STEPS.with(|left| left.set(Some(steps)));
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(life));
    STEPS.with(|left| left.set(None));
    match end {
        Ok(()) => true,
        Err(why) if why.is::<Dead>() => false,
        Err(why) => std::panic::resume_unwind(why),
    }
}

/// One step of the thread: an operation on the segment or a system call.
pub(crate) fn step() {
    match STEPS.with(Cell::get) {
        None => {}
        Some(0) => {
            STEPS.with(|left| left.set(None));
            std::panic::resume_unwind(Box::new(Dead));
        }
        Some(left) => STEPS.with(|steps| steps.set(Some(left - 1))),
    }
}

pub(crate) fn fence(order: Ordering) {
    step();
    loom::sync::atomic::fence(order);
}

/// As in the real one.
pub(crate) fn load_acquire(word: &AtomicU32) -> u32 {
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    value
}

pub(crate) struct AtomicU32(loom::sync::atomic::AtomicU32);

impl AtomicU32 {
    pub fn new(value: u32) -> Self {
        Self(loom::sync::atomic::AtomicU32::new(value))
    }

    pub fn load(&self, order: Ordering) -> u32 {
        step();
        self.0.load(order)
    }

    pub fn store(&self, value: u32, order: Ordering) {
        step();
        self.0.store(value, order);
    }

    pub fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        step();
        self.0.fetch_add(value, order)
    }

    pub fn swap(&self, value: u32, order: Ordering) -> u32 {
        step();
        self.0.swap(value, order)
    }

    pub fn compare_exchange(
        &self,
        current: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        step();
        self.0.compare_exchange(current, new, success, failure)
    }
}
