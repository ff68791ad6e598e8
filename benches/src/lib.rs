//! What the benches share: a seeded generator of commerce and the binary form it is kept in.
//!
//! Invariant: the same seed gives the same events on every machine.

pub mod baseline;
pub mod fleet;
pub mod form;
pub mod gate;
pub mod generator;
pub mod instance;
pub mod load;
pub mod orders;
