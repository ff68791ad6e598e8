//! Product costs as a CSV table: `shop,sku,cost,currency,valid_from`, or `variant` for `sku`.
//!
//! Invariant: a row is a document like any other, and what is wrong with it names its line.

use serde_json::{Map, Value};

use super::problem::{Lines, Path, Problems, shown};
use super::tree::Item;

/// The most rows of one table.
pub const ROWS_MAX: usize = 100_000;

/// The columns there may be, in any order; one of `variant` and `sku`, and `cost`, must.
const COLUMNS: [&str; 8] =
    ["shop", "variant", "sku", "cost", "currency", "valid_from", "valid_until", "zone"];

/// The documents of a table.
///
/// # Errors
/// Where it is no such table.
pub fn read(text: &str, problems: &mut Problems) -> Result<Vec<Item>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?;
    let columns: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
    fits(&columns)?;
    let mut items: Vec<Item> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        if items.len() >= ROWS_MAX {
            return Err(format!("has more than {ROWS_MAX} rows; upload it in parts"));
        }
        let line = record.position().map_or(0, csv::Position::line);
        let lines = Lines::from([(String::new(), line)]);
        if record.len() != columns.len() {
            problems.begin(items.len(), lines.clone());
            let (have, want) = (record.len(), columns.len());
            problems.add(&Path::Root, format!("has {have} cells and not {want}"));
        }
        let cells = columns.iter().zip(&record).filter(|(_, cell)| !cell.is_empty());
        let row: Map<String, Value> =
            cells.map(|(column, cell)| (column.clone(), cell.into())).collect();
        items.push((Value::Object(row), lines));
    }
    Ok(items)
}

fn fits(columns: &[String]) -> Result<(), String> {
    for (index, column) in columns.iter().enumerate() {
        if !COLUMNS.contains(&column.as_str()) {
            let (column, known) = (shown(column), COLUMNS.join(", "));
            return Err(format!("line 1: {column:?} is no column of costs; known are {known}"));
        }
        if columns[..index].contains(column) {
            return Err(format!("line 1: the column {column} is there twice"));
        }
    }
    let has = |name: &str| columns.iter().any(|column| column == name);
    if !has("cost") || !(has("sku") || has("variant")) {
        return Err("line 1: the columns cost, and sku or variant, must be there".to_owned());
    }
    Ok(())
}
