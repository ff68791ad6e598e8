//! Reading what came from Kafka: JSON and framed Avro mean what the event's own door takes, and
//! everything else is a fault with the message as it came.
//!
//! Invariant: the place in a partition is no part of what is said.

#![allow(clippy::unwrap_used)]

mod confluent;

use std::collections::BTreeMap;

use confluent::Server;
use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::kafka::again::give_schema;
use ionflux_sources::letters::{Changes, read_again};
use ionflux_sources::list::read_delivery;
use ionflux_sources::reading::Decoded;
use ionflux_sources::registry::Registry;
use ionflux_sources::registry::wire::frame;

const SCHEMA: &str = r#"{"type":"record","name":"platform_event","fields":[
    {"name":"event_id","type":"string"},
    {"name":"event_type","type":"string"},
    {"name":"event_timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"workspace_id","type":["null","string"],"default":null},
    {"name":"payload_json","type":"string"}]}"#;

const EVENT: &str = r#"{"event_id":"e1","event_type":"ionflux.platform.video_posted",
    "event_timestamp":"1970-01-01T00:00:02Z","workspace_id":"acme",
    "payload_json":"{\"user_id\":\"u1\"}"}"#;

/// The same event in Avro.
fn datum() -> Vec<u8> {
    let mut datum = Vec::new();
    let text = |datum: &mut Vec<u8>, text: &str| {
        datum.push(u8::try_from(text.len() * 2).unwrap());
        datum.extend(text.bytes());
    };
    text(&mut datum, "e1");
    text(&mut datum, "ionflux.platform.video_posted");
    datum.extend([0xa0, 0x1f, 2]);
    text(&mut datum, "acme");
    text(&mut datum, r#"{"user_id":"u1"}"#);
    datum
}

fn message(workspace: &str, body: &[u8], more: &[(&str, &str)]) -> Delivery {
    let mut headers = BTreeMap::new();
    for (name, text) in [("topic", "t"), ("partition", "3"), ("offset", "41")].iter().chain(more) {
        headers.insert((*name).into(), (*text).into());
    }
    let (source, workspace) = ("kafka".into(), workspace.into());
    Delivery { source, workspace, received_at: UtcMs(9), headers, body: body.into() }
}

fn read(delivery: &Delivery) -> Decoded {
    read_delivery(delivery, Position(5))
}

/// What the event's own door would have taken, read.
fn at_the_door() -> Decoded {
    let mut delivery = message("acme", EVENT.as_bytes(), &[]);
    (delivery.source, delivery.headers) = ("platform-events".into(), BTreeMap::new());
    read(&delivery)
}

#[test]
fn an_event_means_the_same_whatever_carried_it() {
    let door = at_the_door();
    assert!(!door.envelopes.is_empty() && door.faults.is_empty());
    for delivery in [
        message("acme", EVENT.as_bytes(), &[]),
        message("", EVENT.as_bytes(), &[]),
        message("acme", &frame(7, &datum()), &[("writer-schema", SCHEMA)]),
        message("", &frame(7, &datum()), &[("writer-schema", SCHEMA)]),
        message("acme", &frame(8, EVENT.as_bytes()), &[("json-schema", "")]),
    ] {
        let decoded = read(&delivery);
        assert_eq!((decoded.envelopes, decoded.faults), (door.envelopes.clone(), vec![]));
    }
}

#[test]
fn an_event_of_another_workspace_than_its_topic_counts_nowhere() {
    for body in [EVENT.as_bytes().to_vec(), frame(7, &datum())] {
        let decoded = read(&message("other", &body, &[("writer-schema", SCHEMA)]));
        assert!(decoded.envelopes.is_empty());
        let [fault] = &decoded.faults[..] else { panic!("{:?}", decoded.faults) };
        assert!(
            &*fault.shop.workspace == "other" && fault.reason.contains("workspace"),
            "{fault:?}"
        );
        assert_eq!(&*decoded.letter.unwrap().bytes, &*body);
    }
}

#[test]
fn what_cannot_be_read_is_a_fault_with_the_message_as_it_came() {
    let framed = frame(7, &datum());
    let torn = &framed[..framed.len() - 1];
    let schema = [("writer-schema", SCHEMA)];
    for (delivery, kind, why) in [
        (message("acme", b"\x07rest", &[]), FaultKind::Syntax, "the first byte is 0x07"),
        (message("acme", b"", &[]), FaultKind::Syntax, "the first byte is none"),
        (message("acme", &framed, &[]), FaultKind::Syntax, "schema 7 did not come"),
        (message("acme", torn, &schema), FaultKind::Syntax, "do not fit the schema"),
        (message("acme", &framed, &[("writer-schema", "{")]), FaultKind::Syntax, "schema it was"),
        (
            message("acme", &framed, &[("trouble", "schema 7 is unknown")]),
            FaultKind::Syntax,
            "7 is",
        ),
        (message("", b"{}", &[]), FaultKind::Field, "names no workspace_id"),
        (message("", b"{", &[]), FaultKind::Field, "not valid JSON"),
    ] {
        let decoded = read(&delivery);
        let [fault] = &decoded.faults[..] else { panic!("{:?}", decoded.faults) };
        assert!(fault.kind == kind && fault.reason.contains(why), "{fault:?}");
        let letter = decoded.letter.clone().unwrap();
        assert_eq!((&*letter.bytes, &*letter.format), (&*delivery.body, "kafka"));
        assert_eq!(letter.context.get("header.offset").map(|text| &**text), Some("41"));
        // Read again, as after a fix, it says the same.
        let again = read_again(&letter, &Changes::default()).unwrap();
        assert_eq!(again.faults, decoded.faults);
    }
}

#[test]
fn the_place_in_a_partition_says_nothing() {
    for body in [&b"\x07rest"[..], EVENT.as_bytes(), b"{}"] {
        let one = message("acme", body, &[]);
        let mut other = message("acme", body, &[]);
        other.headers.insert("offset".into(), "42".into());
        other.received_at = UtcMs(10);
        let (one, other) = (read(&one), read(&other));
        assert_eq!((one.envelopes, one.faults), (other.envelopes, other.faults));
    }
}

/// An order as the bus has it, with no word of its shop.
const ORDER: &str = r#"{"event_id":"e2","event_type":"ionflux.shopify.order.created",
    "event_timestamp":"2026-03-01T10:00:01Z","workspace_id":"acme","payload_json":"{\"id\":31,
    \"created_at\":\"2026-03-01T10:00:00Z\",\"updated_at\":\"2026-03-01T10:00:00Z\",
    \"currency\":\"EUR\",\"taxes_included\":false,\"total_tax\":\"0.00\",\"test\":false,
    \"source_name\":\"web\",\"line_items\":[{\"id\":1,\"product_id\":9,\"price\":\"10.00\",
    \"quantity\":2}],\"shipping_lines\":[],\"refunds\":[]}"}"#;

