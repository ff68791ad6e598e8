//! Requests about people on the way in: which are carried out, whatever carried them, and which
//! are faults.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::event::Event;
use ionflux_schemas::key::content_hash;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::list::read_delivery;
use ionflux_sources::subjects::Subjects;
use ionflux_sources::subjects::error::SubjectError;
use ionflux_sources::subjects::receipts::Scrubbed;
use ionflux_sources::subjects::requests::{Deed, Request};
use serde_json::json;

const SHOP: &str = "a.myshopify.com";
const REDACT: &str = r#"{"shop_id":954889,"shop_domain":"A.myshopify.com ",
    "customer":{"id":191167,"email":"John@Example.com"},"orders_to_redact":[299938]}"#;
const TELL: &str = r#"{"shop_id":954889,"shop_domain":"a.myshopify.com","orders_requested":[299938],
    "customer":{"id":191167,"email":"john@example.com"},"data_request":{"id":9999}}"#;
const SHOP_REDACT: &str = r#"{"shop_id":954889,"shop_domain":"a.myshopify.com"}"#;
const ORDER: &str = r#"{"id":1,"created_at":"2026-03-01T10:00:00Z","currency":"EUR",
    "total_price":"9.00","customer":{"id":191167},"myshopify_domain":"a.myshopify.com",
    "line_items":[{"id":1,"quantity":1,"price":"9.00","product_id":5}]}"#;

fn open(folder: &Path) -> (Subjects, Arc<Stepped>) {
    let clock = Arc::new(Stepped::new(UtcMs(1_772_323_200_000)));
    (Subjects::open(folder, clock.clone()).unwrap(), clock)
}

fn delivery(source: &str, headers: &[(&str, &str)], body: &str) -> Delivery {
    Delivery {
        source: source.into(),
        workspace: "w".into(),
        received_at: UtcMs(5),
        headers: headers.iter().map(|&(name, text)| (name.into(), text.into())).collect(),
        body: body.as_bytes().into(),
    }
}

fn webhook(topic: &str, body: &str) -> Delivery {
    let headers = [("x-shopify-topic", topic), ("x-shopify-shop-domain", SHOP)];
    delivery("shopify-webhooks", &headers, body)
}

fn event(source: &str, kind: &str, payload: &serde_json::Value) -> Delivery {
    let event = json!({
        "event_id": "e-1", "event_type": kind, "event_timestamp": "2026-03-01T10:00:00Z",
        "workspace_id": "w", "payload_json": payload,
    });
    delivery(source, &[("topic", "t"), ("key", "191167")], &event.to_string())
}

/// What a delivery asks, and how many faults it is in the journal.
fn asked(subjects: &Subjects, delivery: Delivery) -> (Option<Request>, usize) {
    let prepared = subjects.prepare(delivery).unwrap();
    let held = String::from_utf8_lossy(&prepared.delivery.body).to_lowercase();
    assert!(!held.contains("191167") && !held.contains("john@"), "{held}");
    (prepared.request, read_delivery(&prepared.delivery, Position(0)).faults.len())
}

#[test]
fn a_request_whose_body_is_not_what_its_headers_say_is_a_fault_and_not_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let (subjects, _) = open(folder.path());
    let elsewhere = REDACT.replace("A.myshopify.com", "b.myshopify.com");
    for (topic, body) in [
        ("customers/redact", &*elsewhere),
        ("customers/redact", &REDACT.replace("shop_domain", "shop")),
        ("customers/redact", TELL),
        ("customers/data_request", REDACT),
        ("shop/redact", REDACT),
        ("shop/redact", TELL),
        ("shop/redact", ORDER),
        ("SHOP_REDACT", &ORDER.replace("myshopify_domain", "shop_domain")),
        ("shop/redact", "[]"),
        ("customers/redact", &format!("[{REDACT}]")),
        ("customers/redact", &REDACT.replace("\"shop_id\"", "\"shop_domain\"")),
    ] {
        let (request, faults) = asked(&subjects, webhook(topic, body));
        assert_eq!((request, faults), (None, 1), "{topic} {body}");
    }
    for (topic, body) in [
        ("customers/redact", REDACT),
        ("shop/redact", SHOP_REDACT),
        ("customers/data_request", TELL),
    ] {
        let mut test = webhook(topic, body);
        test.headers.insert("x-shopify-test".into(), "true".into());
        assert_eq!(asked(&subjects, test), (None, 1), "{topic}");
    }
}

