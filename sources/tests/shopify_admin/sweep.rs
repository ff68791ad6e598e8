//! Sweeps: what is asked for again, and when the cursor moves.

use ionflux_sources::poller::{Poll, Stop};
use ionflux_sources::shopify::webhook::{Webhook, records};

use crate::bench::{Bench, at, known};
use crate::samples::order;

fn sweep(bench: &Bench) {
    bench.sweeper().poll(&Stop::default()).unwrap();
}

#[test]
fn a_sweep_reaches_ten_minutes_behind_the_last_change_it_saw() {
    let bench = Bench::new();
    bench.shop.state().orders = vec![
        order(1, "2026-03-10T11:49:59Z", 1, 0),
        order(2, "2026-03-10T11:50:00Z", 1, 0),
        order(3, "2026-03-10T11:58:00Z", 1, 0),
    ];
    sweep(&bench);
    assert_eq!(bench.orders(), [2, 3]);
    bench.clock.advance(900_000);
    // A change that was listed late, and one that is too old to have been missed.
    bench
        .shop
        .state()
        .orders
        .extend([order(4, "2026-03-10T11:48:00Z", 1, 0), order(5, "2026-03-10T11:47:59Z", 1, 0)]);
    sweep(&bench);
    // Behind 12:00, when sweeping began: nothing later was seen yet.
    assert_eq!(bench.orders(), [2, 3, 2, 3]);
    bench.shop.state().orders.push(order(6, "2026-03-10T12:14:00Z", 1, 0));
    sweep(&bench);
    bench.shop.state().orders.push(order(7, "2026-03-10T12:04:00Z", 1, 0));
    sweep(&bench);
    assert_eq!(bench.orders(), [2, 3, 2, 3, 2, 3, 6, 7, 6]);
}

#[test]
fn a_sweep_that_ends_early_goes_on_at_its_page() {
    let bench = Bench::new();
    bench.shop.state().orders =
        (1..=90).map(|at| order(at, &format!("2026-03-10T11:5{}:00Z", at / 10), 1, 0)).collect();
    bench.shop.state().budget = Some(3);
    assert!(bench.sweeper().poll(&Stop::default()).is_err());
    assert_eq!(bench.orders().len(), 60);
    bench.shop.state().budget = None;
    sweep(&bench);
    assert_eq!(bench.orders(), (1..=90).collect::<Vec<_>>());
}

#[test]
fn a_page_that_is_not_known_any_more_begins_the_sweep_anew() {
    let bench = Bench::new();
    let orders = |shop: &crate::shop::Shop| {
        shop.state().orders = (1..=30).map(|at| order(at, "2026-03-10T11:55:00Z", 1, 0)).collect();
    };
    orders(&bench.shop);
    bench.shop.state().budget = Some(1);
    assert!(bench.sweeper().poll(&Stop::default()).is_err());
    bench.shop.state().budget = None;
    let gone = "{\"errors\":[{\"message\":\"Invalid cursor\"}]}";
    bench.shop.state().mishaps.push_back(crate::shop::Mishap::Status(200, gone, None));
    assert!(bench.sweeper().poll(&Stop::default()).is_err());
    assert_eq!(bench.orders().len(), 20);
    sweep(&bench);
    assert_eq!(bench.orders().len(), 50);
}

#[test]
fn every_night_seven_days_are_swept_once() {
    let bench = Bench::new();
    bench.shop.state().orders =
        vec![order(1, "2026-03-04T12:30:00Z", 1, 0), order(2, "2026-03-04T11:00:00Z", 1, 0)];
    sweep(&bench);
    assert!(bench.orders().is_empty());
    bench.clock.advance(86_400_000);
    sweep(&bench);
    assert_eq!(bench.orders(), [1]);
    bench.clock.advance(900_000);
    sweep(&bench);
    assert_eq!(bench.orders(), [1]);
}

#[test]
fn an_order_means_what_it_means_in_a_webhook_with_all_its_lines_and_refunds() {
    let bench = Bench::new();
    let told = order(5, "2026-03-10T11:59:00Z", 137, 3);
    bench.shop.state().orders = vec![told.clone()];
    sweep(&bench);
    assert!(bench.shop.times("OrderLines") > 1 && bench.shop.times("RefundLines") > 1);
    let body = told.to_string();
    let webhook = Webhook {
        topic: Some("orders/updated"),
        shop: Some("acme.myshopify.com"),
        body: &body,
        ..Webhook::default()
    };
    let setting = ionflux_sources::reading::Setting {
        workspace: "acme".into(),
        shop: None,
        currency: None,
        zone: ionflux_schemas::time::Zone::UTC,
        reading: 0,
    };
    let said = records(&webhook, &setting).into_iter().flat_map(Result::unwrap).collect();
    let found = bench.known();
    let paid = &found["Transaction 5"];
    assert!(paid.contains("fee: Some(300)") && paid.contains("amount: 9999"), "{paid}");
    assert_eq!(found, known(said));
    assert_eq!(found.len(), 5);
    assert_eq!(bench.deliveries()[0].1.received_at, at("2026-03-10T12:00:00Z"));
}

#[test]
fn a_journal_without_room_is_waited_for() {
    let bench = Bench::with_journal(60_000);
    bench.shop.state().orders =
        (1..=100).map(|at| order(at, "2026-03-10T11:59:00Z", 3, 0)).collect();
    sweep(&bench);
    assert!(bench.waited().iter().any(|wait| wait.as_secs() == 30));
    // Every page was acknowledged: no room is no failure.
    assert_eq!(bench.shop.times("OrdersPage"), 5);
}