/// The order without the line breaks that no JSON text may have.
fn order() -> Vec<u8> {
    ORDER.replace("\n    ", "").into_bytes()
}

fn shops(decoded: &Decoded) -> Vec<&str> {
    assert!(decoded.faults.is_empty(), "{:?}", decoded.faults);
    decoded.envelopes.iter().map(|envelope| &*envelope.shop.shop).collect()
}

#[test]
fn an_order_without_a_shop_is_of_its_messages_key_or_of_the_only_shop() {
    let (key, only) = (("key", "key.myshopify.com"), ("workspace-shop", "only.myshopify.com"));
    let of = |more: &[(&str, &str)]| read(&message("acme", &order(), more));
    assert!(shops(&of(&[key, only])).iter().all(|shop| *shop == "key.myshopify.com"));
    for other in ["31", "gid://shopify/Order/31", ".myshopify.com", "a b.myshopify.com", ""] {
        let found = of(&[("key", other), only]);
        assert_eq!(shops(&found), ["only.myshopify.com"], "{other}");
    }
    // A number of the shop does not name it; the key or the only shop does.
    let named = String::from_utf8(order()).unwrap();
    for number in ["954889", "gid://shopify/Shop/954889"] {
        let with = format!(r#"{{\"shop_domain\":\"{number}\",\"id\":31"#);
        let numbered = named.replace(r#"{\"id\":31"#, &with).into_bytes();
        let of = |more: &[(&str, &str)]| read(&message("acme", &numbered, more));
        assert_eq!(shops(&of(&[key, only])), ["key.myshopify.com"]);
        assert_eq!(shops(&of(&[only])), ["only.myshopify.com"]);
        assert!(of(&[]).faults[0].reason.contains("number of a shop"));
    }
    // A shop that the event names is the shop, and other events need none.
    let named =
        named.replace(r#"{\"id\":31"#, r#"{\"shop_domain\":\"own.myshopify.com\",\"id\":31"#);
    let own = read(&message("acme", named.as_bytes(), &[key, only]));
    assert_eq!(shops(&own), ["own.myshopify.com"]);
    let video = read(&message("acme", EVENT.as_bytes(), &[key, only]));
    assert_eq!(video.envelopes, at_the_door().envelopes);
}

#[test]
fn an_order_of_no_shop_says_what_a_message_can_do_and_is_read_again_as_of_one() {
    let decoded = read(&message("acme", &order(), &[("key", "31")]));
    let [fault] = &decoded.faults[..] else { panic!("{:?}", decoded.faults) };
    for part in ["topic t", "the message's key", "shop_domain", "faults replay --shop"] {
        assert!(fault.reason.contains(part), "no {part} in {}", fault.reason);
    }
    let change = Changes { shop: Some("late.myshopify.com".into()), ..Changes::default() };
    let again = read_again(&decoded.letter.unwrap(), &change).unwrap();
    assert_eq!(shops(&again), ["late.myshopify.com"]);
}

#[test]
fn a_message_is_read_once_its_schema_is_known() {
    let server = Server::start();
    let mut registry = Registry::new(&server.url(), None).unwrap();
    let trouble = [("trouble", "no schema 7: unknown")];
    let framed = frame(7, &datum());
    let mut letter = read(&message("acme", &framed, &trouble)).letter.unwrap();
    let before = letter.clone();
    assert!(give_schema(&mut letter, &mut registry).unwrap_err().to_string().contains("schema 7"));
    assert_eq!(letter, before);
    let schema = serde_json::json!({ "schema": SCHEMA });
    server.held.lock().unwrap().schemas.insert(7, schema);
    give_schema(&mut letter, &mut registry).unwrap();
    let again = read_again(&letter, &Changes::default()).unwrap();
    assert_eq!((again.envelopes, again.faults), (at_the_door().envelopes, vec![]));
    // What lacks something else stays as it was.
    for (body, more) in [
        (&framed[..], [("trouble", "a message of 9000000 bytes")]),
        (&framed[..3], trouble),
        (b"\x07rest", trouble),
    ] {
        let mut letter = read(&message("acme", body, &more)).letter.unwrap();
        let before = letter.clone();
        give_schema(&mut letter, &mut registry).unwrap();
        assert_eq!(letter, before);
    }
}
