//! Entities in memory, for tests, for simulation, and for whoever wants no folder.
//!
//! Invariant: behaves as a disk would: a crash keeps every synced commit, and of the others a
//! prefix, whole commits only. A commit that failed is not seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::entities::{Bytes, Entities, EntitiesError, Scan, Table, Write};

/// A sorted map, shared by its clones; nothing survives the last of them.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
}

type Entries = BTreeMap<(Table, Bytes), Bytes>;

#[derive(Debug, Default)]
struct Inner {
    synced: Entries,
    seen: Entries,
    unsynced: Vec<Vec<Write>>,
    failures: Vec<(Operation, u64)>,
}

/// What can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Reading one key.
    Get,
    /// Keeping an epoch.
    Commit,
    /// Making commits survive a power cut.
    Sync,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Commit => "commit",
            Self::Sync => "sync",
        }
    }
}

impl Memory {
    /// How many commits a crash could lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.inner().unsynced.len()
    }

    /// Loses what a power cut would: all but the first `keep` of the commits that were not synced.
    /// A ledger that is open over this memory must be opened again.
    pub fn crash(&self, keep: usize) {
        let mut inner = self.inner();
        inner.failures.clear();
        for writes in std::mem::take(&mut inner.unsynced).into_iter().take(keep) {
            apply(&mut inner.synced, writes);
        }
        inner.seen = inner.synced.clone();
    }

    /// Makes one operation fail, once, after `after` more that succeed.
    pub fn fail(&self, operation: Operation, after: u64) {
        self.inner().failures.push((operation, after));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn told(&mut self, operation: Operation) -> Result<(), EntitiesError> {
        let told = self.failures.iter().position(|(told, _)| *told == operation);
        match told.map(|place| (place, &mut self.failures[place].1)) {
            None => Ok(()),
            Some((place, 0)) => {
                self.failures.remove(place);
                Err(EntitiesError::Told(operation.name()))
            }
            Some((_, after)) => {
                *after -= 1;
                Ok(())
            }
        }
    }
}

fn apply(entries: &mut Entries, writes: Vec<Write>) {
    for Write { table, key, value } in writes {
        match value {
            Some(value) => entries.insert((table, key), value),
            None => entries.remove(&(table, key)),
        };
    }
}

impl Entities for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EntitiesError> {
        let mut inner = self.inner();
        inner.told(Operation::Get)?;
        Ok(inner.seen.get(&(table, Bytes::from(key))).cloned())
    }

    fn scan<'a>(&'a self, table: Table, prefix: &[u8]) -> Scan<'a> {
        let inner = self.inner();
        let from = inner.seen.range((table, Bytes::from(prefix))..);
        let inside = from.take_while(|((t, key), _)| *t == table && key.starts_with(prefix));
        // A copy of the entries, whose bytes are shared: a scan must not hold up a commit.
        let entries: Vec<_> =
            inside.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        Box::new(entries.into_iter().map(Ok))
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), EntitiesError> {
        let mut inner = self.inner();
        inner.told(Operation::Commit)?;
        apply(&mut inner.seen, writes.clone());
        inner.unsynced.push(writes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EntitiesError> {
        let mut inner = self.inner();
        inner.told(Operation::Sync)?;
        for writes in std::mem::take(&mut inner.unsynced) {
            apply(&mut inner.synced, writes);
        }
        Ok(())
    }
}
