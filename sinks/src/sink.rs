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

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::time::Duration;

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::View;

use crate::error::SinkError;

/// How long a call may take unless the sink says otherwise, in seconds: a snapshot of millions of
/// rows takes minutes.
pub const ANSWER_S: u32 = 300;
/// What an option may say instead.
const ANSWER_S_RANGE: RangeInclusive<u32> = 30..=7_200;

/// Checks what an option `answer_s` says.
///
/// # Errors
/// What is wrong with it.
pub fn check_answer_s(seconds: u32) -> Result<(), String> {
    let (least, most) = (ANSWER_S_RANGE.start(), ANSWER_S_RANGE.end());
    match ANSWER_S_RANGE.contains(&seconds) {
        true => Ok(()),
        false => Err(format!("is not {least} to {most}")),
    }
}

/// An effect under way.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How far a target is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The identity of the state folder whose epochs are counted; others count differently.
    pub state: u128,
    /// All epochs below this one are in the target, and none at or above it.
    pub epoch: Epoch,
    /// The shop clock at the last of them. It witnesses which history they are of: a state folder
    /// that was put back from a copy counts epochs of the same numbers at other times.
    pub as_of: UtcMs,
}

/// What a target is to show next, as rows with names.
#[derive(Clone, PartialEq, Debug)]
pub struct Outgoing {
    /// The epoch the changes begin at, which must be the target's; `None`: a snapshot that replaces
    /// everything of ours in the target, so that rows not in it are removed.
    pub from: Option<Epoch>,
    /// The target's mark after it.
    pub to: Mark,
    /// The changes of every view; in a snapshot no row has an old one.
    pub views: Vec<(&'static View, Vec<Change>)>,
}

/// What is to be done with a batch at a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing: the target has it, or more.
    Done,
    /// Write it.
    Due,
}

impl Outgoing {
    /// What is to be done at a target that holds `held`.
    ///
    /// # Errors
    /// A transient one where the batch does not fit: another write came first. A permanent one for
    /// a batch that ends where it begins.
    pub fn at(&self, held: Option<Mark>) -> Result<Step, SinkError> {
        if self.from.is_some_and(|from| from >= self.to.epoch) {
            let what = format!("a batch ends at its begin {}", self.to.epoch);
            return Err(SinkError::permanent(what));
        }
        let ours = held.filter(|held| held.state == self.to.state);
        let stands = ours.map(|held| held.epoch);
        if let Some(held) = ours.filter(|held| held.epoch >= self.to.epoch) {
            if held.epoch == self.to.epoch && held.as_of != self.to.as_of {
                let what = format!("the target holds another epoch {}", held.epoch);
                return Err(SinkError::transient(what));
            }
            return Ok(Step::Done);
        }
        if self.from.is_some() && self.from != stands {
            let shown = |epoch: Option<Epoch>| epoch.map_or("nothing".into(), |e| e.to_string());
            let (from, held): (String, String) = (shown(self.from), shown(stands));
            let what = format!("a batch begins at {from}, the target holds {held}");
            return Err(SinkError::transient(what));
        }
        Ok(Step::Due)
    }

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

    /// How long a call may take before it counts as unanswered.
    fn answer_within(&self) -> Duration {
        Duration::from_secs(ANSWER_S.into())
    }

    /// How long to leave the target alone after a write, while what waits merges.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }

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
