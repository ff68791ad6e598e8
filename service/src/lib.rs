//! The read service: every view at one instant, over HTTP, SQL, a live stream and one page.
//!
//! Invariant: whatever one answer holds is from one epoch, and the answer names it. Readers never
//! block the writer of the [`store::Store`]. In the order a newcomer should read:
//!
//! ```text
//! batch ─▶ store ─▶ tables ─┬─ select ─▶ GET /v1/views/{name}
//!            │              ├─ sql ────▶ POST /v1/sql, ionflux query
//!            │              └─ dashboard ▶ GET /v1/dashboard(/stream) ─▶ assets
//!            └─▶ stream ─▶ GET /v1/stream
//! health board, meters ─▶ probes ─▶ GET /readyz, /metrics
//! health board ─▶ status ─▶ the tables sources and sinks
//! ```

pub mod store;
pub mod tables;

mod params;
mod select;

mod keywords;
pub mod sql;

pub mod render;

mod dashboard;
mod problem;
mod sse;
mod stream;

pub mod health;
mod meters;
mod probes;
mod status;

mod answer;
mod assets;
pub mod routes;
mod views;
