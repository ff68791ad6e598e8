//! What was refused, and why: a fault is data, a row beside the accepted rows.
//!
//! Invariant: a fault names its place, its reason and the remedy, and never carries the body.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::key::{ShopKey, content_hash};

/// One record that could not be counted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// Whose record it was.
    pub shop: ShopKey,
    /// What is wrong with it.
    pub kind: FaultKind,
    /// Where it is.
    pub place: Place,
    /// What it was about, such as `order 1001` or `refund 77 of order 1001`; may be empty.
    pub subject: Box<str>,
    /// What exactly was wrong, in words.
    pub reason: Box<str>,
}

/// Where a record is kept: a file and a line of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The file's name, or the name of the delivery's source.
    pub source: Arc<str>,
    /// The line, counted from 1; 0 where there are no lines.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.source),
            line => write!(f, "{}:{line}", self.source),
        }
    }
}

/// The kinds of fault; their names are part of the view's contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum FaultKind {
    /// The bytes are not JSON, CSV or UTF-8.
    Syntax,
    /// A field is missing or has an unexpected form.
    Field,
    /// A unit price is zero, negative or not a number.
    Price,
    /// A quantity is not a whole number within limits.
    Quantity,
    /// An amount is not a number, is too precise for its currency, or too large.
    Amount,
    /// A currency is unknown, unset, or differs from the order's.
    Currency,
    /// A time cannot be read.
    Time,
    /// Nothing is known to be done with such a record.
    Unsupported,
    /// A refund or edit whose order has not arrived; goes away when it does.
    WaitingForOrder,
}

impl FaultKind {
    /// The kind as the `faults` view shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Field => "field",
            Self::Price => "price",
            Self::Quantity => "quantity",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Time => "time",
            Self::Unsupported => "unsupported",
            Self::WaitingForOrder => "waiting_for_order",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Syntax => "repair the record and replay the file, or check --format",
            Self::Field => "check that the file is of this format and version, then replay it",
            Self::Price => "a line without a price counts nowhere; correct it and replay the file",
            Self::Quantity => "correct the quantity and replay the file",
            Self::Amount => "correct the amount or the currency and replay the file",
            Self::Currency => "give the shop's currency with --currency or correct the record",
            Self::Time => "correct the time, or the mapping's time format, and replay the file",
            Self::Unsupported => "nothing to do unless this record should count; then report it",
            Self::WaitingForOrder => "replay the orders of that time; the fault then goes away",
        }
    }
}

impl Fault {
    /// A name for the fault that is the same on every machine: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { shop, kind, place, subject, reason } = self;
        let text = format!("{shop}\0{}\0{place}\0{subject}\0{reason}", kind.name());
        format!("{:032x}", content_hash(text.as_bytes()))
    }
}
