//! The orders CSV export of the admin: one row per line, the order's cells on its first row.
//!
//! Invariant: an order is made of the rows that stand together; a row that cannot be read takes
//! its order with it, for an order without one of its lines would be a wrong order.
//!
//! The export is not exact books: it has one refunded total without a date, no line ids, no tax
//! per line, and no mark on gift cards but their name.

mod columns;
mod order;
mod table;

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ByteRecord, Position};
use ionflux_schemas::letter::Letter;

use self::columns::Columns;
pub(crate) use self::order::buyer_of;
use self::table::Table;
use super::framing::DOCUMENT_BYTES_MAX;
use super::webhook_file::{Reader, stopped};
use crate::draft::{Draft, Lines, sealed};
use crate::error::SourceError;
use crate::reading::{Decoded, Setting};

/// The most rows one order may have.
const ROWS_MAX: usize = 10_000;

/// The name of the format.
pub const FORMAT: &str = "shopify-csv";

/// Reads an orders export; `source` names it in faults, `path` in errors.
#[must_use]
pub fn read(reader: Reader, source: Arc<str>, path: PathBuf, setting: Setting) -> Orders {
    let allowed = Arc::new(AtomicU64::new(DOCUMENT_BYTES_MAX as u64));
    let bounded = Bounded { reader, given: 0, allowed: Arc::clone(&allowed) };
    let table = Table::new(source, path, setting);
    Orders { rows: rows_of(bounded), allowed, table, done: false }
}

/// Reads the letter of an order's rows, or of a row without an order, again.
///
/// # Errors
/// [`SourceError`] when its columns are not those of an orders export.
pub fn again(letter: &Letter, setting: &Setting) -> Result<Decoded, SourceError> {
    let source = Arc::clone(&letter.place.source);
    let mut table = Table::new(Arc::clone(&source), PathBuf::from(&*source), setting.clone());
    let header = letter.context.get("columns").map(|text| text.as_bytes()).unwrap_or_default();
    let cells = rows_of(header).into_byte_records().next().and_then(Result::ok);
    table.take(cells.unwrap_or_default())?;
    // A byte order mark is taken off the start of a stream, but here it is part of a cell.
    let text = [b"\n", &*letter.bytes].concat();
    let mut lines = Lines::of_letter(letter);
    let (mut decoded, mut count) = (Decoded::default(), 0_u64);
    let mut answer = |said: Option<Decoded>| {
        let Decoded { envelopes, faults, .. } = said.unwrap_or_default();
        decoded.envelopes.extend(envelopes);
        decoded.faults.extend(faults);
    };
    // A slice cannot fail to be read, and rows of any width are rows.
    for mut row in rows_of(&*text).into_byte_records().map_while(Result::ok) {
        let mut position = Position::new();
        // Lines count from 1, whatever a letter claims; the reader's position insists on it.
        position.set_line(lines.next().unwrap_or_default().max(1)).set_record(count);
        row.set_position(Some(position));
        answer(table.take(row)?);
        count += 1;
    }
    answer(table.end());
    Ok(sealed(decoded, || {
        Draft::new(FORMAT, letter.place.clone(), setting, &*letter.bytes)
            .columns(header)
            .lines(Lines::of_letter(letter).take(usize::try_from(count).unwrap_or(usize::MAX)))
    }))
}

fn rows_of<R: Read>(reader: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader)
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
    table: Table,
    done: bool,
}

impl Orders {
    /// The next row.
    fn row(&mut self) -> Result<Option<ByteRecord>, SourceError> {
        let at = self.rows.position().clone();
        let allowed = at.byte().saturating_add(DOCUMENT_BYTES_MAX as u64);
        self.allowed.store(allowed, Ordering::Relaxed);
        let mut row = ByteRecord::new();
        match self.rows.read_byte_record(&mut row) {
            Ok(read) => Ok(read.then_some(row)),
            Err(error) => {
                let cause = match error.into_kind() {
                    csv::ErrorKind::Io(cause) => cause,
                    other => io::Error::other(format!("{other:?}")),
                };
                Err(stopped(self.table.path().clone(), (at.line(), at.byte()), cause))
            }
        }
    }

    /// The answer to the next row, or to the end of the file.
    fn step(&mut self) -> Result<Option<Decoded>, SourceError> {
        match self.row()? {
            Some(row) => self.table.take(row),
            None => {
                self.done = true;
                if !self.table.started() {
                    Columns::of(&[], self.table.path())?;
                }
                Ok(self.table.end())
            }
        }
    }
}

impl Iterator for Orders {
    type Item = Result<Decoded, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.step() {
                Ok(Some(decoded)) => return Some(Ok(decoded)),
                Ok(None) => {}
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
