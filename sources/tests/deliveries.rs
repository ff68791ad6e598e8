//! Deliveries out of the journal: read by their source, faults told apart by content.
//!
//! Invariant: when a delivery came, and where the journal has it, changes its letter alone.

#![allow(clippy::unwrap_used)]

use ionflux_schemas::currency::Currency;
use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::event::Event;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::letters::{Changes, read_again};
use ionflux_sources::list::read_delivery;
use ionflux_sources::reading::Decoded;

const ORDER: &str = include_str!("../fixtures/shopify/order_tax_inclusive.json");
const NO_CURRENCY: &str = include_str!("../fixtures/shopify/order_without_a_currency.json");
const REDACT: &str = r#"{"shop_id":954889,"shop_domain":"a.myshopify.com",
    "customer":{"id":191167,"email":"john@example.com"},"orders_to_redact":[299938,280263]}"#;

fn delivery(headers: &[(&str, &str)], body: &[u8]) -> Delivery {
    Delivery {
        source: "shopify-webhooks".into(),
        workspace: "w".into(),
        received_at: UtcMs(5),
        headers: headers.iter().map(|&(name, text)| (name.into(), text.into())).collect(),
        body: body.into(),
    }
}

fn of(topic: &str, body: &str) -> Delivery {
    let headers = [
        ("x-shopify-topic", topic),
        ("x-shopify-shop-domain", "a.myshopify.com"),
        ("x-shopify-triggered-at", "2026-03-01T09:30:00Z"),
    ];
    delivery(&headers, body.as_bytes())
}

fn read(delivery: &Delivery) -> Decoded {
    let decoded = read_delivery(delivery, Position(9));
    assert_eq!(decoded.faults.is_empty(), decoded.letter.is_none());
    if let Some(letter) = &decoded.letter {
        assert_eq!(read_again(letter, &Changes::default()).unwrap(), decoded);
    }
    decoded
}

fn told(decoded: &Decoded) -> Vec<String> {
    let faults = decoded.faults.iter();
    let shown = |f: &ionflux_schemas::fault::Fault| {
        format!("{} {} {} [{}] {}", f.shop, f.place, f.kind.name(), f.subject, f.reason)
    };
    faults.map(shown).collect()
}

