//! Where views go: each target in a folder of its own.
//!
//! Invariant: a target shows an epoch whole or not at all. In the order a newcomer should read: the
//! contract, what one sink is owed, the task that brings it, the sinks, the suite they all pass.

pub mod error;
pub mod sink;

pub mod courier;
mod waiting;

pub mod driver;
mod mailbox;
pub mod metrics;
mod random;
pub mod retry;

pub mod list;
pub mod registry;
pub mod section;

pub mod files;
#[cfg(not(feature = "kafka"))]
#[path = "absent.rs"]
pub mod kafka;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod lake;
pub mod memory;
pub mod timescale;

pub mod conformance;
pub mod history;
pub mod pump;
