//! The Admin API against a shop that speaks its protocol: throttling, bulk operations, files that
//! drop and expire, pages. Nothing sleeps: waiting moves the clock.

#![allow(clippy::unwrap_used)]

mod bench;
mod http;
mod samples;
mod shop;

mod backfill;
mod client;
mod sweep;
mod totals;
