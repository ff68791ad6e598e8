//! The service as its clients meet it, without a socket: requests in, answers out.

#![allow(clippy::unwrap_used)]

mod sample;

mod api;
mod dashboard;
mod probes;
mod restored;
mod sql;
mod status;
mod streams;
