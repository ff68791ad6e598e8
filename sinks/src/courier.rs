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
use ionflux_schemas::time::Epoch;
use ionflux_schemas::view::View;

use crate::sink::{Mark, Outgoing};
use crate::waiting::{Span, Waiting};

/// What one sink is owed.
#[derive(Debug)]
pub struct Courier {
    state: u128,
    /// Where the target was when it last said so.
    target: Option<Epoch>,
    /// Whether that still holds, or the target has to be asked.
    sure: bool,
    newest: Option<Arc<Snapshot>>,
    waiting: Option<Waiting>,
    /// What was handed out and is not known to have arrived.
    flight: Option<Flight>,
}

#[derive(Debug)]
struct Flight {
    to: Epoch,
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
        Self { state, target: None, sure: false, newest: None, waiting: None, flight: None }
    }

    /// Says what there is before the first offer, so that a new sink gets it, and one that fell
    /// behind catches up.
    pub fn begin(&mut self, snapshot: &Arc<Snapshot>) {
        self.newest = Some(Arc::clone(snapshot));
        self.waiting = None;
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
        let held = mark.filter(|mark| mark.state == self.state).map(|mark| mark.epoch);
        if let Some(Flight { span: Some(span), .. }) = self.flight.take()
            && held == Some(span.before.upper)
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
        if self.target.is_some_and(|target| target >= newest.upper) {
            return None;
        }
        let to = newest.upper;
        let span = self.waiting.take().filter(|waiting| Some(waiting.lower()) == self.target);
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
        self.target
    }

    /// Whether anything is owed, as far as the target is known.
    #[must_use]
    pub fn owing(&self) -> bool {
        self.newest
            .as_ref()
            .is_some_and(|newest| self.target.is_none_or(|held| held < newest.upper))
    }

    /// Lets go of changes that begin where the target will not be: it has them, or is due a
    /// snapshot.
    fn prune(&mut self) {
        let stands = match &self.flight {
            Some(flight) => Some(flight.to),
            None if self.sure => self.target,
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
        let to = Mark { state: self.state, epoch: after.upper };
        Outgoing { from, to, as_of: after.as_of, views }
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
mod tests {
    use super::*;
    use crate::history::History;
    use ionflux_schemas::dictionary::Dictionary;
    use ionflux_schemas::run::Run;
    use ionflux_schemas::time::UtcMs;
    use ionflux_schemas::view::{Row, Value};

    const STATE: u128 = 1;

    fn mark(epoch: u64) -> Option<Mark> {
        Some(Mark { state: STATE, epoch: Epoch(epoch) })
    }

    fn offer(courier: &mut Courier, history: &History, epochs: std::ops::Range<usize>) {
        for at in epochs {
            let (before, batch, after) = history.epoch(at);
            courier.offer(before, batch, after);
        }
    }

    /// What leaves next, as `from-to`, with `all` for a snapshot.
    fn next(courier: &mut Courier) -> String {
        courier.next().map_or("nothing".to_owned(), |batch| {
            let from = batch.from.map_or("all".to_owned(), |from| from.to_string());
            format!("{from}-{}", batch.to.epoch)
        })
    }

    /// A program that stands at epoch 2, offers up to 6 and hears what the target holds.
    fn check(held: Option<Mark>, expected: &str) {
        let history = History::sample();
        for asked_first in [false, true] {
            let mut courier = Courier::new(STATE);
            assert!(courier.unsure());
            courier.begin(&history.states[2]);
            if asked_first {
                courier.resumed(held);
            }
            offer(&mut courier, &history, 2..6);
            if !asked_first {
                assert_eq!(next(&mut courier), "nothing", "the target has not been asked");
                courier.resumed(held);
            }
            assert_eq!(next(&mut courier), expected, "{held:?}");
        }
    }

    #[test]
    fn changes_leave_only_for_a_target_that_stands_where_they_begin() {
        check(mark(2), "2-6");
        check(mark(1), "all-6");
        check(None, "all-6");
        check(Some(Mark { state: 9, epoch: Epoch(2) }), "all-6");
        check(mark(6), "nothing");
        check(mark(8), "nothing");
    }

    #[test]
    fn a_target_in_the_middle_of_what_merged_gets_a_snapshot() {
        let history = History::sample();
        let mut courier = Courier::new(STATE);
        courier.begin(&history.states[2]);
        offer(&mut courier, &history, 2..6);
        courier.resumed(mark(4));
        assert_eq!(next(&mut courier), "all-6");
    }

    #[test]
    fn replayed_epochs_that_the_target_has_are_skipped_up_to_its_own() {
        let history = History::sample();
        let mut courier = Courier::new(STATE);
        courier.begin(&history.states[2]);
        courier.resumed(mark(4));
        offer(&mut courier, &history, 2..3);
        assert_eq!(next(&mut courier), "nothing");
        offer(&mut courier, &history, 3..6);
        assert!(courier.owing());
        assert_eq!(next(&mut courier), "4-6");
    }

    #[test]
    fn a_lost_answer_costs_neither_a_snapshot_nor_a_change() {
        let history = History::sample();
        for (held, expected) in [(3, "3-5"), (2, "2-5"), (1, "all-5"), (5, "nothing")] {
            let mut courier = Courier::new(STATE);
            courier.resumed(mark(2));
            offer(&mut courier, &history, 2..3);
            assert_eq!(next(&mut courier), "2-3");
            assert_eq!(next(&mut courier), "nothing", "one at a time");
            offer(&mut courier, &history, 3..4);
            courier.failed();
            offer(&mut courier, &history, 4..5);
            assert!(courier.unsure());
            assert_eq!(next(&mut courier), "nothing", "only the target knows");
            assert_eq!(courier.reached(), Some(Epoch(2)));
            courier.resumed(mark(held));
            assert_eq!(next(&mut courier), expected, "the target holds {held}");
        }
    }

    #[test]
    fn what_is_offered_while_a_write_is_under_way_follows_it() {
        let history = History::sample();
        for held in [None, mark(2)] {
            let mut courier = Courier::new(STATE);
            courier.begin(&history.states[2]);
            courier.resumed(held);
            offer(&mut courier, &history, 2..3);
            assert!(courier.next().is_some());
            offer(&mut courier, &history, 3..5);
            courier.wrote();
            assert_eq!(courier.reached(), Some(Epoch(3)));
            assert_eq!(next(&mut courier), "3-5");
        }
    }

    /// Shows tens only, so that a total may move without its row.
    static TENS: View = View {
        name: "tens",
        version: 1,
        schema: r#"{"type": "record", "name": "tens", "doc": "Tens.", "ionflux.key": ["key"],
            "fields": [{"name": "key", "type": "long", "doc": "The key."},
                {"name": "tens", "type": "long", "doc": "The tens of the total."}]}"#,
        width: 1,
        row: |_, key, totals| {
            Row(vec![Value::Int(key as i64), Value::Int((totals[0] / 10) as i64)])
        },
    };

    #[test]
    fn rows_that_show_no_change_do_not_leave() {
        let batch = |epoch: u64, rows: [(u128, [i64; 1]); 2]| Batch {
            lower: Epoch(epoch),
            upper: Epoch(epoch + 1),
            as_of: UtcMs(0),
            deltas: vec![Run::from_sorted(rows.into_iter())],
        };
        let empty = Snapshot::empty(&[&TENS], Arc::new(Dictionary::new()));
        let before = Arc::new(empty.after(&batch(0, [(1, [31]), (2, [32])])));
        let batch = batch(1, [(1, [5]), (2, [8])]);
        let after = Arc::new(before.after(&batch));
        let mut courier = Courier::new(STATE);
        courier.begin(&before);
        courier.resumed(mark(1));
        courier.offer(&before, &batch, &after);
        let row = |tens| Some(Row(vec![Value::Int(2), Value::Int(tens)]));
        let left = courier.next().unwrap().views;
        assert_eq!(left, [(&TENS, vec![Change { old: row(3), new: row(4) }])]);
    }

    #[test]
    #[should_panic(expected = "without a gap")]
    fn a_gap_is_a_bug_of_the_publisher() {
        let history = History::sample();
        let mut courier = Courier::new(STATE);
        offer(&mut courier, &history, 0..1);
        offer(&mut courier, &history, 2..3);
    }
}
