//! The dataflow at work: differences in, one batch for all views out at the end of each epoch.
//!
//! Two computations do this: [`threads::Threads`] in the product, over any number of workers, and
//! [`inline::Inline`] on the caller's own thread, for whoever must decide when each step happens.
//!
//! Invariant: epochs are published in order, each whole and once, and only when every worker has
//! closed it.

pub mod inline;
pub mod threads;

mod gathered;
mod publisher;
mod worker;

use ionflux_schemas::fact::{Differences, EPOCH_FACTS_MAX};
use ionflux_schemas::time::{Epoch, UtcMs};
use thiserror::Error;

/// The most workers a process may have.
pub const WORKERS_MAX: usize = 64;

/// Why the dataflow stopped.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The number of workers is outside 1 to [`WORKERS_MAX`].
    #[error("{0} workers were asked for; between 1 and {WORKERS_MAX} can run")]
    Workers(usize),
    /// The threads could not be started.
    #[error("the workers could not be started: {0}")]
    Start(String),
    /// A worker or the publisher panicked; its message is on standard error.
    #[error("the dataflow stopped because of a bug; its state on disk is whole")]
    Stopped,
}

/// Where a part of an epoch stands in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The shop clock at its end.
    pub as_of: UtcMs,
    /// The epoch that ends with this part: readers see it and all parts before it at once. `None`
    /// while more parts follow.
    pub upper: Option<Epoch>,
}

/// A running dataflow.
pub trait Computation {
    /// Counts differences, at most [`EPOCH_FACTS_MAX`] facts at once. Blocks while too much is on
    /// its way.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    fn count(&mut self, differences: Differences, moment: Moment) -> Result<(), RuntimeError>;

    /// Waits until everything that was sent is published, as far as its epochs have ended.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    fn settle(&mut self) -> Result<(), RuntimeError>;

    /// Ends all input and waits until every epoch is published.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`] if a worker or the publisher failed.
    fn finish(self) -> Result<(), RuntimeError>;
}

/// Counts differences of any number: more facts than may be counted at once become several parts,
/// published as one.
///
/// # Errors
/// [`RuntimeError::Stopped`].
pub fn count_all(
    computation: &mut impl Computation,
    mut differences: Differences,
    moment: Moment,
) -> Result<(), RuntimeError> {
    while differences.facts.len() > EPOCH_FACTS_MAX {
        let facts = differences.facts.split_off(differences.facts.len() - EPOCH_FACTS_MAX);
        let part = Differences { facts, faults: std::mem::take(&mut differences.faults) };
        computation.count(part, Moment { upper: None, ..moment })?;
    }
    computation.count(differences, moment)
}
