//! The whole image of a segment is the fuzzer's; every reader is put to it.
#![no_main]

#[path = "../src/ground.rs"]
mod ground;

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

thread_local! {
    static GROUND: RefCell<ground::image::Ground> = RefCell::new(ground::new());
}

fuzz_target!(|image: &[u8]| {
    GROUND.with_borrow_mut(|ground| ground.try_readers(image));
});
