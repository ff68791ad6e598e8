//! The first reading of a shop, whole, over crashes and over all that can go wrong with an export.

use std::collections::BTreeMap;

use ionflux_sources::poller::{Poll, PollError, Stop};

use crate::bench::Bench;
use crate::samples::{order, product};
use crate::shop::Mishap;

fn bench() -> Bench {
    let bench = Bench::new();
    {
        let mut state = bench.shop.state();
        let sample = |at: u64| order(at, "2026-03-06T08:00:00Z", 1 + at % 4, at % 3 / 2);
        state.orders = (1..=70).map(sample).collect();
        state.products = vec![product(1), product(2)];
        state.stages.extend([("CREATED", None), ("RUNNING", None)]);
    }
    bench
}

/// What a backfill that nothing disturbs comes to.
fn undisturbed() -> BTreeMap<String, String> {
    let bench = bench();
    bench.round().unwrap();
    bench.known()
}

#[test]
fn everything_is_read_once() {
    let bench = bench();
    let mut admin = bench.admin();
    let progress = admin.progress();
    admin.poll(&Stop::default()).unwrap();
    assert_eq!(*progress.lock().unwrap(), "");
    let mut orders = bench.orders();
    orders.sort_unstable();
    assert_eq!(orders, (1..=70).collect::<Vec<_>>());
    let known = bench.known();
    assert!(known["zone"].contains("Europe/Berlin"));
    assert!(known["Product 1"].contains("title: \"Cup\", status: \"active\""));
    let cost = known.iter().find(|(name, _)| name.starts_with("UnitCost 10@")).unwrap().1;
    assert!(cost.contains("cost: Some(\"4.5\")"), "{cost}");
    let unknown = known.iter().find(|(name, _)| name.starts_with("UnitCost 11@")).unwrap().1;
    assert!(unknown.contains("cost: None"), "{unknown}");
    let refunds = known.keys().filter(|name| name.starts_with("refund")).count();
    assert_eq!(refunds, 23);
    assert_eq!(std::fs::read_dir(bench.downloads()).unwrap().count(), 0);
    let asked = bench.shop.state().asked.len();
    bench.round().unwrap();
    // The second time it is only asked for itself and swept.
    assert_eq!(bench.shop.state().asked.len(), asked + 2);
    assert_eq!(bench.orders().len(), 70);
}

#[test]
fn a_crash_at_any_request_costs_nothing_and_repeats_little() {
    let whole = undisturbed();
    let requests = {
        let bench = bench();
        bench.shop.state().budget = Some(10_000);
        bench.round().unwrap();
        10_000 - bench.shop.state().budget.unwrap()
    };
    assert!(requests > 20, "{requests}");
    for died_at in 0..requests {
        let bench = bench();
        bench.shop.state().budget = Some(died_at);
        assert!(bench.round().is_err(), "{died_at} requests were enough");
        let begun = bench.shop.state().operations.len();
        bench.shop.state().budget = Some(requests);
        bench.round().unwrap();
        assert_eq!(bench.known(), whole, "died after {died_at} requests");
        assert!(bench.orders().len() <= 70 + 64, "died after {died_at} requests");
        // An answer that was lost may have begun an operation: at most that one is begun again.
        let operations = bench.shop.state().operations.len();
        assert!(operations <= 2 + usize::from(begun > 0), "{operations}");
    }
}

#[test]
fn deliveries_whose_cursor_was_lost_come_again_and_count_once() {
    // Dies behind the first handful, before the refunds of the second are there.
    let died = (1..100).map(|budget| {
        let bench = bench();
        bench.shop.state().budget = Some(budget);
        let _ = bench.round();
        bench
    });
    let bench = died.into_iter().find(|bench| bench.orders().len() == 64).unwrap();
    let cursors = bench.folder.path().join("cursors");
    let mut moved = 0;
    for entry in std::fs::read_dir(&cursors).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("\"done\":64") {
            std::fs::write(&path, text.replace("\"done\":64", "\"done\":0")).unwrap();
            moved += 1;
        }
    }
    assert_eq!(moved, 1);
    bench.shop.state().budget = None;
    bench.round().unwrap();
    assert_eq!(bench.orders().len(), 64 + 70);
    assert_eq!(bench.known(), undisturbed());
}

