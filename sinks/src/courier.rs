//! The courier: what one sink is owed, decided from what its target says.
//!
//! Invariant: changes leave only if the target is known to stand exactly where they begin; in every
//! other case a whole snapshot does. No I/O, no clock, no threads: the same calls give the same
//! batches.
//!
//! ```text
//!   epochs      4    5    6    7    8
//!   waiting          [ 5 ─────── 8 )       before = 5, after = 8
//!   target says 5    changes 5 to 8
//!   target says 8    nothing: it has them
//!   target says 4, 6, another state, nothing at all: the snapshot at 8
//! ```

use std::sync::Arc;

use ionflux_schemas::batch::Batch;
use ionflux_schemas::snapshot::{Change, Snapshot};
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::View;

use crate::sink::{Mark, Outgoing};
use crate::waiting::{Span, Waiting};

/// What one sink is owed.
#[derive(Debug)]
pub struct Courier {
    state: u128,
    /// Where the target was when it last said so.
    target: Option<Place>,
    /// Whether that still holds, or the target has to be asked.
    sure: bool,
    newest: Option<Arc<Snapshot>>,
    /// Whether all epochs that any process of this state ever published were offered.
    caught_up: bool,
    waiting: Option<Waiting>,
    /// What was handed out and is not known to have arrived.
    flight: Option<Flight>,
}

/// An epoch of one history, as the clock at it witnesses.
type Place = (Epoch, UtcMs);

fn place(snapshot: &Snapshot) -> Place {
    (snapshot.upper, snapshot.as_of)
}

#[derive(Debug)]
struct Flight {
    to: Place,
    /// `None` for a snapshot, which can be made again from the newest.
    span: Option<Span>,
}

/// What to write, before its rows are made: making those of a large snapshot is work that a driver
/// does off its own thread.
#[derive(Debug)]
pub struct Plan {
    state: u128,
    what: What,
}

#[derive(Debug)]
enum What {
    Whole(Arc<Snapshot>),
    Changes(Span),
}

impl Courier {
    /// For a sink of the state folder `state`, whose target has not been asked yet.
    #[must_use]
    pub fn new(state: u128) -> Self {
        let (target, newest, waiting, flight) = (None, None, None, None);
        Self { state, target, sure: false, newest, caught_up: false, waiting, flight }
    }

    /// Says what there is before the first offer, so that a new sink gets it, and one that fell
    /// behind catches up.
    pub fn begin(&mut self, snapshot: &Arc<Snapshot>) {
        self.newest = Some(Arc::clone(snapshot));
        self.waiting = None;
    }

    /// Says that everything the journal holds was offered: epochs beyond that never were.
    pub fn caught_up(&mut self) {
        self.caught_up = true;
    }

    /// Whether the target holds epochs that this state never had, or had at another time: its
    /// folder was put back from an older copy, or two programs go on from copies of one. What is
    /// counted from now on differs from what the target has.
    #[must_use]
    pub fn strayed(&self) -> bool {
        let Some(target) = self.target.filter(|_| self.sure) else { return false };
        let newest = self.newest.as_ref().map(|newest| place(newest));
        let end = newest.map_or(Epoch(0), |(epoch, _)| epoch);
        let begin = self.waiting.as_ref().map(Waiting::begin);
        let other = |ours: Place| ours.0 == target.0 && ours.1 != target.1;
        (self.caught_up && target.0 > end) || [newest, begin].into_iter().flatten().any(other)
    }

    /// Counts under another identity from now on, of which no target has anything yet.
    pub fn renew(&mut self, state: u128) {
        (self.state, self.target, self.waiting, self.flight) = (state, None, None, None);
    }

    /// Offers the epochs of a batch, with the snapshots before and after it.
    ///
    /// # Panics
    /// When they do not follow what was offered before: a bug of the publisher.
    pub fn offer(&mut self, before: &Arc<Snapshot>, batch: &Batch, after: &Arc<Snapshot>) {
        self.accept(Waiting::new(before, batch, after));
    }

    pub(crate) fn accept(&mut self, offered: Waiting) {
        if let Some(newest) = &self.newest {
            assert_eq!(newest.upper, offered.lower(), "epochs must be offered without a gap");
        }
        self.newest = Some(Arc::clone(offered.after()));
        match &mut self.waiting {
            Some(waiting) => waiting.append(offered),
            None => self.waiting = Some(offered),
        }
        self.prune();
    }

