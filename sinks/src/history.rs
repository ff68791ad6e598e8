//! A small history for the suite: two views over a few keys, epoch by epoch.
//!
//! Invariant: a row's columns follow from its key and its sums alone, so that two histories of the
//! same sums have the same rows; a key whose sum is zero has no row.

use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_schemas::batch::Batch;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::money::Money;
use ionflux_schemas::run::Run;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};

use crate::sink::Mark;

/// Every kind of column a view may have, one of them nullable.
pub static SALES: View = View {
    name: "conformance_sales",
    version: 1,
    schema: r#"{"type": "record", "name": "conformance_sales", "namespace": "ionflux.views.v1",
        "doc": "Sums of the suite, by shop and day.",
        "ionflux.key": ["workspace_id", "day"],
        "fields": [
            {"name": "workspace_id", "type": "string", "doc": "The tenant."},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}, "doc": "The day."},
            {"name": "net", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38,
                "scale": 4}, "doc": "The sum, in euro."},
            {"name": "orders", "type": ["null", "long"], "doc": "The sum, null if negative."},
            {"name": "last_at", "type": {"type": "long", "logicalType": "timestamp-millis"},
                "doc": "An instant made of the sum."}
        ]}"#,
    width: 1,
    row: |_, key, totals| {
        let euro = Currency::parse("EUR").unwrap_or_else(|_| Currency::from_number(0));
        let sum = totals[0] as i64;
        Row(vec![
            Value::text(format!("w{}", key % 3)),
            Value::Day(Day(key as i32)),
            Value::Money(Money::new(totals[0], euro)),
            if sum < 0 { Value::Null } else { Value::Int(sum) },
            Value::Instant(UtcMs(sum.saturating_mul(1000))),
        ])
    },
};

/// A view with far fewer keys than changes.
pub static COUNTS: View = View {
    name: "conformance_counts",
    version: 1,
    schema: r#"{"type": "record", "name": "conformance_counts", "namespace": "ionflux.views.v1",
        "doc": "Sums of the suite, by shop.",
        "ionflux.key": ["workspace_id"],
        "fields": [
            {"name": "workspace_id", "type": "string", "doc": "The tenant."},
            {"name": "units", "type": "long", "doc": "The sum."}
        ]}"#,
    width: 1,
    row: |_, key, totals| Row(vec![Value::text(format!("w{key}")), Value::Int(totals[0] as i64)]),
};

/// The suite's views, in the order of a batch's deltas.
pub static VIEWS: [&View; 2] = [&SALES, &COUNTS];

/// Epochs and the snapshots between them.
#[derive(Debug)]
pub struct History {
    /// One more than batches; the first is empty.
    pub states: Vec<Arc<Snapshot>>,
    /// What each epoch adds.
    pub batches: Vec<Batch>,
}

impl History {
    /// One epoch for each list of edits; an edit adds to the sum of a key, and may take a sum back
    /// to zero.
    #[must_use]
    pub fn new(edits: &[Vec<(u8, i64)>]) -> Self {
        let names = Arc::new(Dictionary::new());
        let mut states = vec![Arc::new(Snapshot::empty(&VIEWS, names))];
        let mut batches = Vec::new();
        for (epoch, edits) in (0_u64..).zip(edits) {
            let batch = Batch {
                lower: Epoch(epoch),
                upper: Epoch(epoch + 1),
                as_of: UtcMs(epoch as i64 * 60_000),
                deltas: vec![run(edits, |key| key), run(edits, |key| key % 3)],
            };
            let after = states.last().map(|state| state.after(&batch));
            states.extend(after.map(Arc::new));
            batches.push(batch);
        }
        Self { states, batches }
    }

    /// Rows that come, change, go and come again, and an epoch that changes nothing.
    #[must_use]
    pub fn sample() -> Self {
        Self::new(&[
            vec![(1, 10), (2, 20), (3, 30)],
            vec![(1, -10), (4, 40)],
            vec![],
            vec![(1, 11), (2, -25), (4, -40)],
            vec![(5, 50), (6, 60), (7, -70)],
            vec![(1, 1), (2, 5), (3, -30), (5, 5)],
            vec![(3, 33), (6, -60), (7, 70)],
            vec![(1, -12), (8, 80)],
        ])
    }

    /// The snapshot before an epoch, the epoch's batch, and the snapshot after it.
    #[must_use]
    pub fn epoch(&self, at: usize) -> (&Arc<Snapshot>, &Batch, &Arc<Snapshot>) {
        (&self.states[at], &self.batches[at], &self.states[at + 1])
    }

    /// The mark of a target that holds the epochs below one.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn mark(&self, state: u128, epoch: usize) -> Mark {
        let Snapshot { upper, as_of, .. } = *self.states[epoch];
        Mark { state, epoch: upper, as_of }
    }

    /// The snapshot after all epochs.
    #[must_use]
    pub fn last(&self) -> &Arc<Snapshot> {
        &self.states[self.batches.len()]
    }
}

fn run(edits: &[(u8, i64)], key: impl Fn(u8) -> u8) -> Run {
    let mut sums: BTreeMap<u128, i64> = BTreeMap::new();
    for (edited, add) in edits {
        *sums.entry(key(*edited).into()).or_default() += add;
    }
    Run::from_sorted(sums.into_iter().map(|(key, sum)| (key, [sum])))
}
