//! The store: the tables that are served now, swapped whole when the next ones are ready.
//!
//! ```text
//! start      stored views, phase hydrating ───────────┐ reveal
//! apply      newest ─▶ newest ─▶ newest   (hidden)  ──┴──▶ served ─▶ served ─▶
//! ```
//!
//! Invariant: a reader holds one epoch for as long as it likes and never waits for the writer, nor
//! the writer for it. The epoch served never goes back. Followers get every batch, or learn that
//! they have to start over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use arrow::array::RecordBatch;
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
    writer: Mutex<Writer>,
    signal: watch::Sender<Signal>,
    steps: broadcast::Sender<Step>,
    since: Epoch,
}

/// The views as they were kept on disk when a process stopped.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Everything below this epoch is counted in every table.
    pub epoch: Epoch,
    /// The shop clock at the epoch.
    pub as_of: UtcMs,
    /// Each view's name and rows, sorted by primary key, of the program's own version of the view.
    pub tables: Vec<(String, RecordBatch)>,
}

/// One epoch as readers see it.
#[derive(Clone)]
pub struct Published {
    /// The rows as Arrow tables, each built when first asked for.
    pub tables: Arc<Tables>,
    /// The same rows, and what a batch changes in them. No rows at all while stored views are
    /// served, which is why nobody outside may take it for the views.
    pub(crate) snapshot: Arc<Snapshot>,
}

/// What a follower is told.
#[derive(Clone)]
pub(crate) enum Step {
    /// One published batch with the snapshot that it made.
    Batch { batch: Arc<Batch>, after: Arc<Snapshot> },
    /// What is served now follows from nothing that was served before.
    Reset,
}

/// What watchers wake up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal {
    /// The epoch being served: everything below it is counted.
    pub epoch: Epoch,
    /// Whether more is to come, and from when.
    pub phase: Phase,
    /// How far hydration is; `None` when nothing hydrates or nobody has said yet.
    pub hydration: Option<Hydration>,
}

/// How far hydration is, in whatever its total is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Hydration {
    /// What is done; at most the total.
    pub done: u64,
    /// All that has to be done.
    pub total: u64,
}

/// What the writer is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The program catches up after a start; figures are those of the views as last kept.
    Hydrating,
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

/// The writer's own side: its newest snapshot, and whether readers see it.
struct Writer {
    newest: Arc<Snapshot>,
    hidden: Option<Hidden>,
}

/// While the newest snapshot is hidden.
struct Hidden {
    /// The phase that begins when it is revealed.
    then: Phase,
}

impl Hydration {
    /// Whole percent, rounded down, so that 100 means done.
    #[must_use]
    pub fn percent(self) -> u8 {
        let whole = u128::from(self.done.min(self.total)) * 100;
        // Nothing to do is done.
        whole.checked_div(self.total.into()).map_or(100, |percent| percent as u8)
    }
}

