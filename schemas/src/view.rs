//! Views and their rows: the one untyped form of data, made once at the edge.
//!
//! Invariant: a view's columns are those of its Avro schema, in its order and under its names,
//! wherever the view is read: SQL, JSON, CSV, Parquet.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::avro::Schema;
use crate::dictionary::Dictionary;
use crate::money::Money;
use crate::time::{Day, UtcMs};

/// A view: what it is called, what it promises, and how its packed totals become rows.
#[derive(Clone, Copy)]
pub struct View {
    /// The name in SQL, in URLs and in file names.
    pub name: &'static str,
    /// Grows when the meaning of a column changes; rows of two versions never mix.
    pub version: u32,
    /// The Avro schema, which also holds columns, key and documentation.
    pub schema: &'static str,
    /// How many totals a key has.
    pub width: usize,
    /// The row of a packed key and its totals.
    pub row: fn(&Dictionary, u128, &[i128]) -> Row,
}

impl View {
    /// The view's parsed schema.
    ///
    /// # Panics
    /// When the embedded schema is malformed, which a test of every view rules out.
    #[must_use]
    pub fn parsed(&self) -> Arc<Schema> {
        match Schema::parse(self.schema) {
            Ok(schema) => Arc::new(schema),
            Err(error) => panic!("the schema of the view {} is malformed: {error}", self.name),
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl PartialEq for View {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.version == other.version
    }
}

/// One row of a view: a value for every column, in the order of the schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row(pub Vec<Value>);

/// One value of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Nothing, for columns that allow it.
    Null,
    /// A count or another whole number.
    Int(i64),
    /// Text.
    Text(Arc<str>),
    /// A civil day.
    Day(Day),
    /// An instant.
    Instant(UtcMs),
    /// An exact amount.
    Money(Money),
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Value {
    /// The value as CSV and JSON show it: ISO dates and times, decimal amounts, empty for null.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Day(day) => write!(f, "{day}"),
            Self::Instant(at) => write!(f, "{at}"),
            Self::Money(money) => write!(f, "{money}"),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    /// The order of one column's values; values of different kinds order by kind.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Day(a), Self::Day(b)) => a.cmp(b),
            (Self::Instant(a), Self::Instant(b)) => a.cmp(b),
            (Self::Money(a), Self::Money(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl Value {
    fn kind(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Int(_) => 1,
            Self::Text(_) => 2,
            Self::Day(_) => 3,
            Self::Instant(_) => 4,
            Self::Money(_) => 5,
        }
    }
}
