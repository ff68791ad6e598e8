//! The feed: the journal's tail into the engine, tick by tick.
//!
//! ```text
//! journal: D D D T D D T D ...      everything up to a tick T is one epoch, now and whenever the
//!          └─ 1 ─┘ └ 2 ┘            same tail is read again
//! ```
//!
//! Invariant: an epoch and the position behind its tick are kept in one step, so that after a
//! restart nothing is read twice and nothing is left out.

use ionflux_ledger::Ledger;
use ionflux_schemas::delivery::{Entry, Position};
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_sources::journal::reader::Reader;
use ionflux_sources::list::read_delivery;

use crate::engine::Engine;
use crate::failure::Failure;
use crate::forgetting::Forgetting;
use crate::runtime::Computation;

/// The name under which the ledger keeps how far the journal was read.
const JOURNAL: &str = "journal";

/// The journal's reader and the engine it feeds.
pub struct Feed<C: Computation> {
    engine: Engine<C>,
    reader: Reader,
    reached: Position,
    read: Position,
    oldest: Option<UtcMs>,
    forgetting: Option<Forgetting>,
}

/// One epoch that was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed {
    /// Its number.
    pub epoch: Epoch,
    /// The tick that ended it.
    pub at: UtcMs,
    /// When its oldest delivery came, if it has any.
    pub oldest: Option<UtcMs>,
}

/// How far a ledger has read the journal.
///
/// # Errors
/// When the ledger cannot be read.
pub fn reached(ledger: &Ledger) -> Result<Position, Failure> {
    let kept = ledger.progress(JOURNAL)?;
    let number = kept.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    Ok(Position(number.unwrap_or(0)))
}

impl<C: Computation> Feed<C> {
    /// A feed into a hydrated engine, from where its ledger stopped; the reader stands there.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn new(engine: Engine<C>, reader: Reader) -> Result<Self, Failure> {
        let reached = reached(engine.ledger())?;
        Ok(Self { engine, reader, reached, read: reached, oldest: None, forgetting: None })
    }

    /// The same feed, which also carries out what is asked about people.
    #[must_use]
    pub fn forgetting(self, forgetting: Forgetting) -> Self {
        Self { forgetting: Some(forgetting), ..self }
    }

    /// Reads at most one epoch of what is durable; `None` when its tick is not there yet.
    ///
    /// # Errors
    /// When the journal cannot be read, or the epoch could not be kept or counted.
    pub fn step(&mut self, durable: Position) -> Result<Option<Closed>, Failure> {
        while let Some(record) = self.reader.next(durable)? {
            self.read = record.end;
            match record.entry {
                Entry::Delivery(mut delivery) => {
                    self.oldest = self.oldest.or(Some(delivery.received_at));
                    let said = match &mut self.forgetting {
                        Some(forgetting) => forgetting.read(&mut delivery, record.at)?,
                        None => (read_delivery(&delivery, record.at), None),
                    };
                    self.engine.add(said.0);
                    self.engine.scrub(said.1);
                }
                Entry::Tick(at) => {
                    self.engine.note(JOURNAL, record.end.0.to_be_bytes().to_vec());
                    self.engine.close_epoch(Some(at))?;
                    self.reached = record.end;
                    if let Some(forgetting) = &mut self.forgetting {
                        forgetting.counted(self.engine.ledger().scrubbed());
                    }
                    let (epoch, oldest) = (self.engine.epoch(), self.oldest.take());
                    return Ok(Some(Closed { epoch, at, oldest }));
                }
            }
        }
        Ok(None)
    }

    /// Makes everything counted so far survive a power cut; gives the position below which the
    /// journal is no longer needed. Bytes go only between two epochs: one that is read again after
    /// a crash must say the same.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<Position, Failure> {
        self.engine.sync()?;
        if let Some(forgetting) = self.forgetting.as_mut().filter(|_| self.read == self.reached) {
            forgetting.finish(self.engine.ledger())?;
        }
        Ok(self.reached)
    }

    /// Does what is due by now, whether or not anything was counted.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn tend(&mut self) -> Result<(), Failure> {
        let forgetting = self.forgetting.as_mut().filter(|_| self.read == self.reached);
        forgetting.map_or(Ok(()), |forgetting| forgetting.tend(self.engine.ledger()))
    }

    /// How far the journal was read: counted up to the last tick before it.
    #[must_use]
    pub fn read(&self) -> Position {
        self.read
    }

    /// The engine.
    pub fn engine(&mut self) -> &mut Engine<C> {
        &mut self.engine
    }

    /// Ends the feed. What was read behind the last tick is not counted: it is read again.
    #[must_use]
    pub fn into_engine(mut self) -> Engine<C> {
        self.engine.forget();
        self.engine
    }
}
