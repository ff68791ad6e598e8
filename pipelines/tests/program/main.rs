//! The program as its user runs it: what it prints, what it leaves, and how it refuses.

#![allow(clippy::unwrap_used)]

mod bench;
mod config;
mod faults;
mod history;
mod state;
