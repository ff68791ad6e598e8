//! PostgreSQL and TimescaleDB: every view a table in the schema `ionflux`, always at one epoch.
//!
//! Delivery: exactly once. Rows and mark change in one transaction that goes on only from where the
//! batch begins. Invariant: readers are never blocked and never see half an epoch, also while the
//! tables of a view that changed are made anew: those of before stay until the snapshot is whole.
//! What stays in their way is the wait for a moment when a table takes the place of another. A
//! `REPEATABLE READ` transaction that began before that moment and reads the table only after it
//! fails, or sees it empty.
//!
//! One exception, `metrics_daily` on TimescaleDB: see `hyper`.
//!
//! ```text
//!   ionflux.sink_mark                one row: state, epoch        the lock of every write
//!   ionflux.<view>                   the view's rows              hypertable if keyed by time
//!   ionflux.<documented table>       the agents' tables, as views over those
//!   ionflux_read.<any of these>      the same, by workspace of ionflux.readers
//! ```

mod config;
mod error;

mod hyper;
mod table;

mod access;
mod domain;
mod layout;
mod migrate;

mod session;

mod binary;
mod diff;
mod text;
mod write;

use std::time::Duration;

use ionflux_schemas::view::View;

use self::config::Address;
pub use self::config::TimescaleConfig;
use self::layout::Options;
use self::session::Session;
use self::table::Table;
pub use self::text::read_back;
use crate::error::{ConfigError, SinkError, wrong};
use crate::section::{Given, Section};
use crate::sink::{BoxFuture, Mark, Outgoing, Sink};

/// A sink over one database.
struct Timescale {
    name: Box<str>,
    address: Address,
    tables: Vec<Table>,
    options: Options,
    /// Taken while in use, so that one that is given up in the middle is gone.
    session: Option<Session>,
}

/// A sink of these views; `address` is what the secret named by `url_variable` holds. Connects when
/// it is first asked.
///
/// # Errors
/// [`ConfigError`] for options or an address that cannot work, or a view that cannot be a table.
pub fn build(
    name: &str,
    config: &TimescaleConfig,
    address: &str,
    views: &[&'static View],
) -> Result<Box<dyn Sink>, ConfigError> {
    config.validate()?;
    let tables: Result<Vec<Table>, SinkError> = views.iter().map(|view| Table::new(view)).collect();
    let unfit = |error: SinkError| wrong("views", error.to_string());
    Ok(Box::new(Timescale {
        name: name.into(),
        address: Address::parse(address)?,
        tables: tables.map_err(unfit)?,
        options: Options {
            hypertables: config.hypertables,
            columnstore_after_days: config.columnstore_after_days,
            retention_days: config.retention_days,
            answer_s: config.answer_s,
        },
        session: None,
    }))
}

impl Section for TimescaleConfig {
    fn check(&self, _: bool) -> Result<(), ConfigError> {
        self.validate()
    }

    fn build(
        &self,
        name: &str,
        views: &[&'static View],
        given: &Given<'_>,
    ) -> Result<Box<dyn Sink>, ConfigError> {
        let address = (given.secret)(&self.url_variable, "the address of a PostgreSQL database");
        let address = address.map_err(|problem| wrong("url_variable", problem))?;
        build(name, self, &address, views)
    }
}

impl Timescale {
    async fn open(&self) -> Result<Session, SinkError> {
        Session::open(&self.address, &self.tables, &self.options).await
    }

    /// The session, if it is there and may be used on.
    fn fresh(&mut self) -> Option<Session> {
        self.session.take().filter(|session| !session.worn())
    }

    async fn ask(&mut self) -> Result<Option<Mark>, SinkError> {
        // A connection of before may be dead without anybody knowing; a new one tells.
        if let Some(mut session) = self.fresh()
            && let Ok(mark) = session.ask().await
        {
            self.session = Some(session);
            return Ok(mark);
        }
        let mut session = self.open().await?;
        let mark = session.ask().await?;
        self.session = Some(session);
        Ok(mark)
    }

    async fn put(&mut self, batch: &Outgoing) -> Result<(), SinkError> {
        let mut session = match self.fresh() {
            Some(session) => session,
            None => self.open().await?,
        };
        write::write(&mut session, batch).await?;
        self.session = Some(session);
        Ok(())
    }
}

impl Sink for Timescale {
    fn name(&self) -> &str {
        &self.name
    }

    fn answer_within(&self) -> Duration {
        Duration::from_secs(self.options.answer_s.into())
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<Option<Mark>, SinkError>> {
        Box::pin(self.ask())
    }

    fn write<'a>(&'a mut self, batch: &'a Outgoing) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.put(batch))
    }
}
