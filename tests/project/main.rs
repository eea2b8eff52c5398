//! The project's own files: rooms of the sources, documents, manual pages, what the programs are built with.
#![deny(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod api;
mod documents;
mod manual;
mod panics;
mod rooms;
