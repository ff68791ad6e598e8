//! Settings: documents in, what holds out; and what neither order nor repetition may change.

#![allow(clippy::unwrap_used)]

mod bench;
mod delivery;
mod documents;
mod door;
mod fold;
