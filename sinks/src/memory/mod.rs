//! The in-memory sink: rows by view and primary key, for tests and simulations.
//!
//! Delivery: rows and mark change in one step. Invariant: what does not fit what is held is refused
//! whole, with what differs, so that a bug upstream cannot hide.

mod fault;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::view::{Row, Value, View};

pub use self::fault::Fault;
use self::fault::{Call, Faults, Polls};
use self::table::Tables;
use crate::error::SinkError;
use crate::sink::{BoxFuture, Mark, Outgoing, Sink, Step};

/// Rows by view, and in a view by the values of the primary key.
pub type Contents = BTreeMap<&'static str, BTreeMap<Vec<Value>, Row>>;

/// A target that outlives the sinks over it, as a database outlives its clients. Clones are the
/// same target.
#[derive(Clone, Debug, Default)]
pub struct Target(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    mark: Option<Mark>,
    tables: Tables,
    faults: Faults,
    writes: u64,
}

/// A sink over a [`Target`].
#[derive(Debug)]
pub struct Memory {
    name: Box<str>,
    target: Target,
}

impl Target {
    /// A target that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A fresh sink over this target.
    #[must_use]
    pub fn sink(&self, name: &str) -> Memory {
        Memory { name: name.into(), target: self.clone() }
    }

    /// Makes a later call fail; faults strike in the order they were injected.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.script(fault);
    }

    /// Makes calls fail by a seed from now on, `permille` of them; 0 for none. Faults that were
    /// injected and have not struck are forgotten.
    pub fn trouble(&self, seed: u64, permille: u64) {
        self.lock().faults = Faults::seeded(seed, permille);
    }

    /// The rows.
    #[must_use]
    pub fn contents(&self) -> Contents {
        self.lock().tables.contents()
    }

    /// The mark.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.lock().mark
    }

    /// How many writes changed something.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Empties it: rows, mark and faults.
    pub fn wipe(&self) {
        *self.lock() = Inner::default();
    }

    /// Puts a row in without asking anybody, as a person with a client could.
    pub fn put(&self, view: &'static View, row: Row) {
        self.lock().tables.put(view, row);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a target shows that holds a snapshot.
#[must_use]
pub fn contents_of(snapshot: &Snapshot) -> Contents {
    let mut tables = Tables::default();
    for view in snapshot.views() {
        let rows = snapshot.rows(view.name).unwrap_or_default();
        rows.into_iter().for_each(|row| tables.put(view, row));
    }
    tables.contents()
}

impl Inner {
    fn write(&mut self, batch: &Outgoing) -> Result<(), SinkError> {
        // No write lands late in memory, so that a gap is a bug upstream.
        let step = batch.at(self.mark).map_err(|gap| SinkError::permanent(gap.to_string()))?;
        if step == Step::Done {
            return Ok(());
        }
        self.tables.apply(batch)?;
        self.mark = Some(batch.to);
        self.writes += 1;
        Ok(())
    }
}

impl Memory {
    /// One call: what strikes it happens before or after the effect.
    async fn call<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut Inner) -> Result<T, SinkError> + Send,
    ) -> Result<T, SinkError> {
        let fault = self.target.lock().faults.strike(call);
        let (before, after) = match fault {
            Some(Fault::Delay { before, after }) => (before, after),
            _ => (0, 0),
        };
        Polls(before).await;
        match fault {
            Some(Fault::Refuse) => return Err(self.failed("refused the call")),
            Some(Fault::Unreachable { .. }) => return Err(self.failed("was unreachable")),
            Some(Fault::Corrupt) => return Err(self.failed("got rows of another checksum")),
            _ => {}
        }
        let done = effect(&mut self.target.lock());
        Polls(after).await;
        match fault {
            Some(Fault::LoseAnswer) => Err(self.failed("closed the connection before its answer")),
            _ => done,
        }
    }

    fn failed(&self, what: &str) -> SinkError {
        SinkError::transient(format!("{}: the target {what}", self.name))
    }
}

impl Sink for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<Option<Mark>, SinkError>> {
        Box::pin(self.call(Call::Resume, |target| Ok(target.mark)))
    }

    fn write<'a>(&'a mut self, batch: &'a Outgoing) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.call(Call::Write, |target| target.write(batch)))
    }
}