#[test]
fn a_request_is_one_in_every_form_and_whatever_carried_it() {
    let folder = tempfile::tempdir().unwrap();
    let (subjects, _) = open(folder.path());
    let person = r#"{"id":191167,"email":"John@Example.com"}"#;
    let bare = |kind: &str, source: &str, body: &str| {
        event(source, kind, &serde_json::from_str(body).unwrap())
    };
    let wrapped = json!({"topic": "CUSTOMERS_REDACT", "shop_domain": SHOP, "body": REDACT});
    for (delivery, deed) in [
        (webhook("customers/redact", REDACT), Deed::Forget),
        (webhook("CUSTOMERS_REDACT", REDACT), Deed::Forget),
        (webhook("CUSTOMERS_DATA_REQUEST", TELL), Deed::Tell),
        (webhook("customers/redact", &REDACT.replace(person, "191167")), Deed::Forget),
        (webhook("customers/redact", &REDACT.replace(person, "[\"191167\"]")), Deed::Forget),
        (
            webhook(
                "customers/redact",
                &REDACT.replace("191167", "\"gid://shopify/Customer/191167\""),
            ),
            Deed::Forget,
        ),
        (bare("ionflux.shopify.customer.redacted", "platform-events", REDACT), Deed::Forget),
        (bare("ionflux.shopify.customer.redacted", "kafka", REDACT), Deed::Forget),
        (bare("ionflux.shopify.customer.data_requested", "kafka", TELL), Deed::Tell),
        (event("platform-events", "ionflux.shopify.unmapped", &wrapped), Deed::Forget),
    ] {
        let shown = format!("{delivery:?}");
        let (request, faults) = asked(&subjects, delivery);
        let request = request.unwrap();
        assert_eq!((request.deed, faults), (deed, 0), "{shown}");
        assert!(request.ids.iter().any(|id| **id == *"191167"), "{request:?}");
        assert_eq!((&*request.workspace, &*request.orders[0]), ("w", "299938"));
        assert!(request.shop.trim().eq_ignore_ascii_case(SHOP));
    }
    let shop = bare("ionflux.shopify.shop.redacted", "platform-events", SHOP_REDACT);
    assert_eq!(asked(&subjects, shop).0.unwrap().deed, Deed::ForgetShop);
}

#[test]
fn webhooks_inside_events_are_minimised_like_webhooks() {
    let folder = tempfile::tempdir().unwrap();
    let (subjects, _) = open(folder.path());
    let order = ORDER.replace("\"id\":1,", "\"id\":1,\"email\":\"john@example.com\",");
    let customer = r#"{"id":191167,"email":"john@example.com","state":"enabled"}"#;
    for source in ["platform-events", "kafka"] {
        for name in ["body", "webhook_body", "payload"] {
            let wrapped = json!({"topic": "orders/create", "shop_domain": SHOP, name: order});
            let kind = "ionflux.shopify.order.created";
            assert_eq!(asked(&subjects, event(source, kind, &wrapped)), (None, 0), "{name}");
            let wrapped = json!({"shop_domain": SHOP, name: customer, "x": customer});
            assert_eq!(asked(&subjects, event(source, "shopify.customer.updated", &wrapped)).1, 1);
        }
        let payload = serde_json::from_str(customer).unwrap();
        let told = asked(&subjects, event(source, "ionflux.shopify.customer.created", &payload));
        assert_eq!(told.1, 1, "no view counts it");
        let text = serde_json::to_value(&order).unwrap();
        let mut older = event(source, "ionflux.shopify.order.created", &text);
        let body = String::from_utf8_lossy(&older.body).replace("payload_json", "event_properties");
        older.body = body.as_bytes().into();
        assert_eq!(asked(&subjects, older).1, 0);
        let keyed = subjects.prepare(event(source, "ionflux.platform.x", &json!({}))).unwrap();
        assert_eq!(keyed.delivery.headers.contains_key("key"), source != "kafka");
        let mut keyed = event(source, "ionflux.platform.x", &json!({}));
        keyed.headers.insert("key".into(), SHOP.into());
        let kept = subjects.prepare(keyed).unwrap().delivery;
        assert_eq!(kept.headers.get("key").map(|key| &**key), Some(SHOP));
    }
}

#[test]
fn a_buyer_is_one_whether_the_header_or_the_body_names_the_shop() {
    let folder = tempfile::tempdir().unwrap();
    let (subjects, _) = open(folder.path());
    let buyer = |delivery| {
        let kept = subjects.prepare(delivery).unwrap().delivery;
        let said = read_delivery(&kept, Position(0)).envelopes.remove(0);
        let Event::Order(order) = said.event else { panic!("an order") };
        (said.shop, order.customer.unwrap())
    };
    let bare = delivery("shopify-webhooks", &[("x-shopify-topic", "orders/create")], ORDER);
    assert_eq!(buyer(bare), buyer(webhook("orders/create", ORDER)));
}

