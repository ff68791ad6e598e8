//! Ledger, dataflow and store joined, over a state folder or a temporary one.
//!
//! ```text
//! State ─▶ Ledger ─▶ Engine ─batches─▶ Store ─▶ readers
//! ```

use std::path::Path;
use std::sync::Arc;

use ionflux_ledger::disk::Disk;
use ionflux_ledger::records::Records;
use ionflux_ledger::shop::Shops;
use ionflux_ledger::{BaseZone, Ledger};
use ionflux_operators::list;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, Zone};
use ionflux_service::store::Store;
use ionflux_sources::clock::Wall;
use ionflux_sources::subjects::Subjects;

use crate::engine::Engine;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::runtime::threads::Threads;
use crate::state::State;

/// How books are opened.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Where to keep the state; a temporary folder if nowhere.
    pub state: Option<&'a Path>,
    /// The zone of shops that never tell theirs.
    pub base_zone: BaseZone,
    /// Worker threads.
    pub workers: usize,
}

/// The books of a state, open and up to date, without a journal: whoever has them brings records.
pub struct Books {
    /// What counts.
    pub engine: Engine<Threads>,
    store: Arc<Store>,
    state: Option<State>,
}

impl Books {
    /// Opens the state and brings the views back from it.
    ///
    /// # Errors
    /// When the state cannot be opened or read, or threads cannot be started.
    pub fn open(options: &Options<'_>) -> Result<Self, Failure> {
        let state = options.state.map(State::create).transpose()?;
        Self::of(state, options)
    }

    /// Brings the views back from a state that is open already.
    ///
    /// # Errors
    /// When the state cannot be read, or threads cannot be started.
    pub fn of(state: Option<State>, options: &Options<'_>) -> Result<Self, Failure> {
        let dictionary = Arc::new(Dictionary::new());
        let store = Arc::new(Store::new(empty(&dictionary)));
        let ledger = ledger(state.as_ref(), dictionary, options)?;
        let published = Arc::clone(&store);
        let publish = move |batch: Batch| published.apply(&batch);
        let mut engine = Engine::new(ledger, Threads::start(options.workers, publish)?)?;
        if let Some(state) = &state {
            // These epochs are in no journal, so that a number may come twice for other contents.
            state.renew_identity()?;
            // Without a state nothing is kept, and nobody needs another name.
            let clock = Arc::new(Wall::default());
            engine.name_people(Arc::new(Subjects::open(&state.subjects(), clock)?));
        }
        let mut bar = Progress::steps("hydrating", engine.ledger().stats().entities);
        engine.hydrate(|done, _| bar.at(done))?;
        bar.done();
        Ok(Self { engine, store, state })
    }

    /// What readers see.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The shops and their calendars.
    #[must_use]
    pub fn shops(&self) -> Arc<Shops> {
        self.engine.ledger().shops()
    }

    /// The zone of shops that never told theirs, where one was given now or before.
    #[must_use]
    pub fn base_zone(&self) -> Option<&Zone> {
        self.engine.ledger().base_zone()
    }

    /// Counts what is left, waits for the dataflow, and keeps the views beside the ledger.
    ///
    /// # Errors
    /// When the dataflow failed or the views could not be kept.
    pub fn finish(self) -> Result<Arc<Store>, Failure> {
        self.engine.finish()?;
        // Always: a process that was killed may have left older views beside the ledger.
        if let Some(state) = self.state {
            state.keep(&self.store.newest())?;
        }
        Ok(self.store)
    }
}

/// Every view without rows.
#[must_use]
pub fn empty(dictionary: &Arc<Dictionary>) -> Snapshot {
    Snapshot::empty(&list::views(), Arc::clone(dictionary))
}

/// The ledger of a state, or one that is gone with the process.
///
/// # Errors
/// When it cannot be opened or was made with another base zone.
pub fn ledger(
    state: Option<&State>,
    dictionary: Arc<Dictionary>,
    options: &Options<'_>,
) -> Result<Ledger, Failure> {
    Ok(ledger_with_records(state, dictionary, options)?.0)
}

/// The same, with what other threads may look at.
///
/// # Errors
/// As [`ledger`].
pub fn ledger_with_records(
    state: Option<&State>,
    dictionary: Arc<Dictionary>,
    options: &Options<'_>,
) -> Result<(Ledger, Records), Failure> {
    let entities = match state {
        Some(state) => Disk::open(&state.ledger())?,
        None => Disk::temporary()?,
    };
    let records = entities.records();
    let zone = options.base_zone.clone();
    let ledger = Ledger::open(Box::new(entities), dictionary, zone, options.workers)?;
    // Views that cannot be read are made again; here they only bear witness.
    let kept = state.and_then(|state| state.kept_epoch().ok().flatten());
    if let (Some(kept), Epoch(0)) = (kept, ledger.epoch()?)
        && kept > Epoch(0)
    {
        let folder = state.map(State::ledger).unwrap_or_default();
        let problem = format!(
            "{}: the ledger is empty, and the views beside it are of epoch {kept}",
            folder.display()
        );
        let hint = "the ledger's files are lost: put a copy of the state folder back, or replay \
                    into a new one";
        return Err(Failure::world(problem, hint));
    }
    Ok((ledger, records))
}
