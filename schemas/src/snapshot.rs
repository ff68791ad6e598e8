//! A snapshot: the contents of every view at one epoch, immutable and cheap to make.
//!
//! A view is a short list of sorted runs, like the levels of an LSM tree; a batch adds one run and
//! neighbours of similar size merge, so that an epoch costs what it changed and not what there is:
//!
//! ```text
//! before   [ 1,000,000 keys ] [ 60,000 ] [ 900 ]
//! after    [ 1,000,000 keys ] [ 60,000 ] [ 900 + 700 ]        readers of before are not disturbed
//! ```

use std::sync::Arc;

use crate::batch::Batch;
use crate::dictionary::Dictionary;
use crate::run::Run;
use crate::time::{Epoch, UtcMs};
use crate::view::{Row, View};

/// Every view at one epoch.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// All epochs below this one are counted, and none at or above it.
    pub upper: Epoch,
    /// The shop clock at the last epoch.
    pub as_of: UtcMs,
    views: Vec<Levels>,
    dictionary: Arc<Dictionary>,
}

#[derive(Clone, Debug)]
struct Levels {
    view: &'static View,
    runs: Vec<Arc<Run>>,
}

/// One row that came or went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The row before, if there was one.
    pub old: Option<Row>,
    /// The row after, if there is one.
    pub new: Option<Row>,
}

impl Snapshot {
    /// Views without rows, before the first epoch.
    #[must_use]
    pub fn empty(views: &[&'static View], dictionary: Arc<Dictionary>) -> Self {
        let views = views.iter().map(|view| Levels { view, runs: Vec::new() }).collect();
        Self { upper: Epoch(0), as_of: UtcMs(0), views, dictionary }
    }

    /// The snapshot after a batch.
    ///
    /// # Panics
    /// When the batch does not begin where this snapshot ends, or is of other views.
    #[must_use]
    pub fn after(&self, batch: &Batch) -> Self {
        assert_eq!(self.upper, batch.lower, "a batch must begin where the snapshot ends");
        assert_eq!(self.views.len(), batch.deltas.len(), "a batch must speak of every view");
        let views = self.views.iter().zip(&batch.deltas);
        Self {
            upper: batch.upper,
            as_of: self.as_of.max(batch.as_of),
            views: views.map(|(levels, delta)| levels.after(delta)).collect(),
            dictionary: Arc::clone(&self.dictionary),
        }
    }

    /// The views, in the order of a batch's deltas.
    pub fn views(&self) -> impl Iterator<Item = &'static View> {
        self.views.iter().map(|levels| levels.view)
    }

    /// The rows of a view in no particular order; `None` for a name that no view has.
    #[must_use]
    pub fn rows(&self, name: &str) -> Option<Vec<Row>> {
        let levels = self.views.iter().find(|levels| levels.view.name == name)?;
        let whole = levels.merged();
        let mut rows = Vec::with_capacity(whole.len());
        whole.for_each(|key, totals| rows.push((levels.view.row)(&self.dictionary, key, totals)));
        Some(rows)
    }

    /// The rows of a view sorted by primary key; `None` for a name that no view has.
    #[must_use]
    pub fn sorted_rows(&self, name: &str) -> Option<Vec<Row>> {
        let levels = self.views.iter().find(|levels| levels.view.name == name)?;
        let key = &levels.view.parsed().key;
        let mut rows = self.rows(name)?;
        rows.sort_by(|a, b| {
            let a = key.iter().map(|place| &a.0[*place]);
            a.cmp(key.iter().map(|place| &b.0[*place]))
        });
        Some(rows)
    }

    /// What a batch that begins at this snapshot changes in a view, row by row.
    #[must_use]
    pub fn changes(&self, batch: &Batch, name: &str) -> Vec<Change> {
        let mut changes = Vec::new();
        let found = self.views.iter().zip(&batch.deltas).find(|(l, _)| l.view.name == name);
        let Some((levels, delta)) = found else { return changes };
        let row = |key, totals: &[i128]| {
            let present = totals.iter().any(|total| *total != 0);
            present.then(|| (levels.view.row)(&self.dictionary, key, totals))
        };
        delta.for_each(|key, added| {
            let mut totals = vec![0; added.len()];
            levels.runs.iter().for_each(|run| run.add_to(key, &mut totals));
            let old = row(key, &totals);
            totals.iter_mut().zip(added).for_each(|(total, add)| *total += add);
            changes.push(Change { old, new: row(key, &totals) });
        });
        changes
    }

    /// Calls `each` with every packed key of a view and its totals, in ascending order.
    pub fn for_each_key(&self, name: &str, each: impl FnMut(u128, &[i128])) {
        if let Some(levels) = self.views.iter().find(|levels| levels.view.name == name) {
            levels.merged().for_each(each);
        }
    }

    /// How many keys are held, over all views and levels; a measure of memory.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.views.iter().flat_map(|levels| &levels.runs).map(|run| run.len()).sum()
    }
}

impl Levels {
    fn after(&self, delta: &Run) -> Self {
        let mut runs = self.runs.clone();
        if !delta.is_empty() {
            runs.push(Arc::new(delta.clone()));
        }
        // Each run at least twice its successor: at most log2(keys) runs, each key merged as often.
        while let [.., older, newer] = runs.as_slice() {
            if older.len() >= 2 * newer.len() {
                break;
            }
            let merged = Arc::new(older.merge(newer));
            runs.truncate(runs.len() - 2);
            if !merged.is_empty() {
                runs.push(merged);
            }
        }
        Self { view: self.view, runs }
    }

    fn merged(&self) -> Arc<Run> {
        let mut runs = self.runs.iter().rev();
        let Some(first) = runs.next() else { return Arc::new(Run::empty(self.view.width)) };
        runs.fold(Arc::clone(first), |newer, older| Arc::new(older.merge(&newer)))
    }
}
