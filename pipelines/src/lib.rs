//! Wiring: sources, ledger, agents, sinks and service joined into the program `ionflux`.
//!
//! Invariant: this is the only crate that names the rest.

pub mod runtime;
