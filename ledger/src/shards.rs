//! The orders of an epoch joined into their dossiers, shard by shard, on as many threads as there
//! are.
//!
//! ```text
//! envelopes ─▶ 64 shards, a share for each thread: held ─▶ merge ─▶ contribution ─▶ bytes
//! ```
//!
//! Invariant: an order is in one shard and a shard is on one thread, so that no two threads touch
//! one dossier; what comes out does not depend on how many threads there are.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Event, Order};
use ionflux_schemas::fact::Fact;
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{ShopKey, Version};

use crate::codec::key::ORDER_ID_BYTES_MAX;
use crate::codec::plain::PlainOrder;
use crate::codec::{self, CodecError, Text};
use crate::contribution::{Contribution, contribution, plain};
use crate::dossier::{Dossier, Merged, ROWS_MAX};
use crate::entities::{Bytes, Entities, Table, Write};
use crate::error::LedgerError;
use crate::numbers::Numbers;
use crate::shop::Shop;

/// Fewer things than this are done before threads have started.
const THREADED_MIN: usize = 64;

/// Two lists with no more pairs than this are compared faster pair by pair than sorted.
const PAIRS_MAX: usize = 256;

/// What an epoch said of one order.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) key: Bytes,
    /// The shop's number in keys.
    pub(crate) shop: u32,
    pub(crate) version: Version,
    pub(crate) event: Event,
}

/// What the threads share.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) entities: &'a dyn Entities,
    pub(crate) dictionary: &'a Dictionary,
    pub(crate) shops: &'a [Arc<Shop>],
    pub(crate) workers: usize,
}

/// What a shard's part of an epoch came to.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) writes: Vec<Write>,
    pub(crate) facts: Vec<(Fact, i64)>,
    pub(crate) faults: Vec<(Fault, i64)>,
    pub(crate) refused: Vec<Fault>,
    /// How many dossiers are new, and how many bytes more all of them take.
    pub(crate) entities: u64,
    pub(crate) bytes: i64,
}

impl Joined {
    /// Old out, new in; what stays the same is not told.
    pub(crate) fn tell(
        &mut self,
        [mut before, mut after]: [Contribution; 2],
        numbers: &mut Numbers<'_>,
    ) {
        let (old, new) = (&mut before.facts, &mut after.facts);
        changes(old, new, |fact, diff| self.facts.push((fact, diff)));
        let (old, new) = (&mut before.faults, &mut after.faults);
        changes(old, new, |fault, diff| self.faults.push((fault, diff)));
        numbers.give_back(before.facts);
        numbers.give_back(after.facts);
    }
}

impl Context<'_> {
    /// Does `run` for each part, on the threads if it is worth it; results in the parts' order.
    pub(crate) fn each<T: Send, R: Send>(
        &self,
        parts: Vec<T>,
        things: usize,
        run: impl Fn(&mut Numbers<'_>, T) -> Result<R, LedgerError> + Sync,
    ) -> Result<Vec<R>, LedgerError> {
        let threads = self.workers.min(parts.len());
        if threads < 2 || things < THREADED_MIN {
            let mut numbers = Numbers::of(self.dictionary);
            return parts.into_iter().map(|part| run(&mut numbers, part)).collect();
        }
        let queue = Mutex::new(parts.into_iter().enumerate());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut numbers = Numbers::of(self.dictionary);
            let mut done = Vec::new();
            while let Some((place, part)) = next() {
                done.push((place, run(&mut numbers, part)?));
            }
            Ok::<_, LedgerError>(done)
        };
        let done = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut done = vec![work()];
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            done.extend(threads.into_iter().map(join));
            done.into_iter().collect::<Result<Vec<_>, _>>()
        })?;
        let mut done: Vec<_> = done.into_iter().flatten().collect();
        done.sort_unstable_by_key(|(place, _)| *place);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }

    /// Joins what was said of the orders of some shards.
    pub(crate) fn join(
        &self,
        numbers: &mut Numbers<'_>,
        said: Vec<Said>,
    ) -> Result<Joined, LedgerError> {
        // Neighbours in key are neighbours in the store, to be read and to be written.
        let order = by_key(&said);
        let mut joined = Joined::default();
        joined.writes.reserve(said.len());
        joined.facts.reserve(said.len() * 4);
        let mut space = Vec::with_capacity(512);
        let mut said: Vec<_> = said.into_iter().map(Some).collect();
        let mut order = order.into_iter().map(|place| place as usize).peekable();
        while let Some(first) = order.next().and_then(|place| said[place].take()) {
            let key = first.key.clone();
            let held = self.entities.get(Table::Dossiers, &key)?;
            let shop = &self.shops[first.shop as usize];
            let follows = |said: &[Option<Said>], place: usize| {
                said[place].as_ref().is_some_and(|next| next.key == key)
            };
            let alone = order.peek().is_none_or(|place| !follows(&said, *place));
            let Some((before, mut dossier)) =
                open(held.as_deref(), &first, (alone, shop), numbers)?
            else {
                continue;
            };
            let (mut changed, mut noted) = (false, false);
            let mut next = Some(first);
            while let Some(Said { version, event, .. }) = next {
                // Only rows can be too many, and only a row's order is named then.
                let row = match &event {
                    Event::Row(row) => Some(row.order.clone()),
                    _ => None,
                };
                match dossier.merge(version, event) {
                    Merged::Changed => changed = true,
                    Merged::Noted => noted = true,
                    Merged::Stale => {}
                    Merged::Full => {
                        joined.refused.extend(row.map(|order| too_many_rows(&shop.key, &order)));
                    }
                }
                let follower = order.next_if(|place| follows(&said, *place));
                next = follower.and_then(|place| said[place].take());
            }
            if changed {
                let after = contribution(&dossier, shop, numbers);
                joined.tell([before, after], numbers);
            }
            if changed || noted {
                space.clear();
                codec::dossier::encode(&dossier, &mut space);
                let old = held.as_ref().map(|held| held.len() + key.len());
                joined.entities += u64::from(old.is_none());
                joined.bytes += (space.len() + key.len()) as i64 - old.unwrap_or(0) as i64;
                joined.writes.push(Write::put(Table::Dossiers, key, &space));
            }
        }
        Ok(joined)
    }
}

