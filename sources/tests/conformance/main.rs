//! Every source of the list passes the suite, over samples of its own.
//!
//! Invariant: a source without samples here fails the first test; a file for each source.

#![allow(clippy::unwrap_used)]

mod kafka;
mod platform;
mod settings;
mod shopify;
mod subjects;
mod tiktok;

use ionflux_schemas::delivery::Delivery;
use ionflux_sources::conformance::{Described, Meant, SCENARIOS, Scenario, check, holds};
use ionflux_sources::list;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// The samples of each source: a line each.
fn described() -> Vec<Described> {
    vec![
        shopify::webhooks(),
        shopify::admin(),
        tiktok::shop_webhooks(),
        tiktok::developer_webhooks(),
        tiktok::shop_api(),
        tiktok::samples(),
        tiktok::ads(),
        platform::events(),
        settings::changes(),
        kafka::messages(),
        subjects::requests(),
    ]
}

#[test]
fn every_source_has_samples_of_every_kind() {
    let mut listed: Vec<&str> = list::sources().collect();
    let mut shown: Vec<&str> = described().iter().map(|source| source.source).collect();
    listed.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, listed, "each source needs its samples in sources/tests/conformance");
    for source in described() {
        let has = |kind: fn(&Meant) -> bool| source.samples.iter().any(|s| kind(&s.meant));
        assert!(has(|meant| matches!(meant, Meant::Good(_))), "{}: no good one", source.source);
        let broken = has(|meant| *meant == Meant::Broken);
        assert!(broken != source.silent, "{}: no broken one", source.source);
    }
}

#[test]
fn every_source_passes_every_scenario() {
    let mut broken = Vec::new();
    for source in described() {
        let trials = SCENARIOS.into_iter().map(|scenario| check(scenario, &source));
        broken.extend(trials.filter_map(Result::err).map(|broken| broken.to_string()));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn damaged() -> impl Strategy<Value = Delivery> {
    let all: Vec<Delivery> = described()
        .iter()
        .flat_map(|source| source.samples.iter().map(|sample| sample.delivery(source.source)))
        .collect();
    let damage = (any::<Index>(), any::<Index>(), any::<u8>(), 0_usize..60, 0_u8..6);
    (proptest::sample::select(all), vec(damage, 1..8)).prop_map(|(mut delivery, damages)| {
        let mut body = delivery.body.into_vec();
        for (at, other, byte, length, what) in damages {
            if body.is_empty() {
                break;
            }
            let (at, other) = (at.index(body.len()), other.index(body.len()));
            let end = (at + length).min(body.len());
            match what {
                0 => body[at] ^= 1 << (byte & 7),
                1 => body.insert(at, byte),
                2 => drop(body.drain(at..end)),
                3 => {
                    let part = body[at..end].to_vec();
                    drop(body.splice(other..other, part));
                }
                4 => body.swap(at, other),
                _ => body.truncate(at),
            }
        }
        delivery.body = body.into();
        delivery
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn damaged_deliveries_hold(delivery in damaged()) {
        prop_assert!(holds(&delivery).is_ok(), "{:?}", holds(&delivery));
    }
}

#[test]
fn the_suite_finds_what_it_is_for() {
    let source = shopify::webhooks();
    let fails = |change: fn(&mut Described)| {
        let mut changed = source.clone();
        change(&mut changed);
        let quick = [Scenario::Meant, Scenario::Unknown];
        quick.into_iter().find_map(|scenario| check(scenario, &changed).err())
    };
    assert!(fails(|_| {}).is_none());
    let miscounted = fails(|source| source.samples[0].meant = Meant::Good(17)).unwrap();
    assert!(miscounted.to_string().contains("meant as Good(17)"), "{miscounted}");
    let lone = fails(|source| {
        source.samples.retain(|sample| sample.name != "another fulfillment");
    });
    assert!(lone.unwrap().to_string().contains("two samples that differ"));
    let other_kind = fails(|source| {
        let product = source.samples.iter_mut().find(|s| s.name == "another fulfillment").unwrap();
        product.headers[0].1 = "customers/create";
    });
    assert!(other_kind.unwrap().to_string().contains("2 faults"));
}
