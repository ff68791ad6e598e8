//! What the sink makes in a real PostgreSQL: tables and their changes, the documented tables, and
//! who may read what.
//!
//! Invariant: a table changes only with its view, and then everything over it follows.

#![allow(clippy::unwrap_used)]

mod program;
mod proxy;
mod timescale_rig;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::history::{COUNTS, SALES, VIEWS};
use ionflux_sinks::sink::{Mark, Outgoing};
use program::COUNTS_2;
use timescale_rig::{Database, texts};

const MARK: Mark = Mark { state: 5, epoch: Epoch(1), as_of: UtcMs(0) };

/// A view without a dataflow: only its schema and its rows matter here.
const fn view(name: &'static str, version: u32, schema: &'static str) -> View {
    View { name, version, schema, width: 1, row: |_, _, _| Row(Vec::new()) }
}

static HOURLY: View =
    view("metrics_hourly", 1, include_str!("../../schemas/avro/views/metrics_hourly.avsc"));
static BY_DAY: View =
    view("revenue_by_day", 1, include_str!("../../schemas/avro/views/revenue_by_day.avsc"));
static BY_PRODUCT: View = view(
    "revenue_by_product_day",
    1,
    include_str!("../../schemas/avro/views/revenue_by_product_day.avsc"),
);
static CUSTOMERS: View =
    view("customers_by_day", 1, include_str!("../../schemas/avro/views/customers_by_day.avsc"));
static FAULTS: View = view("faults", 1, include_str!("../../schemas/avro/views/faults.avsc"));

/// A view that is not there yet, under the name it will have.
static USER_XP: View = view(
    "user_xp",
    1,
    r#"{"type": "record", "name": "user_xp", "doc": "d", "ionflux.key": ["workspace_id", "user_id"],
    "fields": [
        {"name": "workspace_id", "type": "string", "doc": "d"},
        {"name": "user_id", "type": "string", "doc": "d"},
        {"name": "xp", "type": "long", "doc": "d"},
        {"name": "level", "type": "long", "doc": "d"},
        {"name": "last_activity_at", "type":
            {"type": "long", "logicalType": "timestamp-millis"}, "doc": "d"}
    ]}"#,
);
static INCIDENTS: View = view(
    "incidents",
    1,
    r#"{"type": "record", "name": "incidents", "doc": "d", "ionflux.key": ["workspace_id", "id"],
    "fields": [
        {"name": "workspace_id", "type": "string", "doc": "d"},
        {"name": "id", "type": "string", "doc": "d"},
        {"name": "details", "type": "string", "doc": "d"},
        {"name": "started_at", "type":
            {"type": "long", "logicalType": "timestamp-millis"}, "doc": "d"}
    ]}"#,
);

