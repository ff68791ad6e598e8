//! Where entities are kept: a sorted map of bytes per table, with one atomic commit.
//!
//! Invariant: after a commit returns, all of it is kept; after a crash, all of it or none.

use std::path::PathBuf;

use thiserror::Error;

/// The tables of a ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// Dossiers by shop and order.
    Dossiers,
    /// Time zones by shop.
    Shops,
    /// Faults of decoding, by their id.
    Faults,
    /// Single values: the epoch, the base zone, the number of readings.
    Meta,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 4] = [Self::Dossiers, Self::Shops, Self::Faults, Self::Meta];

    /// The table's name on disk.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dossiers => "dossiers",
            Self::Shops => "shops",
            Self::Faults => "faults",
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
}

/// One write of a commit: table, key, value.
pub type Write = (Table, Vec<u8>, Vec<u8>);

/// A place that keeps entities.
pub trait Entities: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// [`EntitiesError`] when the store cannot be read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EntitiesError>;

    /// Every key that begins with `prefix` and its value, in order of the keys.
    ///
    /// # Errors
    /// [`EntitiesError`] when the store cannot be opened for reading; each entry may fail too.
    fn scan<'a>(&'a self, table: Table, prefix: &[u8]) -> Scan<'a>;

    /// Keeps all writes, or none.
    ///
    /// # Errors
    /// [`EntitiesError`] when they could not be kept.
    fn commit(&mut self, writes: Vec<Write>) -> Result<(), EntitiesError>;
}

/// Entries of a table, one by one.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), EntitiesError>> + 'a>;