#[test]
fn an_export_that_was_removed_is_asked_for_again_and_none_stays_when_all_is_read() {
    let died = (1..100).map(|budget| {
        let bench = bench();
        bench.shop.state().budget = Some(budget);
        let _ = bench.round();
        bench
    });
    let bench = died.into_iter().find(|bench| bench.orders().len() == 64).unwrap();
    let removed = std::fs::read_dir(bench.downloads()).unwrap();
    let removed = removed.map(|file| std::fs::remove_file(file.unwrap().path()).unwrap());
    assert_eq!(removed.count(), 1);
    bench.shop.state().budget = None;
    bench.round().unwrap();
    assert_eq!(bench.shop.times("BulkStart"), 3);
    assert_eq!(bench.known(), undisturbed());
    // As a crash leaves it between the last step and its end.
    std::fs::write(bench.downloads().join("9.jsonl"), "{}").unwrap();
    bench.round().unwrap();
    assert_eq!(std::fs::read_dir(bench.downloads()).unwrap().count(), 0);
}

#[test]
fn a_download_that_drops_goes_on_where_it_was() {
    let bench = bench();
    bench.shop.state().breaks.extend([400, 0, 10]);
    bench.round().unwrap();
    assert_eq!(bench.known(), undisturbed());
    let asked = bench.shop.state().ranges_asked.clone();
    assert_eq!(
        asked[..4],
        ["bytes=0-15999", "bytes=400-15999", "bytes=400-15999", "bytes=410-15999"]
    );
    assert_eq!(asked[4], "bytes=16000-31999");
}

#[test]
fn a_download_that_was_cut_off_goes_on_at_its_last_boundary() {
    let bench = bench();
    // Shop, start, three looks, a fresh address; then some pieces.
    bench.shop.state().budget = Some(9);
    assert!(bench.round().is_err());
    let before = bench.shop.state().ranges_asked.len();
    bench.shop.state().budget = None;
    bench.round().unwrap();
    let asked = bench.shop.state().ranges_asked.clone();
    assert_eq!((before, &*asked[before]), (3, "bytes=48000-63999"));
    assert_eq!(bench.known(), undisturbed());
}

#[test]
fn a_storage_without_ranges_and_an_address_that_expired_will_do() {
    let bench = bench();
    bench.shop.state().ranges = false;
    bench.shop.state().expires = 1;
    bench.shop.state().breaks.extend([700]);
    bench.round().unwrap();
    assert_eq!(bench.known(), undisturbed());
}

#[test]
fn an_export_that_fails_begins_again_and_then_gives_way_to_pages() {
    let bench = bench();
    let failures = [("FAILED", Some("TIMEOUT")), ("CANCELED", None), ("EXPIRED", None)];
    bench.shop.state().stages = failures[..2].iter().copied().collect();
    bench.round().unwrap();
    assert_eq!(bench.shop.times("BulkStart"), 4);
    assert_eq!(bench.known(), undisturbed());
    // Three failures: orders come page by page, products by their export.
    let paged = self::bench();
    paged.shop.state().stages = failures.iter().copied().collect();
    paged.round().unwrap();
    assert_eq!((paged.shop.times("BulkStart"), paged.shop.times("OrdersPage")), (4, 4));
    assert_eq!(paged.known(), undisturbed());
}

