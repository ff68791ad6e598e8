//! TikTok: TikTok Shop, TikTok for Developers and the reports of TikTok Ads, read into events.
//!
//! Invariant: the platforms share nothing but the listener: each has secrets, tokens and ids of
//! its own. Ids are text from end to end, for some are longer than any number.
//!
//! ```text
//! door ─ shop webhook ──┬─ changes of the store                  (no money in any webhook)
//!      │                └─ hint ─▶ poller ─▶ client ─▶ intake ─┐
//!      └─ developer webhook ─ activity                          ├─ api ─┬─ order ── refund
//! file ─ framing ─ documents ──────────────────────────────────┘       ├─ samples
//!                                                                       └─ ads
//! ```

pub mod signature;

pub mod door;

pub mod webhook;

pub mod developer;

pub mod api;

pub mod delivery;

pub mod file;

pub mod hints;

pub mod client;

pub mod tokens;

pub mod transport;

pub mod poller;

pub mod reports;

mod body;

mod changes;

mod order;

mod refund;

mod samples;

mod ads;

mod zone;

mod record;

mod trimmed;
