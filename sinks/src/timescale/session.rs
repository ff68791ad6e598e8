//! One connection to the database, set up and up to date.
//!
//! Invariant: a session that failed, or was given up in the middle, is never used again; whoever
//! uses one takes it, and gives it back only when all went well. The server then ends what was
//! begun, for every wait there has a bound.

use std::sync::Arc;
use std::time::Duration;

use ionflux_schemas::time::{Epoch, UtcMs};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tokio::time::{Instant, timeout};

use super::config::Address;
use super::error::{code, failed};
use super::hyper::Extension;
use super::layout::{Layout, Options, Server};
use super::migrate::prepare;
use super::table::Table;
use crate::error::SinkError;
use crate::sink::Mark;

/// How long a connection may take to be made, in milliseconds.
const CONNECT_MS: u64 = 10_000;
/// How long one is used, in hours. Its staging tables hold back the database's oldest transaction,
/// so that it may not live for months.
const SESSION_HOURS: u64 = 6;

/// What every connection is told: waits that end before the driver gives up on an answer, a server
/// that soon sees that nobody is there any more, and names that are what they look like.
const SETUP: &str = "SET search_path TO pg_catalog; SET lock_timeout TO '10s'; \
     SET idle_in_transaction_session_timeout TO '60s'; \
     SET synchronous_commit TO on; SET client_min_messages TO warning; \
     SET tcp_keepalives_idle TO 30; SET tcp_keepalives_interval TO 10; \
     SET tcp_keepalives_count TO 3; SET row_security TO on";

/// Set where the server's system can: a running statement ends when its client is gone.
const WATCH_CLIENT: &str = "SET client_connection_check_interval TO '5s'";

/// Whether the extension is there, or could be made: its loader runs and we may do anything.
const EXTENSION: &str = "SELECT e.extversion, n.nspname::text, \
     current_setting('timescaledb.license', true) FROM pg_extension AS e \
     JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'";
const COULD_BE_MADE: &str = "SELECT (current_setting('timescaledb.disable_load', true) IS NOT NULL \
     AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') \
     AND EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper))::text";
const INVOKERS: &str = "SELECT (current_setting('server_version_num')::integer >= 150000)::text";
/// A snapshot may touch any number of rows of the columnstore.
const HYPER_SETUP: &str = "SET timescaledb.max_tuples_decompressed_per_dml_transaction TO 0";

/// The target's mark, once no write that was given up can still change it: that one holds the row.
pub(super) const ASK: &str = "SELECT state::text, epoch::text, \
     (extract(epoch FROM as_of) * 1000)::bigint::text, layout \
     FROM ionflux.sink_mark WHERE one FOR UPDATE";

/// A connection.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) layout: Arc<Layout>,
    /// Whether the tables are there; if not, the next snapshot makes them.
    pub(super) whole: bool,
    /// Whether the staging tables are there.
    pub(super) staged: bool,
    opened: Instant,
}

impl Session {
    /// Connects, and makes what readers see no difference of.
    pub(super) async fn open(
        address: &Address,
        tables: &[Table],
        options: &Options,
    ) -> Result<Self, SinkError> {
        let place = address.place();
        let limit = Duration::from_millis(CONNECT_MS);
        let connecting = timeout(limit, address.options().connect()).await;
        let connection = connecting.map_err(|_| {
            SinkError::transient(format!(
                "PostgreSQL: {place} did not answer within {CONNECT_MS} ms"
            ))
        })?;
        let connection =
            connection.map_err(|error| failed(&format!("connect to {place}"), error))?;
        let nothing = Server { extension: Extension::Absent, invokers: false };
        let layout = Arc::new(Layout::new(&[], options, nothing));
        let mut session =
            Self { connection, layout, whole: false, staged: false, opened: Instant::now() };
        session.run("set up", SETUP).await?;
        // The server gives up a little before the program does, so that it says so itself.
        let limit = options.answer_s - options.answer_s / 15;
        session.run("set up", &format!("SET statement_timeout TO '{limit}s'")).await?;
        session.try_run(WATCH_CLIENT).await?;
        let extension = session.extension(options.hypertables).await?;
        let invokers =
            session.one("look at the server", INVOKERS).await?.as_deref() == Some("true");
        let layout = Arc::new(Layout::new(tables, options, Server { extension, invokers }));
        session.whole = prepare(&mut session, &layout).await?;
        session.layout = layout;
        Ok(session)
    }

