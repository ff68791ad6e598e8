//! What only TimescaleDB can do: tables in chunks by time, the columnstore, retention.
//!
//! Invariant: without the extension nothing here runs, and every table shows the same rows.
//!
//! A table with a time in its key becomes a hypertable. Row security is for the other tables: the
//! columnstore and continuous aggregates refuse it, so that the views of `ionflux_read` filter.
//!
//! A transaction of a reader that sees what was before (`REPEATABLE READ`) misses the rows of a
//! chunk that went to the columnstore after it began; single statements miss nothing.

use super::layout::Options;
use super::table::{Table, literal};

/// The first version whose columnstore takes updates and has these names.
const VERSION_MIN: (u32, u32) = (2, 18);
/// A policy ends its work on a chunk with a lock that waits for every reader of it, and behind
/// which all others wait, the sink too. So its jobs, which run as the sink's user, do not wait for
/// long: where a slow reader is at a chunk they fail, and come again.
const POLICIES_WAIT: &str = "DO $$ BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I \
     SET lock_timeout TO ''2s''', current_database()); END $$";
/// The time one chunk holds: some ten thousand shops' days fit well into memory.
const CHUNK: &str = "30 days";

/// The extension where it is installed, in a form that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extension {
    /// Hypertables and all.
    Present,
    /// Plain tables.
    Absent,
}

impl Extension {
    /// What a version and the schema of the extension's functions mean.
    pub(super) fn of(installed: Option<(&str, &str)>, wanted: bool) -> Self {
        let Some((version, schema)) = installed.filter(|_| wanted) else { return Self::Absent };
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
    vec![DAILY_AGGREGATE.to_owned(), refreshed]
}

const DAILY_AGGREGATE: &str = "CREATE MATERIALIZED VIEW ionflux.\"metrics_daily\" \
     WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS \
     SELECT \"workspace_id\", \"shop_id\", \
     public.time_bucket(INTERVAL '1 day', \"hour\") AS \"day\", \"currency\", \
     sum(\"orders\")::bigint AS \"orders\", sum(\"revenue\") AS \"revenue\", \
     round(sum(\"revenue\") / nullif(sum(\"orders\"), 0), 4) AS \"aov\", \
     sum(\"refunds\")::bigint AS \"refunds\", sum(\"returns\") AS \"returns\" \
     FROM ionflux.\"metrics_hourly\" GROUP BY 1, 2, 3, 4 WITH NO DATA";

/// The same totals where the extension is not: a plain view.
pub(super) const DAILY_VIEW: &str = "CREATE VIEW ionflux.\"metrics_daily\" AS SELECT \
     \"workspace_id\", \"shop_id\", date_trunc('day', \"hour\", 'UTC') AS \"day\", \"currency\", \
     sum(\"orders\")::bigint AS \"orders\", sum(\"revenue\") AS \"revenue\", \
     round(sum(\"revenue\") / nullif(sum(\"orders\"), 0), 4) AS \"aov\", \
     sum(\"refunds\")::bigint AS \"refunds\", sum(\"returns\") AS \"returns\" \
     FROM ionflux.\"metrics_hourly\" GROUP BY 1, 2, 3, 4";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::SALES;

    #[test]
    fn only_a_usable_extension_counts() {
        let of = |version| Extension::of(Some((version, "public")), true);
        assert_eq!(of("2.18.0"), Extension::Present);
        assert_eq!(of("3.0"), Extension::Present);
        assert_eq!(of("2.17.4"), Extension::Absent);
        assert_eq!(Extension::of(Some(("2.28.3", "elsewhere")), true), Extension::Absent);
        assert_eq!(Extension::of(Some(("2.28.3", "public")), false), Extension::Absent);
        assert_eq!(Extension::of(None, true), Extension::Absent);
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
