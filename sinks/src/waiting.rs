//! What waits for a sink: the batches since a snapshot, merged.
//!
//! Invariant: what waits never holds more keys than the snapshot before it plus the one after it,
//! however long the target is away, and a batch is merged about log2(keys) times, not once for
//! each that follows it.

use std::sync::Arc;

use ionflux_schemas::batch::Batch;
use ionflux_schemas::run::Run;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs};

/// The changes from one snapshot to a later one.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    before: Arc<Snapshot>,
    /// Neighbouring batches, oldest first, each at least twice as large as its successor.
    levels: Vec<Arc<Batch>>,
    after: Arc<Snapshot>,
}

/// The same as one batch.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub before: Arc<Snapshot>,
    pub batch: Arc<Batch>,
    pub after: Arc<Snapshot>,
}

impl Waiting {
    /// # Panics
    /// When the batch is not what lies between the two snapshots.
    pub fn new(before: &Arc<Snapshot>, batch: &Batch, after: &Arc<Snapshot>) -> Self {
        assert_eq!(before.upper, batch.lower, "a batch must begin where the snapshot ends");
        assert_eq!(after.upper, batch.upper, "a batch must end where the next snapshot does");
        let levels = vec![Arc::new(batch.clone())];
        Self { before: Arc::clone(before), levels, after: Arc::clone(after) }
    }

    pub fn lower(&self) -> Epoch {
        self.before.upper
    }

    /// Where it begins, and the clock there.
    pub fn begin(&self) -> (Epoch, UtcMs) {
        (self.before.upper, self.before.as_of)
    }

    pub fn upper(&self) -> Epoch {
        self.after.upper
    }

    pub fn after(&self) -> &Arc<Snapshot> {
        &self.after
    }

    /// Appends what follows.
    ///
    /// # Panics
    /// When it does not begin where this ends.
    pub fn append(&mut self, next: Self) {
        assert_eq!(self.upper(), next.lower(), "what waits must be without a gap");
        self.after = next.after;
        for batch in next.levels {
            self.levels.push(batch);
            self.compact();
        }
        // Retractions cancel only when levels meet, so levels of a busy small view may hold more
        // than differs in the end.
        if self.keys() > self.before.keys() + self.after.keys() {
            self.merge_down(1);
        }
    }

    /// How many keys are held, over all views and levels.
    pub fn keys(&self) -> usize {
        self.levels.iter().map(|batch| keys(batch)).sum()
    }

    /// All that waits as one batch.
    pub fn merged(mut self) -> Option<Span> {
        self.merge_down(1);
        let batch = self.levels.pop()?;
        Some(Span { before: self.before, batch, after: self.after })
    }

    fn compact(&mut self) {
        while let [.., older, newer] = self.levels.as_slice() {
            if keys(older) >= 2 * keys(newer).max(1) {
                break;
            }
            self.merge_down(self.levels.len() - 1);
        }
    }

    fn merge_down(&mut self, levels: usize) {
        while self.levels.len() > levels {
            let (Some(newer), Some(older)) = (self.levels.pop(), self.levels.pop()) else { return };
            self.levels.push(Arc::new(Arc::unwrap_or_clone(older).merge(&newer)));
        }
    }
}

impl From<Span> for Waiting {
    fn from(span: Span) -> Self {
        Self { before: span.before, levels: vec![span.batch], after: span.after }
    }
}

fn keys(batch: &Batch) -> usize {
    batch.deltas.iter().map(Run::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_waits_is_bounded_and_adds_up(
            edits in prop::collection::vec(
                prop::collection::vec((0..40_u8, -3..4_i64), 0..12), 1..40),
        ) {
            let history = History::new(&edits);
            let mut waiting: Option<Waiting> = None;
            for at in 0..history.batches.len() {
                let (before, batch, after) = history.epoch(at);
                let next = Waiting::new(before, batch, after);
                match &mut waiting {
                    Some(waiting) => waiting.append(next),
                    None => waiting = Some(next),
                }
                let held = waiting.as_ref().unwrap();
                prop_assert!(held.keys() <= held.before.keys() + held.after.keys());
                prop_assert!(held.levels.len() <= 8);
            }
            let span = waiting.unwrap().merged().unwrap();
            let mut whole = history.batches[0].clone();
            for next in &history.batches[1..] {
                whole = whole.merge(next);
            }
            prop_assert_eq!(&*span.batch, &whole);
            prop_assert_eq!(span.after.upper, history.last().upper);
        }
    }
    #[test]
    fn levels_stay_few_while_the_target_is_away() {
        let mut edits: Vec<Vec<(u8, i64)>> = (0..64).map(|key| vec![(key, 1)]).collect();
        edits.insert(0, (0..200).map(|key| (key, 1)).collect());
        let history = History::new(&edits);
        let mut waiting = Waiting::new(&history.states[1], &history.batches[1], &history.states[2]);
        for at in 2..65 {
            let (before, batch, after) = history.epoch(at);
            waiting.append(Waiting::new(before, batch, after));
            assert!(waiting.levels.len() <= 7, "{} levels after {at}", waiting.levels.len());
        }
    }
}
