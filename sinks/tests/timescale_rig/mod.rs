//! A database of its own for a test, on the real server, behind a proxy that makes trouble.
//!
//! Invariant: a test sees no row and no lock of another; its rows are read without the sink.

#![allow(dead_code, clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use ionflux_schemas::avro::{ColumnKind, Schema};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::conformance::{Bench, Trouble, stray};
use ionflux_sinks::history::VIEWS;
use ionflux_sinks::memory::Contents;
use ionflux_sinks::sink::{BoxFuture, Mark, Outgoing, Sink};
use ionflux_sinks::timescale::{TimescaleConfig, build, read_back};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Row as _};

use crate::proxy::Proxy;

/// A database and a way in.
pub struct Database {
    pub name: String,
    pub proxy: Proxy,
    /// Says whatever it likes, past the proxy.
    pub admin: PgConnection,
    server: PgConnectOptions,
}

/// The server; without one the tests are skipped, loudly, and fail where they must run.
fn server() -> Option<PgConnectOptions> {
    let found = std::env::var("IONFLUX_POSTGRES").ok().filter(|address| !address.is_empty());
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "IONFLUX_POSTGRES is not set");
        eprintln!("SKIPPED: no PostgreSQL; set -a; eval \"$(scripts/services up)\"; set +a");
    }
    Some(found?.parse().unwrap())
}

impl Database {
    /// A fresh database; `None` where there is no server.
    pub async fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = server()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ionflux_test_{}_{number}", std::process::id());
        let mut first = PgConnection::connect_with(&server).await.unwrap();
        run(&mut first, &format!("DROP DATABASE IF EXISTS {name}")).await;
        run(&mut first, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        let host = format!("{}:{}", server.get_host(), server.get_port());
        let proxy = Proxy::start(host.parse().unwrap()).await;
        let server = server.database(&name);
        let admin = PgConnection::connect_with(&server).await.unwrap();
        Some(Self { name, proxy, admin, server })
    }

    /// The same with TimescaleDB, which no registry of packages has: `None` where it is not.
    pub async fn with_timescale() -> Option<Self> {
        let mut database = Self::new().await?;
        let there = "SELECT count(*)::text FROM pg_available_extensions AS a \
                     WHERE name = 'timescaledb' \
                     AND current_setting('timescaledb.disable_load', true) IS NOT NULL";
        if database.texts(there).await == ["1"] {
            return Some(database);
        }
        eprintln!("SKIPPED: the server has no TimescaleDB");
        database.end().await;
        None
    }

