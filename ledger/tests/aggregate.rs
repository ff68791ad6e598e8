//! Units that a sum of refunds takes back, and those that refunds take back themselves: each is
//! counted once, whatever came first.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ionflux_ledger::memory::Memory;
use ionflux_ledger::{BaseZone, Ledger, Said};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Envelope, Event, Order, OrderLine, Refund, RefundLine};
use ionflux_schemas::fact::{Fact, FactKind};
use ionflux_schemas::key::{Id, ShopKey, Version};
use ionflux_schemas::time::{Epoch, UtcMs};
use proptest::prelude::*;

const UNITS: usize = 5;

/// What one unit had sold for.
fn price(unit: usize) -> i64 {
    1_000 + 10 * unit as i64
}

fn id(unit: usize) -> Id {
    format!("l{unit}").into()
}

fn envelope(event: Event) -> Envelope {
    let shop = Arc::new(ShopKey::new("acme", "7"));
    let version = Version::new(UtcMs(0), UtcMs(0), format!("{event:?}").as_bytes());
    Envelope { shop, version, event }
}

fn order() -> Envelope {
    let line = |unit| {
        let (id, product) = (id(unit), Some("p".into()));
        OrderLine { id, product, units: 1, gross: price(unit), discounts: 0 }
    };
    envelope(Event::Order(Order {
        id: "1".into(),
        placed_at: UtcMs(0),
        currency: Currency::parse("USD").unwrap(),
        channel: "tiktok_shop".into(),
        customer: None,
        test: false,
        lines: (0..UNITS).map(line).collect(),
        shipping: 300,
        taxes: 100,
        tips: 0,
        duties_and_fees: 0,
    }))
}

/// A refund of some units whole, each by its line.
fn refund(id: &str, units: &BTreeSet<usize>) -> Refund {
    let line = |&unit: &usize| RefundLine {
        line: Some(self::id(unit)),
        product: Some("p".into()),
        units: 1,
        amount: price(unit),
    };
    Refund {
        id: id.into(),
        order: "1".into(),
        aggregate: id == "sum",
        processed_at: UtcMs(0),
        currency: Currency::parse("USD").unwrap(),
        lines: units.iter().map(line).collect(),
        adjustment: 0,
        shipping: 0,
        taxes: 0,
        duties_and_fees: 0,
    }
}

/// Units and money taken back, shipping and tax kept, after some epochs.
fn held(epochs: &[Vec<Envelope>]) -> [i64; 4] {
    let (entities, dictionary) = (Box::new(Memory::default()), Arc::new(Dictionary::new()));
    let mut ledger = Ledger::open(entities, dictionary, BaseZone::Unknown, 1).unwrap();
    let mut facts: BTreeMap<Fact, i64> = BTreeMap::new();
    for (epoch, said) in (1..).zip(epochs) {
        let said = Said { envelopes: said.clone(), ..Said::default() };
        for (fact, difference) in ledger.commit(Epoch(epoch), said).unwrap().facts {
            *facts.entry(fact).or_default() += difference;
        }
    }
    let mut held = [0; 4];
    for (fact, count) in facts {
        let [first, second] = fact.amounts;
        let added = match fact.kind {
            FactKind::Return => [i64::from(fact.units), first, 0, 0],
            FactKind::Order => [0, 0, first, second],
            FactKind::Refund => [0, 0, -first, -second],
            _ => [0; 4],
        };
        held.iter_mut().zip(added).for_each(|(held, added)| *held += added * count);
    }
    held
}

fn of(refunds: &[&Refund]) -> [i64; 4] {
    let refunds = refunds.iter().map(|&refund| envelope(Event::Refund(refund.clone())));
    held(&[[order()].into_iter().chain(refunds).collect()])
}

#[test]
fn a_return_of_one_unit_leaves_the_cancelled_ones_cancelled() {
    let sum = Refund { taxes: 40, ..refund("sum", &[0, 1].into()) };
    let back = Refund { taxes: 20, ..refund("r", &[2].into()) };
    assert_eq!(of(&[&sum]), [2, 2_010, 300, 60]);
    assert_eq!(of(&[&sum, &back]), [3, 3_030, 300, 40]);
    // One of the two tells its own amounts, which are not those of the sum.
    let mut own = Refund { taxes: 15, ..refund("c", &[0].into()) };
    own.lines[0].amount = 990;
    assert_eq!(of(&[&sum, &back, &own]), [3, 3_020, 300, 40]);
    let both = Refund { taxes: 35, shipping: 200, ..refund("c", &[0, 1].into()) };
    assert_eq!(of(&[&sum, &both]), [2, 2_010, 100, 65]);
}

#[test]
fn money_for_a_unit_that_stayed_is_not_given_back_twice_when_it_is_cancelled() {
    let sum = refund("sum", &[0].into());
    let mut part = refund("part", &[0].into());
    (part.lines[0].units, part.lines[0].amount) = (0, 400);
    assert_eq!(of(&[&part]), [0, 400, 300, 100]);
    assert_eq!(of(&[&part, &sum]), [1, 1_000, 300, 100]);
}

#[test]
fn money_of_no_known_unit_is_part_of_what_was_cancelled() {
    let sum = Refund { shipping: 300, ..refund("sum", &[0, 1].into()) };
    let loose = Refund { adjustment: 1_500, shipping: 300, ..refund("c", &[].into()) };
    assert_eq!(of(&[&sum, &loose]), [2, 2_010, 0, 100]);
    // A return that gave way to its successor says nothing.
    assert_eq!(of(&[&sum, &refund("gone", &[].into())]), [2, 2_010, 0, 100]);
    // A sum that names no units is of all refunds.
    let mut export = sum;
    export.lines.clear();
    export.adjustment = 2_010;
    assert_eq!(of(&[&export]), [0, 2_010, 0, 100]);
    assert_eq!(of(&[&export, &loose]), [0, 1_500, 0, 100]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_unit_is_taken_back_once_in_any_order_of_arrival(
        cancelled in prop::collection::btree_set(0..UNITS, 0..UNITS),
        by_single in prop::collection::vec(0..3_usize, UNITS),
        shuffle in Just((0..4_usize).collect::<Vec<_>>()).prop_shuffle(),
        size in 1..5_usize,
    ) {
        // Each unit is in no single refund, or in one of two.
        let units = |nth| (0..UNITS).filter(|&unit| by_single[unit] == nth).collect();
        let (one, two): (BTreeSet<usize>, BTreeSet<usize>) = (units(1), units(2));
        let said = [
            order(),
            envelope(Event::Refund(refund("sum", &cancelled))),
            envelope(Event::Refund(refund("one", &one))),
            envelope(Event::Refund(refund("two", &two))),
        ];
        let shuffled: Vec<_> = shuffle.iter().map(|&at| said[at].clone()).collect();
        let epochs: Vec<_> = shuffled.chunks(size).map(<[_]>::to_vec).collect();
        let back: BTreeSet<usize> = cancelled.iter().chain(&one).chain(&two).copied().collect();
        let money = back.iter().map(|&unit| price(unit)).sum();
        prop_assert_eq!(held(&epochs), [back.len() as i64, money, 300, 100]);
    }
}
