//! The ledger itself: what an epoch said in, differences out, one atomic commit for each epoch.
//!
//! Invariant: after an error nothing of the epoch is kept or seen. What is committed survives a
//! power cut once it is synced.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::entity::{Entity, Kind};
use ionflux_schemas::event::Envelope;
use ionflux_schemas::fact::Differences;
use ionflux_schemas::fault::Fault;
use ionflux_schemas::key::{ShopKey, Version};
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::{Epoch, Zone};

use crate::codec::{self, CodecError, key};
use crate::entities::{Entities, Table, Write};
use crate::error::LedgerError;
use crate::numbers::Numbers;
use crate::scrub::{Forget, Scrubbed};
use crate::shards::Context;
use crate::shop::{Directory, HeldShop, Shop, Shops, Zones};
use crate::sort::sort;
use crate::state::{BASE_ZONE, EPOCH, IDENTITY, READINGS, STATS, Stats, found, meta, progress_key};
use crate::{faults, records, rezone, scrub};

/// The zone of shops that never told theirs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BaseZone {
    /// The user named it: a state in another zone is refused.
    Asked(Zone),
    /// A mapping suggests it: only a state without orders takes it.
    Proposed(Zone),
    /// UTC, or the first zone a shop tells.
    Unknown,
}

/// What an epoch says.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Orders, refunds, edits, rows and zones, in any order.
    pub envelopes: Vec<Envelope>,
    /// Records that could not be counted, each with the id of its letter where there is one.
    pub faults: Vec<(Fault, Option<u128>)>,
    /// Letters that faults name; a letter that no kept fault names is not kept.
    pub letters: Vec<Letter>,
    /// Ids of faults that are no more. One that is also in `faults` stays.
    pub resolved: Vec<String>,
    /// Who is to be forgotten in faults and letters, those of this epoch included.
    pub forget: Vec<Forget>,
    /// How far each source was read, by name; the last of one name holds.
    pub progress: Vec<(Box<str>, Vec<u8>)>,
}

/// The latest version of every entity of every shop.
pub struct Ledger {
    pub(crate) entities: Box<dyn Entities>,
    dictionary: Arc<Dictionary>,
    base: Option<Zone>,
    workers: usize,
    shops: Arc<Shops>,
    pub(crate) directory: Directory,
    stats: Stats,
    scrubbed: Vec<Scrubbed>,
}

impl Ledger {
    /// A ledger over entities that uses `workers` threads. A new state gets its identity now.
    ///
    /// # Errors
    /// [`LedgerError::BaseZone`] if the entities were counted with another base zone: days that
    /// were closed in one zone must not move to another. [`LedgerError::Format`] if another
    /// release made the state.
    pub fn open(
        mut entities: Box<dyn Entities>,
        dictionary: Arc<Dictionary>,
        base: BaseZone,
        workers: usize,
    ) -> Result<Self, LedgerError> {
        found(&mut *entities)?;
        let held: Option<String> = meta(&*entities, BASE_ZONE)?;
        let fresh = entities.get(Table::Meta, EPOCH)?.is_none();
        let base = match (held, base) {
            (Some(held), BaseZone::Asked(asked)) if held != asked.name() => {
                return Err(LedgerError::BaseZone { held, asked: asked.name().to_owned() });
            }
            (None, BaseZone::Asked(asked)) if !fresh => {
                let held = "UTC, or the zone each shop told".to_owned();
                return Err(LedgerError::BaseZone { held, asked: asked.name().to_owned() });
            }
            (Some(held), _) => Zone::parse(&held).ok(),
            (None, BaseZone::Asked(zone) | BaseZone::Proposed(zone)) if fresh => Some(zone),
            (None, _) => None,
        };
        let stats = meta(&*entities, STATS)?.unwrap_or_default();
        let (shops, directory, workers) = (Arc::default(), Directory::default(), workers.max(1));
        let scrubbed = Vec::new();
        let mut ledger =
            Self { entities, dictionary, base, workers, shops, directory, stats, scrubbed };
        ledger.read_shops()?;
        Ok(ledger)
    }

    fn read_shops(&mut self) -> Result<(), LedgerError> {
        let mut held = BTreeMap::new();
        for entry in self.entities.scan(Table::Shops, &[]) {
            let (key, value) = entry?;
            let (key, _) = key::parse_shop(&key)?;
            let HeldShop { place, zones } = codec::decode(&value)?;
            held.insert(place, self.new_shop(key, &zones));
        }
        for (place, shop) in held {
            if place != self.directory.add(Arc::clone(&shop)) {
                return Err(CodecError::Malformed("number of a shop").into());
            }
            self.shops.put(shop);
        }
        self.directory.keep();
        Ok(())
    }

