//! Settings: configuration that comes as events, holds from an instant on, and keeps its history.
//!
//! ```text
//! PUT ─ door ─ request ─ tree (JSON, YAML) ─┐
//!                      └ upload (CSV) ──────┴─ change ─ kinds ─ shape ─┬─ leaf, cron
//!                                                │                     └─ filter, criterion
//! journal ◀── one delivery, a line a change ─────┘
//!    └─ delivery (pure) ─▶ ledger ─▶ held ─ effective ─▶ GET
//! ```
//!
//! Invariant: a change is never overwritten: it is an entity of its own, and what holds at an
//! instant follows from all of them, in whatever order they came.

pub mod change;
pub mod delivery;
pub mod door;
pub mod effective;
pub mod held;
pub mod import;
pub mod kinds;
pub mod problem;
pub mod tree;
pub mod upload;

mod criterion;
mod cron;
mod filter;
mod leaf;
mod request;
mod shape;