    /// Whether the target must be asked before anything is written.
    #[must_use]
    pub fn unsure(&self) -> bool {
        !self.sure
    }

    /// What the target said it holds.
    pub fn resumed(&mut self, mark: Option<Mark>) {
        let held =
            mark.filter(|mark| mark.state == self.state).map(|mark| (mark.epoch, mark.as_of));
        if let Some(Flight { span: Some(span), .. }) = self.flight.take()
            && held == Some(place(&span.before))
        {
            let mut again = Waiting::from(span);
            if let Some(newer) = self.waiting.take() {
                again.append(newer);
            }
            self.waiting = Some(again);
        }
        (self.target, self.sure) = (held, true);
        self.prune();
    }

    /// What to write now: nothing while the target is up to date, has to be asked, or has not
    /// answered the last. Each must be followed by [`Courier::wrote`] or [`Courier::failed`].
    // Not an iterator: what comes next depends on the answers in between.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Outgoing> {
        self.plan().map(Plan::outgoing)
    }

    /// The same as [`Courier::next`], with the rows still to be made.
    pub fn plan(&mut self) -> Option<Plan> {
        if !self.sure || self.flight.is_some() {
            return None;
        }
        let newest = self.newest.as_ref()?;
        if self.strayed() || self.target.is_some_and(|(target, _)| target >= newest.upper) {
            return None;
        }
        let to = place(newest);
        let span = self.waiting.take().filter(|waiting| Some(waiting.begin()) == self.target);
        let span = span.and_then(Waiting::merged);
        let what = span.clone().map_or_else(|| What::Whole(Arc::clone(newest)), What::Changes);
        self.flight = Some(Flight { to, span });
        Some(Plan { state: self.state, what })
    }

    /// The target confirmed the last.
    pub fn wrote(&mut self) {
        if let Some(flight) = self.flight.take() {
            (self.target, self.sure) = (Some(flight.to), true);
        }
    }

    /// The last was not confirmed; whether the target made the step, only the target knows.
    pub fn failed(&mut self) {
        self.sure = false;
    }

    /// Below which epoch the target is known to hold everything; `None` while it holds nothing of
    /// this state, or was never asked.
    #[must_use]
    pub fn reached(&self) -> Option<Epoch> {
        self.target.map(|(epoch, _)| epoch)
    }

    /// Whether anything is owed, as far as the target is known.
    #[must_use]
    pub fn owing(&self) -> bool {
        self.newest
            .as_ref()
            .is_some_and(|newest| self.target.is_none_or(|(held, _)| held < newest.upper))
    }

    /// Lets go of changes that begin where the target will not be: it has them, or is due a
    /// snapshot.
    fn prune(&mut self) {
        let stands = match &self.flight {
            Some(flight) => Some(flight.to.0),
            None if self.sure => self.reached(),
            None => return,
        };
        if self.waiting.as_ref().is_some_and(|waiting| stands != Some(waiting.lower())) {
            self.waiting = None;
        }
    }
}

impl Plan {
    /// The rows.
    #[must_use]
    pub fn outgoing(self) -> Outgoing {
        let (from, after, views) = match &self.what {
            What::Whole(snapshot) => (None, snapshot, whole(snapshot)),
            What::Changes(span) => (Some(span.before.upper), &span.after, changes(span)),
        };
        let to = Mark { state: self.state, epoch: after.upper, as_of: after.as_of };
        Outgoing { from, to, views }
    }
}

fn whole(snapshot: &Snapshot) -> Vec<(&'static View, Vec<Change>)> {
    let rows = |name| snapshot.rows(name).unwrap_or_default().into_iter();
    let change = |row| Change { old: None, new: Some(row) };
    snapshot.views().map(|view| (view, rows(view.name).map(change).collect())).collect()
}

fn changes(span: &Span) -> Vec<(&'static View, Vec<Change>)> {
    let of = |name| {
        let mut changes = span.before.changes(&span.batch, name);
        // Totals may move without any column showing it.
        changes.retain(|change| change.old != change.new);
        changes
    };
    span.before.views().map(|view| (view, of(view.name))).collect()
}

#[cfg(test)]
mod tests;
