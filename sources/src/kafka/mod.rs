//! Events from Kafka: a member of a consumer group, whose place in every partition is kept beside
//! the journal.
//!
//! ```text
//! poll ─▶ schema known? ─▶ intake: many at once, one sync ─▶ cursor ─▶ commit, for lag tools
//!            └ registry away: the partition waits      rebalance or start ─▶ seek to the cursor
//! ```
//!
//! Carrying needs the feature `kafka`; reading what was carried does not.
//!
//! Invariant: a message is behind the cursor only when it is in the journal.

pub mod again;
mod avro;
pub mod catalog;
pub mod delivery;
pub mod progress;
pub mod topics;

#[cfg(feature = "kafka")]
pub mod carrier;
#[cfg(feature = "kafka")]
pub mod connection;
#[cfg(feature = "kafka")]
mod member;
#[cfg(feature = "kafka")]
mod message;
#[cfg(feature = "kafka")]
pub mod metrics;
#[cfg(feature = "kafka")]
pub mod provision;
#[cfg(feature = "kafka")]
mod tail;
