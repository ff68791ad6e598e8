//! The dashboards of deploy/grafana: their shape, and every query of every panel and variable
//! against the real PostgreSQL, as a login that may only read.
//!
//! Invariant: a panel asks for what the schema `ionflux_read` has, and shows rows where there are
//! any.

#![allow(clippy::unwrap_used)]

mod proxy;
mod timescale_rig;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ionflux_schemas::avro::ColumnKind;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::sink::{Mark, Outgoing};
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, Column, Row as _, TypeInfo};
use timescale_rig::{Database, texts};

/// A view without a dataflow: only its schema and its rows matter here.
const fn view(name: &'static str, schema: &'static str) -> View {
    View { name, version: 1, schema, width: 1, row: |_, _, _| Row(Vec::new()) }
}

static VIEWS: [View; 5] = [
    view("metrics_hourly", include_str!("../../schemas/avro/views/metrics_hourly.avsc")),
    view("revenue_by_day", include_str!("../../schemas/avro/views/revenue_by_day.avsc")),
    view(
        "revenue_by_product_day",
        include_str!("../../schemas/avro/views/revenue_by_product_day.avsc"),
    ),
    view("customers_by_day", include_str!("../../schemas/avro/views/customers_by_day.avsc")),
    view("faults", include_str!("../../schemas/avro/views/faults.avsc")),
];

/// What a dashboard's variables stand for here; the quote must not end a text.
const SHOWN: [(&str, &str); 3] =
    [("workspace", "'o''brien'"), ("shop", "'s1','s2'"), ("currency", "'EUR'")];
const FROM: &str = "2026-03-01T06:00:00Z";
const TO: &str = "2026-03-03T18:00:00Z";
/// 2026-03-01, as days since 1970.
const FIRST_DAY: i32 = 20_513;
const DATA_SOURCE: &str = "ionflux";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy/grafana")
}

/// The dashboards by file name.
fn dashboards() -> Vec<(String, Json)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder().join("dashboards")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        found.push((name, serde_json::from_str(&text).unwrap()));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn list<'a>(of: &'a Json, name: &str) -> &'a [Json] {
    of[name].as_array().unwrap_or_else(|| panic!("{name} is no list in {of}"))
}

fn text<'a>(of: &'a Json, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {of}"))
}

/// Every query of a dashboard, by what it is for.
fn queries(dashboard: &Json) -> Vec<(String, String)> {
    let variables = list(&dashboard["templating"], "list").iter();
    let variables = variables
        .map(|it| (format!("variable {}", text(it, "name")), text(it, "query").to_owned()));
    let panels = list(dashboard, "panels").iter();
    let targets = panels.flat_map(|panel| {
        let title = text(panel, "title");
        let sql = |target: &Json| (title.to_owned(), text(target, "rawSql").to_owned());
        list(panel, "targets").iter().map(sql)
    });
    variables.chain(targets).collect()
}

/// The names in `${name:format}` and `$name`, macros left out.
fn used(sql: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for after in sql.split('$').skip(1).filter(|after| !after.starts_with("__")) {
        let after = after.strip_prefix('{').unwrap_or(after);
        let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
        names.insert(after.chars().take_while(plain).collect());
    }
    names
}

/// A query as Grafana sends it.
fn expanded(sql: &str) -> String {
    let mut sql = sql.to_owned();
    for (name, value) in SHOWN {
        sql = sql.replace(&format!("${{{name}:sqlstring}}"), value);
    }
    while let Some(at) = sql.find("$__timeFilter(") {
        let (head, tail) = sql.split_at(at);
        let (column, rest) = tail["$__timeFilter(".len()..].split_once(')').unwrap();
        sql = format!("{head}{column} BETWEEN '{FROM}' AND '{TO}'{rest}");
    }
    assert!(!sql.contains('$'), "a macro or variable is left in {sql}");
    sql
}

