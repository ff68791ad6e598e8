//! What only TimescaleDB can do: tables in chunks by time, the columnstore, retention.
//!
//! Invariant: without the extension nothing here runs, and every table shows the same rows.
//!
//! A table with a time in its key becomes a hypertable. Row security is for the other tables: the
//! columnstore and continuous aggregates refuse it, so that the views of `ionflux_read` filter.
//!
//! `metrics_daily` is the one thing that is not of the mark's epoch: a day that is over is stored,
//! and a late correction of its hours shows in it within the hour. Its day is the day of UTC, not
//! the shop's; `revenue_by_day` has that, at the mark's epoch.
//!
//! A transaction of a reader that sees what was before (`REPEATABLE READ`) misses the rows of a
//! chunk that went to the columnstore after it began; single statements miss nothing.

use std::collections::BTreeMap;

use ionflux_schemas::avro::ColumnKind;
use ionflux_schemas::time::{Day, UtcMs};
use ionflux_schemas::view::{Row, Value};

use super::layout::Options;
use super::table::{Table, literal, quoted};

/// The first version whose columnstore takes updates and has these names.
const VERSION_MIN: (u32, u32) = (2, 18);
/// A policy ends its work on a chunk with a lock that waits for every reader of it, and behind
/// which all others wait, the sink too. So its jobs, which run as the sink's user, do not wait for
/// long: where a slow reader is at a chunk they fail, and come again.
const POLICIES_WAIT: &str = "DO $$ BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I \
     SET lock_timeout TO ''2s''', current_database()); END $$";
/// The time one chunk holds: some ten thousand shops' days fit well into memory.
const CHUNK: &str = "30 days";
const CHUNK_DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;

/// The extension where it is installed, in a form that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extension {
    /// Hypertables and all.
    Present,
    /// Plain tables.
    Absent,
}

impl Extension {
    /// What a version, the schema of the extension's functions and its licence mean.
    pub(super) fn of(installed: Option<(&str, &str, &str)>, wanted: bool) -> Self {
        let Some((version, schema, license)) = installed.filter(|_| wanted) else {
            return Self::Absent;
        };
        if license != "timescale" {
            tracing::warn!(
                license,
                "TimescaleDB is not used: its Apache edition has no columnstore and no policies; \
                 timescaledb.license must be timescale"
            );
            return Self::Absent;
        }
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if found < VERSION_MIN || schema != "public" {
            tracing::warn!(
                version,
                schema,
                "TimescaleDB is not used: it must be 2.18 or later, made with SCHEMA public"
            );
            return Self::Absent;
        }
        Self::Present
    }
}

/// Whether a table is a hypertable.
pub(super) fn chunked(table: &Table, extension: Extension) -> bool {
    extension == Extension::Present && table.time().is_some()
}

/// Makes a hypertable of a new table.
pub(super) fn definition(table: &Table) -> Vec<String> {
    let Some(time) = table.time() else { return Vec::new() };
    let name = table.name();
    let held = ["workspace_id", "shop_id"];
    let key = table.schema.key_names();
    let (segments, rest): (Vec<&str>, Vec<&str>) = key.iter().partition(|name| held.contains(name));
    let others = rest.iter().filter(|name| **name != time.name);
    let order: Vec<String> = [format!("{} DESC", time.name)]
        .into_iter()
        .chain(others.map(|o| (*o).to_owned()))
        .collect();
    vec![
        format!(
            "SELECT public.create_hypertable({}, public.by_range({}, INTERVAL '{CHUNK}'))",
            literal(&name),
            literal(&time.name)
        ),
        format!(
            "ALTER TABLE {name} SET (timescaledb.enable_columnstore = true, \
             timescaledb.segmentby = {}, timescaledb.orderby = {})",
            literal(&segments.join(", ")),
            literal(&order.join(", "))
        ),
    ]
}

