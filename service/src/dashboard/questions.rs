//! What the dashboard asks the views, in SQL with parameters.
//!
//! Invariant: every question names one workspace and shop, and every one about money one currency.

use std::sync::Arc;

use arrow::array::{
    Array, AsArray, Date32Array, Decimal128Array, Int64Array, RecordBatch,
    TimestampMillisecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit, TimestampMillisecondType,
};
use datafusion::common::ScalarValue;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::time::{Day, UtcMs};

use super::figures::{self, Customers, DayTotals, HourTotals, Span};
use super::{Fault, FaultKind, Faults, Product, Shop};
use crate::problem::Problem;
use crate::sql::{SqlError, query_with};
use crate::tables::Tables;

/// How many days the chart of days shows.
pub(super) const DAYS: i32 = 60;
/// How many hours the chart of hours shows.
pub(super) const HOURS: i64 = 48;
/// One clock hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// Questions about one shop in one currency.
pub(super) struct Questions {
    pub tables: Arc<Tables>,
    pub shop: ShopKey,
    pub currency: Currency,
}

/// The shops that have orders or faults, by name; at most 500, which is more than one picks from.
pub(super) async fn shops(tables: &Arc<Tables>) -> Result<Vec<Shop>, Problem> {
    let sql = "SELECT workspace_id, shop_id, CAST(sum(n) AS BIGINT) FROM (
        SELECT workspace_id, shop_id, orders AS n FROM revenue_by_day
        UNION ALL SELECT workspace_id, shop_id, 0 AS n FROM faults)
        GROUP BY workspace_id, shop_id ORDER BY workspace_id, shop_id LIMIT 500";
    let rows = ask(tables, sql, Vec::new()).await?;
    let shop = |row| Shop {
        workspace_id: text(&rows, row, 0),
        shop_id: text(&rows, row, 1),
        orders: int(&rows, row, 2),
    };
    Ok((0..rows.num_rows()).map(shop).collect())
}

/// The currencies of a shop, the one with most orders first.
pub(super) async fn currencies(
    tables: &Arc<Tables>,
    shop: &ShopKey,
) -> Result<Vec<String>, Problem> {
    let sql = "SELECT currency FROM revenue_by_day WHERE workspace_id = $1 AND shop_id = $2
        GROUP BY currency ORDER BY sum(orders) DESC, currency LIMIT 20";
    let rows = ask(tables, sql, of(shop)).await?;
    Ok((0..rows.num_rows()).map(|row| text(&rows, row, 0)).collect())
}

/// What of a shop could not be counted: how many of each kind, and ten examples.
pub(super) async fn faults(tables: &Arc<Tables>, shop: &ShopKey) -> Result<Faults, Problem> {
    let sql = "SELECT kind, count(*) FROM faults WHERE workspace_id = $1 AND shop_id = $2
        GROUP BY kind ORDER BY count(*) DESC, kind";
    let rows = ask(tables, sql, of(shop)).await?;
    let kind = |row| FaultKind { kind: text(&rows, row, 0), count: int(&rows, row, 1) };
    let kinds: Vec<FaultKind> = (0..rows.num_rows()).map(kind).collect();
    let sql = "SELECT kind, source, line, subject, reason, remedy FROM faults
        WHERE workspace_id = $1 AND shop_id = $2
        ORDER BY line DESC, source, fault_id LIMIT 10";
    let rows = ask(tables, sql, of(shop)).await?;
    let example = |row| Fault {
        kind: text(&rows, row, 0),
        place: match int(&rows, row, 2) {
            0 => text(&rows, row, 1),
            line => format!("{}:{line}", text(&rows, row, 1)),
        },
        subject: text(&rows, row, 3),
        reason: text(&rows, row, 4),
        remedy: text(&rows, row, 5),
    };
    let examples = (0..rows.num_rows()).map(example).collect();
    Ok(Faults { count: kinds.iter().map(|kind| kind.count).sum(), kinds, examples })
}

