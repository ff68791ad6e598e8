//! The ledger: the latest version of every entity, and what changes when a version changes.
//!
//! ```text
//! envelopes ─▶ dossier of each order ─▶ old contribution out (-1), new one in (+1) ─▶ dataflow
//! faults         │ latest version wins                         differences
//! letters        ▼
//! progress ─▶ entities (disk or memory), one atomic commit an epoch
//! ```
//!
//! Invariant: merging is a join: commutative, associative, idempotent. Order of arrival and
//! duplicates cannot be seen in what leaves the ledger.

mod aggregate;
pub mod contribution;
pub mod dossier;
mod error;
mod faults;
mod hydrate;
pub mod ledger;
pub mod numbers;
pub mod records;
mod rezone;
pub mod scrub;
mod shards;
pub mod shop;
mod sort;
mod state;

pub mod codec;
pub mod disk;
pub mod entities;
pub mod memory;
pub mod migration;

pub use error::LedgerError;
pub use ledger::{BaseZone, Ledger, Said};
pub use state::Stats;
