//! Shopify: webhooks, bulk exports and the orders CSV export, read into events.
//!
//! Invariant: every record ends as envelopes or as a fault that says why not; what a body leaves
//! out, wraps, nulls or quotes changes the answer only where it changes the meaning.
//!
//! ```text
//! webhook_file ─ framing ─ document ─┐
//!                                    ├─ webhook ─ shape ─┬─ order ── lines ─ tax, spread
//! delivery (from the journal) ────────┘                   ├─ refund
//!                                                        ├─ edit
//!                                                        ├─ redaction, zone
//! bulk_file ─ partition ─ assemble ──────────────────────┴─ entities (all beside orders)
//! orders_csv ─ (its own columns) ─ tax, spread
//! ```
//!
//! REST bodies and GraphQL nodes share their shapes in `body`, by aliases, so that an order
//! means the same however it came.

pub mod signature;

pub mod webhook;

pub mod webhook_file;

pub mod delivery;

pub mod door;

pub mod bulk_file;

pub mod admin;

pub mod orders_csv;

pub(crate) mod shape;

mod order;

mod lines;

mod refund;

mod edit;

mod zone;

mod redaction;

pub(crate) mod compliance;

mod entities;

mod tax;

pub(crate) mod spread;

mod body;

pub(crate) mod amounts;

pub(crate) mod scalar;

mod list;

pub(crate) mod record;

mod document;

pub(crate) mod framing;

pub(crate) mod broken;
