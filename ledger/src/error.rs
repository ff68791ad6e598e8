//! Why the ledger cannot go on.
//!
//! Invariant: an error says what is wrong with the state or with what was asked, never what an
//! order holds.

use thiserror::Error;

use crate::codec::{CodecError, FORMAT};
use crate::entities::EntitiesError;

/// Why the ledger cannot go on.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    /// A stored value cannot be read.
    #[error("the ledger holds a value that cannot be read")]
    Codec(#[from] CodecError),
    /// The state was made with another base zone.
    #[error("this state counts days in {held}, not in {asked}")]
    BaseZone {
        /// The zone of the state.
        held: String,
        /// The zone asked for.
        asked: String,
    },
    /// The state was made by another release. An older one can be migrated.
    #[error("this state is of format {found}, this release reads format {FORMAT}")]
    Format {
        /// The format found.
        found: u8,
    },
    /// A migration into this state was cut short.
    #[error("a migration into this state did not finish; remove it and migrate again")]
    Unfinished,
    /// A migration must not mix two states.
    #[error("the state to migrate into is not empty")]
    NotEmpty,
}