/// The places of what was said in order of the keys, and for one key in order of arrival.
fn by_key(said: &[Said]) -> Vec<u32> {
    // Nearly every key is told from the others by its first bytes, which are compared at once.
    let start = |key: &[u8]| {
        let mut start = [0; 16];
        let bytes = key.len().min(start.len());
        start[..bytes].copy_from_slice(&key[..bytes]);
        u128::from_be_bytes(start)
    };
    let places = said.iter().zip(0_u32..);
    let mut places: Vec<_> = places.map(|(said, place)| (start(&said.key), place)).collect();
    places.sort_unstable_by(|(a, first), (b, second)| {
        let keys = || said[*first as usize].key.cmp(&said[*second as usize].key);
        a.cmp(b).then_with(keys).then(first.cmp(second))
    });
    places.into_iter().map(|(_, place)| place).collect()
}

/// What an order contributed so far, and the dossier to join into; `None` if what was said is no
/// news.
fn open(
    held: Option<&[u8]>,
    first: &Said,
    (alone, shop): (bool, &Shop),
    numbers: &mut Numbers<'_>,
) -> Result<Option<(Contribution, Dossier)>, LedgerError> {
    let Some(bytes) = held else { return Ok(Some(Default::default())) };
    match (&first.event, PlainOrder::read(bytes)?) {
        (Event::Order(said), Some(order)) if alone && !renames(said, first.version, &order) => {
            if order.version >= first.version {
                return Ok(None);
            }
            // The new snapshot replaces all that is held, so that it need not be decoded.
            let before = Contribution { facts: plain(order, shop, numbers)?, faults: Vec::new() };
            Ok(Some((before, Dossier::default())))
        }
        _ => Ok(Some((contributed(shop, bytes, numbers)?, codec::dossier::decode(bytes)?))),
    }
}

/// Whether the buyer is not simply that of the later of two snapshots.
fn renames(said: &Order, version: Version, held: &PlainOrder<'_>) -> bool {
    let old = held.customer.map(Text::foremost);
    let new = said.customer.as_deref().map(|new| Text::of(new).foremost());
    // Of a name and none the name stays, and of two names the foremost.
    if held.version < version { old > new } else { new > old }
}

/// What a stored dossier contributes.
pub(crate) fn contributed(
    shop: &Shop,
    bytes: &[u8],
    numbers: &mut Numbers<'_>,
) -> Result<Contribution, CodecError> {
    if let Some(order) = PlainOrder::read(bytes)? {
        return Ok(Contribution { facts: plain(order, shop, numbers)?, faults: Vec::new() });
    }
    Ok(contribution(&codec::dossier::decode(bytes)?, shop, numbers))
}

/// The order an event is about.
pub(crate) fn order_of(event: &Event) -> Option<&str> {
    match event {
        Event::Order(order) => Some(&order.id),
        Event::OrderDeleted { order } | Event::Redacted { order } => Some(order),
        Event::OrderEdit(edit) => Some(&edit.order),
        Event::Refund(refund) => Some(&refund.order),
        Event::Row(row) => Some(&row.order),
        Event::Zone { .. } | Event::Entity(_) => None,
    }
}

fn too_many_rows(shop: &ShopKey, order: &str) -> Fault {
    let reason = format!("order {order} has more than {ROWS_MAX} lines");
    refusal(shop, order, FaultKind::Quantity, reason)
}

/// An order that was said to be larger than any may be.
pub(crate) fn too_large(shop: &ShopKey, order: &str) -> Fault {
    let reason = format!("order {order} holds an amount or quantity beyond what one record may");
    refusal(shop, order, FaultKind::Amount, reason)
}

/// An order whose id is no platform's.
pub(crate) fn too_long(shop: &ShopKey, order: &str) -> Fault {
    let shown: String = order.chars().take(60).collect();
    let reason = format!(
        "the id of order {shown} has {} bytes; no more than {ORDER_ID_BYTES_MAX} are allowed",
        order.len()
    );
    refusal(shop, &shown, FaultKind::Field, reason)
}

fn refusal(shop: &ShopKey, order: &str, kind: FaultKind, reason: String) -> Fault {
    let place = Place { source: "ledger".into(), line: 0 };
    let subject = format!("order {order}").into();
    Fault { shop: shop.clone(), kind, place, subject, reason: reason.into() }
}

/// The difference of two multisets, each kept in any order; leaves them empty.
fn changes<T: Ord>(before: &mut Vec<T>, after: &mut Vec<T>, mut tell: impl FnMut(T, i64)) {
    if before.len().saturating_mul(after.len()) <= PAIRS_MAX {
        for old in before.drain(..) {
            match after.iter().position(|new| *new == old) {
                Some(place) => drop(after.swap_remove(place)),
                None => tell(old, -1),
            }
        }
        return after.drain(..).for_each(|new| tell(new, 1));
    }
    before.sort_unstable();
    after.sort_unstable();
    let (mut before, mut after) = (before.drain(..).peekable(), after.drain(..).peekable());
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
