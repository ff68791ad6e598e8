//! The socket: connections with places, TLS, requests within limits, and an orderly end.
//!
//! ```text
//! accept ─▶ place ─▶ (TLS) ─▶ HTTP/1.1 ─▶ guard ─▶ routes
//!    └ waits  └ closed  └ 10 s    └ 10 s     └ 400, 413, 414, 415
//! ```
//!
//! Invariant: nobody holds a connection for longer than a limit here by sending, reading or
//! waiting slowly; every limit is a number in [`Limits`] or a constant beside its use.

mod guard;
mod places;
mod server;
mod stream;
mod timed;
pub mod tls;

use std::time::Duration;

pub use server::Server;

/// How many connections there are at once, and how long each may take for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Those of one address, where it is not of this machine.
    pub of_one_address: usize,
    /// The time to the end of a TLS handshake.
    pub handshake: Duration,
    /// The time to the end of a request's head, also after the answer before it: a connection that
    /// says nothing for so long is closed.
    pub head: Duration,
    /// The time to the end of a request's body; doors for webhooks have less.
    pub body: Duration,
    /// How long a caller may take nothing of an answer.
    pub stalled: Duration,
    /// How long requests under way may take after a stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Half of the file handles a process usually may have: the journal and the ledger need
            // theirs.
            connections: 512,
            of_one_address: 256,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            stalled: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}