fn snapshot(views: Vec<(&'static View, Vec<Row>)>) -> Outgoing {
    let change = |row| Change { old: None, new: Some(row) };
    let changes = |rows: Vec<Row>| rows.into_iter().map(change).collect();
    Outgoing {
        from: None,
        to: MARK,
        views: views.into_iter().map(|(view, rows)| (view, changes(rows))).collect(),
    }
}

fn count(workspace: &str, units: i64) -> Row {
    Row(vec![Value::text(workspace), Value::Int(units)])
}

const PLACES: &str = "SELECT oid::text, relname::text FROM pg_class \
     WHERE relnamespace::regnamespace::text LIKE 'ionflux%' AND relkind IN ('r', 'v') \
     ORDER BY 2, 1";

#[tokio::test]
async fn a_second_program_changes_nothing_and_a_dropped_table_comes_again() {
    let Some(mut database) = Database::new().await else { return };
    let mut sink = database.sink_of(&VIEWS);
    assert_eq!(sink.resume().await.unwrap(), None);
    sink.write(&snapshot(vec![(&COUNTS, vec![count("a", 1)]), (&SALES, vec![])])).await.unwrap();
    let before = database.texts(PLACES).await;
    assert_eq!(database.sink_of(&VIEWS).resume().await.unwrap(), Some(MARK));
    assert_eq!(database.texts(PLACES).await, before);
    let versions = "SELECT version::text, name FROM ionflux.sink_migrations ORDER BY 1";
    assert_eq!(database.texts(versions).await, ["1 mark", "2 readers"]);
    // A view less is a table less, and the others stay as they are.
    let mut fewer = database.sink_of(&VIEWS[1..]);
    assert_eq!(fewer.resume().await.unwrap(), Some(MARK));
    let there = "SELECT (to_regclass('ionflux.conformance_sales') IS NULL)::text, \
                 (to_regclass('ionflux.conformance_counts') IS NULL)::text";
    assert_eq!(database.texts(there).await, ["true false"]);
    // The first program finds that out, and a snapshot follows.
    let error = sink.write(&next()).await.unwrap_err();
    assert!(error.passing(), "{error}");
    assert_eq!(sink.resume().await.unwrap(), None);
    sink.write(&snapshot(vec![])).await.unwrap();
    assert_eq!(database.texts(PLACES).await.len(), before.len());
    database.run("DROP TABLE ionflux.conformance_sales CASCADE").await;
    let mut again = database.sink_of(&VIEWS);
    assert_eq!(again.resume().await.unwrap(), None);
    again.write(&snapshot(vec![])).await.unwrap();
    assert_eq!(again.resume().await.unwrap(), Some(MARK));
    // So does a table without a column.
    database.run("ALTER TABLE ionflux.conformance_counts DROP COLUMN units CASCADE").await;
    let changes = vec![(&COUNTS, vec![Change { old: None, new: Some(count("b", 2)) }])];
    let error = again.write(&Outgoing { views: changes, ..next() }).await.unwrap_err();
    assert!(error.passing() && error.to_string().contains("42703"), "{error}");
    assert_eq!(again.resume().await.unwrap(), None);
    again.write(&snapshot(vec![(&COUNTS, vec![count("b", 2)])])).await.unwrap();
    let units = "SELECT units::text FROM ionflux.conformance_counts";
    assert_eq!(database.texts(units).await, ["2"]);
    assert_eq!(database.texts(PLACES).await.len(), before.len());
    assert_eq!(database.texts(PLACES).await.len(), before.len());
    database.end().await;
}

fn next() -> Outgoing {
    let to = Mark { epoch: Epoch(2), ..MARK };
    Outgoing { from: Some(Epoch(1)), to, ..snapshot(vec![(&COUNTS, vec![]), (&SALES, vec![])]) }
}

#[tokio::test]
async fn a_view_of_another_version_is_made_anew_and_a_newer_one_left_alone() {
    let Some(mut database) = Database::new().await else { return };
    let mut sink = database.sink_of(&VIEWS);
    sink.write(&snapshot(vec![(&COUNTS, vec![count("a", 1)]), (&SALES, vec![])])).await.unwrap();
    let sales = "SELECT 'ionflux.conformance_sales'::regclass::oid::text";
    let before = database.texts(sales).await;
    let mut newer = database.sink_of(&[&SALES, &COUNTS_2]);
    assert_eq!(newer.resume().await.unwrap(), None, "a snapshot has to follow");
    let changes = Outgoing { views: vec![], ..next() };
    assert!(newer.write(&changes).await.unwrap_err().passing(), "changes alone are not enough");
    assert_eq!(newer.resume().await.unwrap(), None);
    let row = Row(vec![Value::text("a"), Value::Int(1), Value::Int(2)]);
    newer.write(&snapshot(vec![(&SALES, vec![]), (&COUNTS_2, vec![row])])).await.unwrap();
    let shown =
        "SELECT workspace_id, units::text, orders::text FROM ionflux_read.conformance_counts";
    database.run("INSERT INTO ionflux.readers VALUES ('ionflux', '*')").await;
    assert_eq!(database.texts(shown).await, ["a 1 2"]);
    assert_eq!(database.texts(sales).await, before, "the other table stays");
    let keys = "SELECT conname::text FROM pg_constraint WHERE contype = 'p' \
                AND conrelid = 'ionflux.conformance_counts'::regclass";
    assert_eq!(database.texts(keys).await, ["conformance_counts_pkey"]);
    // The old program sees it at its next write, and halts at its next question.
    assert!(sink.write(&next()).await.unwrap_err().passing());
    let error = sink.resume().await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("a newer program"), "{error}");
    database.run("INSERT INTO ionflux.sink_migrations VALUES (3, 'later', 'x')").await;
    database.run("UPDATE ionflux.sink_mark SET layout = 'x'").await;
    let error = database.sink_of(&[&SALES, &COUNTS_2]).resume().await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("3 migrations"), "{error}");
    database.end().await;
}

