//! Wiring: sources, ledger, agents, sinks and service joined into the program `ionflux`.
//!
//! Invariant: this is the only crate that names the rest.
//!
//! ```text
//! files ────────────────▶ assemble (Books) ─┐
//! doors ─▶ journal ─▶ feed ─▶ live ─────────┴▶ engine ─┬─▶ ledger (state folder)
//!                                                      └─▶ runtime (workers) ─▶ store ─▶ serve
//! verify: ledger ─▶ plain loops = runtime = kept views
//! ```

pub mod failure;
pub mod progress;

pub mod engine;
pub mod runtime;
pub mod state;

pub mod assemble;
pub mod files;

pub mod feed;
pub mod forgetting;
pub mod keeper;
pub mod live;
pub mod meter;
pub mod outlets;

pub mod verify;

pub mod commands;
pub mod config;
pub mod connect;
pub mod http;
pub mod secrets;
pub mod serve;