    /// A sink with other options.
    pub fn sink_with(&self, config: &TimescaleConfig, views: &[&'static View]) -> Box<dyn Sink> {
        build("timescale", config, &self.address("ionflux"), views).unwrap()
    }

    /// Ends the jobs of policies, so that only the test does their work.
    pub async fn quiet(&mut self) {
        let quiet = "SELECT _timescaledb_functions.stop_background_workers()::text";
        assert_eq!(self.texts(quiet).await, ["true"]);
    }

    /// Brings every chunk of our hypertables to the columnstore.
    pub async fn compress(&mut self) -> usize {
        let chunks = "SELECT public.compress_chunk(format('%I.%I', chunk_schema, \
                      chunk_name)::regclass, if_not_compressed => true)::text \
                      FROM timescaledb_information.chunks WHERE hypertable_schema = 'ionflux'";
        self.texts(chunks).await.len()
    }

    /// Removes it.
    pub async fn end(self) {
        drop(self.proxy);
        drop(self.admin);
        let mut last = PgConnection::connect_with(&self.server.database("postgres")).await.unwrap();
        run(&mut last, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    /// The address of it for a user, through the proxy.
    pub fn address(&self, user: &str) -> String {
        format!("postgres://{user}@{}/{}", self.proxy.address(), self.name)
    }

    /// A sink of some views.
    pub fn sink_of(&self, views: &[&'static View]) -> Box<dyn Sink> {
        self.sink_as("ionflux", views)
    }

    /// The same as another user of the database.
    pub fn sink_as(&self, user: &str, views: &[&'static View]) -> Box<dyn Sink> {
        build("timescale", &TimescaleConfig::default(), &self.address(user), views).unwrap()
    }

    /// A connection as another user.
    pub async fn login(&self, user: &str) -> PgConnection {
        PgConnection::connect_with(&self.server.clone().username(user)).await.unwrap()
    }

    /// Runs statements as the administrator.
    pub async fn run(&mut self, sql: &str) -> u64 {
        run(&mut self.admin, sql).await
    }

    /// The texts of a query's rows, columns joined by a space.
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        texts(&mut self.admin, sql).await.unwrap()
    }

    /// The rows of some views that have any.
    pub async fn contents_of(&mut self, views: &[&'static View]) -> Contents {
        let mut contents = Contents::new();
        for view in views {
            let schema = view.parsed();
            let there = format!("SELECT to_regclass('ionflux.{}')::text", view.name);
            if self.texts(&there).await == ["null"] {
                continue;
            }
            let columns: Vec<String> =
                schema.columns.iter().map(|c| shown(&c.name, c.kind)).collect();
            let query = format!("SELECT {} FROM ionflux.{}", columns.join(", "), view.name);
            for row in fetch(&mut self.admin, &query).await.unwrap() {
                let row = row_of(&schema, &row);
                let key = schema.key.iter().map(|place| row.0[*place].clone()).collect();
                assert!(contents.entry(view.name).or_default().insert(key, row).is_none());
            }
        }
        contents
    }

    /// Ends every other connection and waits until they are gone.
    pub async fn alone(&mut self) {
        self.proxy.cut();
        let others = "SELECT count(pg_terminate_backend(pid, 10000))::text FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        self.texts(others).await;
    }
}

fn shown(name: &str, kind: ColumnKind) -> String {
    match kind {
        ColumnKind::Instant => format!("(extract(epoch FROM \"{name}\") * 1000)::bigint::text"),
        _ => format!("\"{name}\"::text"),
    }
}

fn row_of(schema: &Schema, cells: &[Option<String>]) -> Row {
    let values = schema.columns.iter().zip(cells).map(|(column, cell)| {
        let Some(text) = cell else { return Value::Null };
        match column.kind {
            ColumnKind::Text => Value::text(read_back(text).unwrap_or_else(|| text.clone())),
            ColumnKind::Int => Value::Int(text.parse().unwrap()),
            ColumnKind::Day => Value::Day(text.parse().unwrap()),
            ColumnKind::Instant => Value::Instant(UtcMs(text.parse().unwrap())),
            ColumnKind::Money => {
                let ten_thousandths: i128 = text.replace('.', "").parse().unwrap();
                assert_eq!(ten_thousandths % 100, 0, "euro have two decimals");
                let euro = Currency::parse("EUR").unwrap();
                Value::Money(Money::new(ten_thousandths / 100, euro))
            }
        }
    });
    Row(values.collect())
}

/// Runs statements.
pub async fn run(connection: &mut PgConnection, sql: &str) -> u64 {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}")).rows_affected()
}

/// The texts of a query's rows, or what the server says against it.
pub async fn texts(connection: &mut PgConnection, sql: &str) -> Result<Vec<String>, String> {
    let rows = fetch(connection, sql).await?;
    let line = |row: Vec<Option<String>>| {
        let cells: Vec<String> =
            row.into_iter().map(|cell| cell.unwrap_or_else(|| "null".to_owned())).collect();
        cells.join(" ")
    };
    Ok(rows.into_iter().map(line).collect())
}

async fn fetch(
    connection: &mut PgConnection,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await;
    let rows = rows.map_err(|error| error.to_string())?;
    Ok(rows.iter().map(|row| (0..row.len()).map(|at| row.get(at)).collect()).collect())
}

impl Bench for Database {
    fn sink(&mut self) -> Box<dyn Sink> {
        self.sink_of(&VIEWS)
    }

    fn contents(&mut self) -> BoxFuture<'_, Contents> {
        Box::pin(self.contents_of(&VIEWS))
    }

    fn disturb(&mut self, trouble: Trouble) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match trouble {
                Trouble::Wipe => {
                    self.proxy.calm();
                    self.alone().await;
                    self.run("DROP SCHEMA IF EXISTS ionflux, ionflux_read CASCADE").await;
                }
                Trouble::Refuse => self.proxy.refuse(1),
                Trouble::LoseAnswer => self.proxy.lose_answer(b"COMMIT"),
                // TCP has checksums, and TLS better ones: no rows arrive damaged.
                Trouble::Corrupt => {}
                Trouble::Restart => {
                    self.alone().await;
                    self.proxy.refuse(3);
                }
                Trouble::Delay => self.proxy.slow(50),
                Trouble::Stray => {
                    let to = Mark { state: u128::MAX, epoch: Epoch(1), as_of: UtcMs(0) };
                    let empty = Outgoing { from: None, to, views: Vec::new() };
                    self.sink_of(&VIEWS).write(&empty).await.unwrap();
                    let Value::Text(key) = &stray().0[0] else { unreachable!() };
                    let row = format!("INSERT INTO ionflux.conformance_counts VALUES ('{key}', 1)");
                    self.run(&row).await;
                }
            }
        })
    }
}
