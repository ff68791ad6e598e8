//! The agents: pure functions from facts to views, on timely and differential dataflow.
//!
//! Invariant: collections in, collections out. No I/O, clock, randomness, lock or log here, and no
//! text: facts carry numbers, and whoever reads a view turns them back into names.
//!
//! ```text
//! facts ──exchange by shop──┬─▶ revenue ───▶ revenue_by_day, revenue_by_product_day
//!                           ├─▶ customers ─▶ customers_by_day
//!                           └─▶ pulse ─────▶ metrics_hourly
//! faults ─────────────────────▶ faults ────▶ faults
//! ```

pub mod key;
pub mod sums;
pub mod totals;

pub mod agent;
pub mod list;
pub mod publish;

pub mod customers;
pub mod faults;
pub mod pulse;
pub mod revenue;

pub mod harness;
pub mod oracle;

use differential_dataflow::VecCollection;

/// An epoch's number inside a dataflow.
pub type Time = u64;

/// A collection of records with differences, at epochs.
pub type Rows<'s, D, R = i64> = VecCollection<'s, Time, D, R>;