    /// Whether another one should be opened instead.
    pub(super) fn worn(&self) -> bool {
        worn(self.opened.elapsed())
    }

    async fn extension(&mut self, wanted: bool) -> Result<Extension, SinkError> {
        let mut found = self.rows("look for TimescaleDB", EXTENSION).await?;
        if found.is_empty() && wanted {
            let could = self.one("look for TimescaleDB", COULD_BE_MADE).await?;
            if could.as_deref() == Some("true") {
                self.try_run("CREATE EXTENSION IF NOT EXISTS timescaledb SCHEMA public").await?;
                found = self.rows("look for TimescaleDB", EXTENSION).await?;
            }
        }
        let installed = found.first().map(|row| {
            let cell = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
            (cell(0), cell(1), cell(2))
        });
        let extension = Extension::of(installed, wanted);
        if installed.is_some() {
            self.try_run(HYPER_SETUP).await?;
        }
        Ok(extension)
    }

    /// What the target says it holds, once no earlier write can still land.
    pub(super) async fn ask(&mut self) -> Result<Option<Mark>, SinkError> {
        let rows = self.rows("ask for the mark", ASK).await?;
        let mark = self.held(rows)?;
        Ok(mark.filter(|_| self.whole))
    }

    /// Begins a transaction that holds the mark.
    pub(super) async fn begin(&mut self) -> Result<Option<Mark>, SinkError> {
        let rows = self.rows("begin", &format!("BEGIN; {ASK}")).await?;
        self.held(rows)
    }

    /// The mark of a row, as long as the layout is ours or is still to become so.
    fn held(&self, rows: Vec<Vec<Option<String>>>) -> Result<Option<Mark>, SinkError> {
        let lost = || SinkError::transient("PostgreSQL: the row of ionflux.sink_mark is gone");
        let row = rows.into_iter().next().ok_or_else(lost)?;
        let Ok([state, epoch, as_of, layout]) = <[Option<String>; 4]>::try_from(row) else {
            return Err(lost());
        };
        if self.whole && layout.as_ref() != Some(&self.layout.checksum) {
            let what = "PostgreSQL: another program changed the schema ionflux";
            return Err(SinkError::transient(what));
        }
        Ok(match (state, epoch, as_of) {
            (Some(state), Some(epoch), Some(as_of)) => {
                let state = u128::from_str_radix(&state.replace('-', ""), 16);
                let state = state.map_err(|_| lost())?;
                let epoch = epoch.parse().map_err(|_| lost())?;
                let as_of = as_of.parse().map_err(|_| lost())?;
                Some(Mark { state, epoch: Epoch(epoch), as_of: UtcMs(as_of) })
            }
            _ => None,
        })
    }

    /// Runs statements; gives how many rows they touched.
    pub(super) async fn run(&mut self, step: &str, sql: &str) -> Result<u64, SinkError> {
        self.execute(sql).await.map_err(|error| failed(step, error))
    }

    /// The same, with the client's error.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        query.execute(&mut self.connection).await.map(|done| done.rows_affected())
    }

    /// Runs a statement that the server may refuse.
    async fn try_run(&mut self, sql: &str) -> Result<(), SinkError> {
        match self.execute(sql).await {
            Err(error) if code(&error).is_some() => {
                let error = failed("set up", error);
                tracing::debug!(%error, "a setting is not to be had");
                Ok(())
            }
            done => done.map(drop).map_err(|error| failed("set up", error)),
        }
    }

    /// The rows of a query whose columns are texts.
    pub(super) async fn rows(
        &mut self,
        step: &str,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, SinkError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        let rows =
            query.fetch_all(&mut self.connection).await.map_err(|error| failed(step, error))?;
        let cells = |row: &sqlx::postgres::PgRow| {
            (0..row.len()).map(|at| row.try_get(at)).collect::<Result<Vec<_>, _>>()
        };
        let rows: Result<Vec<_>, _> = rows.iter().map(cells).collect();
        rows.map_err(|error| failed(step, error))
    }

    /// The one text of a query.
    pub(super) async fn one(&mut self, step: &str, sql: &str) -> Result<Option<String>, SinkError> {
        let rows = self.rows(step, sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }
}

fn worn(age: Duration) -> bool {
    age >= Duration::from_secs(SESSION_HOURS * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_not_used_for_months() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert!(!worn(Duration::ZERO) && !worn(hours(5)));
        assert!(worn(hours(6)) && worn(hours(24 * 60)));
    }
}
