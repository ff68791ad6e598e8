//! The platform's own doors and its events: activity, measurements, changes of the store, spend,
//! and what other platforms said, all in one envelope.
//!
//! ```text
//! door ── items ── batch ─ known ─▶ intake        file
//!                    └─────────▶ event ─ fields ◀──┘
//!                                  └─ read/ ─ shopify, metric, activity, change, incident, spend
//! ```
//!
//! Invariant: a token opens the doors of one workspace and of no other; an event means the same
//! through a door, from a file and from a topic.

pub mod tokens;

pub mod door;

pub mod known;

pub mod read;

pub mod file;

mod batch;

mod items;

mod event;

mod fields;
