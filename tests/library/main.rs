//! The library as a Rust program uses it.
#![deny(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod aside;
mod corpus;
mod descriptor;
mod descriptor_long;
mod ends;
mod forks;
mod holding;
mod interface;
mod races;
mod turns;
