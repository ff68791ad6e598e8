//! The engine: decoded records in, one epoch after another, every view's changes out.
//!
//! ```text
//! records ─gather─▶ epoch ─▶ ledger ─differences─▶ dataflow ─batch─▶ publish
//! ```
//!
//! Invariant: an epoch is in the ledger, together with how far its input was read, before it is in
//! the dataflow; and it is published only whole.

use std::sync::Arc;

use ionflux_ledger::scrub::Forget;
use ionflux_ledger::{Ledger, Said};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::fact::Differences;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_sources::reading::Decoded;
use ionflux_sources::subjects::Subjects;

use crate::failure::Failure;
use crate::runtime::{Computation, Moment, count_all};

/// The weight of events one epoch of a replay gathers: about as many facts. Epochs of a thousand
/// cost half the throughput, epochs of a million only memory.
const EPOCH_WEIGHT: usize = 100_000;
/// Facts that hydration sends at once.
const HYDRATION_FACTS: usize = 100_000;
/// The name under which the ledger keeps the shop clock.
const CLOCK: &str = "clock";

/// Ledger and dataflow at work.
pub struct Engine<C: Computation> {
    ledger: Ledger,
    computation: C,
    said: Said,
    weight: usize,
    as_of: UtcMs,
    /// Whether the ledger has kept a shop clock, which then counts alone.
    clocked: bool,
    epoch: Epoch,
    /// Who names the people of files, and up to where that must be durable.
    subjects: Option<Arc<Subjects>>,
    named: u64,
}

impl<C: Computation> Engine<C> {
    /// An engine over a ledger; its dataflow is empty until [`Engine::hydrate`].
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn new(ledger: Ledger, computation: C) -> Result<Self, Failure> {
        let clock = ledger.progress(CLOCK)?;
        let clock = clock.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
        let (as_of, epoch) = (UtcMs(clock.unwrap_or(0)), ledger.epoch()?);
        let (said, subjects, clocked) = (Said::default(), None, clock.is_some());
        Ok(Self { ledger, computation, said, weight: 0, as_of, clocked, epoch, subjects, named: 0 })
    }