/// Conditions on `t` that hold for one row each, by spans of time no longer than a chunk. A join
/// alone would take every row of the table out of the columnstore; this names the chunks it means.
pub(super) fn spans<'r>(
    table: &Table,
    extension: Extension,
    rows: impl Iterator<Item = &'r Row>,
) -> Vec<String> {
    let place = table.time_place().filter(|_| extension == Extension::Present);
    let Some(place) = place else { return vec!["true".to_owned()] };
    let mut spans: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in rows {
        // In days since 1970 or in milliseconds.
        let (at, of_chunk) = match row.0[place] {
            Value::Day(Day(day)) => (i64::from(day), CHUNK_DAYS),
            Value::Instant(UtcMs(at)) => (at, CHUNK_DAYS * DAY_MS),
            _ => continue,
        };
        let span = spans.entry(at.div_euclid(of_chunk)).or_insert((at, at));
        *span = (span.0.min(at), span.1.max(at));
    }
    let column = table.column(place);
    let name = quoted(&column.name);
    let condition = |(from, to): &(i64, i64)| match column.kind {
        ColumnKind::Day => {
            let day = "date '1970-01-01'";
            format!("t.{name} BETWEEN {day} + {from} AND {day} + {to}")
        }
        _ => {
            // Chunks end at whole seconds, so that no span reaches into the next one.
            let (from, to) = (from.div_euclid(1000), to.div_euclid(1000) + 1);
            format!("t.{name} >= to_timestamp({from}) AND t.{name} < to_timestamp({to})")
        }
    };
    spans.values().map(condition).collect()
}

/// Sets when chunks go to the columnstore and when they go for good.
pub(super) fn policies(table: &Table, options: &Options) -> Vec<String> {
    let name = literal(&table.name());
    let mut made = Vec::new();
    if options.columnstore_after_days > 0 {
        let days = options.columnstore_after_days;
        made.push(format!(
            "CALL public.add_columnstore_policy({name}, after => INTERVAL '{days} days')"
        ));
    }
    if options.retention_days > 0 {
        // A day after rows stop to come, so that no time zone of the server's makes it earlier.
        let days = options.retention_days + 1;
        made.push(format!(
            "SELECT public.add_retention_policy({name}, drop_after => INTERVAL '{days} days')"
        ));
    }
    if !made.is_empty() {
        made.insert(0, POLICIES_WAIT.to_owned());
    }
    made
}

/// Takes the policies of a table away.
pub(super) fn no_policies(table: &str) -> Vec<String> {
    let name = literal(table);
    vec![
        format!("CALL public.remove_columnstore_policy({name}, if_exists => true)"),
        format!("SELECT public.remove_retention_policy({name}, if_exists => true)"),
    ]
}

/// The totals of days from those of hours, kept up to date by the database: days that are over
/// are stored, and follow a late change within the hour. Those of hours that are gone stay.
pub(super) fn daily_aggregate(options: &Options) -> Vec<String> {
    let start = match options.retention_days {
        0 => "NULL".to_owned(),
        days => format!("INTERVAL '{days} days'"),
    };
    let refreshed = format!(
        "SELECT public.add_continuous_aggregate_policy('ionflux.\"metrics_daily\"', \
         start_offset => {start}, end_offset => INTERVAL '1 hour', \
         schedule_interval => INTERVAL '1 hour')"
    );
    vec![DAILY_AGGREGATE.to_owned(), DAILY_AGGREGATE_IS.to_owned(), refreshed]
}

const DAILY_AGGREGATE: &str = "CREATE MATERIALIZED VIEW ionflux.\"metrics_daily\" \
     WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS \
     SELECT \"workspace_id\", \"shop_id\", \
     public.time_bucket(INTERVAL '1 day', \"hour\") AS \"day\", \"currency\", \
     sum(\"orders\")::bigint AS \"orders\", sum(\"revenue\") AS \"revenue\", \
     round(sum(\"revenue\") / nullif(sum(\"orders\"), 0), 4) AS \"aov\", \
     sum(\"refunds\")::bigint AS \"refunds\", sum(\"returns\") AS \"returns\" \
     FROM ionflux.\"metrics_hourly\" GROUP BY 1, 2, 3, 4 WITH NO DATA";

const DAILY_AGGREGATE_IS: &str = "COMMENT ON VIEW ionflux.\"metrics_daily\" IS \
     'Totals of days of UTC, not of the shop. A continuous aggregate: a late correction of a day \
     that is over shows within the hour, so that it may be behind the epoch of sink_mark; \
     revenue_by_day never is.'";

/// What the plain view is.
pub(super) const DAILY_VIEW_IS: &str = "COMMENT ON VIEW ionflux.\"metrics_daily\" IS \
     'Totals of days of UTC, not of the shop, at the epoch of sink_mark.'";

