//! What an epoch said, sorted by what it is about.
//!
//! Invariant: everything that can be held goes to one place; what cannot becomes a fault.

use std::sync::Arc;

use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::fault::Fault;
use ionflux_schemas::key::{ShopKey, Version};

use crate::codec::key::{self, ORDER_ID_BYTES_MAX, SHARDS};
use crate::records;
use crate::shards;

/// What an epoch said, by what it is about.
pub(crate) struct Sorted {
    /// Zones of shops, with the shops' numbers.
    pub(crate) zones: Vec<(u32, Version, Event)>,
    /// Entities beside orders.
    pub(crate) entities: Vec<records::Said>,
    /// What was said of orders: a share of the shards for each thread.
    pub(crate) shards: Vec<Vec<shards::Said>>,
    /// How much that is.
    pub(crate) orders: usize,
}

/// Sorts what was said; `place` gives a shop its number.
pub(crate) fn sort(
    envelopes: Vec<Envelope>,
    workers: usize,
    refused: &mut Vec<(Fault, Option<u128>)>,
    mut place: impl FnMut(&ShopKey) -> u32,
) -> Sorted {
    let shares = workers.min(SHARDS);
    let room = envelopes.len() / shares * 9 / 8;
    let shards = (0..shares).map(|_| Vec::with_capacity(room)).collect();
    let mut sorted = Sorted { zones: Vec::new(), entities: Vec::new(), shards, orders: 0 };
    let mut last: Option<(Arc<ShopKey>, u32)> = None;
    for envelope in envelopes {
        let Envelope { shop, version, event } = envelope;
        if let Event::Entity(entity) = event {
            if entity.within_limits() {
                sorted.entities.push(records::Said { shop, version, entity: *entity });
            } else {
                refused.push((records::too_large(&shop, &entity), None));
            }
            continue;
        }
        let number = match &last {
            Some((known, number)) if Arc::ptr_eq(known, &shop) => *number,
            _ => place(&shop),
        };
        match shards::order_of(&event) {
            None => sorted.zones.push((number, version, event)),
            Some(order) if order.len() > ORDER_ID_BYTES_MAX => {
                refused.push((shards::too_long(&shop, order), None));
            }
            Some(order) if !event.within_limits() => {
                refused.push((shards::too_large(&shop, order), None));
            }
            Some(order) => {
                let (shard, key) = key::dossier(number, order);
                let said = shards::Said { key, shop: number, version, event };
                sorted.shards[shard % shares].push(said);
                sorted.orders += 1;
            }
        }
        last = Some((shop, number));
    }
    sorted
}
