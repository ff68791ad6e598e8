//! Where views go: each target in a folder of its own.
//!
//! Invariant: a target shows an epoch whole or not at all.

pub mod files;
