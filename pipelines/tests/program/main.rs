//! The program as its user runs it: what it prints, what it leaves, and how it refuses.

#![allow(clippy::unwrap_used)]

mod bench;
mod config;
#[cfg(feature = "kafka")]
#[path = "../../../sources/tests/confluent/mod.rs"]
mod confluent;
mod faults;
mod history;
#[cfg(feature = "kafka")]
mod schemas;
mod state;
#[cfg(feature = "kafka")]
mod topics;