#[tokio::test]
async fn objects_of_others_over_a_table_are_not_dropped() {
    let Some(mut database) = Database::new().await else { return };
    database.sink_of(&VIEWS).write(&snapshot(vec![])).await.unwrap();
    database.run("CREATE VIEW public.mine AS SELECT * FROM ionflux.conformance_counts").await;
    let changed = || database.sink_of(&[&SALES, &COUNTS_2]);
    let error = changed().write(&snapshot(vec![])).await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("2BP01"), "{error}");
    let mut sink = changed();
    database.run("DROP VIEW public.mine").await;
    sink.write(&snapshot(vec![])).await.unwrap();
    assert_eq!(sink.resume().await.unwrap(), Some(MARK));
    database.end().await;
}

#[tokio::test]
async fn the_documented_tables_have_the_documented_columns() {
    let Some(mut database) = Database::new().await else { return };
    let views = [&HOURLY, &BY_DAY, &BY_PRODUCT, &CUSTOMERS, &FAULTS, &USER_XP, &INCIDENTS];
    let mut sink = database.sink_of(&views);
    let euro = |minor| Value::Money(Money::new(minor, Currency::parse("EUR").unwrap()));
    let hour = |at: i64| {
        let (workspace, shop) = (Value::text("w"), Value::text("s"));
        let (at, currency) = (Value::Instant(UtcMs(at * 3_600_000)), Value::text("EUR"));
        let (revenue, aov) = (euro(1_000), euro(500));
        let (orders, refunds) = (Value::Int(2), Value::Int(0));
        Row(vec![workspace, shop, at, currency, orders, revenue, aov, refunds, euro(0)])
    };
    let customers = Row(vec![
        Value::text("w"),
        Value::text("s"),
        Value::Day(Day(0)),
        Value::Int(1),
        Value::Int(2),
    ]);
    let xp = Row(vec![
        Value::text("w"),
        Value::text("u"),
        Value::Int(245),
        Value::Int(3),
        Value::Instant(UtcMs(1)),
    ]);
    let rows = vec![
        (&HOURLY, vec![hour(0), hour(23), hour(24)]),
        (&CUSTOMERS, vec![customers]),
        (&USER_XP, vec![xp]),
    ];
    sink.write(&snapshot(rows)).await.unwrap();
    let columns = |table: &str| {
        format!(
            "SELECT column_name::text FROM information_schema.columns \
             WHERE table_schema = 'ionflux' AND table_name = '{table}' ORDER BY ordinal_position"
        )
    };
    let metrics = database.texts(&columns("shop_performance_metrics")).await;
    let documented = ["timestamp", "workspace_id", "metric_name", "value", "dimensions"];
    assert_eq!(metrics[..5], documented);
    assert_eq!(metrics[5..], ["shop_id", "sample_size", "is_proxy"]);
    let aov = "SELECT value::text, sample_size::text, dimensions->>'currency' \
               FROM ionflux.shop_performance_metrics WHERE metric_name = 'aov' LIMIT 1";
    assert_eq!(database.texts(aov).await, ["5.0000 2 EUR"]);
    let daily = "SELECT (\"day\" AT TIME ZONE 'UTC')::text, orders::text, aov::text \
                 FROM ionflux.metrics_daily ORDER BY 1";
    let expected = ["1970-01-01 00:00:00 4 5.0000", "1970-01-02 00:00:00 2 5.0000"];
    assert_eq!(database.texts(daily).await, expected);
    let is = "SELECT obj_description('ionflux.metrics_daily'::regclass, 'pg_class')";
    assert!(database.texts(is).await[0].starts_with("Totals of days of UTC, not of the shop"));
    let levels = database.texts(&columns("user_xp_levels")).await;
    let documented =
        ["user_id", "workspace_id", "current_xp", "current_level", "last_activity_timestamp"];
    assert_eq!(levels[..5], documented);
    let level = "SELECT user_id, current_xp::text, current_level::text FROM ionflux.user_xp_levels";
    assert_eq!(database.texts(level).await, ["u 245 3"]);
    let incidents = database.texts(&columns("sentinel_incidents")).await;
    assert_eq!(incidents[..4], ["id", "workspace_id", "incident_type", "start_time"]);
    assert!(database.texts(&columns("user_unlocked_badges")).await.is_empty(), "not told yet");
    let returning = "SELECT \"new\"::text, \"returning\"::text FROM ionflux.customers_by_day";
    assert_eq!(database.texts(returning).await, ["1 2"]);
    database.end().await;
}

