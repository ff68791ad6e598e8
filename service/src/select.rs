//! Rows of one table by key: filtered, in order, page by page.
//!
//! Invariant: a page starts strictly after the last key of the page before, so that pages never
//! overlap, whatever came or went between two requests.

use std::cmp::Ordering;

use arrow::array::{
    Array, ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use ionflux_schemas::avro::Schema;
use serde_json::{Value as Json, json};

use crate::params::{Filter, Key, OwnedKey, Selection};
use crate::problem::Problem;
use crate::tables::Table;

/// The places of the rows that a request asks for, and where the next page begins.
pub(crate) struct Page {
    pub rows: Vec<usize>,
    pub next: Option<String>,
}

/// One page of a table.
pub(crate) fn page(
    table: &Table,
    schema: &Schema,
    batch: &RecordBatch,
    selection: &Selection,
) -> Result<Page, Problem> {
    let keys = schema.key.iter().map(|place| Keys::of(batch.column(*place)));
    let keys: Vec<Keys<'_>> = keys.collect::<Option<_>>().ok_or_else(unkeyed)?;
    let tests = tests(batch, &selection.filters)?;
    let after = selection.cursor.as_deref().map(|cursor| decode(table, schema, selection, cursor));
    let after = after.transpose()?;
    let mut range = 0..batch.num_rows();
    if let Some(after) = after {
        // The table is sorted by its key, so the place after the cursor is found by halving.
        let order = |row: usize| -> Ordering {
            let row = keys.iter().map(|column| column.at(row));
            row.cmp(after.iter().map(OwnedKey::as_key))
        };
        match selection.descending {
            false => range.start = first(range.end, |row| order(row) == Ordering::Greater),
            true => range.end = first(range.end, |row| order(row) != Ordering::Less),
        }
    }
    let wanted = |row: &usize| tests.iter().all(|(filter, keys)| filter.keeps(keys.at(*row)));
    let enough = selection.limit + 1;
    let mut rows: Vec<usize> = match selection.descending {
        false => range.filter(wanted).take(enough).collect(),
        true => range.rev().filter(wanted).take(enough).collect(),
    };
    let more = rows.len() == enough;
    rows.truncate(selection.limit);
    let last = rows.last().filter(|_| more);
    let next = last.map(|row| encode(table, selection, keys.iter().map(|key| key.at(*row))));
    Ok(Page { rows, next })
}

/// The places of all rows that the filters keep, or `None` if they are more than `most`.
pub(crate) fn kept(
    batch: &RecordBatch,
    filters: &[Filter],
    most: usize,
) -> Result<Option<Vec<usize>>, Problem> {
    let tests = tests(batch, filters)?;
    let wanted = |row: &usize| tests.iter().all(|(filter, keys)| filter.keeps(keys.at(*row)));
    let rows: Vec<usize> = (0..batch.num_rows()).filter(wanted).take(most + 1).collect();
    Ok((rows.len() <= most).then_some(rows))
}

fn tests<'a>(
    batch: &'a RecordBatch,
    filters: &'a [Filter],
) -> Result<Vec<(&'a Filter, Keys<'a>)>, Problem> {
    let tests = filters.iter().map(|filter| Some((filter, Keys::of(batch.column(filter.column))?)));
    tests.collect::<Option<_>>().ok_or_else(unkeyed)
}

fn unkeyed() -> Problem {
    Problem::ours("a key column is of a kind that cannot be compared")
}

/// The first row of `0..rows` for which `past` holds, which is false and then true.
fn first(rows: usize, past: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low.midpoint(high);
        if past(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// One column of a key.
enum Keys<'a> {
    Text(&'a StringArray),
    Int(&'a Int64Array),
    Day(&'a Date32Array),
    Instant(&'a TimestampMillisecondArray),
}

impl<'a> Keys<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        let array = array.as_any();
        let text = || array.downcast_ref().map(Self::Text);
        let int = || array.downcast_ref().map(Self::Int);
        let day = || array.downcast_ref().map(Self::Day);
        text().or_else(int).or_else(day).or_else(|| array.downcast_ref().map(Self::Instant))
    }

    fn at(&self, row: usize) -> Key<'a> {
        match self {
            Self::Text(array) => Key::Text(array.value(row)),
            Self::Int(array) => Key::Number(array.value(row)),
            Self::Day(array) => Key::Number(array.value(row).into()),
            Self::Instant(array) => Key::Number(array.value(row)),
        }
    }
}

/// A cursor: the view, the order and the last key, in hexadecimal so that nobody takes it apart.
fn encode<'a>(table: &Table, selection: &Selection, key: impl Iterator<Item = Key<'a>>) -> String {
    let key = key.map(|key| match key {
        Key::Number(number) => Json::from(number),
        Key::Text(text) => Json::from(text),
    });
    let whole = json!([&*table.name, table.version, selection.descending, key.collect::<Vec<_>>()]);
    whole.to_string().bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(
    table: &Table,
    schema: &Schema,
    selection: &Selection,
    cursor: &str,
) -> Result<Vec<OwnedKey>, Problem> {
    let pairs = cursor.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = pairs.map(byte).collect::<Option<Vec<u8>>>();
    let whole = bytes
        .and_then(|bytes| serde_json::from_slice::<(String, u32, bool, Vec<Json>)>(&bytes).ok());
    let hint = "use next_cursor of the page before, with the same view and order";
    let bad = || Problem::bad("the cursor is not one that this view and order gave", hint);
    let (name, version, descending, key) = whole.ok_or_else(bad)?;
    let here = (&*table.name, table.version, selection.descending);
    if (name.as_str(), version, descending) != here || key.len() != schema.key.len() {
        return Err(bad());
    }
    let key = key.into_iter().map(|value| match value {
        Json::String(text) => Some(OwnedKey::Text(text.into())),
        Json::Number(number) => number.as_i64().map(OwnedKey::Number),
        _ => None,
    });
    key.collect::<Option<_>>().ok_or_else(bad)
}
