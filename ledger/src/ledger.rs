//! The ledger itself: envelopes in, differences out, one atomic commit for each epoch.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::fact::Differences;
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::time::{Epoch, Zone};
use thiserror::Error;

use crate::codec::{self, CodecError};
use crate::contribution::{Contribution, contribution};
use crate::dossier::{Dossier, Merged, ROWS_MAX};
use crate::entities::{Entities, EntitiesError, Table, Write};
use crate::shop::{Shop, Shops, Zones};

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

/// Why the ledger cannot go on.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Entities(#[from] EntitiesError),
    /// A stored value cannot be read.
    #[error("the ledger holds a value that cannot be read")]
    Codec(#[from] CodecError),
    /// The state was made with another base zone.
    #[error("this state counts days in {held}, not in {asked}")]
    BaseZone {
        /// The zone of the state.
        held: String,
        /// The zone asked for.
        asked: String,
    },
}

const EPOCH: &[u8] = b"epoch";
const BASE_ZONE: &[u8] = b"base_zone";
const READINGS: &[u8] = b"readings";

/// The latest version of every entity of every shop.
pub struct Ledger {
    entities: Box<dyn Entities>,
    dictionary: Arc<Dictionary>,
    base: Option<Zone>,
    shops: Arc<Shops>,
}

/// A dossier while its epoch is open: whether it says something new, and whether the store has it
/// as it is.
struct Touched {
    shop: Arc<Shop>,
    before: Contribution,
    dossier: Dossier,
    changed: bool,
    kept: bool,
}

impl Ledger {
    /// A ledger over entities.
    ///
    /// # Errors
    /// [`LedgerError::BaseZone`] if the entities were counted with another base zone: days that
    /// were closed in one zone must not move to another.
    pub fn open(
        entities: Box<dyn Entities>,
        dictionary: Arc<Dictionary>,
        base: BaseZone,
    ) -> Result<Self, LedgerError> {
        let held = entities.get(Table::Meta, BASE_ZONE)?;
        let held: Option<String> = held.map(|bytes| codec::decode(&bytes)).transpose()?;
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
        Ok(Self { entities, dictionary, base, shops: Arc::default() })
    }

