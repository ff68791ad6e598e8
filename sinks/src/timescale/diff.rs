//! What becomes of a table's keys: sorted, so that the database finds its place in order.
//!
//! Invariant: a key is in at most one of the three lists, and no row is in any whose table already
//! holds it as it is.

use std::cmp::Ordering;

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, UtcMs};
use ionflux_schemas::view::{Row, Value};

use super::table::Table;
use crate::error::SinkError;

const DAY_MS: i64 = 86_400_000;

/// The changes of one table.
pub(super) struct Diff<'a> {
    pub(super) table: &'a Table,
    /// Rows whose keys go.
    pub(super) gone: Vec<&'a Row>,
    /// Rows whose keys are there with other columns.
    pub(super) changed: Vec<&'a Row>,
    /// Rows whose keys are not there.
    pub(super) new: Vec<&'a Row>,
}

impl<'a> Diff<'a> {
    pub(super) fn new(table: &'a Table, changes: &'a [Change]) -> Result<Self, SinkError> {
        let olds = sorted(table, changes.iter().filter_map(|change| change.old.as_ref()))?;
        let news = sorted(table, changes.iter().filter_map(|change| change.new.as_ref()))?;
        let mut diff = Self { table, gone: Vec::new(), changed: Vec::new(), new: Vec::new() };
        let (mut olds, mut news) = (olds.into_iter().peekable(), news.into_iter().peekable());
        loop {
            let order = match (olds.peek(), news.peek()) {
                (None, None) => return Ok(diff),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => by_key(table, old, new),
            };
            match order {
                Ordering::Less => diff.gone.extend(olds.next()),
                Ordering::Greater => diff.new.extend(news.next()),
                Ordering::Equal => {
                    let old = olds.next();
                    diff.changed.extend(news.next().filter(|new| old != Some(*new)));
                }
            }
        }
    }
}

impl Diff<'_> {
    /// Rows of a time before this one do not come, and those that change go: their chunk may be
    /// gone, or soon will be.
    pub(super) fn forget(&mut self, before: UtcMs) {
        let Some(place) = self.table.time_place() else { return };
        let old = |row: &&Row| match row.0[place] {
            Value::Day(Day(day)) => i64::from(day).saturating_mul(DAY_MS) < before.0,
            Value::Instant(at) => at < before,
            _ => false,
        };
        self.new.retain(|row| !old(row));
        self.gone.extend(self.changed.iter().filter(|row| old(row)));
        self.changed.retain(|row| !old(row));
    }
}

fn by_key(table: &Table, a: &Row, b: &Row) -> Ordering {
    let mut places = table.schema.key.iter();
    let different = places.find_map(|at| match a.0[*at].cmp(&b.0[*at]) {
        Ordering::Equal => None,
        order => Some(order),
    });
    different.unwrap_or(Ordering::Equal)
}

fn sorted<'a>(
    table: &Table,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<Vec<&'a Row>, SinkError> {
    let mut rows: Vec<&Row> = rows.collect();
    if rows.iter().any(|row| row.0.len() != table.width()) {
        return Err(table.refused("a row has another number of columns"));
    }
    rows.sort_unstable_by(|a, b| by_key(table, a, b));
    if rows.windows(2).any(|pair| by_key(table, pair[0], pair[1]).is_eq()) {
        return Err(table.refused("a batch has two rows of one key"));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{COUNTS, SALES};

    fn row(key: &str, units: i64) -> Row {
        Row(vec![Value::text(key), Value::Int(units)])
    }

    fn change(old: Option<Row>, new: Option<Row>) -> Change {
        Change { old, new }
    }

    #[test]
    fn keys_go_change_and_come_also_across_changes() {
        let changes = [
            change(Some(row("b", 1)), None),
            change(None, Some(row("d", 1))),
            change(Some(row("c", 1)), Some(row("b", 2))),
            change(Some(row("a", 1)), Some(row("a", 1))),
            change(None, Some(row("0", 1))),
        ];
        let table = Table::new(&COUNTS).unwrap();
        let diff = Diff::new(&table, &changes).unwrap();
        assert_eq!(diff.gone, [&row("c", 1)]);
        assert_eq!(diff.changed, [&row("b", 2)]);
        assert_eq!(diff.new, [&row("0", 1), &row("d", 1)]);
        let twice = [change(None, Some(row("a", 1))), change(None, Some(row("a", 2)))];
        let error = Diff::new(&table, &twice).map(|_| ()).unwrap_err();
        assert!(!error.passing() && error.to_string().contains("two rows of one key"), "{error}");
    }

    #[test]
    fn rows_before_what_is_kept_do_not_come_and_go_when_they_change() {
        let sale = |day: i32, orders: i64| {
            let (day, at) = (Value::Day(Day(day)), Value::Instant(UtcMs(0)));
            Row(vec![Value::text("w"), day, Value::Null, Value::Int(orders), at])
        };
        let changes = [
            change(Some(sale(1, 1)), Some(sale(1, 2))),
            change(None, Some(sale(2, 1))),
            change(Some(sale(3, 1)), None),
            change(None, Some(sale(10, 1))),
            change(Some(sale(11, 1)), Some(sale(11, 2))),
        ];
        let table = Table::new(&SALES).unwrap();
        let mut diff = Diff::new(&table, &changes).unwrap();
        diff.forget(UtcMs(10 * DAY_MS));
        assert_eq!(diff.gone, [&sale(3, 1), &sale(1, 2)]);
        assert_eq!((diff.new, diff.changed), (vec![&sale(10, 1)], vec![&sale(11, 2)]));
        let changes = [change(Some(row("a", 1)), Some(row("a", 2)))];
        let table = Table::new(&COUNTS).unwrap();
        let mut diff = Diff::new(&table, &changes).unwrap();
        diff.forget(UtcMs(i64::MAX));
        assert_eq!(diff.changed, [&row("a", 2)], "a table without a time keeps all");
    }
}
