//! A view in the lake: whose rows lie where.
//!
//! Invariant: a row's partition follows from its primary key alone, and no two partitions share a
//! folder, whatever a workspace is called.

use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use ionflux_schemas::avro::{ColumnKind, Schema};
use ionflux_schemas::columns::arrow_schema;
use ionflux_schemas::time::{Day, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{ConfigError, SinkError, wrong};

/// Folders that are no view's.
const RESERVED: [&str; 2] = ["manifests", "parts"];
const MS_PER_DAY: i64 = 86_400_000;
/// A longer name of a workspace is cut and its SHA-256 stands for the rest: the folder's name is
/// then longer than any that is not cut.
const NAME_BYTES_MAX: usize = 120;
const HEAD_BYTES: usize = 60;

/// Whose rows, of which day.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    /// The workspace, where the view's key has one.
    pub(super) workspace: Option<String>,
    /// The day of the key, or the UTC day of its instant, where it has one.
    pub(super) day: Option<String>,
}

/// A view and what follows from its schema.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) view: &'static View,
    pub(super) schema: Arc<Schema>,
    pub(super) arrow: SchemaRef,
    /// What its files are made after; files of another are not read.
    pub(super) fingerprint: String,
    workspace: Option<usize>,
    day: Option<usize>,
}

impl Table {
    pub(super) fn new(view: &'static View) -> Result<Self, ConfigError> {
        let unfit = |problem: &str| wrong("views", format!("{} {problem}", view.name));
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let name = view.name;
        if name.is_empty() || RESERVED.contains(&name) || !name.bytes().all(plain) {
            return Err(unfit("is no name of a folder of views"));
        }
        let schema = view.parsed();
        let of_kind = |kind| {
            let mut key = schema.key.iter().copied();
            key.find(|place| schema.columns[*place].kind == kind)
        };
        if of_kind(ColumnKind::Money).is_some() {
            return Err(unfit("has an amount in its key"));
        }
        let named = |place: &usize| schema.columns[*place].name == "workspace_id";
        let workspace = schema.key.iter().copied().find(named);
        let workspace = workspace.filter(|at| schema.columns[*at].kind == ColumnKind::Text);
        let day = of_kind(ColumnKind::Day).or_else(|| of_kind(ColumnKind::Instant));
        let arrow = arrow_schema(&schema);
        let fingerprint = sha256(format!("{arrow:?} {:?}", schema.key).as_bytes());
        Ok(Self { view, schema, arrow, fingerprint, workspace, day })
    }

    /// The partition of a row.
    pub(super) fn place(&self, row: &Row) -> Result<Place, SinkError> {
        if row.0.len() != self.schema.columns.len() {
            return Err(self.refused("a row has another number of columns"));
        }
        let workspace = self.workspace.map(|at| row.0[at].to_string());
        let day = self.day.map(|at| match &row.0[at] {
            Value::Instant(at) => utc_day(*at).to_string(),
            other => other.to_string(),
        });
        Ok(Place { workspace, day })
    }

    /// The folder of a partition.
    pub(super) fn folder(&self, place: &Place) -> String {
        let mut path = self.view.name.to_owned();
        for (name, value) in [("workspace_id", &place.workspace), ("day", &place.day)] {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                let _ = write!(path, "/{name}={}", escaped(value));
            }
        }
        path
    }

    /// A row's primary key.
    pub(super) fn key(&self, row: &Row) -> Vec<Value> {
        self.schema.key.iter().map(|place| row.0[*place].clone()).collect()
    }

    /// Rows that are not ours to write, whatever is tried.
    pub(super) fn refused(&self, what: &str) -> SinkError {
        SinkError::permanent(format!("lake: the view {}: {what}", self.view.name))
    }
}

fn utc_day(at: UtcMs) -> Day {
    let days = at.0.div_euclid(MS_PER_DAY);
    Day(i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }))
}

/// A text as a part of a path: letters, digits, `-`, `_` and `.` as they are, other bytes as `%`
/// and two hexadecimal digits.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut head = 0;
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            other => drop(write!(out, "%{other:02X}")),
        }
        if out.len() <= HEAD_BYTES {
            head = out.len();
        }
    }
    if out.len() > NAME_BYTES_MAX {
        out.truncate(head);
        out.push('-');
        out.push_str(&sha256(text.as_bytes()));
    }
    out
}

/// The SHA-256 of bytes in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(shown, "{byte:02x}");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{COUNTS, SALES};
    use object_store::path::Path;
    use proptest::prelude::*;

    #[test]
    fn folders_tell_workspace_and_day() {
        let sales = Table::new(&SALES).unwrap();
        let place = Place { workspace: Some("a/b".into()), day: Some("2026-03-01".into()) };
        let folder = "conformance_sales/workspace_id=a%2Fb/day=2026-03-01";
        assert_eq!(sales.folder(&place), folder);
        let counts = Table::new(&COUNTS).unwrap();
        let row = Row(vec![Value::text("w"), Value::Int(1)]);
        let place = counts.place(&row).unwrap();
        assert_eq!(counts.folder(&place), "conformance_counts/workspace_id=w");
        assert_eq!(utc_day(UtcMs(-1)).to_string(), "1969-12-31");
        assert_eq!(utc_day(UtcMs(i64::MIN)), Day(i32::MIN));
        let short = Row(vec![Value::text("w")]);
        assert!(!counts.place(&short).unwrap_err().passing());
    }

    proptest! {
        #[test]
        fn names_stay_apart_and_are_parts_of_a_path(
            a in "[a/.%\u{0}é~]{0,90}", b in "[a/.%\u{0}é~]{0,90}",
        ) {
            let (one, other) = (escaped(&a), escaped(&b));
            prop_assert_eq!(one == other, a == b);
            prop_assert!(one.len() <= NAME_BYTES_MAX + 5, "{}", one);
            let path = format!("v/workspace_id={one}/f");
            let parsed = Path::parse(&path).unwrap();
            prop_assert_eq!(parsed.parts().count(), 3);
            prop_assert_eq!(parsed.as_ref(), path.as_str());
        }
    }
}