#[tokio::test]
async fn a_login_sees_the_rows_of_its_workspaces() {
    let Some(mut database) = Database::new().await else { return };
    let mut sink = database.sink_of(&VIEWS);
    let rows = vec![count("a", 1), count("b", 2), count("c", 3)];
    sink.write(&snapshot(vec![(&COUNTS, rows), (&SALES, vec![])])).await.unwrap();
    let login = |who: &str| format!("{}_{who}", database.name);
    let (one, two, all) = (login("one"), login("two"), login("all"));
    for name in [&one, &two, &all] {
        database.run(&format!("CREATE ROLE {name} LOGIN; GRANT ionflux_reader TO {name}")).await;
    }
    let mapped = format!(
        "INSERT INTO ionflux.readers VALUES ('{one}', 'a'), ('{one}', 'c'), ('{two}', 'b'), \
         ('{all}', '*')"
    );
    database.run(&mapped).await;
    let shown = "SELECT workspace_id FROM ionflux_read.conformance_counts ORDER BY 1";
    // What peeks at a row before the filter would show it here.
    let peek = "SELECT workspace_id FROM ionflux_read.conformance_counts \
                WHERE 1 / (units - 2) < 2 ORDER BY 1";
    let base = "SELECT workspace_id FROM ionflux.conformance_counts ORDER BY 1";
    for (name, sees) in [(&one, &["a", "c"][..]), (&two, &["b"]), (&all, &["a", "b", "c"])] {
        let mut reader = database.login(name).await;
        assert_eq!(texts(&mut reader, shown).await.unwrap(), sees);
        let refused = texts(&mut reader, base).await.unwrap_err();
        assert!(refused.contains("permission denied"), "{refused}");
        let write = texts(&mut reader, "DELETE FROM ionflux_read.conformance_counts").await;
        assert!(write.unwrap_err().contains("permission denied"));
        // Whoever is let in to the table itself is filtered there as well.
        database.run(&format!("GRANT SELECT ON ionflux.conformance_counts TO {name}")).await;
        assert_eq!(texts(&mut reader, base).await.unwrap(), sees);
        assert!(texts(&mut reader, "TABLE ionflux.readers").await.is_err());
    }
    let mut reader = database.login(&one).await;
    let mark = "SELECT epoch::text, extract(epoch FROM as_of)::bigint::text, \
                (written_at IS NOT NULL)::text FROM ionflux_read.sink_mark";
    assert_eq!(texts(&mut reader, mark).await.unwrap(), ["1 0 true"]);
    assert!(texts(&mut reader, "SELECT state::text FROM ionflux_read.sink_mark").await.is_err());
    assert_eq!(texts(&mut reader, peek).await.unwrap(), ["a", "c"], "no error of a hidden row");
    texts(&mut reader, "SET ROLE ionflux_reader").await.unwrap();
    assert_eq!(texts(&mut reader, shown).await.unwrap(), ["a", "c"], "the session's user counts");
    drop(reader);
    // A role that was made later is let in by the next connection.
    let out = "REVOKE ALL ON SCHEMA ionflux, ionflux_read FROM ionflux_reader; \
               REVOKE ALL ON ALL TABLES IN SCHEMA ionflux_read FROM ionflux_reader";
    database.run(out).await;
    let mut reader = database.login(&two).await;
    assert!(texts(&mut reader, shown).await.unwrap_err().contains("permission denied"));
    assert_eq!(database.sink_of(&VIEWS).resume().await.unwrap(), Some(MARK));
    assert_eq!(texts(&mut reader, shown).await.unwrap(), ["b"]);
    drop(reader);
    for name in [&one, &two, &all] {
        database.run(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).await;
    }
    database.end().await;
}

