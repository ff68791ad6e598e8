//! The ledger: the latest version of every entity, and what changes when a version changes.
//!
//! ```text
//! envelopes ─▶ dossier of each order ─▶ old contribution out (-1), new one in (+1) ─▶ dataflow
//!                    │ latest version wins                     differences
//!                    ▼
//!                 entities (disk or memory), one atomic commit an epoch
//! ```
//!
//! Invariant: merging is a join: commutative, associative, idempotent. Order of arrival and
//! duplicates cannot be seen in what leaves the ledger.

pub mod contribution;
pub mod dossier;

pub mod codec;
pub mod disk;
pub mod entities;
pub mod memory;

pub mod ledger;
pub mod shop;

pub use ledger::{BaseZone, Ledger, LedgerError};
