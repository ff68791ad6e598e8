//! A reader of the database who never stops reading while everything breaks.
//!
//! Invariant: each reading is one transaction of one snapshot; a reading that is cut off says
//! nothing, and one that ends is checked.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ionflux_operators::list;
use ionflux_schemas::view::View;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, raw_sql};
use tokio::runtime::Builder;

use super::totals::{Totals, numbers};

/// Between two readings it listens for its end, or it would take the processor from the program.
const LISTENING: Duration = Duration::from_millis(10);

/// Reads in a thread of its own, until it is dropped.
pub struct Watcher {
    going_on: Sender<()>,
    thread: JoinHandle<Seen>,
}

/// What was there to read.
#[derive(Default)]
pub struct Seen {
    /// The one state that all marks named.
    state: Option<String>,
    /// The totals of each epoch.
    pub epochs: BTreeMap<u64, Totals>,
    pub readings: u64,
    /// Readings that were cut off.
    pub lost: u64,
}

impl Watcher {
    /// Begins to read a database.
    pub fn start(address: String) -> Self {
        let (going_on, end) = channel();
        Self { going_on, thread: thread::spawn(move || watch(&address, &end)) }
    }

    /// Reads what stands there now, and ends.
    pub fn finish(self) -> Seen {
        drop(self.going_on);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn watch(address: &str, end: &Receiver<()>) -> Seen {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (statement, mut seen) = (reading(), Seen::default());
    let mut session = None;
    loop {
        // What stands there after it was told to end is read once more.
        let last = end.recv_timeout(LISTENING) == Err(RecvTimeoutError::Disconnected);
        let read = runtime.block_on(async {
            let mut open = match session.take() {
                Some(open) => open,
                None => PgConnection::connect(address).await?,
            };
            let rows = raw_sql(AssertSqlSafe(&*statement)).fetch_all(&mut open).await?;
            session = Some(open);
            Ok::<_, sqlx::Error>(rows)
        });
        match read {
            Ok(rows) => {
                seen.see(&rows);
                if last {
                    return seen;
                }
            }
            Err(error) => {
                assert!(passing(&error, seen.state.is_some()), "{error}");
                seen.lost += 1;
            }
        }
    }
}

/// One transaction: the mark, then the totals of each view.
fn reading() -> String {
    let views = list::views();
    let tables: Vec<String> =
        views.iter().map(|view| format!("ionflux.\"{}\"", view.name)).collect();
    let totals = |(view, table): (&&'static View, &String)| {
        let sum = |name: String| format!(", coalesce(sum(\"{name}\"), 0)::text");
        let sums: String = numbers(view).into_iter().map(sum).collect();
        format!("SELECT count(*)::text{sums} FROM {table}")
    };
    let totals: Vec<String> = views.iter().zip(&tables).map(totals).collect();
    // Locks come before the snapshot: no chunk goes to the columnstore after it.
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
         LOCK TABLE {} IN ACCESS SHARE MODE; \
         SELECT state::text, epoch::text FROM ionflux.sink_mark; {}; COMMIT",
        tables.join(", "),
        totals.join("; ")
    )
}

/// Whether the server is away or the connection broke, or the tables are still to be made.
fn passing(error: &sqlx::Error, made: bool) -> bool {
    let sqlx::Error::Database(error) = error else { return true };
    match error.code().as_deref() {
        // No schema, no table; once there, they stay.
        Some("3F000" | "42P01") => !made,
        // 57: the server goes down or comes up; 40P01: a deadlock with who makes the tables.
        Some(code) => code.starts_with("57") || code == "40P01",
        None => false,
    }
}

impl Seen {
    fn see(&mut self, rows: &[PgRow]) {
        let cell = |row: &PgRow, at: usize| row.get::<Option<String>, _>(at);
        let (mark, rest) = rows.split_first().unwrap();
        let (Some(state), Some(epoch)) = (cell(mark, 0), cell(mark, 1)) else {
            assert_eq!(self.state, None, "the mark went away");
            return;
        };
        assert_eq!(self.state.get_or_insert_with(|| state.clone()), &state, "another state");
        let epoch = epoch.parse().unwrap();
        let views = list::views();
        assert_eq!(rest.len(), views.len());
        let mut totals = Totals::new();
        for (view, row) in views.into_iter().zip(rest) {
            let number = |at| cell(row, at).unwrap().parse().unwrap();
            let sums: Vec<Decimal> = (0..row.len()).map(number).collect();
            totals.add(view, &sums, Decimal::ONE);
        }
        let newest = self.epochs.last_key_value();
        assert!(newest.is_none_or(|(newest, _)| *newest <= epoch), "{epoch} after {newest:?}");
        match self.epochs.get(&epoch) {
            Some(before) => assert_eq!(before, &totals, "rows moved within the epoch {epoch}"),
            None => {
                totals.agree(&format!("the database at {epoch}"));
                self.epochs.insert(epoch, totals);
            }
        }
        self.readings += 1;
    }
}
