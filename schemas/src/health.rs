//! Health: what a component says of itself, and since when.
//!
//! Invariant: health is a value that anybody may read at any time, not a line in a log.

use serde::{Deserialize, Serialize};

use crate::time::UtcMs;

/// What a component says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// The component, such as `journal`, `ledger` or a sink's name.
    pub component: Box<str>,
    /// How it is.
    pub state: Condition,
    /// Since when it is so, by our clock.
    pub since: UtcMs,
    /// Why, in words; empty while all is well.
    pub reason: Box<str>,
}

/// How a component is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It comes up: opens, connects, hydrates.
    Starting,
    /// It does its work.
    Running,
    /// It cannot do its work now and tries again by itself.
    Stalled,
    /// It stopped for good; a person must act.
    Halted,
}
