//! Answers as text and bytes: a table for people, JSON, CSV and Parquet for programs.
//!
//! Invariant: decimals are printed exactly, with at least the decimals of the row's currency (two
//! where no column names it); nothing passes through a float unless the query made one.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, Decimal128Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use ionflux_schemas::currency::Currency;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::sql::Answer;

/// How many decimals an amount has at least where no column names its currency.
const DECIMALS: usize = 2;
/// The widest cell of a table for people; longer text is cut with an ellipsis.
const CELL_CHARS_MAX: usize = 60;

/// How an answer is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// An array of objects; amounts are decimal strings.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// Parquet with zstd.
    Parquet,
}

/// An answer in a format, as bytes.
///
/// # Errors
/// When a value cannot be shown or written, which no view's column can cause.
pub fn render(answer: &Answer, format: Format) -> Result<Vec<u8>, ArrowError> {
    match format {
        Format::Table => table(answer).map(String::into_bytes),
        Format::Json => json(&answer.batches).map(String::into_bytes),
        Format::Csv => csv(answer).map(String::into_bytes),
        Format::Parquet => parquet(answer),
    }
}

/// Aligned columns for people, numbers to the right, with a line that says how much there is.
///
/// # Errors
/// As [`render`].
pub fn table(answer: &Answer) -> Result<String, ArrowError> {
    let fields = answer.schema.fields();
    let mut rows = vec![fields.iter().map(|f| cut(f.name().clone())).collect::<Vec<_>>()];
    for batch in &answer.batches {
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            let shown = (0..fields.len()).map(|column| cells.text(row, column).map(cut));
            rows.push(shown.collect::<Result<_, _>>()?);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..fields.len()).map(|c| width(c).unwrap_or(0)).collect();
    let rule = widths.iter().map(|width| "─".repeat(width + 2)).collect::<Vec<_>>();
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for ((cell, width), field) in row.iter().zip(&widths).zip(fields.iter()) {
            let pad = " ".repeat(width - cell.chars().count());
            let (before, after) = if field.data_type().is_numeric() {
                (pad, String::new())
            } else {
                (String::new(), pad)
            };
            let _infallible = write!(line, " {before}{cell}{after}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
        if at == 0 {
            out.push_str(&rule.join(" "));
            out.push('\n');
        }
    }
    let (rows, epoch) = (answer.rows(), answer.epoch);
    let plural = if rows == 1 { "row" } else { "rows" };
    let cut = if answer.truncated { " (cut: there are more)" } else { "" };
    let _infallible = writeln!(out, "{rows} {plural}{cut}, epoch {epoch}");
    Ok(out)
}

/// An array with an object for every row.
///
/// # Errors
/// As [`render`].
pub fn json(batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let mut out = String::from("[");
    for batch in batches {
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            out.push_str(if out.len() == 1 { "" } else { "," });
            cells.json(row, &mut out)?;
        }
    }
    out.push(']');
    Ok(out)
}

/// A header and a line for every row, as RFC 4180 quotes them, ended by `\n`.
///
/// # Errors
/// As [`render`].
pub fn csv(answer: &Answer) -> Result<String, ArrowError> {
    let fields = answer.schema.fields();
    let mut out = fields.iter().map(|f| quoted(f.name())).collect::<Vec<_>>().join(",");
    out.push('\n');
    for batch in &answer.batches {
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            for column in 0..fields.len() {
                out.push_str(if column == 0 { "" } else { "," });
                out.push_str(&quoted(&cells.text(row, column)?));
            }
            out.push('\n');
        }
    }
    Ok(out)
}

fn parquet(answer: &Answer) -> Result<Vec<u8>, ArrowError> {
    let level = ZstdLevel::try_new(3)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    let schema = Arc::clone(&answer.schema);
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties.build()))?;
    for batch in &answer.batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?)
}

/// The cells of one batch as text.
pub(crate) struct Cells<'a> {
    batch: &'a RecordBatch,
    formatters: Vec<ArrayFormatter<'a>>,
    currency: Option<&'a StringArray>,
}

impl<'a> Cells<'a> {
    pub fn new(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new();
        let columns = batch.columns().iter();
        let formatters = columns.map(|column| ArrayFormatter::try_new(column, &OPTIONS));
        let formatters = formatters.collect::<Result<_, _>>()?;
        let currency = batch.column_by_name("currency");
        let currency = currency.and_then(|column| column.as_any().downcast_ref());
        Ok(Self { batch, formatters, currency })
    }

    /// A cell as CSV shows it; null is empty.
    pub fn text(&self, row: usize, column: usize) -> Result<String, ArrowError> {
        let array = self.batch.column(column);
        if self.null(row, column) {
            return Ok(String::new());
        }
        match (array.as_any().downcast_ref::<Decimal128Array>(), array.data_type()) {
            (Some(amounts), DataType::Decimal128(_, scale)) => {
                let scale = usize::try_from(*scale).unwrap_or(0);
                Ok(decimal_text(amounts.value(row), scale, self.decimals(row)))
            }
            _ => Ok(self.formatters[column].value(row).try_to_string()?),
        }
    }

    /// A row as a JSON object.
    pub fn json(&self, row: usize, out: &mut String) -> Result<(), ArrowError> {
        for (column, field) in self.batch.schema_ref().fields().iter().enumerate() {
            out.push(if column == 0 { '{' } else { ',' });
            out.push_str(&json_text(field.name()));
            out.push(':');
            let text = self.text(row, column)?;
            let kind = field.data_type();
            let bare = kind.is_integer() || *kind == DataType::Boolean;
            // JSON knows neither NaN nor infinity.
            let float = kind.is_floating() && text.parse::<f64>().is_ok_and(f64::is_finite);
            match () {
                () if self.null(row, column) => out.push_str("null"),
                () if bare || float => out.push_str(&text),
                () => out.push_str(&json_text(&text)),
            }
        }
        out.push_str(if self.batch.num_columns() == 0 { "{}" } else { "}" });
        Ok(())
    }

    fn null(&self, row: usize, column: usize) -> bool {
        let array = self.batch.column(column);
        // A column of nothing but NULL has no bits that say so.
        array.is_null(row) || *array.data_type() == DataType::Null
    }

    fn decimals(&self, row: usize) -> usize {
        let code = self.currency.filter(|codes| !codes.is_null(row)).map(|codes| codes.value(row));
        let currency = code.and_then(|code| Currency::parse(code).ok());
        currency.map_or(DECIMALS, |currency| usize::from(currency.exponent()))
    }
}

/// `unscaled / 10^scale`, without trailing zeros beyond `decimals` of them.
pub(crate) fn decimal_text(unscaled: i128, scale: usize, decimals: usize) -> String {
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let kept = fraction.trim_end_matches('0').len().max(decimals);
    let fraction = format!("{fraction:0<kept$}");
    let sign = if unscaled < 0 { "-" } else { "" };
    match &fraction[..kept] {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn cut(text: String) -> String {
    // A line break or a terminal's escape inside a cell would break the table.
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => text[..end].chars().map(clean).chain(['…']).collect(),
        None => text.chars().map(clean).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_lose_only_zeros_that_say_nothing() {
        let check =
            |unscaled, decimals, text| assert_eq!(decimal_text(unscaled, 4, decimals), text);
        check(123_400, 2, "12.34");
        check(123_450, 2, "12.345");
        check(-5, 2, "-0.0005");
        check(120_000, 0, "12");
        check(120_000, 3, "12.000");
        check(0, 2, "0.00");
        assert_eq!(decimal_text(5, 0, 2), "5.00");
    }
}
