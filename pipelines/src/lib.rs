//! Wiring: sources, ledger, agents, sinks and service joined into the program `ionflux`.
//!
//! Invariant: this is the only crate that names the rest.
//!
//! ```text
//! commands ─▶ engine ─┬─▶ ledger (state folder) ─▶ runtime (workers) ─▶ store ─▶ serve, export
//!                     └── sources
//! ```

pub mod failure;
pub mod progress;

pub mod engine;
pub mod runtime;
pub mod state;

pub mod commands;
pub mod config;
pub mod serve;
