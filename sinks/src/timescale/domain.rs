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
    made.extend(told(DOCUMENTED, tables));
    made
}

/// The tables of a registry whose views are there.
fn told(text: &'static str, tables: &[Table]) -> Vec<Object> {
    let table = |name: &str| tables.iter().find(|table| table.view.name == name);
    let mut made = Vec::new();
    for documented in registry(text) {
        if let (Some(of), None) = (table(documented.view), table(documented.name)) {
            made.push(over(&documented, &of.schema));
        }
    }
    made
}

fn registry(text: &'static str) -> Vec<Documented<'static>> {
    let mut tables: Vec<Documented<'static>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
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
    let (view, columns) = (quoted(documented.view), columns.join(", "));
    let told = |name: &str| {
        let found = documented.columns.iter().find(|(column, ..)| *column == name);
        found.is_some_and(|(_, _, from)| from.iter().any(|name| schema.column(name).is_some()))
    };
    let workspace = WORKSPACES.into_iter().find(|name| told(name));
    let select = format!("SELECT {columns} FROM ionflux.{view}");
    Object::showing(documented.view, documented.name, workspace, select)
}

fn select(column: &(&str, &str, Vec<&str>), schema: &Schema) -> String {
    let (name, sql, from) = column;
    let found = from.iter().find_map(|name| schema.column(name));
    let value = found.and_then(|(_, found)| cast(&quoted(&found.name), found.kind, sql));
    let value = value.unwrap_or_else(|| format!("NULL::{sql}"));
    format!("{value} AS {}", quoted(name))
}

/// A column of ours as another type, by the day of UTC; `None` where the one is never the other.
fn cast(value: &str, kind: ColumnKind, sql: &str) -> Option<String> {
    Some(match (kind, sql) {
        (ColumnKind::Text, _)
        | (ColumnKind::Int | ColumnKind::Money, "bigint" | "numeric" | "text")
        | (ColumnKind::Day, "date" | "text")
        | (ColumnKind::Instant, "timestamptz" | "text") => format!("{value}::{sql}"),
        // A number is a boolean only by way of an integer.
        (ColumnKind::Int, "boolean") => format!("{value}::integer::boolean"),
        (ColumnKind::Day, "timestamptz") => format!("{value}::timestamp AT TIME ZONE 'UTC'"),
        (ColumnKind::Instant, "date") => format!("({value} AT TIME ZONE 'UTC')::date"),
        (_, "jsonb") => format!("to_jsonb({value})"),
        _ => return None,
    })
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
    let select = format!(
        "SELECT h.\"hour\" AS \"timestamp\", \
         h.\"workspace_id\", m.\"metric_name\", m.\"value\", \
         jsonb_build_object('currency', h.\"currency\") AS \"dimensions\", h.\"shop_id\", \
         m.\"sample_size\", false AS \"is_proxy\" FROM ionflux.\"metrics_hourly\" AS h \
         CROSS JOIN LATERAL (VALUES {}) AS m(\"metric_name\", \"value\", \"sample_size\") \
         WHERE m.\"value\" IS NOT NULL",
        values.join(", ")
    );
    let workspace = Some("workspace_id");
    Some(Object::showing("metrics_hourly", "shop_performance_metrics", workspace, select))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{COUNTS, SALES};
    use crate::timescale::table::plain;

    #[test]
    fn the_registry_is_well_formed_and_whole() {
        let tables = registry(DOCUMENTED);
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

    /// What a registry says of views that exist and that they do not tell.
    fn untold(text: &'static str, views: &[(String, Schema)]) -> Vec<String> {
        let mut untold = Vec::new();
        for table in registry(text) {
            let Some((_, schema)) = views.iter().find(|(name, _)| name == table.view) else {
                continue;
            };
            for (name, sql, from) in &table.columns {
                let found = from.iter().find_map(|name| schema.column(name));
                let told = found.is_some_and(|(_, found)| cast("x", found.kind, sql).is_some());
                if told == from.contains(&"-") {
                    untold.push(format!("{}.{name}", table.name));
                }
            }
        }
        untold
    }

    #[test]
    fn what_the_registry_says_of_the_views_that_exist_is_so() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/avro/views");
        let views: Vec<(String, Schema)> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                (name, Schema::parse(&std::fs::read_to_string(path).unwrap()).unwrap())
            })
            .collect();
        assert!(views.len() >= 5, "the views are elsewhere");
        assert!(untold(DOCUMENTED, &views).is_empty(), "{:?}", untold(DOCUMENTED, &views));
    }

    const OTHER: &str = "later_table from view_of_later\nid text\nunheard_of numeric\n\n\
        sales_table from conformance_sales\nworkspace_id text\non date day\nnet jsonb\n\
        owner text -\nno_such_column text neither\norders date\nday date -\n";

    #[test]
    fn an_unknown_view_is_ignored_and_an_unknown_column_found_out() {
        let views = [(SALES.name.to_owned(), Schema::parse(SALES.schema).unwrap())];
        let found = ["sales_table.no_such_column", "sales_table.orders", "sales_table.day"];
        assert_eq!(untold(OTHER, &views), found);
        let tables = [Table::new(&COUNTS).unwrap(), Table::new(&SALES).unwrap()];
        let made: Vec<String> = told(OTHER, &tables).iter().map(Object::place).collect();
        assert_eq!(made, ["ionflux.sales_table"]);
        assert!(super::views(&tables).is_empty(), "the documented tables are others");
    }

    #[test]
    fn every_kind_of_column_becomes_what_is_documented_or_nothing() {
        let as_type = |kind, sql| cast("x", kind, sql);
        assert_eq!(as_type(ColumnKind::Int, "boolean").unwrap(), "x::integer::boolean");
        assert_eq!(as_type(ColumnKind::Money, "jsonb").unwrap(), "to_jsonb(x)");
        assert_eq!(as_type(ColumnKind::Text, "jsonb").unwrap(), "x::jsonb");
        assert_eq!(as_type(ColumnKind::Instant, "date").unwrap(), "(x AT TIME ZONE 'UTC')::date");
        assert_eq!(as_type(ColumnKind::Int, "timestamptz"), None);
        assert_eq!(as_type(ColumnKind::Money, "boolean"), None);
    }
}