#[test]
fn headers_say_what_a_body_is_with_either_prefix() {
    let decoded = read(&of("orders/create", ORDER));
    assert!(matches!(decoded.envelopes[0].event, Event::Order(_)));
    assert_eq!(decoded.envelopes[0].shop.to_string(), "w/a.myshopify.com");
    assert_ne!(decoded.envelopes[0].version.raised_at, UtcMs(0));
    let newer: Vec<(String, String)> = of("orders/create", ORDER)
        .headers
        .into_iter()
        .map(|(name, text)| (name.trim_start_matches("x-").to_owned(), text.into()))
        .collect();
    let newer: Vec<(&str, &str)> = newer.iter().map(|(n, t)| (&**n, &**t)).collect();
    assert_eq!(read(&delivery(&newer, ORDER.as_bytes())), decoded);

    let deleted = read(&of("orders/delete", r#"{"id":820982911946154508}"#));
    assert!(matches!(deleted.envelopes[0].event, Event::OrderDeleted { .. }));
    let mut test = of("orders/create", ORDER);
    test.headers.insert("x-shopify-test".into(), "true".into());
    assert_eq!(read(&test).faults[0].kind, FaultKind::Unsupported);
}

#[test]
fn each_order_of_a_redaction_is_redacted() {
    let decoded = read(&of("customers/redact", REDACT));
    let orders: Vec<&str> = decoded
        .envelopes
        .iter()
        .map(|envelope| match &envelope.event {
            Event::Redacted { order } => &**order,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((orders, decoded.faults.len()), (vec!["299938", "280263"], 0));

    let shop = delivery(&[("x-shopify-topic", "customers/redact")], REDACT.as_bytes());
    assert_eq!(read(&shop).envelopes[0].shop.to_string(), "w/a.myshopify.com");
    let bare = delivery(&[], REDACT.as_bytes());
    assert_eq!(read(&bare).envelopes.len(), 2);

    let none = REDACT.replace("[299938,280263]", "[]");
    assert_eq!(read(&of("customers/redact", &none)), Decoded::default());
    let half = read(&of("customers/redact", &REDACT.replace("299938", "2.5")));
    assert_eq!((half.envelopes.len(), half.faults.len()), (1, 1));
    let body = r#"{"shop_id":1,"shop_domain":"a.myshopify.com"}"#;
    let missing = told(&read(&of("customers/redact", body)));
    assert!(missing[0].ends_with("the redaction request has no orders_to_redact"), "{missing:?}");
    for topic in ["shop/redact", "customers/data_request"] {
        // Whoever feeds the ledger carries these out; nothing in them counts.
        let decoded = read(&of(topic, body));
        assert_eq!(decoded, Decoded::default(), "{topic}");
    }
}

#[test]
fn broken_deliveries_are_told_apart_by_what_they_hold() {
    let one = read(&of("orders/create", "{\"id\":"));
    let shown = told(&one);
    let start = "w/a.myshopify.com shopify-webhooks syntax [delivery ";
    assert!(shown[0].starts_with(start), "{shown:?}");
    let two = read(&of("orders/create", "{\"ix\":"));
    assert_ne!(one.faults, two.faults);
    let mut late = of("orders/create", "{\"id\":");
    late.received_at = UtcMs(99);
    let later = read_delivery(&late, Position(1234));
    assert_eq!(later.faults, one.faults);
    let (letter, first) = (later.letter.unwrap(), one.letter.unwrap());
    assert_eq!(letter.id(), first.id());
    assert_eq!((letter.position, letter.received_at), (Some(Position(1234)), Some(UtcMs(99))));
    let names: Vec<&str> = first.context.keys().map(|name| &**name).collect();
    let expected = [
        "header.x-shopify-shop-domain",
        "header.x-shopify-topic",
        "header.x-shopify-triggered-at",
        "workspace",
    ];
    assert_eq!(names, expected);
    let bytes = delivery(&[], b"\xff{}");
    assert!(told(&read(&bytes))[0].ends_with("not valid UTF-8"));
}

#[test]
fn a_source_nobody_knows_is_a_fault_with_its_letter() {
    let unknown = Delivery { source: "csv".into(), ..of("orders/create", ORDER) };
    let decoded = read(&unknown);
    assert_eq!(decoded.faults[0].kind, FaultKind::Unsupported);
    assert!(told(&decoded)[0].contains("nothing reads deliveries of \"csv\""));
    assert_eq!(&*decoded.letter.unwrap().bytes, ORDER.as_bytes());
}

#[test]
fn a_delivery_is_read_again_after_a_fix() {
    let decoded = read(&of("orders/create", NO_CURRENCY));
    let letter = decoded.letter.unwrap();
    let currency = Some(Currency::parse("EUR").unwrap());
    let again = read_again(&letter, &Changes { currency, ..Changes::default() }).unwrap();
    assert_eq!((again.faults, again.envelopes.len()), (vec![], 1));
}

#[test]
fn two_bad_versions_of_an_order_are_two_faults_with_two_letters() {
    let later = NO_CURRENCY.replace("2026-", "2027-");
    assert_ne!(later, NO_CURRENCY);
    let (one, two) = (read(&of("orders/create", NO_CURRENCY)), read(&of("orders/updated", &later)));
    assert_ne!(one.faults[0].id(), two.faults[0].id());
    assert_ne!(one.letter.unwrap().id(), two.letter.unwrap().id());
}

#[test]
fn what_no_view_counts_is_one_fault_however_often_it_comes() {
    let body = |n: u32| format!(r#"{{"id":{n},"title":"a product","vendor":"somebody"}}"#);
    let (one, two) =
        (read(&of("draft_orders/update", &body(1))), read(&of("draft_orders/update", &body(2))));
    assert_eq!(one.faults[0].kind, FaultKind::Unsupported);
    assert_eq!(one.faults[0].id(), two.faults[0].id());
}

#[test]
fn a_shop_with_an_endless_name_is_refused() {
    let name = "x".repeat(70_000);
    let body = format!(r#"{{"id":1,"myshopify_domain":"{name}","iana_timezone":"Europe/Berlin"}}"#);
    let decoded = read(&delivery(&[("x-shopify-topic", "shop/update")], body.as_bytes()));
    assert!(decoded.envelopes.is_empty());
    assert!(told(&decoded)[0].contains("more than 255 bytes"), "{:?}", told(&decoded));
}

#[test]
fn one_shop_is_one_shop_however_it_is_written() {
    let of = |shop: &str, body: &str| {
        let headers = [("x-shopify-topic", "shop/update"), ("x-shopify-shop-domain", shop)];
        read(&delivery(&headers, body.as_bytes()))
    };
    let zone = r#""iana_timezone":"Europe/Berlin""#;
    let (bare, named) =
        (format!("{{{zone}}}"), format!(r#"{{"myshopify_domain":"A.myshopify.com",{zone}}}"#));
    for shop in ["a.myshopify.com", "A.MYSHOPIFY.COM.", "https://a.myshopify.com/admin"] {
        for body in [&bare, &named] {
            let decoded = of(shop, body);
            assert_eq!(decoded.envelopes[0].shop.to_string(), "w/a.myshopify.com");
        }
        let broken = of(shop, "{");
        assert_eq!(broken.faults[0].shop.to_string(), "w/a.myshopify.com");
    }
    // A number tells no shop, unless the body or whoever reads knows which one it is.
    for number in ["954889", "gid://shopify/Shop/954889"] {
        assert_eq!(of(number, &named).envelopes[0].shop.to_string(), "w/a.myshopify.com");
        let decoded = of(number, &bare);
        assert!(decoded.envelopes.is_empty());
        let faults = told(&decoded);
        assert!(faults[0].contains("field") && faults[0].contains("--shop"), "{faults:?}");
        let letter = decoded.letter.unwrap();
        let read = |shop: &str| {
            let change = Changes { shop: Some(shop.into()), ..Changes::default() };
            read_again(&letter, &change).unwrap().envelopes
        };
        assert_eq!(read("A.myshopify.com")[0].shop.to_string(), "w/a.myshopify.com");
        assert!(read("default").is_empty());
    }
}

#[test]
fn a_body_of_one_shop_is_not_counted_for_another() {
    let other = REDACT.replace("a.myshopify.com", "b.myshopify.com");
    let decoded = read(&of("customers/redact", &other));
    assert!(decoded.envelopes.is_empty());
    assert!(told(&decoded)[0].contains("of the shop b.myshopify.com"), "{:?}", told(&decoded));
}
