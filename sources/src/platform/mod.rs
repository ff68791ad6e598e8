//! The platform's own doors: who may knock.
//!
//! Invariant: a token opens the doors of one workspace and of no other.

pub mod tokens;
