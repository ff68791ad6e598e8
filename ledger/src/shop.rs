//! What the ledger knows of a shop: its numbers and its calendar.
//!
//! Invariant: a shop's number in the keys of its dossiers is given once in the life of a state, and
//! is kept by the commit that keeps the first of them. It is another than its number in the
//! dictionary, which lives as long as the process.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;

use ionflux_schemas::key::{Id, ShopKey, Version};
use ionflux_schemas::time::{Calendar, UtcMs, Zone};
use serde::{Deserialize, Serialize};

/// A shop with its calendar, as contributions need it.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Its names.
    pub key: ShopKey,
    /// Its number in the dictionary.
    pub number: u32,
    /// Its days and hours.
    pub calendar: Calendar,
}

/// The shops of a ledger, shared with whoever must know their days.
#[derive(Debug, Default)]
pub struct Shops {
    known: RwLock<HashMap<ShopKey, Arc<Shop>>>,
}

impl Shops {
    /// A shop, if the ledger has heard of it.
    pub fn get(&self, key: &ShopKey) -> Option<Arc<Shop>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The shops of a workspace.
    #[must_use]
    pub fn of_workspace(&self, workspace: &str) -> Vec<Id> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let theirs = known.keys().filter(|key| &*key.workspace == workspace);
        theirs.map(|key| key.shop.clone()).collect()
    }

    /// Remembers a shop, or its new calendar.
    pub(crate) fn put(&self, shop: Arc<Shop>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(shop.key.clone(), shop);
    }
}

/// The shops in the order of their numbers in keys.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    places: HashMap<ShopKey, u32>,
    shops: Vec<Arc<Shop>>,
    /// How many of them the store knows.
    kept: usize,
}

impl Directory {
    /// Adds a shop with the next number.
    pub(crate) fn add(&mut self, shop: Arc<Shop>) -> u32 {
        // Four billion shops would not fit in memory.
        let place = self.shops.len() as u32;
        self.places.insert(shop.key.clone(), place);
        self.shops.push(shop);
        place
    }

    pub(crate) fn place(&self, key: &ShopKey) -> Option<u32> {
        self.places.get(key).copied()
    }

    pub(crate) fn shops(&self) -> &[Arc<Shop>] {
        &self.shops
    }

    /// Another calendar for a shop.
    pub(crate) fn put(&mut self, place: u32, shop: Arc<Shop>) {
        self.shops[place as usize] = shop;
    }

    /// The shops that the store does not know yet.
    pub(crate) fn unkept(&self) -> std::ops::Range<u32> {
        self.kept as u32..self.shops.len() as u32
    }

    /// The store knows all shops now.
    pub(crate) fn keep(&mut self) {
        self.kept = self.shops.len();
    }
}

/// What the store holds of a shop: its number in keys and its zones.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct HeldShop {
    pub(crate) place: u32,
    pub(crate) zones: Zones,
}

/// The zones a shop was ever said to have, by the instant from which each holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Zones {
    from: BTreeMap<UtcMs, (Version, Id)>,
}

impl Zones {
    /// Joins what an event said; whether that was new.
    pub fn merge(&mut self, version: Version, from: UtcMs, zone: Id) -> bool {
        let said = (version, zone);
        let newer = self.from.get(&from).is_none_or(|held| *held < said);
        if newer {
            self.from.insert(from, said);
        }
        newer
    }

    /// The calendar of these zones: `base` holds before the first of them, if that does not hold
    /// for all time. Without a base the first zone also covers all time before, and without any
    /// zone all is UTC.
    #[must_use]
    pub fn calendar(&self, base: Option<&Zone>) -> Calendar {
        // Names were checked when they were read; one that a release forgot must not stop it.
        let known =
            |(from, (_, name)): (&UtcMs, &(Version, Id))| Some((*from, Zone::parse(name).ok()?));
        let mut zones: Vec<_> = self.from.iter().filter_map(known).collect();
        let all_time = UtcMs(i64::MIN);
        if let Some(base) = base.filter(|_| zones.iter().all(|(from, _)| *from != all_time)) {
            zones.push((all_time, base.clone()));
        }
        Calendar::new(zones).unwrap_or_else(|| Calendar::always(Zone::UTC))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_for_all_time_holds_instead_of_the_base() {
        let (utc, tokyo) = (Zone::UTC, Zone::parse("Asia/Tokyo").unwrap());
        let mut zones = Zones::default();
        let version = |at| Version { changed_at: UtcMs(at), raised_at: UtcMs(0), content: 0 };
        assert!(zones.merge(version(2), UtcMs(i64::MIN), "Asia/Tokyo".into()));
        for base in [None, Some(&utc), Some(&tokyo)] {
            assert_eq!(zones.calendar(base), Calendar::always(tokyo.clone()));
        }
        assert!(!zones.merge(version(1), UtcMs(i64::MIN), "UTC".into()));
        assert!(zones.merge(version(3), UtcMs(i64::MIN), "America/Lima".into()));
        assert_eq!(zones.calendar(Some(&utc)).zone(UtcMs(0)).name(), "America/Lima");
    }
}
