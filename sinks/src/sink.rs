//! The contract of a sink: two verbs, and what is handed over.
//!
//! Invariant: a target keeps its progress in the same step as its rows, so resuming is asking the
//! target; nobody else remembers how far it is.
//!
//! ```text
//!   courier ── resume ──▶ target      "epoch 7 of state a3…"
//!   courier ── write ───▶ target      rows from 7 to 9 and the mark 9, in one step
//!           ◀── answer ──             lost? ask again: the target says 7 or 9
//! ```

use std::pin::Pin;

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::View;

use crate::error::SinkError;

/// An effect under way.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How far a target is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The identity of the state folder whose epochs are counted; others count differently.
    pub state: u128,
    /// All epochs below this one are in the target, and none at or above it.
    pub epoch: Epoch,
}

/// What a target is to show next, as rows with names.
#[derive(Clone, PartialEq, Debug)]
pub struct Outgoing {
    /// The epoch the changes begin at, which must be the target's; `None`: a snapshot that replaces
    /// everything of ours in the target, so that rows not in it are removed.
    pub from: Option<Epoch>,
    /// The target's mark after it.
    pub to: Mark,
    /// The shop clock at the last epoch.
    pub as_of: UtcMs,
    /// The changes of every view; in a snapshot no row has an old one.
    pub views: Vec<(&'static View, Vec<Change>)>,
}

impl Outgoing {
    /// How many rows change, over all views.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.views.iter().map(|(_, changes)| changes.len()).sum()
    }
}

/// A target of views. A future that is dropped before it is ready counts as a lost answer: the
/// sink has to be fit to `resume` afterwards.
pub trait Sink: Send {
    /// The name in metrics, health and configuration.
    fn name(&self) -> &str;

    /// What the target itself says it holds; `None` when it holds nothing of ours.
    ///
    /// # Errors
    /// [`SinkError`], when the target cannot be asked.
    fn resume(&mut self) -> BoxFuture<'_, Result<Option<Mark>, SinkError>>;

    /// Makes the changes and `to` visible in one step; a second time changes nothing. All rows a
    /// batch removes go before the rows it brings, for two may share a primary key.
    ///
    /// A write that was given up may still land late. So the step is conditional: a target of this
    /// state at or beyond `to` stays as it is, and changes apply only where the target stands at
    /// `from`; elsewhere a transient error makes the courier ask again.
    ///
    /// # Errors
    /// [`SinkError`]; after a transient one it is not known whether the step was made.
    fn write<'a>(&'a mut self, batch: &'a Outgoing) -> BoxFuture<'a, Result<(), SinkError>>;
}
