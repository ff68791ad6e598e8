//! The sink on hypertables of a real TimescaleDB; loudly skipped where the server has none.
//!
//! Invariant: whatever the columnstore, retention and aggregates do, the tables show what the sink
//! was told, but for rows older than what is kept.

#![allow(clippy::unwrap_used)]

mod program;
mod proxy;
mod timescale_rig;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::conformance::{Bench, SCENARIOS, Trouble, check};
use ionflux_sinks::history::{COUNTS, SALES, VIEWS};
use ionflux_sinks::memory::Contents;
use ionflux_sinks::sink::{BoxFuture, Mark, Outgoing, Sink};
use ionflux_sinks::timescale::TimescaleConfig;
use program::change;
use timescale_rig::{Database, run, texts};

const STATE: u128 = 9;
const HOUR_MS: i64 = 3_600_000;

static HOURLY: View = View {
    name: "metrics_hourly",
    version: 1,
    schema: include_str!("../../schemas/avro/views/metrics_hourly.avsc"),
    width: 1,
    row: |_, _, _| Row(Vec::new()),
};

/// A sink and what it was last told.
struct Told {
    sink: Box<dyn Sink>,
    epoch: u64,
}

impl Told {
    async fn snapshot(sink: Box<dyn Sink>, views: Vec<(&'static View, Vec<Change>)>) -> Self {
        let mut told = Self { sink, epoch: 0 };
        told.write(None, views).await;
        told
    }

    async fn write(&mut self, from: Option<Epoch>, views: Vec<(&'static View, Vec<Change>)>) {
        self.epoch += 1;
        let to = Mark { state: STATE, epoch: Epoch(self.epoch), as_of: UtcMs(0) };
        self.sink.write(&Outgoing { from, to, views }).await.unwrap();
    }

    async fn changes(&mut self, view: &'static View, changes: Vec<Change>) {
        self.write(Some(Epoch(self.epoch)), vec![(view, changes)]).await;
    }
}

fn come(rows: impl IntoIterator<Item = Row>) -> Vec<Change> {
    rows.into_iter().map(|row| change(None, Some(row))).collect()
}

fn euro(minor: i64) -> Value {
    Value::Money(Money::new(minor, Currency::parse("EUR").unwrap()))
}

fn sale(day: i32, orders: i64) -> Row {
    let (day, at) = (Value::Day(Day(day)), Value::Instant(UtcMs(0)));
    Row(vec![Value::text("w"), day, euro(orders), Value::Int(orders), at])
}

fn hour(workspace: &str, at: i64, orders: i64) -> Row {
    let (workspace, shop) = (Value::text(workspace), Value::text("s"));
    let (at, currency) = (Value::Instant(UtcMs(at * HOUR_MS)), Value::text("EUR"));
    let (revenue, aov) = (euro(orders * 500), euro(500));
    let refunds = Value::Int(0);
    Row(vec![workspace, shop, at, currency, Value::Int(orders), revenue, aov, refunds, euro(0)])
}

/// The day it is at the server.
async fn today(database: &mut Database) -> i32 {
    let today = "SELECT (now()::date - date '1970-01-01')::text";
    database.texts(today).await[0].parse().unwrap()
}

const HELD: &str = "SELECT (day - date '1970-01-01')::text, orders::text \
                    FROM ionflux.conformance_sales ORDER BY 1";
const JOBS: &str = "SELECT job_id::text, proc_name::text, hypertable_name::text, config::text \
                    FROM timescaledb_information.jobs WHERE hypertable_schema LIKE '%ionflux%' \
                    OR hypertable_schema = '_timescaledb_internal' ORDER BY 2, 3";

/// A bench whose target has all its rows in the columnstore whenever it was looked at, so that
/// every change comes late.
struct Columnar(Database);

impl Bench for Columnar {
    fn sink(&mut self) -> Box<dyn Sink> {
        self.0.sink()
    }

    fn contents(&mut self) -> BoxFuture<'_, Contents> {
        Box::pin(async {
            let there = "SELECT to_regclass('ionflux.conformance_sales')::text";
            if self.0.texts(there).await != ["null"] {
                self.0.compress().await;
            }
            self.0.contents().await
        })
    }

    fn disturb(&mut self, trouble: Trouble) -> BoxFuture<'_, ()> {
        self.0.disturb(trouble)
    }
}

#[tokio::test]
async fn the_suite_passes_with_every_row_in_the_columnstore() {
    let Some(database) = Database::with_timescale().await else { return };
    let mut bench = Columnar(database);
    for scenario in SCENARIOS {
        let checked = check(scenario, &mut bench).await;
        checked.unwrap_or_else(|broken| panic!("{broken}: {:?}", broken.cause));
    }
    let columnar = "SELECT count(*)::text FROM timescaledb_information.chunks WHERE is_compressed \
                    AND hypertable_name = 'conformance_sales'";
    assert_eq!(bench.0.texts(columnar).await, ["1"]);
    bench.0.end().await;
}