    fn new_shop(&self, key: ShopKey, zones: &Zones) -> Arc<Shop> {
        let number = self.dictionary.shops.number(&key);
        Arc::new(Shop { key, number, calendar: zones.calendar(self.base.as_ref()) })
    }

    /// The epoch of the last commit; 0 for a new ledger.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    pub fn epoch(&self) -> Result<Epoch, LedgerError> {
        Ok(Epoch(meta(&*self.entities, EPOCH)?.unwrap_or(0)))
    }

    /// How far a source was read by the last commit that said so.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    pub fn progress(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let held = self.entities.get(Table::Meta, progress_key(name).as_bytes())?;
        Ok(held.map(|held| held.to_vec()))
    }

    /// A random number of this state, given once when it was made.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    pub fn identity(&self) -> Result<u128, LedgerError> {
        meta(&*self.entities, IDENTITY)?.ok_or(LedgerError::Codec(CodecError::Empty))
    }

    /// How much is held, without reading it.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// A new number for one reading of one file, never given before in this state. It is kept
    /// before it is given.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be kept.
    pub fn new_reading(&mut self) -> Result<u64, LedgerError> {
        let reading = meta::<u64>(&*self.entities, READINGS)?.unwrap_or(0) + 1;
        let write = Write::put(Table::Meta, READINGS, codec::encode(&reading)?);
        self.entities.commit(vec![write])?;
        // A number given twice would make two readings one, and equal rows of both one row.
        self.entities.sync()?;
        Ok(reading)
    }

    /// A fault of decoding and its letter. Faults that a dossier stands for are not kept here.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    pub fn fault(&self, id: &str) -> Result<Option<(Fault, Option<Letter>)>, LedgerError> {
        let Some(key) = key::fault(id) else { return Ok(None) };
        let Some((fault, letter)) = faults::held(&*self.entities, &key)? else { return Ok(None) };
        let letter = letter.map(|id| self.letter(id)).transpose()?.flatten();
        Ok(Some((fault, letter)))
    }

    /// Gives every fault of decoding with its id and its letter's id, in order of the ids.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read, or what `each` fails with.
    pub fn for_each_fault<E: From<LedgerError>>(
        &self,
        mut each: impl FnMut(&str, Fault, Option<u128>) -> Result<(), E>,
    ) -> Result<(), E> {
        for entry in self.entities.scan(Table::Faults, &[]) {
            let (key, value) = entry.map_err(LedgerError::from)?;
            let id = key::fault_id(&key).map_err(LedgerError::from)?;
            let (fault, letter) = codec::decode(&value).map_err(LedgerError::from)?;
            each(&id, fault, letter)?;
        }
        Ok(())
    }

    /// A letter by its id, while a fault names it.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    pub fn letter(&self, id: u128) -> Result<Option<Letter>, LedgerError> {
        faults::letter(&*self.entities, id)
    }

    /// An entity beside orders, with its version.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    pub fn record(
        &self,
        kind: Kind,
        shop: &ShopKey,
        id: &str,
    ) -> Result<Option<(Version, Entity)>, LedgerError> {
        records::held(self.entities.get(Table::Records, &records::key(kind, shop, id))?, id)
    }

    /// Gives every entity of a kind, in order of workspace, shop and id.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read, or what `each` fails with.
    pub fn for_each_record<E: From<LedgerError>>(
        &self,
        kind: Kind,
        each: impl FnMut(ShopKey, Version, Entity) -> Result<(), E>,
    ) -> Result<(), E> {
        records::each(self.entities.scan(Table::Records, &[kind as u8]), each)
    }

    /// The shops and their calendars, kept up to date by this ledger.
    #[must_use]
    pub fn shops(&self) -> Arc<Shops> {
        Arc::clone(&self.shops)
    }

    /// The zone of shops that never told theirs, where one was given.
    #[must_use]
    pub fn base_zone(&self) -> Option<&Zone> {
        self.base.as_ref()
    }

    /// Makes every commit so far survive a power cut.
    ///
    /// # Errors
    /// [`LedgerError`] when that is not certain.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        Ok(self.entities.sync()?)
    }

    /// Everything that is kept, as differences from nothing, in portions of about
    /// `portion_facts` facts. Several threads read; `portion` is called on this one.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read, or what `portion` fails with.
    pub fn hydrate<E: From<LedgerError>>(
        &self,
        portion_facts: usize,
        portion: impl FnMut(Differences) -> Result<(), E>,
    ) -> Result<(), E> {
        self.hydrate_with(portion_facts, portion, |_, _| ())
    }

    /// As [`Ledger::hydrate`]; after each portion `progress` is told how many entities were given
    /// and how many there are.
    ///
    /// # Errors
    /// As [`Ledger::hydrate`].
    pub fn hydrate_with<E: From<LedgerError>>(
        &self,
        portion_facts: usize,
        mut portion: impl FnMut(Differences) -> Result<(), E>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), E> {
        let mut done = 0;
        self.context(self.directory.shops()).hydrate(portion_facts, |differences, dossiers| {
            portion(differences)?;
            done += dossiers;
            progress(done, self.stats.entities);
            Ok(())
        })
    }

    /// What the last commit scrubbed, for each that it was told to forget.
    #[must_use]
    pub fn scrubbed(&self) -> &[Scrubbed] {
        &self.scrubbed
    }

    /// Joins what one epoch said, keeps the result with its progress in one commit, and tells
    /// what changed. What is committed is seen at once; it survives the end of the process, or a
    /// power cut, after [`Ledger::sync`].
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing of the epoch is kept.
    pub fn commit(&mut self, epoch: Epoch, said: Said) -> Result<Differences, LedgerError> {
        let Said { envelopes, faults, letters, resolved, forget, progress } = said;
        let mut writes = self.singles(epoch, progress)?;
        let mut told = faults::Told { faults, letters, resolved, ..Default::default() };
        let sorted = sort(envelopes, self.workers, &mut told.faults, |shop| self.place(shop));
        records::merge(&*self.entities, sorted.entities, &mut writes)?;
        let old = self.directory.shops();
        let zones = rezone::merged(&*self.entities, old, sorted.zones)?;
        let moved = rezone::moved(&zones, old, self.base.as_ref());
        // Zones first, while every dossier of the shop is as it was committed.
        let mut parts = self.context(old).rezone(&moved)?;
        let mut shops = Cow::Borrowed(old);
        for (place, shop) in &moved {
            shops.to_mut()[*place as usize] = Arc::clone(shop);
        }
        let context = self.context(&shops);
        let join = |numbers: &mut Numbers<'_>, said| context.join(numbers, said);
        parts.extend(context.each(sorted.shards, sorted.orders, join)?);

        let mut differences = Differences::default();
        let mut stats = self.stats;
        for part in parts {
            writes.extend(part.writes);
            if differences.facts.is_empty() {
                differences.facts = part.facts;
            } else {
                differences.facts.extend(part.facts);
            }
            let number = |(fault, diff)| (self.dictionary.faults.number(&fault), diff);
            differences.faults.extend(part.faults.into_iter().map(number));
            told.faults.extend(part.refused.into_iter().map(|fault| (fault, None)));
            stats.entities += part.entities;
            stats.bytes = stats.bytes.saturating_add_signed(part.bytes);
        }
        let scrubbed = scrub::scrub(&*self.entities, &forget, &mut told)?;
        let faults = &mut differences.faults;
        let tell = |fault, diff| faults.push((self.dictionary.faults.number(&fault), diff));
        faults::apply(&*self.entities, told, &mut writes, tell)?;
        rezone::write(&self.directory, zones, &mut writes)?;
        writes.push(Write::put(Table::Meta, STATS, codec::encode(&stats)?));
        self.entities.commit(writes)?;
        (self.stats, self.scrubbed) = (stats, scrubbed);
        self.directory.keep();
        for (place, shop) in moved {
            self.shops.put(Arc::clone(&shop));
            self.directory.put(place, shop);
        }
        Ok(differences)
    }

    /// The writes of single values.
    fn singles(
        &self,
        epoch: Epoch,
        progress: Vec<(Box<str>, Vec<u8>)>,
    ) -> Result<Vec<Write>, LedgerError> {
        let mut writes = vec![Write::put(Table::Meta, EPOCH, codec::encode(&epoch.0)?)];
        if let Some(zone) = &self.base {
            // With the first epoch, not before: an empty state is bound to no zone.
            let name = codec::encode(&zone.name())?;
            writes.push(Write::put(Table::Meta, BASE_ZONE, name));
        }
        let progress: BTreeMap<_, _> = progress.into_iter().collect();
        for (name, value) in progress {
            writes.push(Write::put(Table::Meta, progress_key(&name).as_bytes(), value));
        }
        Ok(writes)
    }

    fn context<'a>(&'a self, shops: &'a [Arc<Shop>]) -> Context<'a> {
        let (entities, dictionary) = (&*self.entities, &*self.dictionary);
        Context { entities, dictionary, shops, workers: self.workers }
    }

    /// A shop's number in keys.
    fn place(&mut self, key: &ShopKey) -> u32 {
        if let Some(place) = self.directory.place(key) {
            return place;
        }
        let shop = self.new_shop(key.clone(), &Zones::default());
        self.shops.put(Arc::clone(&shop));
        self.directory.add(shop)
    }
}
