//! Sweeps: what is asked for again, and when the cursor moves.

use ionflux_schemas::event::Event;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Clock;
use ionflux_sources::list::read_delivery;
use ionflux_sources::poller::{Poll, PollError, Stop};
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
    bench.shop.state().budget = Some(4);
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
    bench.shop.state().budget = Some(2);
    let mut admin = bench.sweeper();
    assert!(admin.poll(&Stop::default()).is_err());
    bench.shop.state().budget = None;
    let gone = "{\"errors\":[{\"message\":\"Invalid cursor\"}]}";
    bench.shop.state().mishaps.push_back(crate::shop::Mishap::Status(200, gone, None));
    assert!(admin.poll(&Stop::default()).is_err());
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
    let said = known(said);
    assert!(said.iter().all(|(name, told)| found.get(name) == Some(told)), "{found:?}");
    // Beside them the shop's zone and settings.
    assert_eq!((said.len(), found.len()), (5, 7));
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

/// The zones that were told, each with the instant from which it holds.
fn zones(bench: &Bench) -> Vec<(UtcMs, String)> {
    let mut zones = Vec::new();
    for (position, delivery) in bench.deliveries() {
        for envelope in read_delivery(&delivery, position).envelopes {
            if let Event::Zone { from, zone } = envelope.event {
                zones.push((from, zone.to_string()));
            }
        }
    }
    zones
}

#[test]
fn the_shop_is_asked_for_itself_at_the_start_and_every_night() {
    let bench = Bench::new();
    let berlin = (UtcMs(i64::MIN), "Europe/Berlin".to_owned());
    let mut admin = bench.sweeper();
    for _ in 0..3 {
        admin.poll(&Stop::default()).unwrap();
        bench.clock.advance(900_000);
    }
    assert_eq!((bench.shop.times("Shop"), zones(&bench)), (1, vec![berlin.clone()]));
    // What is the same is told once, also to a program that begins.
    sweep(&bench);
    assert_eq!((bench.shop.times("Shop"), zones(&bench).len()), (2, 1));
    bench.shop.state().zone = "Asia/Tokyo";
    bench.clock.advance(86_400_000);
    let now = bench.clock.now();
    admin.poll(&Stop::default()).unwrap();
    let tokyo = (now, "Asia/Tokyo".to_owned());
    assert_eq!((bench.shop.times("Shop"), zones(&bench)), (3, vec![berlin, tokyo]));
    let settings = format!("StoreChange shop_updated@{now}");
    assert!(bench.known()[&settings].contains("Asia/Tokyo"), "{:?}", bench.known());
}

#[test]
fn a_shop_that_does_not_tell_of_itself_is_swept_all_the_same() {
    let bench = Bench::new();
    bench.shop.state().orders = vec![order(1, "2026-03-10T11:59:00Z", 1, 0)];
    let wrong = "{\"data\":{\"shop\":{\"ianaTimezone\":7}}}";
    bench.shop.state().mishaps.push_back(crate::shop::Mishap::Status(200, wrong, None));
    let mut admin = bench.sweeper();
    let failed = admin.poll(&Stop::default());
    assert!(matches!(&failed, Err(PollError::Permanent(why)) if why.contains("its zone")));
    assert_eq!((bench.orders(), zones(&bench).len()), (vec![1], 0));
    admin.poll(&Stop::default()).unwrap();
    assert_eq!(zones(&bench).len(), 1);
}

#[test]
fn customers_that_are_not_shown_are_guests() {
    let bench = Bench::new();
    bench.shop.state().hides_customers = true;
    bench.shop.state().orders = vec![order(1, "2026-03-10T11:59:00Z", 1, 0)];
    sweep(&bench);
    let known = bench.known();
    assert!(known["order 1"].contains("customer: None"), "{known:?}");
}
