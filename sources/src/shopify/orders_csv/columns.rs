//! The columns of the export that are read, found by their names.
//!
//! Invariant: where a column stands does not matter, and one that is not required may be absent.

use std::path::Path;

use csv::StringRecord;

use crate::error::SourceError;

/// Declares the columns once, with the names Shopify gives them.
macro_rules! columns {
    ($($column:ident = $name:literal),+ $(,)?) => {
        /// A column that is read.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Column { $(#[doc = $name] $column),+ }

        const ALL: &[(Column, &str)] = &[$((Column::$column, $name)),+];
    };
}

columns! {
    Name = "Name",
    Id = "Id",
    Email = "Email",
    FinancialStatus = "Financial Status",
    PaidAt = "Paid at",
    FulfilledAt = "Fulfilled at",
    CancelledAt = "Cancelled at",
    CreatedAt = "Created at",
    Currency = "Currency",
    Subtotal = "Subtotal",
    Shipping = "Shipping",
    Taxes = "Taxes",
    Total = "Total",
    DiscountAmount = "Discount Amount",
    RefundedAmount = "Refunded Amount",
    Duties = "Duties",
    Source = "Source",
    Quantity = "Lineitem quantity",
    LineName = "Lineitem name",
    Price = "Lineitem price",
    Sku = "Lineitem sku",
    RequiresShipping = "Lineitem requires shipping",
    Taxable = "Lineitem taxable",
    LineDiscount = "Lineitem discount",
}

/// Without these nothing can be counted.
const REQUIRED: [Column; 4] = [Column::Name, Column::CreatedAt, Column::Quantity, Column::Price];

/// Cells that only the first row of an order fills.
const ORDER_LEVEL: [Column; 4] =
    [Column::FinancialStatus, Column::Currency, Column::Subtotal, Column::Total];

/// Where the columns stand in one file.
pub struct Columns {
    /// Place by column, in the order of the declaration.
    places: Vec<Option<usize>>,
    /// How many columns the header has.
    pub width: usize,
}

impl Columns {
    /// The columns of a header.
    ///
    /// # Errors
    /// [`SourceError`] naming the required columns that are missing.
    pub fn of(header: &[String], path: &Path) -> Result<Self, SourceError> {
        let clean = |cell: &str| cell.trim_start_matches('\u{feff}').trim().to_lowercase();
        let header: Vec<String> = header.iter().map(|cell| clean(cell)).collect();
        let place = |name: &str| header.iter().position(|cell| *cell == name.to_lowercase());
        let places = ALL.iter().map(|(_, name)| place(name)).collect();
        let columns = Self { places, width: header.len() };
        let missing: Vec<&str> = ALL
            .iter()
            .filter(|(column, _)| REQUIRED.contains(column) && columns.at(*column).is_none())
            .map(|(_, name)| *name)
            .collect();
        if missing.is_empty() {
            return Ok(columns);
        }
        let json = header.first().is_some_and(|cell| cell.starts_with(['{', '[']));
        let hint = if json {
            "this looks like JSON: try --format shopify-webhooks or --format shopify-bulk"
        } else {
            "export the orders from the admin as CSV, or read any other CSV of order lines with \
             --format csv --mapping FILE"
        };
        Err(SourceError {
            path: path.to_owned(),
            problem: format!("no orders export: line 1 lacks the columns {}", missing.join(", ")),
            hint: hint.to_owned(),
            cause: None,
        })
    }

    /// Where a column stands, if the file has it.
    pub fn at(&self, column: Column) -> Option<usize> {
        let index = ALL.iter().position(|(known, _)| *known == column)?;
        self.places.get(index).copied().flatten()
    }

    /// A cell of a row, trimmed; blank where the file has no such column.
    pub fn cell<'r>(&self, row: &'r StringRecord, column: Column) -> &'r str {
        self.at(column).and_then(|at| row.get(at)).unwrap_or_default().trim()
    }

    /// Whether a row holds the order's own cells; `None` where the file has no such columns.
    pub fn starts_order(&self, row: &StringRecord) -> Option<bool> {
        let mut known = ORDER_LEVEL.into_iter().filter(|&column| self.at(column).is_some());
        let first = known.next()?;
        Some(std::iter::once(first).chain(known).any(|column| !self.cell(row, column).is_empty()))
    }
}
