//! The topics as they stood at each of their marks.
//!
//! Invariant: a record is part of one epoch, and of an epoch all records are there.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_operators::list;
use ionflux_schemas::view::View;
use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::topics::{Key, OUTPUTS, Topics};
use super::totals::{Totals, numbers};

/// What a record puts in the place of what its key had: the sums of one row, or nothing.
struct Record {
    epoch: u64,
    view: &'static View,
    key: Key,
    sums: Option<Vec<Decimal>>,
}

impl Topics {
    /// The totals at each mark, which agree.
    pub fn epochs(&self) -> BTreeMap<u64, Totals> {
        let marks = self.marks();
        let (first, last) = (marks[0], *marks.last().unwrap());
        let held: BTreeSet<u64> = marks.iter().copied().collect();
        let mut records: Vec<Record> = Vec::new();
        for view in list::views() {
            let numbers = numbers(view);
            for (key, (epoch, value)) in self.committed(&self.topic(view.name)) {
                let epoch = epoch.unwrap();
                // Compaction takes the oldest marks, so that of those before the first that is
                // left nothing is known.
                let known = held.contains(&epoch) || epoch < first;
                assert!(known, "{}: no mark of {epoch} among {first} to {last}", view.name);
                let sums = value.map(|value| sums(&value, &numbers));
                records.push(Record { epoch, view, key, sums });
            }
        }
        // Stable: records of one partition stay in their order.
        records.sort_by_key(|record| record.epoch);
        let (mut records, mut rows) = (records.into_iter().peekable(), BTreeMap::new());
        let mut totals = Totals::new();
        let at = |mark| {
            while let Some(record) = records.next_if(|record| record.epoch <= mark) {
                let Record { view, key, sums, .. } = record;
                let before = match &sums {
                    Some(new) => rows.insert((view.name, key), new.clone()),
                    None => rows.remove(&(view.name, key)),
                };
                before.iter().for_each(|old| totals.add(view, old, Decimal::NEGATIVE_ONE));
                sums.iter().for_each(|new| totals.add(view, new, Decimal::ONE));
            }
            totals.agree(&format!("the topics at {mark}"));
            (mark, totals.clone())
        };
        marks.into_iter().map(at).collect()
    }

    /// No event is told twice; those that tell of a view are of the epochs in which it changed.
    /// Gives how many there are.
    pub fn events(&self) -> usize {
        let (mut ids, mut told) = (BTreeSet::new(), BTreeSet::new());
        for (_, (epoch, value)) in self.committed(OUTPUTS) {
            let event: Json = serde_json::from_slice(&value.unwrap()).unwrap();
            let id = event["event_id"].as_str().unwrap().to_owned();
            assert!(ids.insert(id), "told twice: {event}");
            told.insert(epoch.unwrap());
        }
        let changed = self.committed(&self.topic("revenue_by_day")).into_iter();
        let mut changed: BTreeSet<u64> = changed.filter_map(|(_, (epoch, _))| epoch).collect();
        // A first snapshot tells none.
        changed.pop_first();
        assert!(self.anew || told == changed, "{:?}", &told ^ &changed);
        ids.len()
    }

    /// The epochs of the marks, each after the one before.
    fn marks(&self) -> Vec<u64> {
        let mut marks = Vec::new();
        for (_, (_, value)) in self.committed(&self.topic("marks")) {
            let Some(value) = value else { continue };
            let mark: Json = serde_json::from_slice(&value).unwrap();
            let epoch = mark["epoch"].as_u64().unwrap();
            assert!(marks.last().is_none_or(|last| *last < epoch), "{epoch} after {marks:?}");
            marks.push(epoch);
        }
        marks
    }
}

/// One row and its numbers.
fn sums(value: &[u8], numbers: &[String]) -> Vec<Decimal> {
    let row: Json = serde_json::from_slice(value).unwrap();
    let number = |name: &String| match &row[name] {
        Json::Null => Decimal::ZERO,
        Json::String(text) => text.parse().unwrap(),
        other => other.to_string().parse().unwrap(),
    };
    [Decimal::ONE].into_iter().chain(numbers.iter().map(number)).collect()
}
