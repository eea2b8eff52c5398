//! The C library as C programs use it, and what is written of it.
#![deny(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod built;
mod documents;
mod headers;
mod mixed_widths;
mod packaging;
mod programs;