#[test]
fn the_dashboards_are_three_and_well_formed() {
    let dashboards = dashboards();
    let names: Vec<&str> = dashboards.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["engagement.json", "profitability.json", "salespulse.json"]);
    let mut uids = BTreeSet::new();
    for (name, dashboard) in &dashboards {
        assert!(uids.insert(text(dashboard, "uid")), "{name}: its uid is another's");
        assert!(!text(dashboard, "title").is_empty() && !text(dashboard, "description").is_empty());
        assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 41, "{name}");
        assert!(dashboard.get("id").is_none_or(Json::is_null), "{name}: an id is one server's");
        let variables = list(&dashboard["templating"], "list");
        let defined: BTreeSet<String> =
            variables.iter().map(|it| text(it, "name").to_owned()).collect();
        assert_eq!(defined.len(), variables.len(), "{name}");
        let queries = queries(dashboard);
        let used: BTreeSet<String> = queries.iter().flat_map(|(_, sql)| used(sql)).collect();
        assert_eq!(used, defined, "{name}: variables");
        assert!(defined.contains("workspace") && defined.contains("shop"), "{name}");
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(dashboard, "panels") {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: a panel's id is another's");
            let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name}: {}", text(panel, "title"));
            for (x, y) in (at("x")..at("x") + at("w"))
                .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                assert!(cells.insert((x, y)), "{name}: {} lies on another", text(panel, "title"));
            }
            assert_eq!(panel["datasource"]["uid"], DATA_SOURCE, "{name}");
            for target in list(panel, "targets") {
                assert_eq!(target["datasource"]["uid"], DATA_SOURCE, "{name}");
                let series = text(panel, "type") == "timeseries";
                assert_eq!(text(target, "format") == "time_series", series, "{name}");
            }
        }
        for variable in variables {
            assert_eq!(variable["datasource"]["uid"], DATA_SOURCE, "{name}");
        }
        for (place, sql) in &queries {
            assert!(sql.contains(" FROM ionflux_read."), "{name}: {place}");
            assert!(!sql.contains("ionflux."), "{name}: {place} goes past the reader's schema");
        }
    }
}

#[test]
fn what_is_provisioned_fits_and_holds_no_secret() {
    let source = fs::read_to_string(folder().join("provisioning/datasources/ionflux.yaml"));
    let source = source.unwrap();
    for line in ["uid: ionflux", "type: grafana-postgresql-datasource", "timescaledb: true"] {
        assert!(source.contains(line), "{line}");
    }
    for (_, dashboard) in dashboards() {
        for panel in list(&dashboard, "panels") {
            assert_eq!(text(&panel["datasource"], "type"), "grafana-postgresql-datasource");
        }
    }
    for secret in ["url", "user", "password"] {
        let line = source.lines().find_map(|line| line.trim().strip_prefix(secret)).unwrap();
        assert!(line.starts_with(": ${IONFLUX_GRAFANA_"), "{secret}{line}");
    }
    let provider = fs::read_to_string(folder().join("provisioning/dashboards/ionflux.yaml"));
    let path = "path: /var/lib/grafana/dashboards/ionflux";
    assert!(provider.unwrap().contains(path));
    let compose = fs::read_to_string(folder().join("../../compose.yaml")).unwrap();
    assert!(compose.contains("./deploy/grafana/dashboards:/var/lib/grafana/dashboards/ionflux:ro"));
}

