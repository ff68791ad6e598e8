//! Shopify: webhooks, bulk exports and the orders CSV export, read into events.
//!
//! Invariant: every record ends as envelopes or as a fault that says why not; what a body leaves
//! out, wraps, nulls or quotes changes the answer only where it changes the meaning.
//!
//! ```text
//! webhook_file ─ framing ─ document ─┐
//!                                    ├─ webhook ─ shape ─┬─ order ── lines ─ tax, spread
//! (live deliveries, from a journal) ─┘                   ├─ refund
//!                                                        ├─ edit
//! bulk_file ─ partition ─ assemble ──────────────────────┴─ zone
//! orders_csv ─ (its own columns) ─ tax, spread
//! ```
//!
//! REST bodies and GraphQL nodes share their shapes in `body`, by aliases, so that an order
//! means the same however it came.

mod amounts;
mod body;
mod broken;
pub mod bulk_file;
mod document;
mod edit;
mod framing;
mod lines;
mod list;
mod order;
pub mod orders_csv;
mod record;
mod refund;
mod scalar;
mod shape;
mod spread;
mod tax;
pub mod webhook;
pub mod webhook_file;
mod zone;