#[test]
fn an_operation_that_already_runs_is_taken_over_if_it_is_ours() {
    let bench = bench();
    bench.shop.state().one_at_a_time = true;
    // The answer to the start is lost after the shop has heard it: it is asked for again.
    bench.shop.state().budget = Some(2);
    assert!(bench.round().is_err());
    let cursor = std::fs::read_dir(bench.folder.path().join("cursors")).unwrap();
    for entry in cursor {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("BulkOperation") {
            std::fs::write(&path, r#"{"stage":"orders","step":"start","failed":0}"#).unwrap();
        }
    }
    bench.shop.state().budget = None;
    bench.round().unwrap();
    assert_eq!(bench.shop.state().operations.len(), 2);
    assert_eq!(bench.known(), undisturbed());
}

#[test]
fn the_operation_of_another_is_waited_for() {
    let bench = bench();
    bench.shop.state().one_at_a_time = true;
    bench.shop.state().operations.push(crate::shop::Operation {
        query: "{ customers { edges { node { id } } } }".to_owned(),
        file: String::new(),
    });
    let refused = bench.round();
    assert!(matches!(refused, Err(PollError::Transient(_))), "{refused:?}");
    bench.shop.state().stages.clear();
    bench.round().unwrap();
    assert_eq!(bench.known(), undisturbed());
}

#[test]
fn a_shop_without_anything_is_done_at_once() {
    let bench = Bench::new();
    bench.round().unwrap();
    assert_eq!((bench.shop.times("BulkStart"), bench.shop.times("BulkLook")), (2, 2));
    let known = bench.known();
    assert!(known["StoreChange shop_updated"].contains("EUR"), "{known:?}");
    assert_eq!(known.len(), 2);
}

#[test]
fn what_is_denied_halts_and_says_why() {
    let bench = bench();
    // Once with customers and once without.
    bench.shop.state().stages = [("FAILED", Some("ACCESS_DENIED")); 2].into();
    let mut admin = bench.admin();
    let mut round = || admin.poll(&Stop::default());
    let refused = round();
    let Err(PollError::Permanent(reason)) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("export of its orders failed: ACCESS_DENIED"), "{reason}");
    assert!(reason.contains("the scopes read_orders"), "{reason}");
    let error = "{\"data\":{\"bulkOperationRunQuery\":{\"bulkOperation\":null,\"userErrors\":\
                 [{\"field\":[\"query\"],\"message\":\"no such field\"}]}}}";
    bench.shop.state().stages.clear();
    let mut state = bench.shop.state();
    state.operations.clear();
    state.mishaps.extend([Mishap::Status(200, "{\"data\":{\"node\":null}}", None)]);
    state.mishaps.extend([Mishap::Status(200, error, None)]);
    drop(state);
    let refused = round();
    let Err(PollError::Permanent(reason)) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("no such field"), "{reason}");
}

#[test]
fn lines_that_fit_nowhere_are_faults_with_their_letters() {
    let bench = bench();
    bench.shop.state().stages.clear();
    bench.round().unwrap();
    let orphan = r#"{"id":"gid://shopify/LineItem/1","__parentId":"gid://shopify/Order/999"}"#;
    let file = format!("{orphan}\n{{broken\n");
    let other = Bench::new();
    other.shop.state().stages = [("RUNNING", None)].into();
    other.shop.state().budget = Some(2);
    assert!(other.round().is_err());
    other.shop.state().operations[0].file = file;
    other.shop.state().budget = None;
    other.round().unwrap();
    let mut faults = Vec::new();
    for (position, delivery) in other.deliveries() {
        let decoded = ionflux_sources::list::read_delivery(&delivery, position);
        assert_eq!(decoded.letter.is_some(), !decoded.faults.is_empty());
        faults.extend(decoded.faults.into_iter().map(|fault| fault.reason.to_string()));
    }
    faults.sort();
    assert_eq!(faults.len(), 2);
    assert!(faults[0].contains("belongs to no order"), "{faults:?}");
    assert!(faults[1].contains("not valid JSON"), "{faults:?}");
}

#[test]
fn without_customers_a_shop_is_read_and_swept_all_the_same() {
    let bench = bench();
    bench.shop.state().hides_customers = true;
    bench.shop.state().stages.clear();
    bench.round().unwrap();
    // Once with customers, once without, and the products.
    assert_eq!(bench.shop.times("BulkStart"), 3);
    let guests = |known: BTreeMap<String, String>| {
        known
            .values()
            .map(|told| told.replace("customer: Some(\"77\")", "customer: None"))
            .collect()
    };
    let expected: Vec<String> = guests(undisturbed());
    assert_eq!(bench.known().into_values().collect::<Vec<_>>(), expected);
    // The start of the export itself may be what is denied.
    let other = self::bench();
    let error = "{\"data\":{\"bulkOperationRunQuery\":{\"bulkOperation\":null,\"userErrors\":\
                 [{\"field\":[\"query\"],\"message\":\"Access denied for customer field.\"}]}}}";
    let mut admin = other.sweeper();
    admin.poll(&Stop::default()).unwrap();
    let mut admin = admin.with_pieces(other.downloads(), 16_000);
    let mut state = other.shop.state();
    state.hides_customers = true;
    state.stages.clear();
    state.mishaps.push_back(Mishap::Status(200, error, None));
    drop(state);
    admin.poll(&Stop::default()).unwrap();
    assert_eq!(other.known().into_values().collect::<Vec<_>>(), expected);
}
