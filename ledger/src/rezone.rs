//! Zones that shops tell, and every order of a shop counted again when its calendar changes.
//!
//! Invariant: days that were closed under one calendar move only when a zone says so, old days out
//! and new ones in, all in the epoch that said it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use ionflux_schemas::event::Event;
use ionflux_schemas::key::Version;
use ionflux_schemas::time::Zone;

use crate::codec::key::SHARDS;
use crate::codec::{self, key};
use crate::entities::{Entities, Table, Write};
use crate::error::LedgerError;
use crate::numbers::Numbers;
use crate::shards::{Context, Joined, contributed};
use crate::shop::{Directory, HeldShop, Shop, Zones};

/// Shops by their numbers in keys.
pub(crate) type Shops = BTreeMap<u32, Arc<Shop>>;

/// The zones of the shops that told one, with what the store holds of them.
pub(crate) fn merged(
    entities: &dyn Entities,
    shops: &[Arc<Shop>],
    said: Vec<(u32, Version, Event)>,
) -> Result<BTreeMap<u32, Zones>, LedgerError> {
    let mut by_shop: BTreeMap<u32, Zones> = BTreeMap::new();
    for (place, version, event) in said {
        let Event::Zone { from, zone } = event else { continue };
        let zones = match by_shop.entry(place) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let key = key::shop(&shops[place as usize].key);
                let held = entities.get(Table::Shops, &key)?;
                let held: Option<HeldShop> = held.map(|bytes| codec::decode(&bytes)).transpose()?;
                unknown.insert(held.unwrap_or_default().zones)
            }
        };
        zones.merge(version, from, zone);
    }
    Ok(by_shop)
}

/// The shops whose calendar is another now.
pub(crate) fn moved(
    zones: &BTreeMap<u32, Zones>,
    shops: &[Arc<Shop>],
    base: Option<&Zone>,
) -> Shops {
    let shop = |(place, zones): (&u32, &Zones)| {
        let old = &shops[*place as usize];
        let calendar = zones.calendar(base);
        (calendar != old.calendar).then(|| {
            (*place, Arc::new(Shop { key: old.key.clone(), number: old.number, calendar }))
        })
    };
    zones.iter().filter_map(shop).collect()
}

/// Adds what is to be kept of new shops and of those that told a zone.
pub(crate) fn write(
    directory: &Directory,
    mut zones: BTreeMap<u32, Zones>,
    writes: &mut Vec<Write>,
) -> Result<(), LedgerError> {
    for place in directory.unkept() {
        zones.entry(place).or_default();
    }
    for (place, zones) in zones {
        let key = key::shop(&directory.shops()[place as usize].key);
        let value = codec::encode(&HeldShop { place, zones })?;
        writes.push(Write::put(Table::Shops, key, value));
    }
    Ok(())
}

impl Context<'_> {
    /// Counts the orders of moved shops out of their old days and into their new ones.
    pub(crate) fn rezone(&self, moved: &Shops) -> Result<Vec<Joined>, LedgerError> {
        let parts = moved.iter().flat_map(|(place, shop)| {
            (0..SHARDS).map(move |shard| (key::shop_in_shard(shard as u8, *place), shop))
        });
        let parts: Vec<_> = parts.collect();
        let all = usize::MAX;
        self.each(parts, all, |numbers: &mut Numbers<'_>, (prefix, new)| {
            let old = &self.shops[key::shop_of(&prefix)? as usize];
            let mut joined = Joined::default();
            for entry in self.entities.scan(Table::Dossiers, &prefix) {
                let (_, value) = entry?;
                let before = contributed(old, &value, numbers)?;
                let after = contributed(new, &value, numbers)?;
                joined.tell([before, after], numbers);
            }
            Ok(joined)
        })
    }
}
