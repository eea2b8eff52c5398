//! The two programs from outside: started, fed, stopped and killed as a user or a machine does it.
//!
//! One executable, so that a board boots once for all of it.
#![deny(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod aside;
mod classic;
mod commands;
mod demo;
mod examples;
mod exchange;
mod faults;
mod inherited;
mod lanes;
mod last_moment;
mod notify;
mod opening;
mod output;
mod owners;
mod peers;
mod relay;
mod rules;
mod sandboxes;
mod scribble;
mod stops;
mod syslog;
mod system_limits;
mod trust;
mod watch;
