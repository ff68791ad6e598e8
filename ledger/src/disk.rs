//! Entities on disk, in an embedded LSM store.
//!
//! ```text
//! commit ─▶ one batch: dossiers as chunks of a log, other tables key by key
//!             └▶ recent dossiers ─▶ full: a sorted file, written beside the next commits;
//!                96 MiB, twice                then their chunks leave the log
//! get ─▶ recent dossiers ─▶ filters ─▶ one block of the file that has the key
//!                           a new order ends here        the cache, else the disk
//! ```
//!
//! Invariant: a commit is one atomic batch over all tables. A file of dossiers never holds what
//! the synced log does not, so that a power cut never shows a dossier of a lost commit. Memory is
//! bounded by the constants below, by the store's own tables of the log, as large as the recent
//! dossiers, and by the filters and indices of the upper levels, some 70 MiB.

mod overlaid;
mod recent;

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
    HashRatioPolicy, PartitioningPolicy, PinningPolicy,
};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::entities::{Bytes, Entities, EntitiesError, KEY_BYTES_MAX, Scan, Table, Write};
use crate::records::Records;

use overlaid::Overlaid;
use recent::Recent;

/// Bytes of blocks kept in memory: enough for the working set of a live shop, small on a laptop.
const CACHE_BYTES: u64 = 64 << 20;
/// Bytes of the store's own write-ahead log before old tables are flushed; opening reads it again,
/// some million dossiers in a second.
const LOG_BYTES: u64 = 64 << 20;
/// Threads that flush and compact. Of several, the store keeps one free for flushing, which spins
/// while another compacts. Files of dossiers are written by a thread of their own.
const STORE_THREADS: usize = 1;
/// Bytes of dossiers gathered in memory before they are written as one sorted file; while it is
/// written, as many again are gathered.
const RECENT_BYTES: usize = 96 << 20;
/// Where the chunks of recent dossiers are kept, by their numbers.
const LOG: &str = "recent";
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
    tables: Vec<Keyspace>,
    log: Keyspace,
    recent: Recent,
    /// Recent dossiers on their way into a file.
    leaving: Option<Leaving>,
    /// The chunks of the log before this one are in files; those from `left` on are still in it.
    done: u64,
    left: u64,
    /// When recent dossiers become a file.
    recent_bytes: usize,
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

    /// The entities beside orders, for threads that only look.
    #[must_use]
    pub fn records(&self) -> Records {
        Records::new(self.table(Table::Records).clone())
    }

    fn at(folder: &Path, temporary: Option<tempfile::TempDir>) -> Result<Self, EntitiesError> {
        Self::with(folder, temporary, RECENT_BYTES)
    }

    fn with(
        folder: &Path,
        temporary: Option<tempfile::TempDir>,
        recent_bytes: usize,
    ) -> Result<Self, EntitiesError> {
        let database = database(folder)?;
        let failed = |problem| EntitiesError::Open(folder.into(), problem);
        let open =
            |table: Table| database.keyspace(table.name(), || options(table)).map_err(failed);
        let tables = Table::ALL.into_iter().map(open).collect::<Result<_, _>>()?;
        let log = database.keyspace(LOG, KeyspaceCreateOptions::default).map_err(failed)?;
        let recent = logged(&log)?;
        let left = recent.numbers.start;
        Ok(Self {
            database,
            tables,
            log,
            recent,
            leaving: None,
            done: left,
            left,
            recent_bytes,
            _temporary: temporary,
        })
    }

    /// Sees to recent dossiers that are on their way into a file, and waits for them if the next
    /// are as many already.
    fn settle(&mut self) -> Result<(), EntitiesError> {
        let Some(leaving) = &mut self.leaving else { return Ok(()) };
        let full = self.recent.bytes() >= self.recent_bytes;
        match leaving.writing.take() {
            Some(writing) if full || writing.is_finished() => {
                // They stay readable if this fails, and the next commit tries again.
                writing.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                self.done = leaving.recent.numbers.end;
                self.leaving = None;
            }
            Some(writing) => leaving.writing = Some(writing),
            None => {
                let dossiers = &self.tables[Table::Dossiers as usize];
                let writing = write(&self.database, dossiers, &leaving.recent);
                leaving.writing = Some(writing.map_err(fjall::Error::from)?);
            }
        }
        Ok(())
    }

    /// Lets the recent dossiers leave for a file, if they are many and no others are leaving.
    fn leave(&mut self) {
        if self.leaving.is_none() && self.recent.bytes() >= self.recent_bytes {
            let next = Recent::starting(self.recent.numbers.end);
            let recent = Arc::new(std::mem::replace(&mut self.recent, next));
            // Without a thread now, the next commit asks for one again.
            let writing = write(&self.database, self.table(Table::Dossiers), &recent).ok();
            self.leaving = Some(Leaving { recent, writing });
        }
    }

    fn table(&self, table: Table) -> &Keyspace {
        &self.tables[table as usize]
    }
}

