//! A shop's own daily totals, and where ours differ.
//!
//! Invariant: amounts are compared as exact decimal numbers; a day that one side does not name is
//! a day of zeros. What is taken away (discounts, returns) is zero or more on both sides, however
//! the shop's analytics sign it.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::decimal;
use ionflux_schemas::time::Zone;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::Client;
use super::error::{AdminError, short};
use super::queries::{ANALYTICS, SHOP};
use crate::poller::Stop;

/// The columns that are compared, by the names of our view.
pub const COLUMNS: [&str; 8] = [
    "orders",
    "gross_sales",
    "discounts",
    "returns",
    "net_sales",
    "shipping",
    "taxes",
    "total_sales",
];

/// Where discounts, returns and what they are checked by stand in [`COLUMNS`].
const GROSS: usize = 1;
const DISCOUNTS: usize = 2;
const RETURNS: usize = 3;
const NET: usize = 4;

/// From this version on, what was called returns is called sales reversals.
const REVERSALS_SINCE: &str = "2026-04";

/// The most days that are compared at once.
pub const DAYS_MAX: i64 = 366;

/// The totals of one day, in the order of [`COLUMNS`].
pub type Totals = [Decimal; COLUMNS.len()];

/// Totals by day, as `2026-03-01`.
pub type Days = BTreeMap<String, Totals>;

/// One number that is not the same on both sides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The day, as `2026-03-01`.
    pub day: String,
    /// The column of our view.
    pub column: &'static str,
    /// What we say.
    pub ours: Decimal,
    /// What the shop says.
    pub theirs: Decimal,
}

impl Difference {
    /// Ours, theirs, and how much more ours is, each in its shortest form.
    #[must_use]
    pub fn shown(&self) -> [String; 3] {
        let amounts = [self.ours, self.theirs, self.ours - self.theirs];
        amounts.map(|amount| amount.normalize().to_string())
    }
}

/// What has to be known of a shop before its totals are compared.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The currency it counts in.
    pub currency: Currency,
    /// The zone of its days.
    pub zone: Zone,
}

#[derive(Deserialize)]
struct ShopAnswer {
    shop: ShopNode,
}

#[derive(Deserialize)]
struct ShopNode {
    #[serde(rename = "currencyCode")]
    currency: String,
    #[serde(rename = "ianaTimezone")]
    zone: String,
}

#[derive(Deserialize)]
struct Analytics {
    #[serde(rename = "shopifyqlQuery")]
    answer: Option<Table>,
}

