//! The program as it runs, put together on one thread: what is lost when the power goes.

use std::sync::{Arc, Mutex};

use ionflux::assemble;
use ionflux::engine::Engine;
use ionflux::failure::Failure;
use ionflux::feed::{self, Feed};
use ionflux::runtime::inline::Inline;
use ionflux_ledger::memory::Memory as Entities;
use ionflux_ledger::{BaseZone, Ledger};
use ionflux_schemas::batch::Batch;
use ionflux_schemas::delivery::Position;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_service::store::Store;
use ionflux_sinks::memory::Target;
use ionflux_sinks::pump::Pump;
use ionflux_sources::clock::{Clock, Stepped};
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::journal::memory::Memory as Files;
use ionflux_sources::journal::{Journal, Limits};
use prometheus::Registry;

/// What survives the power: disks and targets.
#[derive(Clone)]
pub struct Lasting {
    pub files: Files,
    pub entities: Entities,
    pub targets: Vec<Target>,
    pub clock: Arc<Stepped>,
    pub limits: Limits,
}

/// An epoch on its way to the targets.
type Step = (Arc<Snapshot>, Batch, Arc<Snapshot>);

/// One life of the program.
pub struct Program {
    pub scribe: Scribe,
    pub feed: Feed<Inline>,
    pub pumps: Vec<Pump>,
    pub store: Arc<Store>,
    pub dictionary: Arc<Dictionary>,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Program {
    /// Opens everything, hydrates, and asks nothing of the targets yet.
    pub fn open(lasting: &Lasting, workers: usize) -> Result<Self, Failure> {
        let (journal, opened) = Journal::open(Box::new(lasting.files.clone()), lasting.limits)?;
        let dictionary = Arc::new(Dictionary::new());
        let store = Arc::new(Store::new(assemble::empty(&dictionary)));
        let entities = Box::new(lasting.entities.clone());
        let ledger = Ledger::open(entities, Arc::clone(&dictionary), BaseZone::Unknown, workers)?;
        let state = ledger.identity()?;
        let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
        let (published, offered) = (Arc::clone(&store), Arc::clone(&steps));
        let computation = Inline::start(move |batch| {
            let before = published.newest();
            published.apply(&batch);
            offered.lock().unwrap().push((before, batch, published.newest()));
        });
        let mut engine = Engine::new(ledger, computation)?;
        engine.hydrate(|_, _| {})?;
        // A target is offered what there is as one snapshot, and then steps.
        steps.lock().unwrap().clear();
        let pump = |(nth, target): (usize, &Target)| {
            let mut pump = Pump::new(state, Box::new(target.sink(&format!("target {nth}"))));
            pump.courier.begin(&store.newest());
            pump
        };
        let pumps = lasting.targets.iter().enumerate().map(pump).collect();
        let reader = journal.read(feed::reached(engine.ledger())?);
        let clock: Arc<dyn Clock> = lasting.clock.clone();
        let metrics = JournalMetrics::new(&Registry::new()).unwrap();
        let scribe = Scribe::new(journal, &opened, clock, metrics);
        let feed = Feed::new(engine, reader)?;
        Ok(Self { scribe, feed, pumps, store, dictionary, steps })
    }

    /// Counts at most one epoch of what is durable; whether there was one.
    pub fn count(&mut self) -> Result<bool, Failure> {
        let durable = self.scribe.durable_end();
        let closed = self.feed.step(durable)?;
        for (before, batch, after) in std::mem::take(&mut *self.steps.lock().unwrap()) {
            self.pumps.iter_mut().for_each(|pump| pump.courier.offer(&before, &batch, &after));
        }
        Ok(closed.is_some())
    }

    /// Makes the ledger last, and trims the journal behind it.
    pub fn checkpoint(&mut self) -> Result<Position, Failure> {
        let below = self.feed.sync()?;
        while self.scribe.trim_one(below)? {}
        Ok(below)
    }
}