/// Starts to write recent dossiers as a file.
fn write(
    database: &Database,
    dossiers: &Keyspace,
    recent: &Arc<Recent>,
) -> std::io::Result<JoinHandle<fjall::Result<()>>> {
    let (database, dossiers) = (database.clone(), dossiers.clone());
    let recent = Arc::clone(recent);
    let run = move || {
        // The file must not know more than the log after a power cut.
        database.persist(PersistMode::SyncData)?;
        let mut file = dossiers.start_ingestion()?;
        for (key, value) in recent.sorted(&[]) {
            match value {
                Some(value) => file.write(key.clone(), value)?,
                None => file.write_tombstone(key.clone())?,
            }
        }
        file.finish()
    };
    Builder::new().name("ledger-file".to_owned()).spawn(run)
}

/// Recent dossiers and the thread that writes them, if there is one.
struct Leaving {
    recent: Arc<Recent>,
    writing: Option<JoinHandle<fjall::Result<()>>>,
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Another opening must not meet a thread that still writes. What it could not write is in
        // the log.
        if let Some(writing) = self.leaving.take().and_then(|leaving| leaving.writing) {
            let _ = writing.join();
        }
    }
}

/// The recent dossiers that a log holds.
fn logged(log: &Keyspace) -> Result<Recent, EntitiesError> {
    let mut recent = Recent::starting(0);
    for entry in log.iter() {
        let (number, chunk) = entry.into_inner()?;
        let number = number.first_chunk().ok_or(EntitiesError::Log)?;
        if recent.empty() {
            recent = Recent::starting(u64::from_be_bytes(*number));
        }
        recent.add(chunk)?;
    }
    Ok(recent)
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
        .journal_compression(CompressionType::None)
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
        .filter_policy(FilterPolicy::all(filter))
        // A filter that must be read from the disk saves no read. The deepest levels hold most of
        // a very large ledger; their filters and indices are in parts, which the cache holds.
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::new([false, false, false, true]))
        .index_block_partitioning_policy(PartitioningPolicy::new([false, false, false, true]))
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .data_block_hash_ratio_policy(HashRatioPolicy::all(HASH_BYTES_PER_KEY))
        // Dossiers are compact; to compress them more takes longer than to read and write them.
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
}