impl Questions {
    /// All time; `None` for a shop that never sold anything in the currency.
    pub async fn total(&self) -> Result<Option<Span>, Problem> {
        let sql = "SELECT min(day), max(day), CAST(sum(orders) AS BIGINT), sum(net_sales)
            FROM revenue_by_day WHERE workspace_id = $1 AND shop_id = $2 AND currency = $3";
        let rows = self.ask(sql, []).await?;
        if rows.num_rows() == 0 || rows.column(0).is_null(0) {
            return Ok(None);
        }
        let (first, last) = (day(&rows, 0, 0), day(&rows, 0, 1));
        Ok(Some(Span { first, last, orders: int(&rows, 0, 2), net_sales: amount(&rows, 0, 3) }))
    }

    /// Whether anything happened on a day.
    pub async fn sold_on(&self, on: Day) -> Result<bool, Problem> {
        Ok(self.last_day(on).await? == on)
    }

    /// The last day with rows up to a day; that day if there is none.
    pub async fn last_day(&self, until: Day) -> Result<Day, Problem> {
        let sql = "SELECT max(day) FROM revenue_by_day
            WHERE workspace_id = $1 AND shop_id = $2 AND currency = $3 AND day <= $4";
        let rows = self.ask(sql, [date(until)]).await?;
        let none = rows.num_rows() == 0 || rows.column(0).is_null(0);
        Ok(if none { Day(until.0.saturating_sub(1)) } else { day(&rows, 0, 0) })
    }

    /// The last hour with orders up to an hour; that hour if there is none.
    pub async fn last_hour(&self, until: UtcMs) -> Result<UtcMs, Problem> {
        let sql = "SELECT max(hour) FROM metrics_hourly
            WHERE workspace_id = $1 AND shop_id = $2 AND currency = $3 AND hour <= $4";
        let rows = self.ask(sql, [instant(until)]).await?;
        let none = rows.num_rows() == 0 || rows.column(0).is_null(0);
        Ok(if none { until } else { hour(&rows, 0, 0) })
    }

    /// Totals of the days up to one, over all channels; days without rows are absent.
    pub async fn days(&self, until: Day) -> Result<Vec<DayTotals>, Problem> {
        let sql = "SELECT day, CAST(sum(orders) AS BIGINT), CAST(sum(units) AS BIGINT),
            sum(gross_sales), sum(discounts), sum(returns), sum(net_sales) FROM revenue_by_day
            WHERE workspace_id = $1 AND shop_id = $2 AND currency = $3 AND day > $4 AND day <= $5
            GROUP BY day ORDER BY day";
        let rows = self.ask(sql, [date(Day(until.0 - DAYS)), date(until)]).await?;
        let totals = |row| DayTotals {
            day: day(&rows, row, 0),
            orders: int(&rows, row, 1),
            units: int(&rows, row, 2),
            gross_sales: amount(&rows, row, 3),
            discounts: amount(&rows, row, 4),
            returns: amount(&rows, row, 5),
            net_sales: amount(&rows, row, 6),
        };
        Ok((0..rows.num_rows()).map(totals).collect())
    }

    /// New and returning customers of the eight days up to one.
    pub async fn customers(&self, until: Day) -> Result<Vec<Customers>, Problem> {
        let sql = "SELECT day, \"new\", \"returning\" FROM customers_by_day
            WHERE workspace_id = $1 AND shop_id = $2 AND day > $3 AND day <= $4 ORDER BY day";
        let mut params = of(&self.shop);
        params.extend([date(Day(until.0 - 8)), date(until)]);
        let rows = ask(&self.tables, sql, params).await?;
        let counts = |row| Customers {
            day: day(&rows, row, 0),
            new: int(&rows, row, 1),
            returning: int(&rows, row, 2),
        };
        Ok((0..rows.num_rows()).map(counts).collect())
    }

    /// Totals of the hours up to one; hours without rows are absent.
    pub async fn hours(&self, until: UtcMs) -> Result<Vec<HourTotals>, Problem> {
        let sql = "SELECT hour, orders, revenue FROM metrics_hourly
            WHERE workspace_id = $1 AND shop_id = $2 AND currency = $3 AND hour > $4 AND hour <= $5
            ORDER BY hour";
        let from = UtcMs(until.0 - HOURS * HOUR_MS);
        let rows = self.ask(sql, [instant(from), instant(until)]).await?;
        let totals = |row| HourTotals {
            hour: hour(&rows, row, 0),
            orders: int(&rows, row, 1),
            revenue: amount(&rows, row, 2),
        };
        Ok((0..rows.num_rows()).map(totals).collect())
    }

