//! Entities on disk, in an embedded LSM store.
//!
//! Invariant: a commit is one atomic batch over all tables, synced before it returns; memory is
//! bounded by the caches below, whatever the number of entities.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::entities::{Entities, EntitiesError, Scan, Table, Write};

/// Bytes of blocks kept in memory: enough for the working set of a live shop, small on a laptop.
const CACHE_BYTES: u64 = 64 << 20;
/// Bytes of the store's own write-ahead log before old tables are flushed.
const LOG_BYTES: u64 = 256 << 20;

/// A folder with a ledger in it.
pub struct Disk {
    database: Database,
    tables: [Keyspace; 4],
    /// Removes the folder of a ledger that nobody asked to keep, after the database is closed.
    _temporary: Option<tempfile::TempDir>,
}

impl Disk {
    /// Opens the ledger in a folder, making it if there is none.
    ///
    /// # Errors
    /// [`EntitiesError::InUse`] if another process has it open, [`EntitiesError::Open`] else.
    pub fn open(folder: &Path) -> Result<Self, EntitiesError> {
        Self::at(folder, None)
    }

    /// A ledger in a temporary folder that goes away with it.
    ///
    /// # Errors
    /// [`EntitiesError::Temporary`] or [`EntitiesError::Open`].
    pub fn temporary() -> Result<Self, EntitiesError> {
        let folder = tempfile::Builder::new().prefix("ionflux-").tempdir();
        let folder = folder.map_err(EntitiesError::Temporary)?;
        Self::at(&folder.path().join("ledger"), Some(folder))
    }

    fn at(folder: &Path, temporary: Option<tempfile::TempDir>) -> Result<Self, EntitiesError> {
        let failed = |problem| match problem {
            fjall::Error::Locked => EntitiesError::InUse(folder.into()),
            other => EntitiesError::Open(folder.into(), other),
        };
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(LOG_BYTES)
            .manual_journal_persist(true)
            .open()
            .map_err(failed)?;
        let open = |table: Table| database.keyspace(table.name(), KeyspaceCreateOptions::default);
        let [dossiers, shops, faults, meta] = Table::ALL.map(open);
        let tables = [
            dossiers.map_err(failed)?,
            shops.map_err(failed)?,
            faults.map_err(failed)?,
            meta.map_err(failed)?,
        ];
        Ok(Self { database, tables, _temporary: temporary })
    }

    fn table(&self, table: Table) -> &Keyspace {
        &self.tables[table as usize]
    }
}

impl Entities for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EntitiesError> {
        Ok(self.table(table).get(key)?.map(|value| value.to_vec()))
    }

    fn scan<'a>(&'a self, table: Table, prefix: &[u8]) -> Scan<'a> {
        let entries = self.table(table).prefix(prefix);
        Box::new(entries.map(|entry| {
            let (key, value) = entry.into_inner()?;
            Ok((key.to_vec(), value.to_vec()))
        }))
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), EntitiesError> {
        let mut batch = self.database.batch();
        if self._temporary.is_none() {
            batch = batch.durability(Some(PersistMode::SyncData));
        }
        for (table, key, value) in writes {
            batch.insert(&self.tables[table as usize], key, value);
        }
        Ok(batch.commit()?)
    }
}
