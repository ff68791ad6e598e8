//! The rows of an export put together to orders, and the letters of those that are refused.
//!
//! Invariant: an order is made of the rows that stand together; what is wrong with one of them is
//! said with the order, in one answer with one letter that holds them all.

use std::path::PathBuf;
use std::sync::Arc;

use csv::{ByteRecord, StringRecord};
use ionflux_schemas::fault::{FaultKind, Place};

use super::columns::{Column, Columns};
use super::order;
use super::{FORMAT, ROWS_MAX};
use crate::draft::{Draft, LETTER_BYTES_MAX, sealed};
use crate::error::SourceError;
use crate::reading::{Decoded, Refusal, Setting};
use crate::shopify::record::{about, field};

/// The rows of one file, one after another.
pub struct Table {
    columns: Option<Columns>,
    /// The header as letters carry it.
    header: Vec<u8>,
    group: Option<Group>,
    source: Arc<str>,
    path: PathBuf,
    setting: Setting,
}

/// The rows of one order.
struct Group {
    name: String,
    /// The line of the first row.
    line: u64,
    rows: Vec<StringRecord>,
    /// Rows that could not be read, and why.
    refused: Vec<(ByteRecord, Refusal)>,
    /// How long all these rows are.
    bytes: usize,
    /// The line of a row that could not be read, which spoils the order.
    spoilt: Option<u64>,
    /// How many rows were kept of an order that is too long.
    cut: Option<usize>,
}

impl Group {
    fn kept(&self) -> usize {
        self.rows.len() + self.refused.len()
    }

    /// Whether there is room for another row; without it the order is spoilt.
    fn admits(&mut self, row: &ByteRecord, line: u64) -> bool {
        self.bytes += row.as_slice().len();
        let fits = self.kept() < ROWS_MAX && self.bytes <= LETTER_BYTES_MAX;
        if !fits || self.cut.is_some() {
            self.spoilt.get_or_insert(line);
            self.cut.get_or_insert(self.rows.len() + self.refused.len());
        }
        self.cut.is_none()
    }

    /// All rows in the order of the file.
    fn all(&self) -> Vec<&ByteRecord> {
        let mut all: Vec<&ByteRecord> =
            self.rows.iter().map(StringRecord::as_byte_record).collect();
        all.extend(self.refused.iter().map(|(row, _)| row));
        all.sort_by_key(|row| row.position().map(|at| (at.line(), at.record())));
        all
    }
}

/// The line a row starts on.
fn line_of(row: &ByteRecord) -> u64 {
    row.position().map_or(0, csv::Position::line)
}

/// Rows as text, quoted where they must be. Writing them anew rather than keeping what was read
/// costs nothing as long as nothing is wrong.
fn written<'r>(rows: impl IntoIterator<Item = &'r ByteRecord>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        // Memory takes every write, and a flexible writer every row.
        if writer.write_byte_record(row).is_err() {
            break;
        }
    }
    let mut text = writer.into_inner().unwrap_or_default();
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    text
}

impl Table {
    /// A table whose first row will be its header; `source` names it in faults, `path` in errors.
    pub fn new(source: Arc<str>, path: PathBuf, setting: Setting) -> Self {
        Self { columns: None, header: Vec::new(), group: None, source, path, setting }
    }

    /// The file, for errors.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Whether there was a header.
    pub fn started(&self) -> bool {
        self.columns.is_some()
    }

    /// Takes in the next row; the answer is the order before it, or to the row alone.
    ///
    /// # Errors
    /// [`SourceError`] when the first row is not the header of an orders export.
    pub fn take(&mut self, row: ByteRecord) -> Result<Option<Decoded>, SourceError> {
        let Some(columns) = &self.columns else {
            let cells: Vec<String> =
                row.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
            self.columns = Some(Columns::of(&cells, &self.path)?);
            self.header = written([&row]);
            return Ok(None);
        };
        let width = columns.width;
        // A row that is not text still tells whose it is.
        let name = row.get(columns.at(Column::Name).unwrap_or_default());
        let name = String::from_utf8_lossy(name.unwrap_or_default()).trim().to_owned();
        let text = match StringRecord::from_byte_record(row) {
            Ok(row) if row.len() == width => return Ok(self.put(name, row)),
            other => other,
        };
        let (row, why) = match text {
            Ok(row) => {
                let reason = format!("{} columns, the header has {width}", row.len());
                (row.into_byte_record(), reason)
            }
            Err(error) => (error.into_byte_record(), "not valid UTF-8".to_owned()),
        };
        let wrong = about(&subject(&name), Refusal::new(FaultKind::Syntax, "", why));
        let line = line_of(&row);
        if let Some(group) = self.group.as_mut().filter(|group| group.name == name)
            && group.admits(&row, line)
        {
            group.spoilt.get_or_insert(line);
            group.refused.push((row, wrong));
            return Ok(None);
        }
        Ok(Some(self.alone(&row, wrong)))
    }

