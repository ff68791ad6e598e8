//! Shopify's Admin API: what webhooks lost, or never told, is asked for.
//!
//! ```text
//! backfill   shop ─▶ orders ─▶ products      bulk operation ─▶ file ─▶ groups ─┐
//! sweep      orders by updated_at, page by page, every 15 minutes ─────────────┼─▶ intake
//! nightly    the same over seven days ─────────────────────────────────────────┤
//! shop       its zone and its currency, at the start and nightly ──────────────┘
//! reconcile  the shop's own daily totals, beside ours
//! ```
//!
//! Invariant: whatever is asked for is delivered whole (an order with all its lines and refunds)
//! or not at all, and a cursor moves only behind what is acknowledged. Asking again is harmless:
//! a delivery that says nothing new changes nothing.
//!
//! Personal data is not asked for: of a buyer only the id.

mod account;
mod answer;
mod backfill;
mod bulk;
mod client;
mod courier;
pub mod delivery;
mod download;
mod error;
mod gather;
mod groups;
mod node;
mod pace;
pub mod poll;
mod queries;
mod shop;

mod sweep;
mod tools;
pub mod totals;

pub use account::{API_VERSION, API_VERSION_MIN, Account, Token, version_known};
pub use client::Client;
pub use error::AdminError;
pub use pace::{Patience, Patient};
pub use tools::Progress;
