//! The commands, one file each.

pub mod config;
pub mod demo;
pub mod faults;
pub mod query;
pub mod reconcile;
pub mod replay;
pub mod run;
pub mod schemas;
pub mod topics;
pub mod verify;

mod summary;

use std::io::{ErrorKind, Write};

use crate::failure::Failure;

/// Writes to standard output. Whoever reads it may stop early, as `head` does.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(closed) if closed.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|cause| Failure::world(format!("output: {cause}"), "")),
    }
}