#[tokio::test]
async fn a_view_over_a_filtered_table_is_filtered_as_well() {
    let Some(mut database) = Database::new().await else { return };
    let old = "SELECT (current_setting('server_version_num')::integer < 150000)::text";
    if database.texts(old).await == ["true"] {
        eprintln!("SKIPPED: views before PostgreSQL 15 have the rights of their owner");
        return database.end().await;
    }
    let xp = |workspace: &str| {
        let (workspace, user) = (Value::text(workspace), Value::text("u"));
        Row(vec![workspace, user, Value::Int(1), Value::Int(1), Value::Instant(UtcMs(1))])
    };
    let mut sink = database.sink_of(&[&USER_XP]);
    sink.write(&snapshot(vec![(&USER_XP, vec![xp("a"), xp("b")])])).await.unwrap();
    let login = format!("{}_one", database.name);
    let mapped = format!(
        "CREATE ROLE {login} LOGIN; GRANT ionflux_reader TO {login}; \
         INSERT INTO ionflux.readers VALUES ('{login}', 'a'); \
         GRANT SELECT ON ionflux.user_xp_levels TO {login}"
    );
    database.run(&mapped).await;
    let mut reader = database.login(&login).await;
    let below = "SELECT workspace_id FROM ionflux.user_xp_levels";
    let refused = texts(&mut reader, below).await.unwrap_err();
    assert!(refused.contains("permission denied for table user_xp"), "{refused}");
    let shown = "SELECT workspace_id FROM ionflux_read.user_xp_levels";
    assert_eq!(texts(&mut reader, shown).await.unwrap(), ["a"], "which needs no right below");
    database.run(&format!("GRANT SELECT ON ionflux.user_xp TO {login}")).await;
    assert_eq!(texts(&mut reader, below).await.unwrap(), ["a"]);
    drop(reader);
    database.run(&format!("DROP OWNED BY {login}; DROP ROLE {login}")).await;
    database.end().await;
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough_and_says_what_is_missing() {
    let Some(mut database) = Database::new().await else { return };
    let user = format!("{}_plain", database.name);
    database.run(&format!("CREATE ROLE {user} LOGIN NOSUPERUSER NOCREATEROLE")).await;
    let error = database.sink_as(&user, &VIEWS).resume().await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("42501"), "{error}");
    assert!(error.to_string().contains("GRANT CREATE ON DATABASE"), "{error}");
    database.run(&format!("GRANT CREATE ON DATABASE {} TO {user}", database.name)).await;
    let mut sink = database.sink_as(&user, &VIEWS);
    assert_eq!(sink.resume().await.unwrap(), None);
    sink.write(&snapshot(vec![(&COUNTS, vec![count("a", 1)]), (&SALES, vec![])])).await.unwrap();
    assert_eq!(sink.resume().await.unwrap(), Some(MARK));
    let nobody = database.sink_as("nobody_of_that_name", &VIEWS).resume().await.unwrap_err();
    assert!(!nobody.passing(), "{nobody}");
    drop(sink);
    database.alone().await;
    database.run(&format!("DROP OWNED BY {user} CASCADE; DROP ROLE {user}")).await;
    database.end().await;
}