#[tokio::test]
async fn tables_by_time_are_hypertables_and_options_change_their_policies_alone() {
    let Some(mut database) = Database::with_timescale().await else { return };
    let views = [&SALES, &COUNTS, &HOURLY];
    let empty = || views.map(|view| (view, Vec::new())).to_vec();
    let mut told = Told::snapshot(database.sink_of(&views), empty()).await;
    let tables = "SELECT hypertable_name::text FROM timescaledb_information.hypertables \
                  WHERE hypertable_schema = 'ionflux' ORDER BY 1";
    assert_eq!(database.texts(tables).await, ["conformance_sales", "metrics_hourly"]);
    let before = database.texts(JOBS).await;
    let names: Vec<&str> = before.iter().filter_map(|job| job.split(' ').nth(1)).collect();
    let refresh = "policy_refresh_continuous_aggregate";
    assert_eq!(names, ["policy_compression", "policy_compression", refresh]);
    // The same program again changes nothing.
    told.sink = database.sink_of(&views);
    assert!(told.sink.resume().await.unwrap().is_some());
    assert_eq!(database.texts(JOBS).await, before);
    // Other options: the tables stay as they are, and so does the mark.
    let oid = "SELECT 'ionflux.conformance_sales'::regclass::oid::text";
    let table = database.texts(oid).await;
    let config = TimescaleConfig {
        columnstore_after_days: 7,
        retention_days: 90,
        ..TimescaleConfig::default()
    };
    told.sink = database.sink_with(&config, &views);
    assert!(told.sink.resume().await.unwrap().is_some());
    assert_eq!(database.texts(oid).await, table);
    let after = database.texts(JOBS).await;
    let retention = after.iter().filter(|job| job.contains("policy_retention")).count();
    assert_eq!((after.len(), retention), (5, 2), "{after:?}");
    assert!(after.iter().any(|job| job.contains("7 days")), "{after:?}");
    let never = TimescaleConfig { columnstore_after_days: 0, ..TimescaleConfig::default() };
    assert!(database.sink_with(&never, &views).resume().await.unwrap().is_some());
    assert_eq!(database.texts(JOBS).await.len(), 1);
    database.end().await;
}

#[tokio::test]
async fn the_columnstore_gives_way_to_a_slow_reader_and_lets_nobody_wait_long() {
    let Some(mut database) = Database::with_timescale().await else { return };
    let day = today(&mut database).await;
    let rows = come([sale(day - 200, 1), sale(day - 100, 2), sale(day, 3)]);
    let mut told = Told::snapshot(database.sink_of(&VIEWS), vec![]).await;
    database.quiet().await;
    told.write(None, vec![(&SALES, rows), (&COUNTS, vec![])]).await;
    let mut slow = database.login("ionflux").await;
    run(&mut slow, "BEGIN").await;
    let before = texts(&mut slow, HELD).await.unwrap();
    assert_eq!(before.len(), 3);
    let job = "SELECT job_id::text FROM timescaledb_information.jobs \
               WHERE proc_name = 'policy_compression'";
    let job = format!("CALL public.run_job({})", database.texts(job).await[0]);
    let columnar = "SELECT count(*)::text FROM timescaledb_information.chunks WHERE is_compressed";
    for chunks in ["0", "2"] {
        let (mut policy, job) = (database.login("ionflux").await, job.clone());
        let running = tokio::spawn(async move { texts(&mut policy, &job).await.map(drop) });
        // Whoever comes meanwhile waits no longer than the job does, and sees all.
        database.run("SET lock_timeout TO '20s'").await;
        while !running.is_finished() {
            assert_eq!(database.texts(HELD).await, before);
        }
        let ended = running.await.unwrap();
        assert_eq!(database.texts(columnar).await, [chunks], "{ended:?}");
        assert_eq!(texts(&mut slow, HELD).await.unwrap(), before);
        run(&mut slow, "COMMIT").await;
    }
    // Late changes, and a row that goes.
    let late = vec![
        change(Some(sale(day - 200, 1)), Some(sale(day - 200, 5))),
        change(Some(sale(day - 100, 2)), None),
        change(None, Some(sale(day - 101, 7))),
    ];
    told.changes(&SALES, late).await;
    let expected = [(day - 200, 5), (day - 101, 7), (day, 3)];
    let expected: Vec<String> = expected.iter().map(|(day, n)| format!("{day} {n}")).collect();
    assert_eq!(database.texts(HELD).await, expected);
    database.end().await;
}