    /// The ten products with the largest net sales: over seven days up to one, or ever.
    pub async fn products(&self, until: Option<Day>) -> Result<Vec<Product>, Problem> {
        let sql = "SELECT product_id, sum(net_sales) AS net, CAST(sum(units) AS BIGINT),
            CAST(sum(units_returned) AS BIGINT) FROM revenue_by_product_day
            WHERE workspace_id = $1 AND shop_id = $2 AND currency = $3 AND product_id <> ''
            AND day > $4 AND day <= $5
            GROUP BY product_id ORDER BY net DESC, product_id LIMIT 10";
        let span = until.map_or((Day(i32::MIN), Day(i32::MAX)), |day| (Day(day.0 - 7), day));
        let rows = self.ask(sql, [date(span.0), date(span.1)]).await?;
        let best = if rows.num_rows() == 0 { 0 } else { amount(&rows, 0, 1) };
        let product = |row| Product {
            product_id: text(&rows, row, 0),
            net_sales: figures::money(amount(&rows, row, 1), self.currency),
            units: int(&rows, row, 2),
            units_returned: int(&rows, row, 3),
            share: super::scale::thousandths(amount(&rows, row, 1).max(0), best),
        };
        Ok((0..rows.num_rows()).map(product).collect())
    }

    async fn ask<const N: usize>(
        &self,
        sql: &str,
        more: [ScalarValue; N],
    ) -> Result<RecordBatch, Problem> {
        let mut params = of(&self.shop);
        params.push(ScalarValue::from(self.currency.code()));
        params.extend(more);
        ask(&self.tables, sql, params).await
    }
}

async fn ask(
    tables: &Arc<Tables>,
    sql: &str,
    params: Vec<ScalarValue>,
) -> Result<RecordBatch, Problem> {
    let answer = query_with(tables, sql, params).await;
    let answer = answer.map_err(|error| match error {
        SqlError::Rebuilding(_) => Problem::from(error),
        _ => Problem::ours(format!("the dashboard: {error}")),
    })?;
    concat_batches(&answer.schema, &answer.batches)
        .map_err(|error| Problem::ours(format!("the dashboard: {error}")))
}

fn of(shop: &ShopKey) -> Vec<ScalarValue> {
    vec![ScalarValue::from(&*shop.workspace), ScalarValue::from(&*shop.shop)]
}

fn date(day: Day) -> ScalarValue {
    ScalarValue::Date32(Some(day.0))
}

fn instant(at: UtcMs) -> ScalarValue {
    ScalarValue::TimestampMillisecond(Some(at.0), Some("UTC".into()))
}

fn text(rows: &RecordBatch, row: usize, column: usize) -> String {
    let column = rows.column(column);
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        _ => column.as_string::<i32>().value(row).to_owned(),
    }
}

fn int(rows: &RecordBatch, row: usize, column: usize) -> i64 {
    let numbers: &Int64Array = rows.column(column).as_primitive::<Int64Type>();
    numbers.value(row)
}

/// An amount in ten-thousandths, which is how views hold money.
fn amount(rows: &RecordBatch, row: usize, column: usize) -> i128 {
    let amounts: &Decimal128Array = rows.column(column).as_primitive::<Decimal128Type>();
    amounts.value(row)
}

fn day(rows: &RecordBatch, row: usize, column: usize) -> Day {
    let days: &Date32Array = rows.column(column).as_primitive::<Date32Type>();
    Day(days.value(row))
}

fn hour(rows: &RecordBatch, row: usize, column: usize) -> UtcMs {
    debug_assert!(matches!(
        rows.column(column).data_type(),
        DataType::Timestamp(TimeUnit::Millisecond, _)
    ));
    let hours: &TimestampMillisecondArray =
        rows.column(column).as_primitive::<TimestampMillisecondType>();
    UtcMs(hours.value(row))
}
