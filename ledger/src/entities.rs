//! Where entities are kept: a sorted map of bytes per table, with one atomic commit.
//!
//! Invariant: a commit is kept whole or not at all, and after a sync it survives a power cut; what
//! was never synced may be lost, but only from its end.

use std::path::PathBuf;

use thiserror::Error;

/// Immutable bytes that are cheap to share; short ones are held in place.
pub type Bytes = fjall::Slice;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 65_535;

/// The tables of a ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// Dossiers by shard, shop and order.
    Dossiers,
    /// Numbers and time zones by shop.
    Shops,
    /// Faults of decoding, by their id.
    Faults,
    /// Dead letters by their id.
    Letters,
    /// Which faults a letter has: the letter's id, then the fault's.
    Claims,
    /// Entities beside orders, by kind, shop and id.
    Records,
    /// Single values: the format, the epoch, progress, the base zone, the number of readings.
    Meta,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Dossiers,
        Self::Shops,
        Self::Faults,
        Self::Letters,
        Self::Claims,
        Self::Records,
        Self::Meta,
    ];

    /// The table's name on disk.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dossiers => "dossiers",
            Self::Shops => "shops",
            Self::Faults => "faults",
            Self::Letters => "letters",
            Self::Claims => "claims",
            Self::Records => "records",
            Self::Meta => "meta",
        }
    }
}

/// Why entities cannot be read or kept.
#[derive(Debug, Error)]
pub enum EntitiesError {
    /// The folder is open in another process.
    #[error("the state folder {0} is in use by another process")]
    InUse(PathBuf),
    /// The folder cannot be created or opened.
    #[error("the state folder {0} could not be opened")]
    Open(PathBuf, #[source] fjall::Error),
    /// Reading or writing failed.
    #[error("the ledger could not be read or written")]
    Storage(#[from] fjall::Error),
    /// A temporary folder could not be made.
    #[error("a temporary folder could not be made")]
    Temporary(#[source] std::io::Error),
    /// A key is empty or too long for the store.
    #[error("a key of the table {table} has {bytes} bytes; the store takes 1 to {KEY_BYTES_MAX}")]
    Key {
        /// The table.
        table: &'static str,
        /// The length of the key.
        bytes: usize,
    },
    /// The log of recent dossiers cannot be read.
    #[error("the log of recent dossiers is damaged")]
    Log,
    /// The store in memory was told to fail.
    #[error("the store in memory failed to {0}, as it was told to")]
    Told(&'static str),
}

/// One write of a commit; a key is written at most once in a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// Where.
    pub table: Table,
    /// The key, [`KEY_BYTES_MAX`] bytes at most and never empty.
    pub key: Bytes,
    /// The new value; `None` takes the key out.
    pub value: Option<Bytes>,
}

impl Write {
    /// A key and its new value.
    pub fn put(table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { table, key: key.into(), value: Some(value.into()) }
    }

    /// A key that is no more.
    pub fn remove(table: Table, key: impl Into<Bytes>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

/// A place that keeps entities, read by many threads and written by one.
pub trait Entities: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// [`EntitiesError`] when the store cannot be read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, EntitiesError>;

    /// Every key that begins with `prefix` and its value, in order of the keys. Each entry may
    /// fail.
    fn scan<'a>(&'a self, table: Table, prefix: &[u8]) -> Scan<'a>;

    /// Keeps all writes, or none; they are seen at once, and survive a power cut after
    /// [`Entities::sync`].
    ///
    /// # Errors
    /// [`EntitiesError`] when they could not be kept.
    fn commit(&mut self, writes: Vec<Write>) -> Result<(), EntitiesError>;

    /// Makes every commit so far survive a power cut.
    ///
    /// # Errors
    /// [`EntitiesError`] when that is not certain.
    fn sync(&mut self) -> Result<(), EntitiesError>;
}

/// Entries of a table, one by one.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), EntitiesError>> + 'a>;