#[tokio::test]
async fn changes_leave_the_columnstore_of_other_times_alone() {
    let Some(mut database) = Database::with_timescale().await else { return };
    let day = today(&mut database).await;
    let now = i64::from(day) * 24;
    let old = [now - 24 * 400, now - 24 * 200];
    let sales = come([day - 400, day - 200, day - 1, day].map(|day| sale(day, 1)));
    let hours = come([old[0], old[1], now - 1, now].map(|at| hour("a", at, 1)));
    let views = [&SALES, &HOURLY];
    let rows = vec![(&SALES, sales), (&HOURLY, hours)];
    let mut told = Told::snapshot(database.sink_of(&views), rows).await;
    database.quiet().await;
    database.compress().await;
    let states = "SELECT status::text FROM _timescaledb_catalog.chunk WHERE hypertable_id IN \
                  (SELECT id FROM _timescaledb_catalog.hypertable WHERE schema_name = 'ionflux') \
                  AND status <> 1";
    assert!(database.texts(states).await.is_empty(), "all is in the columnstore");
    let sales =
        vec![change(Some(sale(day - 1, 1)), None), change(Some(sale(day, 1)), Some(sale(day, 2)))];
    told.changes(&SALES, sales).await;
    let hours = vec![
        change(Some(hour("a", now - 1, 1)), None),
        change(Some(hour("a", now, 1)), Some(hour("a", now, 2))),
    ];
    told.changes(&HOURLY, hours).await;
    let touched = database.texts(states).await.len();
    assert!((2..=4).contains(&touched), "{touched} chunks");
    // Both ends at once, and nothing between.
    let both = [day - 400, day].map(|at| {
        let before = if at == day { 2 } else { 1 };
        change(Some(sale(at, before)), Some(sale(at, 3)))
    });
    told.changes(&SALES, both.to_vec()).await;
    assert_eq!(database.texts(states).await.len(), touched + 1);
    let expected = [(day - 400, 3), (day - 200, 1), (day, 3)];
    let expected: Vec<String> = expected.iter().map(|(day, n)| format!("{day} {n}")).collect();
    assert_eq!(database.texts(HELD).await, expected);
    database.end().await;
}

#[tokio::test]
async fn rows_older_than_what_is_kept_do_not_come_back() {
    let Some(mut database) = Database::with_timescale().await else { return };
    let day = today(&mut database).await;
    let ages = [0, 59, 61, 200, 201];
    let rows = || come(ages.map(|age| sale(day - age, 1)));
    let sales = || vec![(&SALES, rows()), (&COUNTS, vec![])];
    let keeping = TimescaleConfig { columnstore_after_days: 0, ..TimescaleConfig::default() };
    let mut told = Told::snapshot(database.sink_with(&keeping, &VIEWS), sales()).await;
    database.quiet().await;
    assert_eq!(database.texts(HELD).await.len(), 5);
    let config = TimescaleConfig { retention_days: 60, ..keeping };
    told.sink = database.sink_with(&config, &VIEWS);
    assert!(told.sink.resume().await.unwrap().is_some());
    let job = "SELECT job_id::text FROM timescaledb_information.jobs \
               WHERE proc_name = 'policy_retention'";
    let job = database.texts(job).await.remove(0);
    let drop_old = format!("CALL public.run_job({job})");
    database.run(&drop_old).await;
    let held = |ages: &[(i32, i64)]| -> Vec<String> {
        let mut held: Vec<(i32, i64)> = ages.iter().map(|(age, n)| (day - age, *n)).collect();
        held.sort_unstable();
        held.iter().map(|(day, orders)| format!("{day} {orders}")).collect()
    };
    let shown = database.texts(HELD).await;
    assert!(shown.len() < 4 && shown.ends_with(&held(&[(59, 1), (0, 1)])), "{shown:?}");
    // Rows of every age change, one goes, one comes; nothing of old returns, time and again.
    for turn in 1..4 {
        let changed =
            |age: i32| change(Some(sale(day - age, turn)), Some(sale(day - age, turn + 1)));
        let mut changes: Vec<Change> = [0, 59, 61, 200].map(changed).to_vec();
        changes.push(match turn {
            1 => change(Some(sale(day - 201, 1)), None),
            _ => change(None, Some(sale(day - 300 - turn as i32, 1))),
        });
        told.changes(&SALES, changes).await;
        assert_eq!(database.texts(HELD).await, held(&[(0, turn + 1), (59, turn + 1)]));
        database.run(&drop_old).await;
    }
    // A snapshot, over what is there and into nothing.
    for _ in 0..2 {
        told.write(None, sales()).await;
        assert_eq!(database.texts(HELD).await, held(&[(0, 1), (59, 1)]));
        database.run("TRUNCATE ionflux.conformance_sales").await;
    }
    database.end().await;
}