    /// Brings everything the ledger holds into the dataflow, published as one: nobody sees half
    /// of it. `told` hears how many entities are done, and of how many.
    ///
    /// # Errors
    /// When the ledger cannot be read, or the dataflow stopped.
    pub fn hydrate(&mut self, mut told: impl FnMut(u64, u64)) -> Result<(), Failure> {
        if self.epoch == Epoch(0) {
            return Ok(());
        }
        let Self { ledger, computation, as_of, clocked, .. } = self;
        let portion = |differences: Differences| {
            if !*clocked {
                *as_of = latest(*as_of, &differences);
            }
            let part = Moment { as_of: *as_of, upper: None };
            Ok::<_, Failure>(count_all(computation, differences, part)?)
        };
        let (mut read, expected) = (0, ledger.stats().entities);
        ledger.hydrate_with(HYDRATION_FACTS, portion, |done, total| {
            read = done;
            told(done, total);
        })?;
        if read != expected {
            let problem = format!("the ledger holds {read} of its {expected} entities");
            let hint = "files of its folder are lost: put a copy of the state folder back";
            return Err(Failure::world(problem, hint));
        }
        let last = Moment { as_of: self.as_of, upper: Some(self.epoch) };
        self.computation.count(Differences::default(), last)?;
        Ok(self.computation.settle()?)
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger, for what is kept outside of epochs.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// The dataflow.
    #[must_use]
    pub fn computation(&self) -> &C {
        &self.computation
    }

    /// How many epochs were counted: readers of a settled engine are at this one.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Gathers what a record said for the open epoch.
    pub fn add(&mut self, decoded: Decoded) {
        let Decoded { envelopes, faults, letter } = decoded;
        self.weight += envelopes.iter().map(weight).sum::<usize>() + faults.len();
        self.said.envelopes.extend(envelopes);
        let id = letter.as_ref().map(ionflux_schemas::letter::Letter::id);
        self.said.faults.extend(faults.into_iter().map(|fault| (fault, id)));
        self.said.letters.extend(letter);
    }

    /// Gathers what a file said, its people by the names that the vault has for them.
    ///
    /// # Errors
    /// When the vault takes no more.
    pub fn add_file(&mut self, mut decoded: Decoded) -> Result<(), Failure> {
        if let Some(subjects) = &self.subjects {
            self.named = self.named.max(subjects.rename(&mut decoded.envelopes)?);
        }
        self.add(decoded);
        Ok(())
    }

    /// Gives the people of files names from now on.
    pub fn name_people(&mut self, subjects: Arc<Subjects>) {
        self.subjects = Some(subjects);
    }

    /// Who names the people of files.
    #[must_use]
    pub fn subjects(&self) -> Option<Arc<Subjects>> {
        self.subjects.clone()
    }

    /// Forgets somebody in faults and letters, with the open epoch.
    pub fn scrub(&mut self, forget: Option<Forget>) {
        self.said.forget.extend(forget);
    }

    /// Takes faults back that are no more, with the open epoch.
    pub fn resolve(&mut self, faults: impl IntoIterator<Item = String>) {
        self.said.resolved.extend(faults);
    }

    /// Whether enough was gathered for an epoch of a replay.
    #[must_use]
    pub fn full(&self) -> bool {
        self.weight >= EPOCH_WEIGHT
    }

    /// Forgets what was gathered for the open epoch.
    pub fn forget(&mut self) {
        (self.said, self.weight) = (Said::default(), 0);
    }

    /// Notes how far an input was read; kept with the open epoch, or not at all.
    pub fn note(&mut self, input: &str, reached: Vec<u8>) {
        self.said.progress.retain(|(name, _)| **name != *input);
        self.said.progress.push((input.into(), reached));
    }

    /// Counts what was gathered as one epoch. `now` is the shop clock where there is one; a replay
    /// of history has none, and its clock is the latest hour it has seen.
    ///
    /// # Errors
    /// When the epoch could not be kept or counted.
    pub fn close_epoch(&mut self, now: Option<UtcMs>) -> Result<(), Failure> {
        let mut said = std::mem::take(&mut self.said);
        self.weight = 0;
        let idle = said.envelopes.is_empty() && said.faults.is_empty() && said.resolved.is_empty();
        if idle && said.progress.is_empty() && now.is_none() {
            return Ok(());
        }
        if let Some(now) = now {
            self.as_of = now.max(self.as_of);
            self.clocked = true;
            said.progress.push((CLOCK.into(), self.as_of.0.to_be_bytes().to_vec()));
        }
        if let Some(subjects) = &self.subjects {
            subjects.vault().durable_blocking(self.named)?;
        }
        let upper = Epoch(self.epoch.0 + 1);
        let differences = self.ledger.commit(upper, said)?;
        self.epoch = upper;
        if now.is_none() {
            self.as_of = latest(self.as_of, &differences);
        }
        let moment = Moment { as_of: self.as_of, upper: Some(upper) };
        Ok(count_all(&mut self.computation, differences, moment)?)
    }

    /// Makes everything counted so far survive a power cut.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<(), Failure> {
        Ok(self.ledger.sync()?)
    }

    /// Waits until everything counted is published.
    ///
    /// # Errors
    /// When the dataflow stopped.
    pub fn settle(&mut self) -> Result<(), Failure> {
        Ok(self.computation.settle()?)
    }

    /// Counts what is left, waits for the dataflow, and makes all of it last.
    ///
    /// # Errors
    /// When the dataflow failed or the ledger could not be kept.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.close_epoch(None)?;
        self.ledger.sync()?;
        Ok(self.computation.finish()?)
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
