//! The tables of the in-memory target.
//!
//! Invariant: a batch is checked whole before any of it is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_schemas::avro::Schema;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::view::{Row, Value, View};

use super::Contents;
use crate::error::SinkError;
use crate::sink::Outgoing;

/// A table for each view that was ever written.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<&'static str, Table>);

#[derive(Debug)]
struct Table {
    schema: Arc<Schema>,
    rows: BTreeMap<Vec<Value>, Row>,
}

/// What becomes of some keys: a row, or none.
type Edits = BTreeMap<Vec<Value>, Option<Row>>;

impl Tables {
    /// The rows of views that have any.
    pub(super) fn contents(&self) -> Contents {
        let filled = self.0.iter().filter(|(_, table)| !table.rows.is_empty());
        filled.map(|(name, table)| (*name, table.rows.clone())).collect()
    }

    pub(super) fn put(&mut self, view: &'static View, row: Row) {
        let table = self.table(view);
        table.rows.insert(table.key(&row), row);
    }

    pub(super) fn apply(&mut self, batch: &Outgoing) -> Result<(), SinkError> {
        let whole = batch.from.is_none();
        let mut edited = Vec::new();
        for (view, changes) in &batch.views {
            edited.push((*view, self.table(view).edits(view, changes, whole)?));
        }
        if whole {
            self.0.values_mut().for_each(|table| table.rows.clear());
        }
        for (view, edits) in edited {
            let rows = &mut self.table(view).rows;
            for (key, row) in edits {
                match row {
                    Some(row) => rows.insert(key, row),
                    None => rows.remove(&key),
                };
            }
        }
        Ok(())
    }

    fn table(&mut self, view: &'static View) -> &mut Table {
        let empty = || Table { schema: view.parsed(), rows: BTreeMap::new() };
        self.0.entry(view.name).or_insert_with(empty)
    }
}

impl Table {
    fn key(&self, row: &Row) -> Vec<Value> {
        self.schema.key.iter().map(|place| row.0[*place].clone()).collect()
    }

    /// All that a batch removes goes before all that it brings.
    fn edits(&self, view: &View, changes: &[Change], whole: bool) -> Result<Edits, SinkError> {
        let mut edits = Edits::new();
        for old in changes.iter().filter_map(|change| change.old.as_ref()) {
            let key = self.key(old);
            if whole {
                return Err(differs(view, &key, "a snapshot replaces a row"));
            }
            match self.rows.get(&key) {
                _ if edits.contains_key(&key) => {
                    return Err(differs(view, &key, "a row goes twice"));
                }
                None => return Err(differs(view, &key, "a row goes that is not held")),
                Some(held) if held != old => {
                    let what = format!("a row goes as {old:?}, held is {held:?}");
                    return Err(differs(view, &key, &what));
                }
                Some(_) => edits.insert(key, None),
            };
        }
        for new in changes.iter().filter_map(|change| change.new.as_ref()) {
            let key = self.key(new);
            let free = match edits.get(&key) {
                Some(edited) => edited.is_none(),
                None => whole || !self.rows.contains_key(&key),
            };
            if !free {
                return Err(differs(view, &key, "a row comes where one is"));
            }
            edits.insert(key, Some(new.clone()));
        }
        Ok(edits)
    }
}

/// Test data only, so that a message may show it.
fn differs(view: &View, key: &[Value], what: &str) -> SinkError {
    let key: Vec<String> = key.iter().map(ToString::to_string).collect();
    SinkError::permanent(format!("{} [{}]: {what}", view.name, key.join(", ")))
}