#[tokio::test]
async fn days_follow_their_hours_in_real_time_and_readers_see_their_own() {
    let Some(mut database) = Database::with_timescale().await else { return };
    let this_hour = i64::from(today(&mut database).await) * 24;
    let old = this_hour - 24 * 100;
    let rows = come([hour("a", old, 1), hour("a", old + 1, 2), hour("b", old, 4)]);
    let mut told = Told::snapshot(database.sink_of(&[&HOURLY]), vec![(&HOURLY, rows)]).await;
    database.quiet().await;
    let login = format!("{}_a", database.name);
    let mapped = format!(
        "CREATE ROLE {login} LOGIN; GRANT ionflux_reader TO {login}; \
         INSERT INTO ionflux.readers VALUES ('{login}', 'a')"
    );
    database.run(&mapped).await;
    let mut reader = database.login(&login).await;
    let daily = "SELECT workspace_id, orders::text, revenue::text FROM ionflux_read.metrics_daily \
                 ORDER BY day";
    let metric = "SELECT sum(value)::text FROM ionflux_read.shop_performance_metrics \
                  WHERE metric_name = 'orders'";
    assert_eq!(texts(&mut reader, daily).await.unwrap(), ["a 3 15.0000"]);
    assert_eq!(database.compress().await, 1);
    let refresh = "CALL public.refresh_continuous_aggregate('ionflux.metrics_daily', NULL, NULL)";
    database.run(refresh).await;
    assert_eq!(texts(&mut reader, daily).await.unwrap(), ["a 3 15.0000"]);
    // An hour of today shows at once; a late one in the columnstore with the next refresh.
    let late = vec![
        change(Some(hour("a", old, 1)), Some(hour("a", old, 3))),
        change(None, Some(hour("a", this_hour, 1))),
    ];
    told.changes(&HOURLY, late).await;
    let shown = texts(&mut reader, daily).await.unwrap();
    assert_eq!(shown.last().unwrap(), "a 1 5.0000");
    assert_eq!(texts(&mut reader, metric).await.unwrap(), ["6"]);
    database.run(refresh).await;
    assert_eq!(texts(&mut reader, daily).await.unwrap(), ["a 5 25.0000", "a 1 5.0000"]);
    for base in ["metrics_hourly", "metrics_daily", "shop_performance_metrics"] {
        let refused = texts(&mut reader, &format!("SELECT 1::text FROM ionflux.{base}")).await;
        assert!(refused.unwrap_err().contains("permission denied"), "{base}");
    }
    drop(reader);
    database.run(&format!("DROP OWNED BY {login}; DROP ROLE {login}")).await;
    database.end().await;
}

#[tokio::test]
async fn the_extension_may_come_later_and_go_again() {
    let Some(mut database) = Database::with_timescale().await else { return };
    // Not the one who may make it.
    let user = format!("{}_plain", database.name);
    let made = format!(
        "CREATE ROLE {user} LOGIN NOSUPERUSER; GRANT CREATE ON DATABASE {} TO {user}",
        database.name
    );
    database.run(&made).await;
    let views = [&SALES, &HOURLY];
    let rows = || vec![(&SALES, come([sale(1, 1)])), (&HOURLY, come([hour("a", 1, 1)]))];
    let chunked = "SELECT (EXISTS (SELECT FROM pg_inherits WHERE inhparent = \
                   'ionflux.conformance_sales'::regclass))::text, \
                   (SELECT count(*)::text FROM ionflux.metrics_daily)";
    for (there, shown) in [(false, "false 1"), (true, "true 1"), (false, "false 1")] {
        database.alone().await;
        // A connection of before knows the extension of before.
        database.admin = database.login("ionflux").await;
        let set = match there {
            true => "CREATE EXTENSION timescaledb SCHEMA public",
            false => "DROP EXTENSION IF EXISTS timescaledb CASCADE",
        };
        database.run(set).await;
        database.admin = database.login("ionflux").await;
        let mut sink = database.sink_as(&user, &views);
        assert_eq!(sink.resume().await.unwrap(), None, "{there}: a snapshot has to follow");
        let mut told = Told::snapshot(sink, rows()).await;
        let again = database.sink_as(&user, &views).resume().await.unwrap();
        assert_eq!(again.map(|mark| mark.epoch), Some(Epoch(1)));
        told.changes(&SALES, vec![change(Some(sale(1, 1)), Some(sale(1, 2)))]).await;
        assert_eq!(database.texts(HELD).await, ["1 2"]);
        assert_eq!(database.texts(chunked).await, [shown]);
    }
    database.alone().await;
    database.run(&format!("DROP OWNED BY {user} CASCADE; DROP ROLE {user}")).await;
    database.end().await;
}
