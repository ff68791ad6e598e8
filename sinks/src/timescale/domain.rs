//! The tables that the agents' specification names, as views over those of our views they tell.
//!
//! Invariant: a documented table has the documented columns under the documented names, in their
//! order; it is there as soon as the view it is made of is among the sink's. Where our own view has
//! that very name, its table is the documented one.

use ionflux_schemas::avro::{ColumnKind, Schema};

use super::layout::Object;
use super::table::{Table, literal, quoted};

/// The registry: a documented table, the view of ours behind it, and its columns.
const DOCUMENTED: &str = include_str!("documented.txt");
/// The columns that say whose a row is.
const WORKSPACES: [&str; 2] = ["workspace_id", "workspace_id_context"];

/// Metrics of an hour: the documented name, the column of ours, and the one that says of how many
/// it is made.
const METRICS: [(&str, &str, &str); 10] = [
    ("cvr", "cvr", "sessions"),
    ("aov", "aov", "orders"),
    ("checkout_errors", "checkout_errors", "checkouts"),
    ("page_load_time", "page_load_time", "sessions"),
    ("revenue", "revenue", "orders"),
    ("orders", "orders", "orders"),
    ("refunds", "refunds", "refunds"),
    ("returns", "returns", "refunds"),
    ("checkouts", "checkouts", "checkouts"),
    ("sessions", "sessions", "sessions"),
];

/// A documented table as the registry has it.
struct Documented<'a> {
    name: &'a str,
    view: &'a str,
    /// Name, type, and where it may come from.
    columns: Vec<(&'a str, &'a str, Vec<&'a str>)>,
}

/// The views for those documented tables that the sink's views can tell.
pub(super) fn views(tables: &[Table]) -> Vec<Object> {
    let table = |name: &str| tables.iter().find(|table| table.view.name == name);
    let mut made = Vec::new();
    if let (Some(hourly), None) = (table("metrics_hourly"), table("shop_performance_metrics")) {
        made.extend(metrics(&hourly.schema));
    }
    for documented in registry() {
        if let (Some(of), None) = (table(documented.view), table(documented.name)) {
            made.push(over(&documented, &of.schema));
        }
    }
    made
}

fn registry() -> Vec<Documented<'static>> {
    let mut tables = Vec::new();
    for line in DOCUMENTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [name, "from", view] => tables.push(Documented { name, view, columns: Vec::new() }),
            [name, sql, aliases @ ..] => {
                let from = [*name].into_iter().chain(aliases.iter().copied()).collect();
                let column = (*name, *sql, from);
                tables.iter_mut().last().into_iter().for_each(|t| t.columns.push(column.clone()));
            }
            _ => {}
        }
    }
    tables
}

fn over(documented: &Documented<'static>, schema: &Schema) -> Object {
    let columns: Vec<String> = documented.columns.iter().map(|c| select(c, schema)).collect();
    let (name, columns) = (quoted(documented.name), columns.join(", "));
    let view = quoted(documented.view);
    let told = |name: &str| {
        let found = documented.columns.iter().find(|(column, ..)| *column == name);
        found.is_some_and(|(_, _, from)| from.iter().any(|name| schema.column(name).is_some()))
    };
    let workspace = WORKSPACES.into_iter().find(|name| told(name));
    let statement = format!("CREATE VIEW ionflux.{name} AS SELECT {columns} FROM ionflux.{view}");
    Object::over(documented.view, documented.name, workspace, vec![statement])
}

fn select(column: &(&str, &str, Vec<&str>), schema: &Schema) -> String {
    let (name, sql, from) = column;
    match from.iter().find_map(|name| schema.column(name)) {
        Some((_, found)) => {
            let taken = quoted(&found.name);
            // A text that says true is a boolean; a number is one only by way of an integer.
            let by =
                if *sql == "boolean" && found.kind == ColumnKind::Int { "::integer" } else { "" };
            format!("{taken}{by}::{sql} AS {}", quoted(name))
        }
        None => format!("NULL::{sql} AS {}", quoted(name)),
    }
}

/// The time series: a row for each metric of an hour that has a value.
fn metrics(schema: &Schema) -> Option<Object> {
    let has = |name: &str| schema.column(name).is_some();
    let mut values = Vec::new();
    for (metric, column, sample) in METRICS.iter().filter(|(_, column, _)| has(column)) {
        let sample = match has(sample) {
            true => format!("{}::bigint", quoted(sample)),
            false => "NULL::bigint".to_owned(),
        };
        let metric = literal(metric);
        values.push(format!("({metric}::text, {}::numeric, {sample})", quoted(column)));
    }
    let keyed = ["hour", "workspace_id", "shop_id", "currency"].into_iter().all(has);
    if values.is_empty() || !keyed {
        return None;
    }
    let statement = format!(
        "CREATE VIEW ionflux.\"shop_performance_metrics\" AS SELECT h.\"hour\" AS \"timestamp\", \
         h.\"workspace_id\", m.\"metric_name\", m.\"value\", \
         jsonb_build_object('currency', h.\"currency\") AS \"dimensions\", h.\"shop_id\", \
         m.\"sample_size\", false AS \"is_proxy\" FROM ionflux.\"metrics_hourly\" AS h \
         CROSS JOIN LATERAL (VALUES {}) AS m(\"metric_name\", \"value\", \"sample_size\") \
         WHERE m.\"value\" IS NOT NULL",
        values.join(", ")
    );
    let workspace = Some("workspace_id");
    Some(Object::over("metrics_hourly", "shop_performance_metrics", workspace, vec![statement]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timescale::table::plain;

    #[test]
    fn the_registry_is_well_formed_and_whole() {
        let tables = registry();
        assert_eq!(tables.len(), 13);
        let types = ["text", "bigint", "numeric", "date", "timestamptz", "jsonb", "boolean"];
        for table in &tables {
            assert!(plain(table.name) && plain(table.view), "{}", table.name);
            assert!(table.columns.len() >= 5, "{}", table.name);
            for (name, sql, _) in &table.columns {
                assert!(plain(name) && types.contains(sql), "{} {name} {sql}", table.name);
            }
        }
        let lines = DOCUMENTED.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).count();
        let read: usize = tables.iter().map(|table| 1 + table.columns.len()).sum();
        assert_eq!(read, lines);
    }
}
