//! What closed and is not published yet: parts add up until an epoch ends.
//!
//! Invariant: a batch begins where the one before it ended, and ends where an epoch does.

use ionflux_schemas::batch::Batch;
use ionflux_schemas::run::Run;
use ionflux_schemas::time::Epoch;

use super::Moment;

/// Closed parts, waiting for the end of their epoch.
#[derive(Debug)]
pub(super) struct Gathered {
    lower: Epoch,
    deltas: Option<Vec<Run>>,
    moment: Moment,
}

impl Gathered {
    /// Nothing yet, after everything below `lower`.
    pub(super) fn new(lower: Epoch, moment: Moment) -> Self {
        Self { lower, deltas: None, moment }
    }

    /// Adds a part that all workers have closed.
    pub(super) fn add(&mut self, deltas: Vec<Run>, moment: Moment) {
        self.deltas = Some(match self.deltas.take() {
            None => deltas,
            Some(held) => held.iter().zip(&deltas).map(|(a, b)| a.merge(b)).collect(),
        });
        self.moment = moment;
    }

    /// What can be published now: everything added, if an epoch ended with the last part.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        let upper = self.moment.upper?;
        let deltas = self.deltas.take()?;
        let lower = std::mem::replace(&mut self.lower, upper);
        assert!(lower < upper, "epochs only grow: {lower} to {upper}");
        Some(Batch { lower, upper, as_of: self.moment.as_of, deltas })
    }
}
