//! Entities on disk, in an embedded LSM store.
//!
//! ```text
//! get ─▶ memtables ─▶ filters, pinned in memory ─▶ one block of the file that has the key
//!        64 MiB        a new order ends here        the cache, else the disk
//! ```
//!
//! Invariant: a commit is one atomic batch over all tables. Memory is bounded by the constants
//! below and by the filters and indices of the upper levels, at most some 70 MiB.

use std::path::Path;

use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
    HashRatioPolicy, PartitioningPolicy, PinningPolicy,
};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::entities::{Bytes, Entities, EntitiesError, KEY_BYTES_MAX, Scan, Table, Write};

/// Bytes of blocks kept in memory: enough for the working set of a live shop, small on a laptop.
const CACHE_BYTES: u64 = 64 << 20;
/// Bytes of the store's own write-ahead log before old tables are flushed; opening reads it again,
/// some million dossiers in a second.
const LOG_BYTES: u64 = 64 << 20;
/// Threads that flush and compact. Of several, the store keeps one free for flushing, which spins
/// while another compacts; four full memtables fit in memory, so that a flush can wait.
const STORE_THREADS: usize = 1;
/// Bytes of dossiers gathered in memory before they are written as one sorted file.
const MEMTABLE_BYTES: u64 = 64 << 20;
/// Bytes of one block: what a read of one dossier takes from the disk.
const BLOCK_BYTES: u32 = 4 << 10;
/// Bits of filter for each key: about one read in a hundred of a key that is not there goes to
/// the disk in vain.
const FILTER_BITS: f32 = 10.0;

/// Bytes of each block's hash index for each key, so that a read need not search the block.
const HASH_BYTES_PER_KEY: f32 = 1.0;

/// A folder with a ledger in it.
pub struct Disk {
    database: Database,
    tables: [Keyspace; 6],
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
        let database = database(folder)?;
        let failed = |problem| EntitiesError::Open(folder.into(), problem);
        let open = |table: Table| database.keyspace(table.name(), || options(table));
        let [dossiers, shops, faults, letters, claims, meta] = Table::ALL.map(open);
        let tables = [
            dossiers.map_err(failed)?,
            shops.map_err(failed)?,
            faults.map_err(failed)?,
            letters.map_err(failed)?,
            claims.map_err(failed)?,
            meta.map_err(failed)?,
        ];
        Ok(Self { database, tables, _temporary: temporary })
    }

    fn table(&self, table: Table) -> &Keyspace {
        &self.tables[table as usize]
    }
}

/// Opens the store in a folder, whatever its tables are.
pub(crate) fn database(folder: &Path) -> Result<Database, EntitiesError> {
    let failed = |problem| match problem {
        fjall::Error::Locked => EntitiesError::InUse(folder.into()),
        other => EntitiesError::Open(folder.into(), other),
    };
    let database = Database::builder(folder)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(LOG_BYTES)
        .worker_threads(STORE_THREADS)
        .manual_journal_persist(true);
    database.open().map_err(failed)
}

fn options(table: Table) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default();
    if table != Table::Dossiers {
        return options;
    }
    let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(FILTER_BITS));
    options
        .max_memtable_size(MEMTABLE_BYTES)
        .filter_policy(FilterPolicy::all(filter))
        // A filter that must be read from the disk saves no read. The deepest levels hold most of
        // a very large ledger; their filters and indices are in parts, which the cache holds.
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::new([false, false, false, true]))
        .index_block_partitioning_policy(PartitioningPolicy::new([false, false, false, true]))
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .data_block_hash_ratio_policy(HashRatioPolicy::all(HASH_BYTES_PER_KEY))
        .data_block_compression_policy(CompressionPolicy::new([
            CompressionType::None,
            CompressionType::None,
            CompressionType::Lz4,
        ]))
}

impl Entities for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EntitiesError> {
        Ok(self.table(table).get(key)?)
    }

    fn scan<'a>(&'a self, table: Table, prefix: &[u8]) -> Scan<'a> {
        let entries = match prefix {
            [] => self.table(table).iter(),
            _ => self.table(table).prefix(prefix),
        };
        Box::new(entries.map(|entry| Ok(entry.into_inner()?)))
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), EntitiesError> {
        let refused = |write: &&Write| !(1..=KEY_BYTES_MAX).contains(&write.key.len());
        if let Some(Write { table, key, .. }) = writes.iter().find(refused) {
            return Err(EntitiesError::Key { table: table.name(), bytes: key.len() });
        }
        let mut batch = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), writes.len());
        for Write { table, key, value } in writes {
            let table = &self.tables[table as usize];
            match value {
                Some(value) => batch.insert(table, key, value),
                None => batch.remove(table, key),
            }
        }
        Ok(batch.commit()?)
    }

    fn sync(&mut self) -> Result<(), EntitiesError> {
        match self._temporary {
            Some(_) => Ok(()),
            None => Ok(self.database.persist(PersistMode::SyncData)?),
        }
    }
}
