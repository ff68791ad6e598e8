//! The keeper: writes the views beside the ledger now and then, on a thread of its own.
//!
//! Invariant: one snapshot is written at a time and the feed never waits for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, bounded};
use ionflux_schemas::snapshot::Snapshot;

use crate::failure::Failure;
use crate::state::keep;

/// A thread that keeps views.
pub struct Keeper {
    snapshots: Sender<Arc<Snapshot>>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts a keeper for a folder of views.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(views: PathBuf) -> Result<Self, Failure> {
        let (snapshots, asked) = bounded::<Arc<Snapshot>>(0);
        let work = move || {
            for snapshot in asked {
                // The views on disk are a convenience of the next start: without them it is only
                // blind for longer, and the disk's trouble shows in the ledger and the journal.
                if let Err(failure) = keep(&views, &snapshot) {
                    tracing::warn!("the views were not kept: {}", failure.problem);
                }
            }
        };
        let thread = thread::Builder::new().name("keeper".into()).spawn(work);
        let hint = "check the limits of this account";
        let thread = thread.map_err(|e| Failure::world(format!("no thread: {e}"), hint))?;
        Ok(Self { snapshots, thread })
    }

    /// Keeps a snapshot, unless another one is being written still.
    #[must_use]
    pub fn offer(&self, snapshot: Arc<Snapshot>) -> bool {
        self.snapshots.try_send(snapshot).is_ok()
    }

    /// Waits for what is being written.
    pub fn finish(self) {
        drop(self.snapshots);
        // A panic of the keeper is on standard error, and the last snapshot is kept by the caller.
        let _ended = self.thread.join();
    }
}
