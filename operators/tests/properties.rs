//! The properties every view must have, over every agent in the list: it equals its oracle, and
//! neither order, batching, duplicates taken back, nor the number of workers can be seen.

use std::collections::BTreeMap;

use ionflux_operators::harness::run;
use ionflux_operators::oracle::{self, Contents};
use ionflux_operators::{Time, list};
use ionflux_schemas::fact::{Differences, Fact, FactKind, Hour};
use ionflux_schemas::key::CustomerKey;
use ionflux_schemas::run::Run;
use ionflux_schemas::time::Day;
use proptest::prelude::*;

/// Facts over few shops, days, products and customers, so that keys collide often.
fn fact() -> impl Strategy<Value = Fact> {
    use FactKind::{Extras, Order, Refund, Return, Sale};
    let kind = prop::sample::select(vec![Order, Extras, Sale, Return, Refund]);
    let place = (0..3_u32, 0..4_u32, 0..5_u64, 0..70_i32, 0..24_u32);
    let rest = (kind, 0..2_u16, 0..2_u32, 0..9_i32, [0..1000_i64, 0..500_i64]);
    (place, rest).prop_map(|(place, rest)| {
        let (shop, product, customer, day, hour) = place;
        let (kind, currency, channel, units, amounts) = rest;
        let order = kind == Order;
        Fact {
            shop,
            product,
            customer: if order { CustomerKey(customer) } else { CustomerKey::GUEST },
            day: Day(day),
            hour: Hour(day as u32 * 96 + hour * 4),
            currency,
            channel,
            kind,
            units,
            amounts,
        }
    })
}

/// Facts to hold in the end, others that come and go, and where the epochs are cut.
fn history() -> impl Strategy<Value = (Vec<Fact>, Vec<Vec<(Fact, i64)>>)> {
    let held = prop::collection::vec(fact(), 0..60);
    let passing = prop::collection::vec(fact(), 0..20);
    (held, passing, 1..6_usize).prop_flat_map(|(held, passing, epochs)| {
        let mut updates: Vec<(Fact, i64)> = held.iter().map(|fact| (*fact, 1)).collect();
        updates.extend(passing.iter().flat_map(|fact| [(*fact, 1), (*fact, -1)]));
        let places = prop::collection::vec(0..epochs, updates.len());
        (Just(held), Just(updates).prop_shuffle(), places, Just(epochs)).prop_map(
            |(held, updates, places, epochs)| {
                let mut cut = vec![Vec::new(); epochs];
                for (update, place) in updates.into_iter().zip(places) {
                    cut[place].push(update);
                }
                (held, cut)
            },
        )
    })
}

fn differences(epochs: &[Vec<(Fact, i64)>]) -> Vec<Differences> {
    let whole = |facts: &Vec<_>| Differences { facts: facts.clone(), faults: Vec::new() };
    epochs.iter().map(whole).collect()
}

/// The contents of each view after all epochs.
fn contents(epochs: &[Vec<Run>]) -> BTreeMap<&'static str, Contents> {
    let names = list::views().into_iter().enumerate();
    let fold = |(place, view): (usize, &'static ionflux_schemas::view::View)| {
        let runs = epochs.iter().map(|deltas| &deltas[place]);
        let total = runs.fold(Run::empty(view.width), |total, delta| total.merge(delta));
        let mut rows = Contents::new();
        total.for_each(|key, totals| {
            rows.insert(key, totals.to_vec());
        });
        (view.name, rows)
    };
    names.map(fold).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_view_equals_its_oracle_whatever_the_order_batching_and_workers(
        (held, epochs) in history(),
        workers in 1..=4_usize,
    ) {
        let expected = oracle::views(&held, &[]);
        prop_assert_eq!(contents(&run(&differences(&epochs), workers)), expected);
    }

    #[test]
    fn every_view_equals_its_oracle_after_each_epoch(
        epochs in prop::collection::vec(prop::collection::vec(fact(), 0..20), 1..5),
    ) {
        let updates: Vec<_> =
            epochs.iter().map(|facts| facts.iter().map(|fact| (*fact, 1)).collect()).collect();
        let deltas = run(&differences(&updates), 2);
        for upper in 1..=epochs.len() {
            let held: Vec<Fact> = epochs[..upper].concat();
            prop_assert_eq!(contents(&deltas[..upper]), oracle::views(&held, &[]));
        }
    }

    #[test]
    fn what_is_added_and_retracted_leaves_nothing((_, epochs) in history()) {
        let mut undone = epochs.clone();
        let back = |(fact, difference): &(Fact, i64)| (*fact, -difference);
        undone.extend(epochs.iter().rev().map(|facts| facts.iter().map(back).collect()));
        let left = contents(&run(&differences(&undone), 1));
        prop_assert!(left.values().all(Contents::is_empty), "{left:?}");
    }
}

#[test]
fn faults_are_rows_while_they_are_held() {
    let epoch = |faults: &[(u32, i64)]| Differences { facts: vec![], faults: faults.to_vec() };
    let deltas = run(&[epoch(&[(0, 1), (1, 1)]), epoch(&[(0, -1)]), epoch(&[])], 2);
    let after = |upper: Time| contents(&deltas[..upper as usize])["faults"].clone();
    assert_eq!(after(1), oracle::views(&[], &[0, 1])["faults"]);
    assert_eq!(after(3), oracle::views(&[], &[1])["faults"]);
}

#[test]
fn every_view_has_a_schema_whose_columns_its_rows_fill() {
    use ionflux_schemas::dictionary::Dictionary;
    use ionflux_schemas::fault::{Fault, FaultKind, Place};
    use ionflux_schemas::key::ShopKey;

    let dictionary = Dictionary::new();
    let shop = ShopKey::new("w", "s");
    dictionary.shops.number(&shop);
    let place = Place { source: "file".into(), line: 3 };
    let kind = FaultKind::Price;
    dictionary.faults.number(&Fault { shop, kind, place, subject: "".into(), reason: "".into() });
    for view in list::views() {
        let schema = view.parsed();
        let row = (view.row)(&dictionary, 0, &vec![1; view.width]);
        assert_eq!(row.0.len(), schema.columns.len(), "{view:?}");
        ionflux_schemas::columns::record_batch(&schema, &[row]).unwrap();
    }
}

#[test]
fn every_view_and_its_schema_name_the_same_version() {
    for view in list::views() {
        let namespace = format!("\"namespace\": \"ionflux.views.v{}\"", view.version);
        assert!(view.schema.contains(&namespace), "{view:?} has no {namespace} in its schema");
    }
}