impl Entities for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EntitiesError> {
        if table == Table::Dossiers {
            let leaving = || self.leaving.as_ref()?.recent.get(key);
            if let Some(known) = self.recent.get(key).or_else(leaving) {
                return Ok(known);
            }
        }
        let table = (key.len() <= KEY_BYTES_MAX).then(|| self.table(table));
        Ok(table.map(|table| table.get(key)).transpose()?.flatten())
    }

    fn scan<'a>(&'a self, table: Table, prefix: &[u8]) -> Scan<'a> {
        let entries = match prefix {
            [] => self.table(table).iter(),
            _ => self.table(table).prefix(prefix),
        };
        let entries = entries.map(|entry| Ok(entry.into_inner()?));
        if table != Table::Dossiers {
            return Box::new(entries);
        }
        let leaving = self.leaving.iter().map(|leaving| &*leaving.recent);
        let mut known = Vec::new();
        for recent in std::iter::once(&self.recent).chain(leaving) {
            known.extend(recent.sorted(prefix));
        }
        // Of two entries of a key the later one comes first, and stays so: the sort is stable.
        known.sort_by_key(|(key, _)| *key);
        known.dedup_by_key(|(key, _)| *key);
        Box::new(Overlaid::new(known, entries))
    }

    fn commit(&mut self, writes: Vec<Write>) -> Result<(), EntitiesError> {
        let refused = |write: &&Write| !(1..=KEY_BYTES_MAX).contains(&write.key.len());
        if let Some(Write { table, key, .. }) = writes.iter().find(refused) {
            return Err(EntitiesError::Key { table: table.name(), bytes: key.len() });
        }
        self.settle()?;
        let chunks = recent::chunks(writes.iter().filter(|write| write.table == Table::Dossiers));
        let mut batch = fjall::OwnedWriteBatch::with_capacity(self.database.clone(), 64);
        for Write { table, key, value } in writes {
            let keyspace = &self.tables[table as usize];
            match value {
                _ if table == Table::Dossiers => {}
                Some(value) => batch.insert(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
        // From the first on, so that the log never has a chunk older than one it has lost.
        for number in self.left..self.done {
            batch.remove(&self.log, number.to_be_bytes());
        }
        for (number, chunk) in (self.recent.numbers.end..).zip(&chunks) {
            batch.insert(&self.log, number.to_be_bytes(), chunk.clone());
        }
        batch.commit()?;
        self.left = self.done;
        for chunk in chunks {
            self.recent.add(chunk)?;
        }
        self.leave();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EntitiesError> {
        match self._temporary {
            Some(_) => Ok(()),
            None => Ok(self.database.persist(PersistMode::SyncData)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(key: u8) -> Bytes {
        // Few first bytes, so that neighbours and prefixes occur.
        Bytes::from(&[key % 3, key][..])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Files are written after every few commits here, and tell what a map tells, also after
        /// the folder is opened again.
        #[test]
        fn recent_dossiers_and_files_are_one_table(
            commits in proptest::collection::vec(
                (proptest::collection::btree_map(any::<u8>(), any::<Option<u16>>(), 0..12), 0..4),
                1..24,
            ),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let open = || Disk::with(folder.path(), None, 1_000).unwrap();
            let (mut disk, mut model) = (open(), BTreeMap::new());
            for (said, restart) in commits {
                let mut writes = Vec::new();
                for (place, value) in said {
                    let key = key(place);
                    let value = value.map(|value| Bytes::from(&value.to_be_bytes()[..]));
                    match value.clone() {
                        Some(value) => model.insert(key.clone(), value),
                        None => model.remove(&key),
                    };
                    writes.push(Write { table: Table::Dossiers, key, value });
                }
                disk.commit(writes).unwrap();
                if restart == 0 {
                    drop(disk);
                    disk = open();
                }
                for prefix in [&[][..], &[0], &[1], &[2], &[7]] {
                    let told: Vec<_> =
                        disk.scan(Table::Dossiers, prefix).collect::<Result<_, _>>().unwrap();
                    let mut held: Vec<_> = model.clone().into_iter().collect();
                    held.retain(|(key, _)| key.starts_with(prefix));
                    prop_assert_eq!(told, held);
                }
                for place in 0..=u8::MAX {
                    let told = disk.get(Table::Dossiers, &key(place)).unwrap();
                    prop_assert_eq!(told.as_ref(), model.get(&key(place)));
                }
            }
        }
    }

    #[test]
    fn chunks_leave_the_log_when_their_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::with(folder.path(), None, 1).unwrap();
        for value in 0..20_u8 {
            disk.commit(vec![Write::put(Table::Dossiers, key(7), &[value][..])]).unwrap();
        }
        // Every commit is as many as may be gathered, so that each waits for the file before.
        assert!(disk.log.iter().count() <= 3, "two on their way and the last");
        drop(disk);
        let disk = Disk::with(folder.path(), None, 1).unwrap();
        assert_eq!(disk.get(Table::Dossiers, &key(7)).unwrap().as_deref(), Some(&[19][..]));
    }
}
