//! A whole live instance in this process: inbox, journal and ledger on disk, dataflow, store and
//! sinks.
//!
//! Invariant: what is measured runs as `ionflux run` runs it, but for doors and the read service.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use ionflux::assemble::{self, Options};
use ionflux::live::{Live, Parts};
use ionflux::meter::Meter;
use ionflux::outlets::{Outlets, Surroundings};
use ionflux::state::State;
use ionflux_ledger::BaseZone;
use ionflux_ledger::shop::Shops;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_service::health::HealthBoard;
use ionflux_service::store::Store;
use ionflux_sinks::sink::Sink;
use ionflux_sources::clock::{Clock, Wall};
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::subjects::Subjects;
use prometheus::Registry;

/// What the journal may hold, in bytes.
const JOURNAL_BYTES_MAX: u64 = 20 << 30;

/// An instance at work.
pub struct Instance {
    /// The way in.
    pub inbox: Inbox,
    /// What readers see.
    pub store: Arc<Store>,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// What its parts say of themselves.
    pub board: Arc<HealthBoard>,
    /// What they count.
    pub registry: Registry,
    /// The shops it knows.
    pub shops: Arc<Shops>,
    /// Whose people are named by numbers.
    pub subjects: Arc<Subjects>,
    live: Live,
}

impl Instance {
    /// Starts over an empty folder, on one worker.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub fn start(folder: &Path, sinks: Vec<Box<dyn Sink>>) -> Result<Self, Box<dyn Error>> {
        let said = |failure: ionflux::failure::Failure| failure.problem;
        let state = Arc::new(State::create(folder).map_err(said)?);
        let clock: Arc<dyn Clock> = Arc::new(Wall::default());
        let (registry, board) = (Registry::new(), Arc::new(HealthBoard::default()));
        let files = Box::new(Folder::open(&state.journal())?);
        let (journal, opened) = Journal::open(files, Limits::new(JOURNAL_BYTES_MAX))?;
        let metrics = JournalMetrics::new(&registry)?;
        let inbox = Inbox::open(Scribe::new(journal, &opened, Arc::clone(&clock), metrics))?;
        let subjects = Arc::new(Subjects::open(&state.subjects(), Arc::clone(&clock))?);
        let dictionary = Arc::new(Dictionary::new());
        let store = Arc::new(Store::hydrating(assemble::empty(&dictionary)));
        let (base_zone, workers) = (BaseZone::Unknown, 1);
        let options = Options { state: None, base_zone, workers };
        let ledger = assemble::ledger(Some(&state), dictionary, &options).map_err(said)?;
        let shops = ledger.shops();
        let around =
            Surroundings { state: &state, clock: &clock, registry: &registry, board: &board };
        let outlets = Outlets::start(sinks, &around).map_err(said)?;
        let parts = Parts {
            subjects: Some(Arc::clone(&subjects)),
            state,
            inbox: inbox.clone(),
            ledger,
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            meter: Meter::new(&registry).map_err(said)?,
            board: Arc::clone(&board),
            outlets,
            workers,
        };
        let live = Live::start(parts, || {}).map_err(said)?;
        Ok(Self { inbox, store, clock, board, registry, shops, subjects, live })
    }

    /// Takes nothing more, counts what is there, and ends.
    ///
    /// # Errors
    /// What the instance failed with.
    pub fn end(self) -> Result<(), Box<dyn Error>> {
        self.inbox.close();
        self.live.finish().map_err(|failure| failure.problem.into())
    }
}
