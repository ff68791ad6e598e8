//! The engine: decoded records in, one epoch after another, every view kept.
//!
//! ```text
//! records ─gather─▶ epoch ─▶ ledger ─differences─▶ runtime ─batch─▶ store
//! ```
//!
//! Invariant: an epoch is in the ledger before it is in the dataflow, and in the store only whole.

use std::path::Path;
use std::sync::Arc;

use ionflux_ledger::disk::Disk;
use ionflux_ledger::shop::Shops;
use ionflux_ledger::{BaseZone, Ledger};
use ionflux_operators::list;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::fact::Differences;
use ionflux_schemas::fault::Fault;
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{UtcMs, Zone};
use ionflux_service::store::Store;

use crate::failure::Failure;
use crate::runtime::Runtime;
use crate::state::State;

/// The weight of events one epoch of a replay gathers: about as many facts. Epochs of a thousand
/// cost half the throughput, epochs of a million only memory.
const EPOCH_WEIGHT: usize = 100_000;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Where to keep the state; a temporary folder if nowhere.
    pub state: Option<&'a Path>,
    /// The zone of shops that never tell theirs.
    pub base_zone: BaseZone,
    /// Worker threads.
    pub workers: usize,
}

/// Ledger, dataflow and store at work.
pub struct Engine {
    ledger: Ledger,
    runtime: Runtime,
    store: Arc<Store>,
    state: Option<State>,
    envelopes: Vec<Envelope>,
    faults: Vec<Fault>,
    weight: usize,
    as_of: UtcMs,
}

impl Engine {
    /// Opens the state and brings the views back from it.
    ///
    /// # Errors
    /// When the state cannot be opened or read, or threads cannot be started.
    pub fn open(options: &Options<'_>) -> Result<Self, Failure> {
        let state = options.state.map(State::create).transpose()?;
        let entities = match &state {
            Some(state) => Disk::open(&state.ledger())?,
            None => Disk::temporary()?,
        };
        let dictionary = Arc::new(Dictionary::new());
        let names = Arc::clone(&dictionary);
        let ledger = Ledger::open(Box::new(entities), names, options.base_zone.clone())?;
        let mut snapshot = Snapshot::empty(&list::views(), dictionary);
        // Epochs only grow, over restarts too.
        snapshot.upper = ledger.epoch()?;
        let first = snapshot.upper;
        let store = Arc::new(Store::new(snapshot));
        let published = Arc::clone(&store);
        let publish = move |batch| published.apply(&batch);
        let runtime = Runtime::start(options.workers, first, publish)?;
        let mut engine = Self {
            ledger,
            runtime,
            store,
            state,
            envelopes: Vec::new(),
            faults: Vec::new(),
            weight: 0,
            as_of: UtcMs(0),
        };
        engine.hydrate()?;
        Ok(engine)
    }

    /// Everything the ledger holds, published as one: nobody sees half of it.
    fn hydrate(&mut self) -> Result<(), Failure> {
        let Self { ledger, runtime, as_of, .. } = self;
        ledger.hydrate(EPOCH_WEIGHT, |differences| {
            *as_of = latest(*as_of, &differences);
            Ok::<_, Failure>(runtime.send_more(differences, *as_of)?)
        })?;
        runtime.send(Differences::default(), *as_of)?;
        runtime.settle();
        Ok(())
    }

    /// What readers see.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The shops and their calendars.
    #[must_use]
    pub fn shops(&self) -> Arc<Shops> {
        self.ledger.shops()
    }

    /// The zone of shops that never told theirs, where one was given now or before.
    #[must_use]
    pub fn base_zone(&self) -> Option<&Zone> {
        self.ledger.base_zone()
    }

    /// A new number for one reading of one file.
    ///
    /// # Errors
    /// When it could not be kept.
    pub fn new_reading(&mut self) -> Result<u64, Failure> {
        Ok(self.ledger.new_reading()?)
    }

    /// Gathers records, and counts an epoch when there are enough for one.
    ///
    /// # Errors
    /// When the epoch could not be kept or counted.
    pub fn add(&mut self, envelopes: Vec<Envelope>, faults: Vec<Fault>) -> Result<(), Failure> {
        self.weight += envelopes.iter().map(weight).sum::<usize>() + faults.len();
        self.envelopes.extend(envelopes);
        self.faults.extend(faults);
        if self.weight >= EPOCH_WEIGHT { self.close_epoch(None) } else { Ok(()) }
    }

    /// Counts what was gathered as one epoch. `now` is the shop clock where there is one; a replay
    /// of history has none, and its clock is the latest hour it has seen.
    ///
    /// # Errors
    /// When the epoch could not be kept or counted.
    pub fn close_epoch(&mut self, now: Option<UtcMs>) -> Result<(), Failure> {
        let envelopes = std::mem::take(&mut self.envelopes);
        let faults = std::mem::take(&mut self.faults);
        if envelopes.is_empty() && faults.is_empty() && now.is_none() {
            return Ok(());
        }
        self.weight = 0;
        let differences = self.ledger.upsert(self.runtime.next(), envelopes, faults)?;
        self.as_of = now.unwrap_or_else(|| latest(self.as_of, &differences)).max(self.as_of);
        Ok(self.runtime.send(differences, self.as_of)?)
    }

    /// Counts what is left, waits for the dataflow, and keeps the views beside the ledger.
    ///
    /// # Errors
    /// When the dataflow failed or the views could not be kept.
    pub fn finish(mut self) -> Result<Arc<Store>, Failure> {
        self.close_epoch(None)?;
        self.runtime.finish()?;
        // Always: a process that was killed may have left older views beside the ledger.
        if let Some(state) = self.state {
            state.keep(&self.store.load())?;
        }
        Ok(self.store)
    }
}

/// About how many facts an event becomes.
fn weight(envelope: &Envelope) -> usize {
    match &envelope.event {
        Event::Order(order) => 1 + order.lines.len(),
        Event::Refund(refund) => 1 + refund.lines.len(),
        _ => 1,
    }
}

/// The latest hour among facts that enter.
fn latest(known: UtcMs, differences: &Differences) -> UtcMs {
    let entered = differences.facts.iter().filter(|(_, difference)| *difference > 0);
    entered.map(|(fact, _)| fact.hour.start()).max().map_or(known, |latest| latest.max(known))
}
