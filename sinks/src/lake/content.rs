//! What one file holds: the rows of a partition as Parquet, sorted by primary key.
//!
//! Invariant: the same rows give the same bytes, whichever changes they came by.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{Date32Type, Int64Type, TimestampMillisecondType};
use ionflux_schemas::avro::ColumnKind;
use ionflux_schemas::columns::record_batch;
use ionflux_schemas::time::{Day, UtcMs};
use ionflux_schemas::view::{Row, Value};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;

use super::place::{Table, sha256};
use super::store::Bytes;
use crate::error::SinkError;
use crate::files::columnar::{BATCH_ROWS, writer};

/// A file on its way.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
    pub(super) sha256: String,
}

/// The rows that go and come in one partition.
#[derive(Default)]
pub(super) struct Edit<'a> {
    pub(super) gone: Vec<&'a Row>,
    pub(super) new: Vec<&'a Row>,
}

/// The rows of a live file; `None` where it does not hold what it should.
pub(super) fn decode(table: &Table, bytes: Bytes) -> Option<Vec<RecordBatch>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?;
    let reader = reader.with_batch_size(BATCH_ROWS).build().ok()?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().ok()?;
    let ours = |batch: &RecordBatch| batch.schema().fields() == table.arrow.fields();
    batches.iter().all(ours).then_some(batches)
}

/// The file of a partition after an edit; `None` when no row is left. All removals come before the
/// rows that are new.
pub(super) fn apply(
    table: &Table,
    mut batches: Vec<RecordBatch>,
    edit: &Edit<'_>,
    compression: Compression,
) -> Result<Option<Encoded>, SinkError> {
    let mut order: BTreeMap<Vec<Value>, (usize, usize)> = BTreeMap::new();
    for (at, batch) in batches.iter().enumerate() {
        order.extend((0..batch.num_rows()).map(|row| (key_at(table, batch, row), (at, row))));
    }
    for row in &edit.gone {
        order.remove(&table.key(row));
    }
    let mut came = BTreeSet::new();
    for rows in edit.new.chunks(BATCH_ROWS) {
        for (number, row) in rows.iter().enumerate() {
            let key = table.key(row);
            order.insert(key.clone(), (batches.len(), number));
            if !came.insert(key) {
                return Err(table.refused("a batch has two rows of one key"));
            }
        }
        let rows: Vec<Row> = rows.iter().map(|row| (*row).clone()).collect();
        // What the encoder says could quote a value.
        let batch = record_batch(&table.schema, &rows);
        batches.push(batch.map_err(|_| table.refused("a value does not fit its column"))?);
    }
    let order: Vec<(usize, usize)> = order.into_values().collect();
    if order.is_empty() {
        return Ok(None);
    }
    let bytes = encode(table, &batches, &order, compression)
        .map_err(|_| table.refused("rows could not be encoded"))?;
    let (rows, sha256) = (order.len() as u64, sha256(&bytes));
    Ok(Some(Encoded { bytes, rows, sha256 }))
}

fn encode(
    table: &Table,
    batches: &[RecordBatch],
    order: &[(usize, usize)],
    compression: Compression,
) -> Result<Vec<u8>, parquet::errors::ParquetError> {
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let mut bytes = Vec::new();
    let mut parquet = writer(table.arrow.clone(), compression, &mut bytes)?;
    for rows in order.chunks(BATCH_ROWS) {
        parquet.write(&interleave_record_batch(&batches, rows)?)?;
    }
    parquet.close()?;
    Ok(bytes)
}

/// The primary key of a row of a file whose columns are the table's.
fn key_at(table: &Table, batch: &RecordBatch, row: usize) -> Vec<Value> {
    let value = |place: &usize| {
        let column = batch.column(*place);
        if column.is_null(row) {
            return Value::Null;
        }
        match table.schema.columns[*place].kind {
            ColumnKind::Text => Value::text(column.as_string::<i32>().value(row)),
            ColumnKind::Int => Value::Int(column.as_primitive::<Int64Type>().value(row)),
            ColumnKind::Day => Value::Day(Day(column.as_primitive::<Date32Type>().value(row))),
            ColumnKind::Instant => {
                let at = column.as_primitive::<TimestampMillisecondType>().value(row);
                Value::Instant(UtcMs(at))
            }
            // A table refuses amounts in its key.
            ColumnKind::Money => Value::Null,
        }
    };
    table.schema.key.iter().map(value).collect()
}