/// The same totals where the extension is not: a plain view.
pub(super) const DAILY_SELECT: &str = "SELECT \
     \"workspace_id\", \"shop_id\", date_trunc('day', \"hour\", 'UTC') AS \"day\", \"currency\", \
     sum(\"orders\")::bigint AS \"orders\", sum(\"revenue\") AS \"revenue\", \
     round(sum(\"revenue\") / nullif(sum(\"orders\"), 0), 4) AS \"aov\", \
     sum(\"refunds\")::bigint AS \"refunds\", sum(\"returns\") AS \"returns\" \
     FROM ionflux.\"metrics_hourly\" GROUP BY 1, 2, 3, 4";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::SALES;
    use ionflux_schemas::view::View;

    #[test]
    fn only_a_usable_extension_counts() {
        let full = |version, schema| Some((version, schema, "timescale"));
        let of = |version| Extension::of(full(version, "public"), true);
        assert_eq!(of("2.18.0"), Extension::Present);
        assert_eq!(of("3.0"), Extension::Present);
        assert_eq!(of("2.17.4"), Extension::Absent);
        assert_eq!(Extension::of(full("2.28.3", "elsewhere"), true), Extension::Absent);
        assert_eq!(Extension::of(full("2.28.3", "public"), false), Extension::Absent);
        let apache = Some(("2.28.3", "public", "apache"));
        assert_eq!(Extension::of(apache, true), Extension::Absent);
        assert_eq!(Extension::of(None, true), Extension::Absent);
    }

    #[test]
    fn rows_are_looked_for_by_spans_of_time() {
        let row = |day| Row(vec![Value::text("w"), Value::Day(Day(day))]);
        let rows = [row(61), row(-1), row(75), row(70), row(-29)];
        let table = Table::new(&SALES).unwrap();
        let spans = |extension| spans(&table, extension, rows.iter());
        assert_eq!(
            spans(Extension::Present),
            [
                "t.\"day\" BETWEEN date '1970-01-01' + -29 AND date '1970-01-01' + -1",
                "t.\"day\" BETWEEN date '1970-01-01' + 61 AND date '1970-01-01' + 75",
            ]
        );
        assert_eq!(spans(Extension::Absent), ["true"]);
    }

    static HOURLY: View = View {
        name: "metrics_hourly",
        version: 1,
        schema: include_str!("../../../schemas/avro/views/metrics_hourly.avsc"),
        width: 1,
        row: |_, _, _| Row(Vec::new()),
    };

    #[test]
    fn spans_on_both_sides_of_a_chunks_end_share_no_instant() {
        let row = |at| Row(vec![Value::Null, Value::Null, Value::Instant(UtcMs(at))]);
        let end = CHUNK_DAYS * DAY_MS;
        let rows = [row(end - 1), row(end), row(end + 1_500)];
        let table = Table::new(&HOURLY).unwrap();
        assert_eq!(
            spans(&table, Extension::Present, rows.iter()),
            [
                "t.\"hour\" >= to_timestamp(2591999) AND t.\"hour\" < to_timestamp(2592000)",
                "t.\"hour\" >= to_timestamp(2592000) AND t.\"hour\" < to_timestamp(2592002)",
            ]
        );
    }

    #[test]
    fn a_table_by_day_becomes_a_hypertable() {
        let table = Table::new(&SALES).unwrap();
        assert_eq!(
            definition(&table),
            [
                "SELECT public.create_hypertable('ionflux.\"conformance_sales\"', \
                 public.by_range('day', INTERVAL '30 days'))",
                "ALTER TABLE ionflux.\"conformance_sales\" SET (timescaledb.enable_columnstore = \
                 true, timescaledb.segmentby = 'workspace_id', timescaledb.orderby = 'day DESC')",
            ]
        );
        let options = Options {
            hypertables: true,
            columnstore_after_days: 7,
            retention_days: 90,
            answer_s: 300,
        };
        assert_eq!(
            policies(&table, &options),
            [
                POLICIES_WAIT,
                "CALL public.add_columnstore_policy('ionflux.\"conformance_sales\"', \
              after => INTERVAL '7 days')",
                "SELECT public.add_retention_policy('ionflux.\"conformance_sales\"', \
              drop_after => INTERVAL '91 days')"
            ]
        );
    }
}