/// Rows of a view: two shops of the workspace that is shown, and one of another.
fn rows(view: &'static View) -> Vec<Change> {
    let schema = view.parsed();
    let mut rows = Vec::new();
    for (number, (workspace, shop)) in
        (1_i64..).zip([("o'brien", "s1"), ("o'brien", "s2"), ("other", "s1")])
    {
        for day in 0..3 {
            let value = |(name, kind): (&str, ColumnKind)| match (name, kind) {
                ("workspace_id", _) => Value::text(workspace),
                ("shop_id", _) => Value::text(shop),
                ("currency", _) => Value::text("EUR"),
                ("fault_id", _) => Value::text(format!("{number}-{day}")),
                (_, ColumnKind::Text) => Value::text(name),
                (_, ColumnKind::Int) => Value::Int(number),
                (_, ColumnKind::Day) => Value::Day(Day(FIRST_DAY + day)),
                (_, ColumnKind::Instant) => {
                    Value::Instant(UtcMs(i64::from(FIRST_DAY + day) * 86_400_000 + 43_200_000))
                }
                (_, ColumnKind::Money) => {
                    Value::Money(Money::new(1_000, Currency::parse("EUR").unwrap()))
                }
            };
            let columns = schema.columns.iter().map(|column| (column.name.as_str(), column.kind));
            rows.push(Change { old: None, new: Some(Row(columns.map(value).collect())) });
        }
    }
    rows
}

#[tokio::test]
async fn every_query_gives_rows() {
    let Some(mut database) = Database::new().await else { return };
    let views: Vec<&'static View> = VIEWS.iter().collect();
    let to = Mark { state: 1, epoch: Epoch(1), as_of: UtcMs(0) };
    let shown = views.iter().map(|view| (*view, rows(view))).collect();
    let batch = Outgoing { from: None, to, views: shown };
    database.sink_of(&views).write(&batch).await.unwrap();
    let login = format!("{}_grafana", database.name);
    database.run(&format!("CREATE ROLE {login} LOGIN IN ROLE ionflux_reader")).await;
    database.run(&format!("INSERT INTO ionflux.readers VALUES ('{login}', 'o''brien')")).await;
    let mut reader = database.login(&login).await;
    let mut run = 0;
    for (name, dashboard) in dashboards() {
        for (place, sql) in queries(&dashboard) {
            let sql = format!("SELECT to_jsonb(q)::text FROM ({}) AS q", expanded(&sql));
            let rows = texts(&mut reader, &sql).await;
            let rows = rows.unwrap_or_else(|error| panic!("{name}: {place}: {error}: {sql}"));
            let told = |row: &String| {
                let row: Json = serde_json::from_str(row).unwrap();
                row.as_object().unwrap().values().all(|value| !value.is_null())
            };
            assert!(rows.first().is_some_and(told), "{name}: {place}: {rows:?}: {sql}");
            run += 1;
        }
        for panel in list(&dashboard, "panels") {
            for target in list(panel, "targets") {
                let sql = AssertSqlSafe(expanded(text(target, "rawSql")));
                let rows = sqlx::raw_sql(sql).fetch_all(&mut reader).await.unwrap();
                let columns = rows[0].columns();
                let series = text(target, "format") == "time_series";
                let timed =
                    columns[0].name() == "time" && columns[0].type_info().name() == "TIMESTAMPTZ";
                assert_eq!(series, timed, "{name}: {}", text(panel, "title"));
                assert!(columns.len() > usize::from(series), "{name}");
            }
        }
    }
    assert!(run >= 25, "{run} queries ran");
    // The values are those of the time, the shops and the workspace that are shown.
    let orders = "SELECT sum(orders)::text FROM ionflux_read.metrics_hourly WHERE \
                  $__timeFilter(\"hour\") AND workspace_id = ${workspace:sqlstring} \
                  AND shop_id IN (${shop:sqlstring}) AND currency = ${currency:sqlstring}";
    assert_eq!(texts(&mut reader, &expanded(orders)).await.unwrap(), ["9"]);
    let workspaces = "SELECT DISTINCT workspace_id FROM ionflux_read.revenue_by_day";
    assert_eq!(texts(&mut reader, workspaces).await.unwrap(), ["o'brien"]);
    drop(reader);
    database.run(&format!("DROP OWNED BY {login}; DROP ROLE {login}")).await;
    database.end().await;
}
