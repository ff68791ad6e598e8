//! The recorded life of one order: in any order, doubled, and lost and told again.
//!
//! Invariant: whatever became of the deliveries, once each has come the same is held. The folder
//! is not part of the repository; where it is missing the tests say so loudly, and fail under
//! `CI=true`.

#![allow(clippy::unwrap_used)]

mod folded;

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use folded::{bodies, fold};
use ionflux_schemas::entity::Body;
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::time::Zone;
use ionflux_sources::reading::Setting;
use ionflux_sources::shopify::webhook_file;
use proptest::prelude::*;

const FILES: [&str; 5] = [
    "lifecycle_1_order_paid.json",
    "lifecycle_2_order_fulfilled.json",
    "lifecycle_3_order_partially_refunded.json",
    "lifecycle_3_transactions.json",
    "lifecycle_refund.json",
];

fn setting() -> Setting {
    let shop = Some("shop".into());
    Setting { workspace: "w".into(), shop, currency: None, zone: Zone::UTC, reading: 1 }
}

/// What each recorded delivery says; nothing where the folder is missing.
static DELIVERIES: LazyLock<Vec<Vec<Envelope>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/shopify");
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is missing, no recorded life was told", folder.display());
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "the shared samples must be there under CI=true");
        return Vec::new();
    }
    let read = |name: &str| {
        let reader = Box::new(Cursor::new(fs::read(folder.join(name)).unwrap()));
        let read = webhook_file::read(reader, Arc::from(name), name.into(), setting());
        let decoded: Vec<_> = read.map(Result::unwrap).collect();
        assert!(decoded.iter().all(|decoded| decoded.faults.is_empty()), "{name}: {decoded:?}");
        decoded.into_iter().flat_map(|decoded| decoded.envelopes).collect()
    };
    FILES.map(read).into()
});

#[test]
fn the_last_state_is_held_once() {
    if DELIVERIES.is_empty() {
        return;
    }
    let state = fold(DELIVERIES.iter().flatten());
    let held = bodies(&state);
    let names: Vec<&str> = held.keys().copied().collect();
    let expected = [
        "w/shop Transaction 5732820100",
        "w/shop Transaction 5732822788",
        "w/shop Transaction 7233040068",
        "w/shop order 5182437124",
    ];
    assert_eq!(names.iter().filter(|name| !name.contains("refund")).count(), expected.len());
    assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
    let moved = held.values().filter_map(|event| match event {
        Event::Entity(entity) => match &entity.body {
            Body::Transaction(moved) => Some((&*moved.kind, moved.amount, moved.parent.as_deref())),
            _ => None,
        },
        _ => None,
    });
    let expected = [
        ("authorization", 47_000, None),
        ("capture", 47_000, Some("5732820100")),
        ("refund", 15_000, Some("5732822788")),
    ];
    assert_eq!(moved.collect::<Vec<_>>(), expected);
}

proptest! {
    #[test]
    fn order_duplicates_and_losses_made_good_are_not_seen(
        first in prop::collection::vec(0..FILES.len(), 0..12),
        again in Just((0..FILES.len()).collect::<Vec<_>>()).prop_shuffle(),
        mixed in any::<bool>(),
    ) {
        if !DELIVERIES.is_empty() {
            // Some came, in any order and number; then a sweep brings all, in any order.
            let mut told = first.clone();
            told.extend(&again);
            if mixed {
                told.reverse();
            }
            let state = fold(told.iter().flat_map(|&at| &DELIVERIES[at]));
            prop_assert_eq!(state, fold(DELIVERIES.iter().flatten()));
        }
    }
}
