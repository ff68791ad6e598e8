//! The orders CSV export of the admin: one row per line, the order's cells on its first row.
//!
//! Invariant: an order is made of the rows that stand together; a row that cannot be read takes
//! its order with it, for an order without one of its lines would be a wrong order.
//!
//! The export is not exact books: it has one refunded total without a date, no line ids, no tax
//! per line, and no mark on gift cards but their name.

mod columns;
mod order;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ByteRecord, StringRecord};
use ionflux_schemas::fault::FaultKind;

use self::columns::{Column, Columns};
use super::document::refused;
use super::framing::DOCUMENT_BYTES_MAX;
use super::record::{about, field};
use super::webhook_file::{Reader, stopped};
use crate::error::SourceError;
use crate::reading::{Decoded, Refusal, Setting};

/// The most rows one order may have.
const ROWS_MAX: usize = 10_000;

/// Reads an orders export; `source` names it in faults, `path` in errors.
#[must_use]
pub fn read(reader: Reader, source: Arc<str>, path: PathBuf, setting: Setting) -> Orders {
    let allowed = Arc::new(AtomicU64::new(DOCUMENT_BYTES_MAX as u64));
    let bounded = Bounded { reader, given: 0, allowed: Arc::clone(&allowed) };
    let rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bounded);
    Orders { rows, allowed, columns: None, group: None, source, path, setting, done: false }
}

/// Stops a row that never ends, such as one behind a quote that is never closed.
struct Bounded {
    reader: Reader,
    given: u64,
    /// How far the row at hand may reach.
    allowed: Arc<AtomicU64>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given > self.allowed.load(Ordering::Relaxed) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a row is longer than 32 MiB: a quote is probably not closed",
            ));
        }
        let read = self.reader.read(buffer)?;
        self.given += read as u64;
        Ok(read)
    }
}

/// The orders of an export, one by one.
pub struct Orders {
    rows: csv::Reader<Bounded>,
    allowed: Arc<AtomicU64>,
    columns: Option<Columns>,
    group: Option<Group>,
    source: Arc<str>,
    path: PathBuf,
    setting: Setting,
    done: bool,
}

/// The rows of one order.
struct Group {
    name: String,
    /// The line of the first row.
    line: u64,
    rows: Vec<StringRecord>,
    /// The line of a row that could not be read, which spoils the order.
    spoilt: Option<u64>,
}

/// What one row did.
enum Step {
    /// It completed the order before it, or said something of its own.
    Said(Decoded),
    /// It was put with the others.
    Kept,
    /// There are no more rows.
    End,
}

impl Orders {
    fn fault(&self, line: u64, refusal: Refusal) -> Decoded {
        refused(refusal, None, &self.setting, &self.source, line)
    }

    /// The next row's bytes and line.
    fn row(&mut self) -> Result<Option<(ByteRecord, u64)>, SourceError> {
        let at = self.rows.position().clone();
        let allowed = at.byte().saturating_add(DOCUMENT_BYTES_MAX as u64);
        self.allowed.store(allowed, Ordering::Relaxed);
        let mut row = ByteRecord::new();
        match self.rows.read_byte_record(&mut row) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let line = row.position().map_or(0, csv::Position::line);
                Ok(Some((row, line)))
            }
            Err(error) => {
                let cause = match error.into_kind() {
                    csv::ErrorKind::Io(cause) => cause,
                    other => io::Error::other(format!("{other:?}")),
                };
                Err(stopped(self.path.clone(), (at.line(), at.byte()), cause))
            }
        }
    }

    fn step(&mut self) -> Result<Step, SourceError> {
        let Some((bytes, line)) = self.row()? else {
            let last = self.group.take();
            self.done = last.is_none();
            return Ok(last.map_or(Step::End, |group| Step::Said(self.order(&group))));
        };
        let Some(columns) = &self.columns else {
            let cells: Vec<String> =
                bytes.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
            self.columns = Some(Columns::of(&cells, &self.path)?);
            return Ok(Step::Kept);
        };
        let width = columns.width;
        // A row that is not text still tells whose it is.
        let name = bytes.get(columns.at(Column::Name).unwrap_or_default());
        let name = String::from_utf8_lossy(name.unwrap_or_default()).trim().to_owned();
        let wrong = match StringRecord::from_byte_record(bytes) {
            Err(_) => Refusal::new(FaultKind::Syntax, "", "not valid UTF-8"),
            Ok(row) if row.len() != width => {
                let reason = format!("{} columns, the header has {width}", row.len());
                Refusal::new(FaultKind::Syntax, "", reason)
            }
            Ok(row) => return Ok(self.put(name, line, row)),
        };
        let mine = self.group.as_mut().filter(|group| group.name == name);
        if let Some(group) = mine {
            group.spoilt.get_or_insert(line);
        }
        Ok(Step::Said(self.fault(line, about(&subject(&name), wrong))))
    }

    /// Puts a row with its order, or starts the next one.
    fn put(&mut self, name: String, line: u64, row: StringRecord) -> Step {
        let Some(columns) = &self.columns else { return Step::Kept };
        let same = self.group.as_ref().is_some_and(|group| {
            let id = columns.cell(&row, Column::Id);
            let first = group.rows.first().map_or("", |first| columns.cell(first, Column::Id));
            group.name == name && (id.is_empty() || id == first)
        });
        let starts = columns.starts_order(&row);
        if same && starts != Some(true) {
            if let Some(group) = &mut self.group {
                if group.rows.len() == ROWS_MAX {
                    group.spoilt.get_or_insert(line);
                } else {
                    group.rows.push(row);
                }
            }
            return Step::Kept;
        }
        if starts == Some(false) || name.is_empty() {
            let reason = if name.is_empty() {
                "the row names no order"
            } else {
                "the row continues an order whose first row is not directly above"
            };
            return Step::Said(self.fault(line, about(&subject(&name), field(reason))));
        }
        let next = Group { name, line, rows: vec![row], spoilt: None };
        match self.group.replace(next) {
            Some(group) => Step::Said(self.order(&group)),
            None => Step::Kept,
        }
    }

    fn order(&self, group: &Group) -> Decoded {
        let Some(columns) = &self.columns else { return Decoded::default() };
        let decoded = match group.spoilt {
            Some(line) => Err(field(format!(
                "its row on line {line} was refused, and part of an order would be wrong"
            ))),
            None => order::decode(&group.rows, columns, &self.setting),
        };
        match decoded {
            Ok(envelopes) => Decoded { envelopes, ..Decoded::default() },
            Err(refusal) => self.fault(group.line, about(&subject(&group.name), refusal)),
        }
    }
}

fn subject(name: &str) -> String {
    let name: String = name.chars().take(60).collect();
    if name.is_empty() { name } else { format!("order {name}") }
}

impl Iterator for Orders {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.step() {
                Ok(Step::Said(decoded)) => return Some(Ok(decoded)),
                Ok(Step::Kept) => {}
                Ok(Step::End) if self.columns.is_none() => {
                    return Some(Columns::of(&[], &self.path).map(|_| Decoded::default()));
                }
                Ok(Step::End) => return None,
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