    /// The epoch of the last commit; 0 for a new ledger.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    pub fn epoch(&self) -> Result<Epoch, LedgerError> {
        let bytes = self.entities.get(Table::Meta, EPOCH)?;
        Ok(Epoch(bytes.map(|bytes| codec::decode(&bytes)).transpose()?.unwrap_or(0)))
    }

    /// A new number for one reading of one file, never given before in this state.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be kept.
    pub fn new_reading(&mut self) -> Result<u64, LedgerError> {
        let bytes = self.entities.get(Table::Meta, READINGS)?;
        let reading = bytes.map(|bytes| codec::decode::<u64>(&bytes)).transpose()?.unwrap_or(0) + 1;
        self.entities.commit(vec![(Table::Meta, READINGS.to_vec(), codec::encode(&reading)?)])?;
        Ok(reading)
    }

    /// Joins one epoch's envelopes and faults, keeps the result, and tells what changed.
    ///
    /// # Errors
    /// [`LedgerError`]; then nothing of the epoch is kept.
    pub fn upsert(
        &mut self,
        epoch: Epoch,
        envelopes: Vec<Envelope>,
        faults: Vec<Fault>,
    ) -> Result<Differences, LedgerError> {
        let mut differences = Differences::default();
        let mut writes = vec![(Table::Meta, EPOCH.to_vec(), codec::encode(&epoch.0)?)];
        if let Some(zone) = &self.base {
            // With the first epoch, not before: an empty state is bound to no zone.
            let name = codec::encode(&zone.name())?;
            writes.push((Table::Meta, BASE_ZONE.to_vec(), name));
        }
        let (zones, orders): (Vec<_>, Vec<_>) =
            envelopes.into_iter().partition(|e| matches!(e.event, Event::Zone { .. }));
        // Zones first, while every dossier of the shop is as it was committed.
        self.rezone(zones, &mut differences, &mut writes)?;
        let mut refused = Vec::new();
        for (key, touched) in self.join(orders, &mut refused)? {
            if touched.changed {
                let after = contribution(&touched.dossier, &touched.shop, &self.dictionary);
                self.tell(touched.before, after, &mut differences);
            }
            if !touched.kept {
                writes.push((Table::Dossiers, key, codec::encode(&touched.dossier)?));
            }
        }
        let known: BTreeMap<String, Fault> =
            faults.into_iter().chain(refused).map(|fault| (fault.id(), fault)).collect();
        for (id, fault) in known {
            if self.entities.get(Table::Faults, id.as_bytes())?.is_none() {
                differences.faults.push((self.dictionary.faults.number(&fault), 1));
                writes.push((Table::Faults, id.into_bytes(), codec::encode(&fault)?));
            }
        }
        self.entities.commit(writes)?;
        Ok(differences)
    }

    /// Joins orders, refunds, edits and rows into their dossiers; gives those that changed.
    fn join(
        &self,
        orders: Vec<Envelope>,
        refused: &mut Vec<Fault>,
    ) -> Result<BTreeMap<Vec<u8>, Touched>, LedgerError> {
        let mut touched: BTreeMap<Vec<u8>, Touched> = BTreeMap::new();
        for Envelope { shop, version, event } in orders {
            let Some(order) = order_of(&event) else { continue };
            let order = order.to_owned();
            if !event.within_limits() {
                refused.push(too_large(&shop, &order));
                continue;
            }
            let entry = match touched.entry(codec::dossier_key(&shop, &order)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(place) => {
                    let held = self.entities.get(Table::Dossiers, place.key())?;
                    let held = held.map(|bytes| codec::decode(&bytes)).transpose()?;
                    let dossier: Dossier = held.unwrap_or_default();
                    let shop = self.shop(&shop)?;
                    let before = contribution(&dossier, &shop, &self.dictionary);
                    place.insert(Touched { shop, before, dossier, changed: false, kept: true })
                }
            };
            match entry.dossier.merge(version, event) {
                Merged::Changed => (entry.changed, entry.kept) = (true, false),
                Merged::Noted => entry.kept = false,
                Merged::Stale => {}
                Merged::Full => refused.push(too_many_rows(&shop, &order)),
            }
        }
        Ok(touched)
    }

    /// Counts every order of a shop whose calendar changed again, old days out and new ones in.
    fn rezone(
        &self,
        zones: Vec<Envelope>,
        differences: &mut Differences,
        writes: &mut Vec<Write>,
    ) -> Result<(), LedgerError> {
        let mut by_shop: BTreeMap<Arc<ShopKey>, Zones> = BTreeMap::new();
        for Envelope { shop, version, event } in zones {
            let Event::Zone { from, zone } = event else { continue };
            let held = match by_shop.entry(Arc::clone(&shop)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(place) => place.insert(self.zones(&shop)?),
            };
            held.merge(version, from, zone);
        }
        for (key, zones) in by_shop {
            let old = self.shop(&key)?;
            let calendar = zones.calendar(self.base.as_ref());
            writes.push((Table::Shops, codec::shop_prefix(&key), codec::encode(&zones)?));
            if calendar == old.calendar {
                continue;
            }
            let new = Arc::new(Shop { calendar, ..(*old).clone() });
            for entry in self.entities.scan(Table::Dossiers, &codec::shop_prefix(&key)) {
                let dossier: Dossier = codec::decode(&entry?.1)?;
                let before = contribution(&dossier, &old, &self.dictionary);
                let after = contribution(&dossier, &new, &self.dictionary);
                self.tell(before, after, differences);
            }
            self.shops.put(new);
        }
        Ok(())
    }

    /// Everything that is kept, as differences from nothing, in portions of bounded size.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read, or what `portion` fails with.
    pub fn hydrate<E: From<LedgerError>>(
        &self,
        portion_facts: usize,
        mut portion: impl FnMut(Differences) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut differences = Differences::default();
        for entry in self.entities.scan(Table::Dossiers, &[]) {
            self.held(entry, &mut differences)?;
            if differences.facts.len() >= portion_facts {
                portion(std::mem::take(&mut differences))?;
            }
        }
        for entry in self.entities.scan(Table::Faults, &[]) {
            let (_, value) = entry.map_err(LedgerError::from)?;
            let fault: Fault = codec::decode(&value).map_err(LedgerError::from)?;
            differences.faults.push((self.dictionary.faults.number(&fault), 1));
        }
        portion(differences)
    }

    /// What one stored dossier contributes.
    fn held(
        &self,
        entry: Result<(Vec<u8>, Vec<u8>), EntitiesError>,
        differences: &mut Differences,
    ) -> Result<(), LedgerError> {
        let (key, value) = entry?;
        let shop = self.shop(&codec::shop_of(&key)?)?;
        let after = contribution(&codec::decode(&value)?, &shop, &self.dictionary);
        self.tell(Contribution::default(), after, differences);
        Ok(())
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

    /// Old out, new in; what stays the same is not told.
    fn tell(&self, before: Contribution, after: Contribution, differences: &mut Differences) {
        changes(before.facts, after.facts, |fact, diff| differences.facts.push((fact, diff)));
        changes(before.faults, after.faults, |fault, diff| {
            differences.faults.push((self.dictionary.faults.number(&fault), diff));
        });
    }

    fn zones(&self, shop: &ShopKey) -> Result<Zones, LedgerError> {
        let bytes = self.entities.get(Table::Shops, &codec::shop_prefix(shop))?;
        Ok(bytes.map(|bytes| codec::decode(&bytes)).transpose()?.unwrap_or_default())
    }

    fn shop(&self, key: &ShopKey) -> Result<Arc<Shop>, LedgerError> {
        if let Some(shop) = self.shops.get(key) {
            return Ok(shop);
        }
        let calendar = self.zones(key)?.calendar(self.base.as_ref());
        let number = self.dictionary.shops.number(key);
        let shop = Arc::new(Shop { key: key.clone(), number, calendar });
        self.shops.put(Arc::clone(&shop));
        Ok(shop)
    }
}

