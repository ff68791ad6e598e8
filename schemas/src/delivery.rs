//! Deliveries: bytes as they came, and the place where they are kept.
//!
//! Invariant: a delivery is never looked into by whoever carries it; only its reader knows what
//! the bytes mean.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::key::Id;
use crate::time::UtcMs;

/// A place in the journal: how many bytes were ever written before it. Grows, and is never given
/// twice, also when older parts of the journal were removed.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One delivery of one source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// The source that carried it, such as `shopify-webhooks`; it also reads it.
    pub source: Id,
    /// The tenant whose door it came through.
    pub workspace: Id,
    /// When it came, by our clock.
    pub received_at: UtcMs,
    /// The headers its reader needs, names in lower case. Never credentials or signatures.
    pub headers: BTreeMap<Id, Id>,
    /// The bytes.
    pub body: Box<[u8]>,
}

/// One record of the journal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// Something came.
    Delivery(Delivery),
    /// The clock: everything before it is counted as one epoch, whose shop clock it is.
    Tick(UtcMs),
}
