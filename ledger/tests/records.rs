//! Entities beside orders: what is held depends on what was said, never on order, repetition,
//! epochs or restarts; and no tenant sees another's.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_ledger::disk::Disk;
use ionflux_ledger::memory::Memory;
use ionflux_ledger::{BaseZone, Ledger, LedgerError, Said};
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::entity::{Body, Cart, ENTITY_ID_BYTES_MAX, Entity, Kind, StoreChange};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::key::{ShopKey, Version};
use ionflux_schemas::time::{Epoch, UtcMs};
use proptest::prelude::*;

type Name = (Kind, ShopKey, String);

fn envelope(shop: ShopKey, stamp: i64, entity: Entity) -> Envelope {
    let version = Version::new(UtcMs(stamp), UtcMs(0), format!("{entity:?}").as_bytes());
    Envelope { shop: Arc::new(shop), version, event: Event::Entity(Box::new(entity)) }
}

fn open(memory: &Memory) -> Ledger {
    let entities = Box::new(memory.clone());
    Ledger::open(entities, Arc::new(Dictionary::new()), BaseZone::Unknown, 2).unwrap()
}

fn commit(ledger: &mut Ledger, envelopes: Vec<Envelope>) -> usize {
    let epoch = Epoch(ledger.epoch().unwrap().0 + 1);
    let said = Said { envelopes, ..Said::default() };
    let differences = ledger.commit(epoch, said).unwrap();
    assert!(differences.facts.is_empty(), "no view counts entities beside orders yet");
    differences.faults.len()
}

fn held(ledger: &Ledger) -> BTreeMap<Name, (Version, Entity)> {
    let mut held = BTreeMap::new();
    for kind in Kind::ALL {
        let each = |shop: ShopKey, version, entity: Entity| {
            held.insert((kind, shop, entity.id.to_string()), (version, entity));
            Ok::<_, LedgerError>(())
        };
        ledger.for_each_record(kind, each).unwrap();
    }
    held
}

/// Of each name the highest version, by a plain loop.
fn oracle(said: &[Envelope]) -> BTreeMap<Name, (Version, Entity)> {
    let mut newest: BTreeMap<Name, (Version, Entity)> = BTreeMap::new();
    for Envelope { shop, version, event } in said {
        let Event::Entity(entity) = event else { unreachable!() };
        let name = (entity.kind(), ShopKey::clone(shop), entity.id.to_string());
        if newest.get(&name).is_none_or(|(known, _)| known < version) {
            newest.insert(name, (*version, Entity::clone(entity)));
        }
    }
    newest
}

fn said() -> impl Strategy<Value = Envelope> {
    let shops = prop::sample::select(vec![("a", "b"), ("a", ""), ("", "ab"), ("ab", "")]);
    let body = prop_oneof![
        (0..3_i32).prop_map(|units| Body::Cart(Cart { units })),
        Just(Body::Gone(Kind::Cart)),
        "[a-z]{0,3}".prop_map(|title| {
            let (title, details) = (title.into(), BTreeMap::new());
            Body::StoreChange(StoreChange { change: "theme_published".into(), title, details })
        }),
    ];
    (shops, "[a-c]{1,2}", 0..4_i64, body).prop_map(|((workspace, shop), id, at, body)| {
        let entity = Entity { id: id.into(), at: UtcMs(at), body };
        envelope(ShopKey::new(workspace, shop), at, entity)
    })
}

proptest! {
    #[test]
    fn what_is_held_is_the_highest_version(
        said in prop::collection::vec(said(), 0..40),
        shuffled in any::<u64>(),
        sizes in prop::collection::vec(1..9_usize, 1..9),
    ) {
        let expected = oracle(&said);
        let mut other: Vec<_> = said.iter().chain(&said).cloned().collect();
        let mut turn = shuffled;
        other.sort_by_cached_key(|_| {
            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            turn
        });
        for said in [said, other] {
            let memory = Memory::default();
            let mut rest = &said[..];
            let mut sizes = sizes.iter().cycle();
            while !rest.is_empty() {
                let (epoch, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                // Opened again before each epoch: nothing is known but what was kept.
                commit(&mut open(&memory), epoch.to_vec());
                rest = later;
            }
            prop_assert_eq!(held(&open(&memory)), expected.clone());
        }
    }
}

#[test]
fn those_who_only_look_see_one_shop_of_one_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(&folder.path().join("ledger")).unwrap();
    let records = disk.records();
    let dictionary = Arc::new(Dictionary::new());
    let mut ledger = Ledger::open(Box::new(disk), dictionary, BaseZone::Unknown, 1).unwrap();
    let cart = |shop: &ShopKey, id: &str, units| {
        let entity = Entity { id: id.into(), at: UtcMs(1), body: Body::Cart(Cart { units }) };
        envelope(shop.clone(), 1, entity)
    };
    let shops = [("a", "bc"), ("ab", "c"), ("a", "b"), ("a", "")].map(|(w, s)| ShopKey::new(w, s));
    let said = shops.iter().zip(1..).flat_map(|(shop, n)| [cart(shop, "x", n), cart(shop, "y", n)]);
    commit(&mut ledger, said.collect());
    for (shop, units) in shops.iter().zip(1..) {
        let mut seen = Vec::new();
        let each = |of: ShopKey, _, entity: Entity| {
            assert_eq!(of, *shop);
            seen.push((entity.id.to_string(), entity.body));
            Ok::<_, LedgerError>(())
        };
        records.for_each_of(Kind::Cart, shop, each).unwrap();
        let body = Body::Cart(Cart { units });
        assert_eq!(seen, [("x".to_owned(), body.clone()), ("y".to_owned(), body)]);
        assert_eq!(records.record(Kind::Cart, shop, "z").unwrap(), None);
        assert_eq!(records.record(Kind::Product, shop, "x").unwrap(), None);
        let kept = records.record(Kind::Cart, shop, "x").unwrap();
        assert_eq!(kept, ledger.record(Kind::Cart, shop, "x").unwrap());
        assert!(kept.is_some());
    }
}

#[test]
fn an_id_that_is_too_long_is_a_fault() {
    let mut ledger = open(&Memory::default());
    let shop = ShopKey::new("a", "b");
    let cart = |id: String| {
        let body = Body::Cart(Cart { units: 1 });
        envelope(shop.clone(), 1, Entity { id: id.into(), at: UtcMs(1), body })
    };
    let long = "i".repeat(ENTITY_ID_BYTES_MAX);
    assert_eq!(commit(&mut ledger, vec![cart(long.clone()), cart("1".into())]), 0);
    assert_eq!(commit(&mut ledger, vec![cart(format!("{long}i")), cart(String::new())]), 2);
    assert_eq!(held(&ledger).len(), 2);
}
