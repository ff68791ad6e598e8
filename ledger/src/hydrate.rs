//! Everything that is kept, told again from nothing.
//!
//! ```text
//! shards ─▶ threads: scan, read in place ─▶ portions, a few in flight ─▶ the caller's thread
//! ```
//!
//! Invariant: memory is bounded by the portions in flight, whatever the number of entities.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use ionflux_schemas::fact::Differences;
use ionflux_schemas::fault::Fault;

use crate::codec::{self, CodecError, key};
use crate::entities::Table;
use crate::error::LedgerError;
use crate::numbers::Numbers;
use crate::shards::{Context, contributed};

/// How many dossiers are read between two looks at whether anybody listens, at most.
const PORTION_DOSSIERS: u64 = 65_536;

/// Differences of some dossiers, and how many dossiers that is.
type Portion = Result<(Differences, u64), LedgerError>;

impl Context<'_> {
    /// Tells every dossier and every fault in portions of about `portion_facts` facts.
    pub(crate) fn hydrate<E: From<LedgerError>>(
        &self,
        portion_facts: usize,
        mut portion: impl FnMut(Differences, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let next = AtomicUsize::new(0);
        let workers = self.workers.clamp(1, key::SHARDS);
        std::thread::scope(|scope| {
            let (send, receive) = sync_channel(workers);
            let threads: Vec<_> = (0..workers)
                .map(|_| {
                    let (send, next) = (send.clone(), &next);
                    scope.spawn(move || self.read(next, portion_facts, send))
                })
                .collect();
            drop(send);
            for told in &receive {
                let (differences, dossiers) = told?;
                portion(differences, dossiers)?;
            }
            for thread in threads {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
            Ok::<_, E>(())
        })?;
        let mut differences = Differences::default();
        for entry in self.entities.scan(Table::Faults, &[]) {
            let (_, value) = entry.map_err(LedgerError::from)?;
            let (fault, _): (Fault, Option<u128>) =
                codec::decode(&value).map_err(LedgerError::from)?;
            differences.faults.push((self.dictionary.faults.number(&fault), 1));
            if differences.faults.len() >= portion_facts.max(1) {
                portion(std::mem::take(&mut differences), 0)?;
            }
        }
        portion(differences, 0)
    }

    /// One thread: takes shard after shard until none is left or nobody listens.
    fn read(&self, next: &AtomicUsize, portion_facts: usize, send: SyncSender<Portion>) {
        let numbers = Numbers::of(self.dictionary);
        let mut reading =
            Reading { numbers, portion_facts, send, told: Differences::default(), dossiers: 0 };
        loop {
            let shard = next.fetch_add(1, Ordering::Relaxed);
            if shard >= key::SHARDS {
                reading.send();
                return;
            }
            match reading.shard(self, shard as u8) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // Whoever listens no more has an error already.
                    let _ = reading.send.send(Err(error));
                    return;
                }
            }
        }
    }
}

/// What one thread has read and not told yet.
struct Reading<'a> {
    numbers: Numbers<'a>,
    portion_facts: usize,
    send: SyncSender<Portion>,
    told: Differences,
    dossiers: u64,
}

impl Reading<'_> {
    /// Reads a shard; false when nobody listens any more.
    fn shard(&mut self, context: &Context<'_>, shard: u8) -> Result<bool, LedgerError> {
        let faults = &context.dictionary.faults;
        for entry in context.entities.scan(Table::Dossiers, &[shard]) {
            let (key, value) = entry?;
            let shop = context.shops.get(key::shop_of(&key)? as usize);
            let shop = shop.ok_or(CodecError::Malformed("key"))?;
            let held = contributed(shop, &value, &mut self.numbers)?;
            self.told.facts.extend(held.facts.iter().map(|fact| (*fact, 1)));
            self.numbers.give_back(held.facts);
            self.told.faults.extend(held.faults.iter().map(|fault| (faults.number(fault), 1)));
            self.dossiers += 1;
            let facts = self.told.facts.len() + self.told.faults.len();
            let full = facts >= self.portion_facts || self.dossiers >= PORTION_DOSSIERS;
            if full && !self.send() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends what was read; false when nobody listens any more.
    fn send(&mut self) -> bool {
        let told = std::mem::take(&mut self.told);
        self.send.send(Ok((told, std::mem::take(&mut self.dossiers)))).is_ok()
    }
}
