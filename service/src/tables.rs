//! Views as Arrow tables, sorted by primary key, built once per change and shared by all readers.
//!
//! Invariant: all tables of one [`Tables`] are of one epoch. A view that an epoch did not change
//! keeps the table it had.

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::prelude::SessionContext;
use ionflux_schemas::avro::Schema;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::columns::{arrow_schema, record_batch};
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::Row;

use crate::store::Stored;

/// All tables of one epoch.
pub struct Tables {
    /// Everything below this epoch is counted in every table.
    pub epoch: Epoch,
    /// The shop clock at the epoch.
    pub as_of: UtcMs,
    /// The last epoch that changed any row.
    pub changed: Epoch,
    list: Vec<Arc<Table>>,
    /// Views that have no table yet, since what was kept of them is of another form.
    missing: Vec<Box<str>>,
    /// Whether the rows were kept by an earlier process.
    pub(crate) stored: bool,
    pub(crate) context: OnceLock<SessionContext>,
}

/// One view at one epoch.
pub struct Table {
    /// The view's name.
    pub name: Box<str>,
    /// The view's version; 0 where it is not known.
    pub version: u32,
    /// Columns, key and documentation; `None` for tables made of plain batches.
    pub schema: Option<Arc<Schema>>,
    /// The columns as Arrow has them.
    pub arrow: SchemaRef,
    /// Where the rows come from; `None` once all that matters is `built`.
    source: Option<Arc<Snapshot>>,
    built: OnceLock<Result<RecordBatch, String>>,
}

impl Tables {
    /// The tables of a snapshot.
    #[must_use]
    pub fn of_snapshot(snapshot: &Arc<Snapshot>) -> Self {
        let table = |view: &ionflux_schemas::view::View| {
            let schema = view.parsed();
            Arc::new(Table {
                name: view.name.into(),
                version: view.version,
                arrow: arrow_schema(&schema),
                schema: Some(schema),
                source: Some(Arc::clone(snapshot)),
                built: OnceLock::new(),
            })
        };
        let list = snapshot.views().map(table).collect();
        Self {
            epoch: snapshot.upper,
            as_of: snapshot.as_of,
            changed: snapshot.upper,
            list,
            missing: Vec::new(),
            stored: false,
            context: OnceLock::new(),
        }
    }

    /// Tables of batches that were read elsewhere, such as from the Parquet of a state folder.
    #[must_use]
    pub fn of_batches(epoch: Epoch, as_of: UtcMs, batches: Vec<(String, RecordBatch)>) -> Self {
        let table = |(name, batch): (String, RecordBatch)| {
            Arc::new(Table {
                name: name.into(),
                version: 0,
                schema: None,
                arrow: batch.schema(),
                source: None,
                built: OnceLock::from(Ok(batch)),
            })
        };
        let list = batches.into_iter().map(table).collect();
        let (missing, context) = (Vec::new(), OnceLock::new());
        Self { epoch, as_of, changed: epoch, list, missing, stored: true, context }
    }

    /// The tables of a snapshot's views with the rows that were kept. A view that is not among
    /// them, or has other columns there, has no table.
    pub(crate) fn of_stored(snapshot: &Snapshot, stored: Stored) -> Self {
        let Stored { epoch, as_of, tables } = stored;
        let (mut list, mut missing) = (Vec::new(), Vec::new());
        for view in snapshot.views() {
            let schema = view.parsed();
            let arrow = arrow_schema(&schema);
            let kept = tables.iter().find(|(name, _)| name == view.name);
            let Some(batch) = kept.and_then(|(_, batch)| shaped(batch, &arrow)) else {
                missing.push(view.name.into());
                continue;
            };
            list.push(Arc::new(Table {
                name: view.name.into(),
                version: view.version,
                schema: Some(schema),
                arrow,
                source: None,
                built: OnceLock::from(Ok(batch)),
            }));
        }
        let context = OnceLock::new();
        Self { epoch, as_of, changed: epoch, list, missing, stored: true, context }
    }

