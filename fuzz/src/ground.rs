//! The image and raw-call modules of the ordinary tests, as they are there.
#![allow(dead_code)] // each program uses a part of them

#[path = "../../tests/support/image.rs"]
pub mod image;
#[path = "../../tests/support/raw.rs"]
pub mod raw;

/// A channel under a key of this process.
pub fn new() -> image::Ground {
    image::Ground::new(0x6600_0000 | (std::process::id() & 0xff_ffff) as i32)
}
