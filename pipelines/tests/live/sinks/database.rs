//! A database of its own on the real server, behind a proxy.

use std::process::Command;

use ionflux_schemas::avro::{Column, ColumnKind};
use ionflux_schemas::view::View;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, raw_sql};
use tokio::runtime::Runtime;

use crate::proxy::Proxy;

/// Recovery takes a second or two, and a refused connection comes back at once.
const TRIES_MAX: usize = 20_000;

pub struct Database {
    runtime: Runtime,
    server: String,
    name: &'static str,
    address: String,
    pub proxy: Proxy,
}

impl Database {
    pub fn new(server: &str, name: &'static str) -> Self {
        let runtime = Runtime::new().unwrap();
        let (front, rest) = server.rsplit_once('@').unwrap();
        let (host, _) = rest.split_once('/').unwrap();
        let proxy = runtime.block_on(Proxy::start(host.parse().unwrap()));
        let address = format!("{front}@{}/{name}", proxy.address());
        let made = Self { runtime, server: format!("{front}@{host}"), name, address, proxy };
        made.ask("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        made.ask("postgres", &format!("CREATE DATABASE {name}"));
        made
    }

    /// Where the program finds it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where a reader finds it, past the proxy.
    pub fn direct(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// Makes the server fall over and recover: one of its processes is killed while it writes.
    /// False if there was none.
    pub fn fall_over(&self) -> bool {
        let ours = "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'ionflux'";
        let kill = |pid: &Vec<String>| Command::new("kill").args(["-KILL", &pid[0]]).status();
        let found = self.ask("postgres", ours);
        found.iter().filter(|pid| kill(pid).unwrap().success()).count() > 0
    }

    /// The mark of the sink.
    pub fn epoch(&self) -> u64 {
        let mark = self.ask(self.name, "SELECT epoch::text FROM ionflux.sink_mark");
        mark[0][0].parse().unwrap()
    }

    /// The rows of a view's table, as the program shows them.
    pub fn rows(&self, view: &View) -> Vec<Vec<String>> {
        let column = |column: &Column| match column.kind {
            ColumnKind::Instant => {
                let form = "YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"";
                format!("to_char(\"{}\" AT TIME ZONE 'UTC', '{form}')", column.name)
            }
            _ => format!("\"{}\"::text", column.name),
        };
        let columns: Vec<String> = view.parsed().columns.iter().map(column).collect();
        let (columns, table) = (columns.join(", "), view.name);
        self.ask(self.name, &format!("SELECT {columns} FROM ionflux.{table}"))
    }

    pub fn drop(&self) {
        self.ask("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }

    /// The rows of a statement, as text, past the proxy; asked again while the server comes up.
    fn ask(&self, database: &str, statement: &str) -> Vec<Vec<String>> {
        let address = format!("{}/{database}", self.server);
        let asked = || {
            self.runtime.block_on(async {
                let mut session = PgConnection::connect(&address).await?;
                let rows = raw_sql(AssertSqlSafe(statement)).fetch_all(&mut session).await?;
                session.close().await?;
                Ok::<_, sqlx::Error>(rows)
            })
        };
        let mut last = None;
        for _ in 0..TRIES_MAX {
            match asked() {
                Ok(rows) => {
                    let text = |row: &sqlx::postgres::PgRow| {
                        (0..row.len()).map(|at| row.try_get(at).unwrap_or_default()).collect()
                    };
                    return rows.iter().map(text).collect();
                }
                // 57: the server goes down or comes up.
                Err(sqlx::Error::Database(error))
                    if !error.code().is_some_and(|code| code.starts_with("57")) =>
                {
                    panic!("{statement}: {error}");
                }
                Err(error) => last = Some(error),
            }
        }
        panic!("{statement}: {last:?}");
    }
}