#[test]
fn what_the_minimiser_takes_for_no_document_no_reader_does() {
    let folder = tempfile::tempdir().unwrap();
    let (subjects, _) = open(folder.path());
    for space in ["\u{a0}", "\u{2003}", "\u{b}"] {
        for body in [format!("{space}{ORDER}"), format!("{ORDER}{space}")] {
            let mut kept = subjects.prepare(webhook("orders/create", &body)).unwrap();
            assert!(kept.delivery.body.is_empty());
            subjects.lay_aside(&kept.raw.unwrap()).unwrap();
            assert!(subjects.restore(&mut kept.delivery).is_some());
            let said = read_delivery(&kept.delivery, Position(0));
            assert_eq!((said.envelopes.len(), said.faults.len()), (0, 1), "{body}");
        }
    }
    assert_eq!(asked(&subjects, webhook("orders/create", &format!(" \r\n{ORDER}\t"))), (None, 0));
}

/// How many links a request destroyed.
fn destroyed(subjects: &Subjects, request: &Request) -> u64 {
    subjects.begin(request).unwrap();
    subjects.complete(request, Scrubbed::default()).unwrap();
    let receipt = subjects.receipt("w", &request.id).unwrap().unwrap();
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
    receipt["statement"]["links_destroyed"].as_u64().unwrap()
}

#[test]
fn whoever_is_known_by_an_address_only_is_forgotten_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let (subjects, clock) = open(folder.path());
    let known = || {
        let mut said = read_delivery(&webhook("orders/create", ORDER), Position(0)).envelopes;
        let Event::Order(order) = &mut said[0].event else { panic!("an order") };
        let id = format!("email-{:032x}", content_hash(b"john@example.com"));
        order.customer = Some(id.into());
        let after = subjects.rename(&mut said).unwrap();
        subjects.vault().durable_blocking(after).unwrap();
        let Event::Order(order) = said.remove(0).event else { panic!("an order") };
        order.customer
    };
    let first = known().unwrap();
    assert!(first.starts_with("email-") && first.len() == 25, "{first}");
    let redact = asked(&subjects, webhook("customers/redact", REDACT)).0.unwrap();
    assert_eq!(destroyed(&subjects, &redact), 1);
    assert_eq!(known(), None, "who was forgotten stays unknown");
    clock.advance(11 * 86_400_000);
    assert_ne!(known().unwrap(), first);
    let by_address = Request::forget(("w", SHOP), "John@Example.com", UtcMs(0)).unwrap();
    assert_eq!(destroyed(&subjects, &by_address), 1);
}

#[test]
fn without_a_shop_every_shop_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let (subjects, _) = open(folder.path());
    let other = ORDER.replace(SHOP, "b.myshopify.com");
    for body in [ORDER, &other] {
        let bare = delivery("shopify-webhooks", &[("x-shopify-topic", "orders/create")], body);
        subjects.prepare(bare).unwrap();
    }
    let request = Request::forget(("w", ""), "191167", UtcMs(0)).unwrap();
    let shops = [SHOP, "b.myshopify.com", "c.myshopify.com"].map(Into::into).to_vec();
    assert_eq!(destroyed(&subjects, &Request { shops, ..request }), 2);
    // Unknown from now on only where they were known: elsewhere nobody was forgotten.
    for (shop, kept) in [("b.myshopify.com", false), ("c.myshopify.com", true)] {
        let body = ORDER.replace(SHOP, shop);
        let bare = delivery("shopify-webhooks", &[("x-shopify-topic", "orders/create")], &body);
        let prepared = subjects.prepare(bare).unwrap().delivery;
        let said = read_delivery(&prepared, Position(0)).envelopes;
        let Event::Order(order) = &said[0].event else { panic!("an order") };
        assert_eq!(order.customer.is_some(), kept, "{shop}");
    }
}

#[test]
fn more_requests_than_can_be_carried_out_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (subjects, _) = open(folder.path());
    let wait = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            std::fs::write(folder.path().join(format!("pending/{number:032x}.json")), "").unwrap();
        }
    };
    let by_token = Request::forget(("w", SHOP), "191167", UtcMs(0)).unwrap();
    let by_platform = Request { by_token: false, ..by_token.clone() };
    let crowded = |request| matches!(subjects.begin(request), Err(SubjectError::Crowded));
    wait(0..5_000);
    assert!(crowded(&by_token), "tokens take no more than half");
    assert!(!crowded(&by_platform));
    wait(5_000..10_000);
    assert!(crowded(&by_platform));
}