    /// The tables of the snapshot after a batch; those that the batch leaves alone are kept.
    pub(crate) fn after(&self, snapshot: &Arc<Snapshot>, batch: &Batch) -> Self {
        let tables = self.list.iter().zip(&batch.deltas).map(|(table, delta)| {
            if delta.is_empty() && table.built.get().is_some() {
                return Arc::clone(table);
            }
            Arc::new(Table {
                name: table.name.clone(),
                version: table.version,
                schema: table.schema.clone(),
                arrow: Arc::clone(&table.arrow),
                source: Some(Arc::clone(snapshot)),
                built: OnceLock::new(),
            })
        });
        let still = batch.deltas.iter().all(|delta| delta.is_empty());
        Self {
            epoch: snapshot.upper,
            as_of: snapshot.as_of,
            changed: if still { self.changed } else { snapshot.upper },
            list: tables.collect(),
            missing: Vec::new(),
            stored: false,
            context: OnceLock::new(),
        }
    }

    /// The same tables and others beside them.
    pub(crate) fn with(&self, more: Vec<Arc<Table>>) -> Self {
        Self {
            list: self.list.iter().cloned().chain(more).collect(),
            missing: self.missing.clone(),
            context: OnceLock::new(),
            ..*self
        }
    }

    /// The tables in the order of the views.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.list.iter()
    }

    /// The table of a view.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.list.iter().find(|table| *table.name == *name)
    }

    /// Whether a view exists and has no table yet, so that it is worth to ask again.
    #[must_use]
    pub fn rebuilding(&self, name: &str) -> bool {
        self.missing.iter().any(|missing| **missing == *name)
    }

    /// The names of all tables, for messages.
    #[must_use]
    pub fn names(&self) -> String {
        self.list.iter().map(|table| &*table.name).collect::<Vec<_>>().join(", ")
    }
}

/// The batch under a view's schema; `None` if its columns are not the view's.
fn shaped(batch: &RecordBatch, arrow: &SchemaRef) -> Option<RecordBatch> {
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name());
    if !names.eq(arrow.fields().iter().map(|field| field.name())) {
        return None;
    }
    // This compares the types, and finds nulls where the view has none.
    RecordBatch::try_new(Arc::clone(arrow), batch.columns().to_vec()).ok()
}

impl Table {
    /// A table of rows that are made elsewhere.
    ///
    /// # Errors
    /// When a row does not fit the schema.
    pub(crate) fn of_rows(
        (name, version): (&str, u32),
        schema: &Arc<Schema>,
        rows: &[Row],
    ) -> Result<Self, String> {
        let batch = record_batch(schema, rows).map_err(|error| format!("{name}: {error}"))?;
        Ok(Self {
            name: name.into(),
            version,
            schema: Some(Arc::clone(schema)),
            arrow: batch.schema(),
            source: None,
            built: OnceLock::from(Ok(batch)),
        })
    }

    /// The rows, sorted by primary key. Takes a while for a large view that changed: call it where
    /// blocking is fine.
    ///
    /// # Errors
    /// When an amount has more digits than Arrow's decimals.
    pub fn rows(&self) -> Result<&RecordBatch, String> {
        self.built.get_or_init(|| self.build()).as_ref().map_err(Clone::clone)
    }

    fn build(&self) -> Result<RecordBatch, String> {
        let (Some(source), Some(schema)) = (&self.source, &self.schema) else {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.arrow)));
        };
        let rows = source.sorted_rows(&self.name).unwrap_or_default();
        record_batch(schema, &rows).map_err(|error| format!("view {}: {error}", self.name))
    }

    /// The names of the columns, for messages.
    #[must_use]
    pub fn columns(&self) -> String {
        let names = self.arrow.fields().iter().map(|field| field.name().as_str());
        names.collect::<Vec<_>>().join(", ")
    }
}
