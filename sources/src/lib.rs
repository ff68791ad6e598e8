//! Where events come from: carrying bytes (impure, may fail) and reading them (pure, cannot).
//!
//! Invariant: whatever a record holds, it becomes envelopes or a fault with a reason; nothing is
//! dropped in silence and nothing panics. No timely here, and no sibling crate.

pub mod error;
pub mod reading;
pub mod shop;

pub mod clock;
pub mod inbox;
pub mod journal;

pub mod cursor;
pub mod doors;
pub mod intake;
pub mod poller;
pub mod subjects;

mod draft;

pub mod files;
pub mod kafka;
pub mod platform;
pub mod registry;
pub mod settings;
pub mod shopify;
pub mod simulator;
pub mod tiktok;

pub mod list;

pub mod letters;

pub mod conformance;