impl Store {
    /// A store that serves a snapshot and waits for batches.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        let snapshot = Arc::new(snapshot);
        let tables = Tables::of_snapshot(&snapshot);
        Self::serving(tables, Arc::clone(&snapshot), Writer { newest: snapshot, hidden: None })
    }

    /// A store that goes on serving a snapshot, usually an empty one, while batches build the next
    /// one out of sight, until [`Store::reveal`].
    #[must_use]
    pub fn hydrating(snapshot: Snapshot) -> Self {
        let snapshot = Arc::new(snapshot);
        let tables = Tables::of_snapshot(&snapshot);
        let hidden = Some(Hidden { then: Phase::Live });
        Self::serving(tables, Arc::clone(&snapshot), Writer { newest: snapshot, hidden })
    }

    /// A store that serves views as they were kept, while batches build on `empty` out of sight,
    /// until [`Store::reveal`]. A view of `empty` that is not among the stored ones, or has other
    /// columns there, is not served until then.
    #[must_use]
    pub fn restored(empty: Snapshot, stored: Stored) -> Self {
        let mut served = empty.clone();
        (served.upper, served.as_of) = (stored.epoch, stored.as_of);
        let hidden = Some(Hidden { then: Phase::Live });
        let writer = Writer { newest: Arc::new(empty), hidden };
        let tables = Tables::of_stored(&served, stored);
        Self::serving(tables, Arc::new(served), writer)
    }

    fn serving(tables: Tables, snapshot: Arc<Snapshot>, writer: Writer) -> Self {
        let since = tables.epoch;
        let phase = if writer.hidden.is_some() { Phase::Hydrating } else { Phase::Live };
        Self {
            published: ArcSwap::from_pointee(Published { tables: Arc::new(tables), snapshot }),
            writer: Mutex::new(writer),
            signal: watch::Sender::new(Signal { epoch: since, phase, hydration: None }),
            steps: broadcast::Sender::new(FOLLOWER_BATCHES_MAX),
            since,
        }
    }

    /// The newest snapshot, whether readers see it yet or not: the one to keep and to export.
    #[must_use]
    pub fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.writer().newest)
    }

    /// What is served now, all of one epoch.
    #[must_use]
    pub fn published(&self) -> Published {
        Published::clone(&self.published.load())
    }

    /// Makes the snapshot after a batch. It is served, and whoever waits for it wakes, unless the
    /// newest snapshot is hidden.
    ///
    /// # Panics
    /// When the batch does not begin where the newest snapshot ends, which is a bug of the caller.
    pub fn apply(&self, batch: &Batch) {
        // Two writers at once would lose a batch; the lock is free in the intended use.
        let mut writer = self.writer();
        assert!(batch.lower <= batch.upper, "a batch must not end before it begins");
        let after = Arc::new(writer.newest.after(batch));
        writer.newest = Arc::clone(&after);
        if writer.hidden.is_some() {
            return;
        }
        let tables = Arc::new(self.published.load().tables.after(&after, batch));
        self.published.store(Arc::new(Published { tables, snapshot: Arc::clone(&after) }));
        if self.steps.receiver_count() > 0 {
            let step = Step::Batch { batch: Arc::new(batch.clone()), after };
            // The last follower may have just left, and then nobody needs the batch.
            let _nobody = self.steps.send(step);
        }
        self.signal.send_modify(|signal| signal.epoch = batch.upper);
    }

    /// Serves the newest snapshot, all views at once, and every batch from now on. It is the truth,
    /// also if the views that were kept are of a later epoch, as after an older state folder was
    /// put back.
    pub fn reveal(&self) {
        let mut writer = self.writer();
        let Writer { newest, hidden } = &mut *writer;
        let Some(waiting) = hidden else { return };
        let (then, epoch) = (waiting.then, newest.upper);
        *hidden = None;
        let tables = Arc::new(Tables::of_snapshot(newest));
        self.published.store(Arc::new(Published { tables, snapshot: Arc::clone(newest) }));
        // Without followers there is nobody to start over.
        let _nobody = self.steps.send(Step::Reset);
        // Last, so that whoever reads a phase after hydration also reads the revealed tables.
        self.signal.send_modify(|signal| {
            let closed = signal.phase == Phase::Closed;
            let phase = if closed { Phase::Closed } else { then };
            *signal = Signal { epoch, phase, hydration: None };
        });
    }

    /// Says what the writer is doing from now on; the page shows it. While the newest snapshot is
    /// hidden the phase stays [`Phase::Hydrating`], and another one begins with the reveal.
    pub fn set_phase(&self, phase: Phase) {
        let mut writer = self.writer();
        if let Some(hidden) = writer.hidden.as_mut().filter(|_| phase != Phase::Closed) {
            if phase != Phase::Hydrating {
                hidden.then = phase;
            }
            return;
        }
        self.signal.send_if_modified(|signal| {
            let differs = signal.phase != phase && signal.phase != Phase::Closed;
            if differs {
                (signal.phase, signal.hydration) = (phase, None);
            }
            differs
        });
    }

    /// Says how far hydration is. Watchers wake at every whole percent, not at every call; nothing
    /// happens when nothing hydrates.
    pub fn set_hydration(&self, done: u64, total: u64) {
        let now = Hydration { done: done.min(total), total };
        self.signal.send_if_modified(|signal| {
            if signal.phase != Phase::Hydrating {
                return false;
            }
            let before = signal.hydration.replace(now);
            before.map(Hydration::percent) != Some(now.percent())
        });
    }

    /// Ends every stream, so that a graceful shutdown need not wait for readers.
    pub fn close(&self) {
        self.set_phase(Phase::Closed);
    }

    /// Wakes at every epoch, change of phase and percent of hydration; slow watchers see only the
    /// newest.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Signal> {
        self.signal.subscribe()
    }

    /// The newest of what watchers wake up for.
    #[must_use]
    pub fn signal(&self) -> Signal {
        *self.signal.borrow()
    }

    /// What the store says of itself.
    #[must_use]
    pub fn health(&self) -> Health {
        let phase = self.signal().phase;
        let published = self.published.load();
        let (epoch, since_epoch) = (published.tables.epoch.0, self.since.0);
        Health { phase, epoch, since_epoch, as_of: published.tables.as_of }
    }

    /// Every batch from now on. Subscribe first and load the snapshot second: a batch that both
    /// hold is recognised by its epochs, one that neither holds could not be.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Step> {
        self.steps.subscribe()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Hydration;

    #[test]
    fn a_hundred_percent_means_done() {
        let percent = |done, total| Hydration { done, total }.percent();
        assert_eq!([percent(0, 3), percent(2, 3), percent(3, 3)], [0, 66, 100]);
        assert_eq!([percent(999, 1000), percent(0, 0), percent(9, 3)], [99, 100, 100]);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