#[derive(Deserialize)]
struct Table {
    #[serde(rename = "tableData")]
    data: Option<TableData>,
    #[serde(rename = "parseErrors")]
    errors: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
struct TableData {
    columns: Vec<Column>,
    rows: Box<RawValue>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

type Cells = BTreeMap<String, Box<RawValue>>;

/// What has to be known of a shop.
///
/// # Errors
/// [`AdminError`].
pub fn facts(client: &mut Client, stop: &Stop) -> Result<Facts, AdminError> {
    let ShopAnswer { shop } = client.ask(&SHOP, &json!({}), stop)?;
    let wrong = |why: &dyn std::fmt::Display| AdminError::Permanent(why.to_string());
    let currency = Currency::parse(&shop.currency).map_err(|error| wrong(&error))?;
    let zone = Zone::parse(&shop.zone).map_err(|error| wrong(&error))?;
    Ok(Facts { currency, zone })
}

/// The shop's totals of some days, first and last included, as its analytics have them now.
///
/// # Errors
/// [`AdminError`].
pub fn theirs(
    client: &mut Client,
    (from, to): (&str, &str),
    stop: &Stop,
) -> Result<Days, AdminError> {
    let names = names(&client.account().version);
    let query = format!(
        "FROM sales SHOW {} TIMESERIES day SINCE {from} UNTIL {to} ORDER BY day ASC",
        names.join(", ")
    );
    let answer: Analytics = client.ask(&ANALYTICS, &json!({ "query": query }), stop)?;
    let wrong = |reason: &str| AdminError::Permanent(client.about(&ANALYTICS, reason));
    let table =
        answer.answer.ok_or_else(|| wrong("it has none; the scope read_reports is needed"))?;
    if let Some(error) = table.errors.unwrap_or_default().first() {
        return Err(wrong(&short(error.get())));
    }
    let data = table.data.ok_or_else(|| wrong("the answer has no table"))?;
    let mut days = Days::new();
    for cells in rows(&data).ok_or_else(|| wrong("the rows have an unexpected form"))? {
        let day = cells.get("day").map(|day| day.get().trim_matches('"'));
        let day = day.and_then(|day| day.get(..10)).ok_or_else(|| wrong("a row has no day"))?;
        let mut totals = Totals::default();
        for (total, name) in totals.iter_mut().zip(names) {
            let read = number(cells.get(name).map(|cell| cell.get()).unwrap_or("null"));
            *total = read.ok_or_else(|| wrong(&format!("{name} of {day} is no number")))?;
        }
        days.insert(day.to_owned(), totals);
    }
    Ok(signed(days))
}

/// The names of our columns in the shop's analytics.
fn names(version: &str) -> [&'static str; COLUMNS.len()] {
    let returns = if version >= REVERSALS_SINCE { "sales_reversals" } else { "returns" };
    let [orders, gross, discounts, _, net, _, taxes, total] = COLUMNS;
    [orders, gross, discounts, returns, net, "shipping_charges", taxes, total]
}

/// The rows of a table, whether they are objects or lists.
fn rows(data: &TableData) -> Option<Vec<Cells>> {
    if let Ok(rows) = serde_json::from_str::<Vec<Cells>>(data.rows.get()) {
        return Some(rows);
    }
    let rows = serde_json::from_str::<Vec<Vec<Box<RawValue>>>>(data.rows.get()).ok()?;
    let named = |row: Vec<Box<RawValue>>| {
        data.columns.iter().map(|column| column.name.clone()).zip(row).collect()
    };
    Some(rows.into_iter().map(named).collect())
}

fn number(cell: &str) -> Option<Decimal> {
    match cell.trim_matches('"') {
        "" | "null" => Some(Decimal::ZERO),
        text => decimal(text).ok(),
    }
}

/// Discounts and returns as zero or more: analytics give them below zero, as what net sales are
/// the sum of; where net sales are the difference instead, they are already as ours.
fn signed(mut days: Days) -> Days {
    let sum = |at: usize| -> Decimal { days.values().filter_map(|totals| totals.get(at)).sum() };
    let (gross, taken, net) = (sum(GROSS), sum(DISCOUNTS) + sum(RETURNS), sum(NET));
    if taken.is_zero() || gross - taken != net {
        for totals in days.values_mut() {
            for at in [DISCOUNTS, RETURNS] {
                if let Some(total) = totals.get_mut(at) {
                    *total = Decimal::ZERO - *total;
                }
            }
        }
    }
    days
}

/// Where two sides differ, by day and column.
#[must_use]
pub fn compare(ours: &Days, theirs: &Days) -> Vec<Difference> {
    let days: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let nothing = Totals::default();
    let mut differences = Vec::new();
    for day in days {
        let (our, their) = (ours.get(day).unwrap_or(&nothing), theirs.get(day).unwrap_or(&nothing));
        for ((column, &ours), &theirs) in COLUMNS.into_iter().zip(our).zip(their) {
            if ours != theirs {
                differences.push(Difference { day: day.clone(), column, ours, theirs });
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(rows: &[(&str, [i64; 8])]) -> Days {
        let totals = |row: [i64; 8]| row.map(Decimal::from);
        rows.iter().map(|(day, row)| ((*day).to_owned(), totals(*row))).collect()
    }

    #[test]
    fn what_was_taken_away_is_zero_or_more_however_it_is_signed() {
        let ours = days(&[("2026-03-01", [2, 100, 10, 20, 70, 5, 7, 82])]);
        let negative = days(&[("2026-03-01", [2, 100, -10, -20, 70, 5, 7, 82])]);
        assert_eq!(signed(negative), ours);
        assert_eq!(signed(ours.clone()), ours);
        // A day on which more was given than computed.
        let odd = days(&[("2026-03-01", [0, 0, 0, 4, 4, 0, 0, 4])]);
        assert_eq!(signed(odd)["2026-03-01"][RETURNS], Decimal::from(-4));
    }

    #[test]
    fn differences_name_the_day_and_the_column() {
        let ours = days(&[("2026-03-01", [2, 100, 0, 0, 100, 0, 0, 100]), ("2026-03-02", [0; 8])]);
        let mut theirs = ours.clone();
        assert_eq!(compare(&ours, &theirs), []);
        theirs.remove("2026-03-02");
        assert_eq!(compare(&ours, &theirs), []);
        theirs.insert("2026-03-03".into(), days(&[("", [1, 0, 0, 0, 0, 0, 0, 0])])[""]);
        let found = compare(&ours, &theirs);
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].day, found[0].column), ("2026-03-03", "orders"));
        assert_eq!((found[0].ours, found[0].theirs), (Decimal::ZERO, Decimal::ONE));
    }
}
