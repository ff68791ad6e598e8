//! The vocabulary of IONFLUX: what crosses the borders between its crates, and nothing else.
//!
//! Invariant: this crate imports nothing of ours and does no I/O. In the order a newcomer should
//! read: amounts and times, what a delivery says, what the dataflow counts, what readers see.

pub mod currency;
pub mod money;
pub mod time;

pub mod delivery;
pub mod entity;
pub mod event;
pub mod fault;
pub mod key;
pub mod letter;

pub mod dictionary;
pub mod fact;

pub mod avro;
pub mod batch;
pub mod columns;
pub mod run;
pub mod snapshot;
pub mod view;

pub mod health;
pub mod line;