fn too_many_rows(shop: &ShopKey, order: &str) -> Fault {
    let reason = format!("order {order} has more than {ROWS_MAX} lines");
    refusal(shop, order, FaultKind::Quantity, reason)
}

fn too_large(shop: &ShopKey, order: &str) -> Fault {
    let reason = format!("order {order} holds an amount or quantity beyond what one record may");
    refusal(shop, order, FaultKind::Amount, reason)
}

fn refusal(shop: &ShopKey, order: &str, kind: FaultKind, reason: String) -> Fault {
    let place = Place { source: "ledger".into(), line: 0 };
    let subject = format!("order {order}").into();
    Fault { shop: shop.clone(), kind, place, subject, reason: reason.into() }
}

/// The order an event is about.
fn order_of(event: &Event) -> Option<&str> {
    match event {
        Event::Order(order) => Some(&order.id),
        Event::OrderDeleted { order } | Event::Redacted { order } => Some(order),
        Event::OrderEdit(edit) => Some(&edit.order),
        Event::Refund(refund) => Some(&refund.order),
        Event::Row(row) => Some(&row.order),
        Event::Zone { .. } => None,
    }
}

/// The difference of two multisets, each kept in any order.
fn changes<T: Ord>(mut before: Vec<T>, mut after: Vec<T>, mut tell: impl FnMut(T, i64)) {
    before.sort_unstable();
    after.sort_unstable();
    let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
    loop {
        match (before.peek(), after.peek()) {
            (Some(old), Some(new)) if old == new => {
                before.next();
                after.next();
            }
            (Some(old), Some(new)) if old > new => {
                after.next().into_iter().for_each(|new| tell(new, 1))
            }
            (Some(_), _) => before.next().into_iter().for_each(|old| tell(old, -1)),
            (None, Some(_)) => after.next().into_iter().for_each(|new| tell(new, 1)),
            (None, None) => return,
        }
    }
}
