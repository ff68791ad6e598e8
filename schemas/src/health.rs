//! Health: what a component says of itself, and since when.
//!
//! Invariant: health is a value that anybody may read at any time, not a line in a log.

use serde::{Deserialize, Serialize};

use crate::time::{Epoch, UtcMs};

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

/// How a sink is, and how far its target is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// How the sink is.
    pub health: Health,
    /// Below this epoch the target holds everything, as it last said itself; `None` while it has
    /// not been asked, or holds nothing of ours.
    pub epoch: Option<Epoch>,
    /// Below this epoch everything was handed to the sink; `None` before the first.
    pub offered: Option<Epoch>,
}

impl Condition {
    /// The word for it, as in JSON and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stalled => "stalled",
            Self::Halted => "halted",
        }
    }
}