    /// The order whose rows have ended with the file.
    pub fn end(&mut self) -> Option<Decoded> {
        let last = self.group.take()?;
        Some(self.order(last))
    }

    /// Puts a row with its order, or starts the next one.
    fn put(&mut self, name: String, row: StringRecord) -> Option<Decoded> {
        let columns = self.columns.as_ref()?;
        let line = line_of(row.as_byte_record());
        let same = self.group.as_ref().is_some_and(|group| {
            let id = columns.cell(&row, Column::Id);
            let first = group.rows.first().map_or("", |first| columns.cell(first, Column::Id));
            group.name == name && (id.is_empty() || id == first)
        });
        let starts = columns.starts_order(&row);
        if same && starts != Some(true) {
            if let Some(group) = &mut self.group
                && group.admits(row.as_byte_record(), line)
            {
                group.rows.push(row);
            }
            return None;
        }
        if starts == Some(false) || name.is_empty() {
            let reason = if name.is_empty() {
                "the row names no order"
            } else {
                "the row continues an order whose first row is not directly above"
            };
            let wrong = about(&subject(&name), field(reason));
            return Some(self.alone(row.as_byte_record(), wrong));
        }
        let (bytes, refused) = (row.as_slice().len(), Vec::new());
        let rows = vec![row];
        let next = Group { name, line, rows, refused, bytes, spoilt: None, cut: None };
        let group = self.group.replace(next)?;
        Some(self.order(group))
    }

    fn order(&self, mut group: Group) -> Decoded {
        let Some(columns) = &self.columns else { return Decoded::default() };
        let said = match group.spoilt {
            Some(line) => Err(field(format!(
                "its row on line {line} was refused, and part of an order would be wrong"
            ))),
            None => order::decode(&group.rows, columns, &self.setting),
        };
        let shop = || self.setting.shop_key(None);
        let mut decoded = Decoded::default();
        for (row, wrong) in &mut group.refused {
            let wrong = std::mem::replace(wrong, field(""));
            decoded.faults.push(wrong.at(shop(), self.place(line_of(row))));
        }
        match said {
            Ok(envelopes) => decoded.envelopes = envelopes,
            Err(refusal) => {
                let refusal = about(&subject(&group.name), refusal);
                decoded.faults.push(refusal.at(shop(), self.place(group.line)));
            }
        }
        let kept = group.cut.map(|rows| format!("the first {rows} rows"));
        sealed(decoded, || self.draft(group.line, &group.all()).cut(kept))
    }

    /// The answer to a row that belongs to no order.
    fn alone(&self, row: &ByteRecord, wrong: Refusal) -> Decoded {
        let line = line_of(row);
        let faults = vec![wrong.at(self.setting.shop_key(None), self.place(line))];
        sealed(Decoded { faults, ..Decoded::default() }, || self.draft(line, &[row]))
    }

    fn place(&self, line: u64) -> Place {
        Place { source: Arc::clone(&self.source), line }
    }

    fn draft(&self, line: u64, rows: &[&ByteRecord]) -> Draft<'static> {
        let text = written(rows.iter().copied());
        Draft::new(FORMAT, self.place(line), &self.setting, text)
            .columns(&self.header)
            .lines(rows.iter().map(|row| line_of(row)))
    }
}

fn subject(name: &str) -> String {
    let name: String = name.chars().take(60).collect();
    if name.is_empty() { name } else { format!("order {name}") }
}
