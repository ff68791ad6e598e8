//! Asking: waits, tries, and what is said when it does not help.

use std::time::Duration;

use ionflux_sources::poller::{Poll, PollError, Stop};
use ionflux_sources::shopify::admin::totals::facts;
use ionflux_sources::shopify::admin::{AdminError, Token};
use serde_json::{Value, json};

use crate::bench::{Bench, TOKEN};
use crate::samples::order;
use crate::shop::Mishap;

fn asked(bench: &Bench) -> Result<(), AdminError> {
    facts(&mut bench.client(), &Stop::default()).map(|_| ())
}

#[test]
fn what_passes_is_tried_again_and_waited_for_as_told() {
    let bench = Bench::new();
    bench.shop.state().mishaps.extend([
        Mishap::Dead,
        Mishap::Status(503, "later", None),
        Mishap::Status(502, "later", Some("7")),
        Mishap::Status(429, "too much", Some("2.0")),
        Mishap::Status(429, "too much", None),
        Mishap::Status(200, "<html>", None),
    ]);
    asked(&bench).unwrap();
    let waited: Vec<u64> = bench.waited().iter().map(Duration::as_secs).collect();
    assert_eq!(waited, [1, 2, 7, 2, 60, 8]);
}

#[test]
fn what_is_throttled_waits_until_its_points_are_there() {
    let throttled = |extensions: Value| {
        let error = json!({ "message": "Throttled", "extensions": { "code": "THROTTLED" } });
        json!({ "data": null, "errors": [error], "extensions": extensions }).to_string()
    };
    let status = |available: u64| {
        let status = json!({ "maximumAvailable": 1000.0, "currentlyAvailable": available,
            "restoreRate": 50.0 });
        throttled(json!({ "cost": { "requestedQueryCost": 500, "throttleStatus": status } }))
    };
    // What is missing comes back at 50 points a second.
    for (body, after, waited) in [
        (status(100), None, 8),
        (status(0), None, 10),
        (status(100), Some("3"), 3),
        // Others of the app took them between the answer and the next question.
        (status(900), None, 1),
        (throttled(json!({})), None, 60),
    ] {
        let bench = Bench::new();
        let body: &'static str = body.leak();
        bench.shop.state().mishaps.push_back(Mishap::Status(200, body, after));
        asked(&bench).unwrap();
        assert_eq!(bench.waited().first().map(Duration::as_secs_f64), Some(waited.into()));
    }
}

#[test]
fn tries_come_to_an_end() {
    let bench = Bench::new();
    bench.shop.state().budget = Some(0);
    let Err(AdminError::Transient(reason)) = asked(&bench) else { panic!("it was answered") };
    assert!(reason.starts_with("acme.myshopify.com was asked for itself: "), "{reason}");
    assert_eq!(bench.waited().len(), 6);
    let mut state = bench.shop.state();
    state.budget = None;
    state.mishaps.extend((0..40).map(|_| Mishap::Status(429, "too much", Some("1"))));
    drop(state);
    assert!(matches!(asked(&bench), Err(AdminError::Transient(_))));
    assert_eq!(bench.waited().len(), 30);
}

#[test]
fn a_person_is_told_what_to_do_and_never_the_token() {
    let bench = Bench::new();
    let echo = "{\"errors\":[{\"message\":\"shpat_0123456789abcdef may not\",\
                \"extensions\":{\"code\":\"ACCESS_DENIED\"}}]}";
    for (mishap, told) in [
        (Mishap::Status(401, "shpat_0123456789abcdef is bad", None), "the secret ACME_TOKEN"),
        (Mishap::Status(403, "", None), "read_orders"),
        (Mishap::Status(404, "", None), "no Admin API 2026-10"),
        (Mishap::Status(402, "", None), "frozen"),
        (Mishap::Status(302, "", None), "redirects are not followed"),
        (Mishap::Status(200, echo, None), "[token] may not"),
        (Mishap::Status(200, "{\"errors\":\"Not Found\"}", None), "Not Found"),
        (Mishap::Status(200, "{\"data\":{\"shop\":7}}", None), "unexpected form"),
    ] {
        bench.shop.state().mishaps.push_back(mishap);
        let Err(error) = asked(&bench) else { panic!("it was answered") };
        assert!(matches!(error, AdminError::Permanent(_)), "{error:?}");
        assert!(error.to_string().contains(told), "{error}");
        assert!(!format!("{error} {error:?}").contains("0123456789"), "{error}");
    }
    let client = bench.client();
    assert!(!format!("{:?}", client.account()).contains(TOKEN));
    assert_eq!(format!("{:?}", Token::new(TOKEN.to_owned())), "Token");
}

#[test]
fn a_token_that_no_header_can_hold_is_not_shown_either() {
    let bench = Bench::new();
    let mut account = bench.client().account().clone();
    account.token = Token::new("two\nlines".to_owned());
    let clock = bench.clock.clone();
    let mut client =
        ionflux_sources::shopify::admin::Client::new(account, clock, bench.steps.clone());
    let Err(error) = facts(&mut client, &Stop::default()) else { panic!("it was answered") };
    assert!(matches!(error, AdminError::Permanent(_)), "{error:?}");
    assert!(!error.to_string().contains("two"), "{error}");
}

#[test]
fn nothing_is_asked_that_there_are_no_points_for() {
    let bench = Bench::new();
    {
        let mut state = bench.shop.state();
        state.bucket = (1_000, 20);
        state.orders = (1..=100).map(|at| order(at, "2026-03-10T11:59:00Z", 14, 1)).collect();
    }
    bench.sweeper().poll(&Stop::default()).unwrap();
    assert_eq!(bench.orders().len(), 100);
    assert!(!bench.waited().is_empty());
    assert_eq!(bench.shop.state().short, 0);
}

#[test]
fn points_that_others_spend_are_waited_for() {
    let bench = Bench::new();
    {
        let mut state = bench.shop.state();
        // Less than the client takes a page to cost, and it cannot know.
        state.bucket = (460, 10);
        state.orders = (1..=50).map(|at| order(at, "2026-03-10T11:59:00Z", 2, 0)).collect();
    }
    let mut admin = bench.sweeper();
    admin.poll(&Stop::default()).unwrap();
    assert_eq!(bench.orders().len(), 50);
    assert_eq!(bench.shop.state().short, 0);
}

#[test]
fn a_page_that_costs_too_much_is_asked_for_in_smaller_ones() {
    let bench = Bench::new();
    {
        let mut state = bench.shop.state();
        state.costly_above = 60;
        state.orders = (1..=9).map(|at| order(at, "2026-03-10T11:59:00Z", 7, 1)).collect();
    }
    bench.sweeper().poll(&Stop::default()).unwrap();
    let mut orders = bench.orders();
    orders.sort_unstable();
    assert_eq!(orders, (1..=9).collect::<Vec<_>>());
    bench.shop.state().costly_above = 1;
    let refused = bench.sweeper().poll(&Stop::default());
    assert!(matches!(refused, Err(PollError::Permanent(_))), "{refused:?}");
}

#[test]
fn whoever_is_told_to_stop_asks_nothing_more() {
    let bench = Bench::new();
    let stop = Stop::default();
    stop.ask();
    assert!(bench.admin().poll(&stop).is_ok());
    assert_eq!(bench.shop.state().asked.len(), 0);
}
