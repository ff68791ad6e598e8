//! The store: the snapshot that is served now, swapped whole when the next one is ready.
//!
//! Invariant: a reader holds one epoch for as long as it likes and never waits for the writer, nor
//! the writer for it. Followers get every batch, or learn that they missed some.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs};
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::tables::Tables;

/// How many batches may wait for the slowest follower; one that falls further behind starts over
/// from a fresh snapshot. A power of two, a few seconds of live epochs.
const FOLLOWER_BATCHES_MAX: usize = 64;

/// Every view at the newest epoch, for any number of readers and one writer.
pub struct Store {
    published: ArcSwap<Published>,
    writer: Mutex<()>,
    signal: watch::Sender<Signal>,
    steps: broadcast::Sender<Step>,
    since: Epoch,
}

/// One epoch as readers see it: the same rows as a snapshot and as tables.
#[derive(Clone)]
pub struct Published {
    /// The rows, and what a batch changes in them.
    pub snapshot: Arc<Snapshot>,
    /// The same rows as Arrow tables, each built when first asked for.
    pub tables: Arc<Tables>,
}

/// One published batch with the snapshot that it made.
#[derive(Clone)]
pub(crate) struct Step {
    pub batch: Arc<Batch>,
    pub after: Arc<Snapshot>,
}

/// What watchers wake up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal {
    /// The epoch being served: everything below it is counted.
    pub epoch: Epoch,
    /// Whether more is to come, and from when.
    pub phase: Phase,
}

/// What the writer is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// History is being read; figures are exact for what is read so far.
    Replaying,
    /// Events are followed as they happen.
    Live,
    /// All input is read; the figures stand still.
    Complete,
    /// The store was closed; no answer follows and streams end.
    Closed,
}

/// What the store says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Health {
    /// What the writer is doing.
    pub phase: Phase,
    /// The epoch being served.
    pub epoch: u64,
    /// The epoch from which on this process serves.
    pub since_epoch: u64,
    /// The shop clock at the epoch, in milliseconds since 1970.
    #[serde(skip)]
    pub as_of: UtcMs,
}

impl Store {
    /// A store that serves a snapshot and waits for batches.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        let since = snapshot.upper;
        let snapshot = Arc::new(snapshot);
        let tables = Arc::new(Tables::of_snapshot(&snapshot));
        Self {
            published: ArcSwap::from_pointee(Published { snapshot, tables }),
            writer: Mutex::new(()),
            signal: watch::Sender::new(Signal { epoch: since, phase: Phase::Live }),
            steps: broadcast::Sender::new(FOLLOWER_BATCHES_MAX),
            since,
        }
    }

    /// The snapshot served now.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published.load().snapshot)
    }

    /// The snapshot served now and its tables, which are of the same epoch.
    #[must_use]
    pub fn published(&self) -> Published {
        Published::clone(&self.published.load())
    }

    /// Serves the snapshot after a batch, and wakes whoever waits for it.
    ///
    /// # Panics
    /// When the batch does not begin where the served snapshot ends, which is a bug of the caller.
    pub fn apply(&self, batch: &Batch) {
        // Two writers at once would lose a batch; the lock is free in the intended use.
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.published();
        let after = Arc::new(before.snapshot.after(batch));
        let tables = Arc::new(before.tables.after(&after, batch));
        self.published.store(Arc::new(Published { snapshot: Arc::clone(&after), tables }));
        if self.steps.receiver_count() > 0 {
            let step = Step { batch: Arc::new(batch.clone()), after };
            // The last follower may have just left, and then nobody needs the batch.
            let _nobody = self.steps.send(step);
        }
        self.signal.send_modify(|signal| signal.epoch = batch.upper);
    }

    /// Says what the writer is doing from now on; the page shows it.
    pub fn set_phase(&self, phase: Phase) {
        self.signal.send_if_modified(|signal| {
            let differs = signal.phase != phase && signal.phase != Phase::Closed;
            if differs {
                signal.phase = phase;
            }
            differs
        });
    }

    /// Ends every stream, so that a graceful shutdown need not wait for readers.
    pub fn close(&self) {
        self.set_phase(Phase::Closed);
    }

    /// Wakes at every epoch and change of phase; slow watchers see only the newest.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Signal> {
        self.signal.subscribe()
    }

    /// What the store says of itself.
    #[must_use]
    pub fn health(&self) -> Health {
        let phase = self.signal.borrow().phase;
        let snapshot = self.load();
        let (epoch, since_epoch) = (snapshot.upper.0, self.since.0);
        Health { phase, epoch, since_epoch, as_of: snapshot.as_of }
    }

    /// Every batch from now on. Subscribe first and load the snapshot second: a batch that both
    /// hold is recognised by its epochs, one that neither holds could not be.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Step> {
        self.steps.subscribe()
    }
}
