//! A batch: all that changed in all views over a span of epochs.
//!
//! Invariant: batches of neighbouring spans merge into the batch of the whole span, by addition,
//! so that a slow reader gets fewer and larger ones and nothing else changes.

use crate::run::Run;
use crate::time::{Epoch, UtcMs};

/// The changes of every view over the epochs `[lower, upper)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The first epoch counted here.
    pub lower: Epoch,
    /// The first epoch not counted here.
    pub upper: Epoch,
    /// The shop clock at the last epoch: what the freshest event could know.
    pub as_of: UtcMs,
    /// What to add to the totals of each view, in the order of the views.
    pub deltas: Vec<Run>,
}

impl Batch {
    /// This batch and the one that follows it as one.
    ///
    /// # Panics
    /// When the other does not begin where this one ends.
    #[must_use]
    pub fn merge(self, next: &Self) -> Self {
        assert_eq!(self.upper, next.lower, "only neighbouring batches merge");
        assert_eq!(self.deltas.len(), next.deltas.len(), "batches must speak of the same views");
        let deltas = self.deltas.iter().zip(&next.deltas).map(|(a, b)| a.merge(b)).collect();
        Self { lower: self.lower, upper: next.upper, as_of: self.as_of.max(next.as_of), deltas }
    }
}
