//! Platform events read: what each type becomes, what is refused and why, and the same from a file.
//!
//! Invariant: an event means the same whatever carried it, and a letter of it read again says the
//! same.

#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::entity::{Body, Entity};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::{UtcMs, Zone};
use ionflux_sources::letters::{Changes, read_again};
use ionflux_sources::list::read_delivery;
use ionflux_sources::platform::file;
use ionflux_sources::reading::{Decoded, Setting};
use proptest::prelude::*;
use serde_json::{Value, json};

const DOCUMENTATION: &str = include_str!("../../docs/platform-events.md");
const ORDER: &str = include_str!("../fixtures/shopify/order_tax_inclusive.json");

fn delivery(source: &str, headers: &[(&str, &str)], body: &[u8]) -> Delivery {
    Delivery {
        source: source.into(),
        workspace: "w".into(),
        received_at: UtcMs(5),
        headers: headers.iter().map(|&(name, text)| (name.into(), text.into())).collect(),
        body: body.into(),
    }
}

fn read(body: &[u8]) -> Decoded {
    let decoded = read_delivery(&delivery("platform-events", &[("by", "ci")], body), Position(9));
    assert_eq!(decoded.faults.is_empty(), decoded.letter.is_none());
    if let Some(letter) = &decoded.letter {
        assert_eq!(read_again(letter, &Changes::default()).unwrap(), decoded);
    }
    decoded
}

fn from_file(text: &str) -> Vec<Decoded> {
    let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
    let setting = Setting {
        workspace: "w".into(),
        shop: None,
        currency: None,
        zone: Zone::parse("Asia/Tokyo").unwrap(),
        reading: 1,
    };
    let read = file::read(reader, Arc::from("f"), PathBuf::from("f"), setting);
    let read: Vec<Decoded> = read.map(Result::unwrap).collect();
    for decoded in &read {
        if let Some(letter) = &decoded.letter {
            assert_eq!(read_again(letter, &Changes::default()).unwrap(), *decoded);
        }
    }
    read
}

/// An event of a type with a payload.
fn event(kind: &str, payload: Value) -> Value {
    json!({
        "event_id": "e-1", "event_type": kind, "event_timestamp": "2026-03-01T09:30:00Z",
        "source_service_name": "test", "payload_schema_version": "v1.0", "payload_json": payload,
    })
}

fn with(mut event: Value, name: &str, value: Value) -> Value {
    event[name] = value;
    event
}

fn entity(event: &Value) -> (String, Entity) {
    let decoded = read(event.to_string().as_bytes());
    let [Envelope { shop, event: Event::Entity(entity), .. }] = &decoded.envelopes[..] else {
        panic!("{event} gives {decoded:?}")
    };
    (shop.shop.to_string(), (**entity).clone())
}

/// What is told of an event that is not taken.
fn reason(event: &Value) -> String {
    let decoded = read(event.to_string().as_bytes());
    assert!(decoded.envelopes.is_empty(), "{event} was taken");
    let fault = &decoded.faults[0];
    format!("{}: {}", fault.kind.name(), fault.reason)
}

#[test]
fn every_example_of_the_documentation_is_read_the_same_from_door_and_file() {
    let blocks: Vec<&str> = DOCUMENTATION
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 6);
    for block in &blocks {
        let decoded = read(block.as_bytes());
        assert_eq!((decoded.faults, decoded.envelopes.len()), (vec![], 1), "{block}");
    }
    let door: Vec<Envelope> = blocks.iter().flat_map(|b| read(b.as_bytes()).envelopes).collect();
    let lines: Vec<String> = blocks.iter().map(|b| b.replace('\n', " ")).collect();
    for text in [blocks.concat(), lines.join("\r\n\n"), format!("[{}]", blocks.join(","))] {
        let read: Vec<Envelope> = from_file(&text).into_iter().flat_map(|d| d.envelopes).collect();
        assert_eq!(read, door);
    }
}

#[test]
fn a_metric_keeps_its_number_exactly() {
    let metric = |payload| match entity(&event("ionflux.performance.metric.recorded", payload)) {
        (shop, Entity { at, body: Body::Metric(metric), .. }) => (shop, at, metric),
        other => panic!("{other:?}"),
    };
    let (shop, at, found) = metric(json!({
        "shop_id": "a", "metric": "Page-Load MS", "value": "812.500", "span_s": 60,
        "dimensions": {"theme_id": 9, "mobile": true, "none": null},
    }));
    assert_eq!((&*shop, &*found.name, &*found.value), ("a", "page_load_ms", "812.5"));
    assert_eq!((at.to_string().as_str(), found.span_ms), ("2026-03-01T09:30:00Z", 60_000));
    let dimensions: Vec<_> = found.dimensions.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(dimensions, ["mobile=true", "theme_id=9"]);
    let raw = r#"{"event_id":"e","event_type":"ionflux.performance.metric.recorded",
        "event_timestamp":"2026-03-01T09:30:00Z","payload_json":{"metric_name":"cvr",
        "value":0.1000000000000000055511151231,"from":"2026-03-01T09:00:00+01:00",
        "until":"2026-03-01T08:05:00Z"}}"#;
    let decoded = read(raw.as_bytes());
    let Event::Entity(entity) = &decoded.envelopes[0].event else { panic!("{decoded:?}") };
    let Body::Metric(found) = &entity.body else { panic!("{entity:?}") };
    assert_eq!(&*found.value, "0.1000000000000000055511151231");
    assert_eq!((entity.at.to_string().as_str(), found.span_ms), ("2026-03-01T08:00:00Z", 300_000));
    assert_eq!(&*decoded.envelopes[0].shop.shop, "");
}

#[test]
fn an_activity_has_its_actor_and_no_personal_property() {
    let payload = json!({
        "provider": "shopify", "agent_id": "a9", "email": "x@example.com", "nested": {"a": 1},
        "prose": "x".repeat(300), "first": true, "user_id": "inside",
    });
    let sent = event("ionflux.platform.saas_connected", payload.clone());
    let (shop, found) = entity(&with(sent.clone(), "user_did", json!("did:x:1")));
    let Body::Activity(activity) = found.body else { panic!("{found:?}") };
    assert_eq!((&*shop, &*activity.name), ("", "saas_connected"));
    assert_eq!(
        (activity.user.as_deref(), activity.agent.as_deref()),
        (Some("did:x:1"), Some("a9"))
    );
    let names: Vec<&str> = activity.properties.keys().map(|name| &**name).collect();
    assert_eq!(names, ["first", "provider"]);

    let name = |event: &Value| match entity(event) {
        (_, Entity { body: Body::Activity(a), .. }) => (a.name.to_string(), a.user, a.agent),
        other => panic!("{other:?}"),
    };
    let (_, user, _) = name(&sent);
    assert_eq!(user.as_deref(), Some("inside"));
    for (kind, payload, expected) in [
        ("saas_connected", json!({}), "saas_connected"),
        ("ionverse.platform.video_posted", json!({}), "video_posted"),
        ("ionflux.platform.canvas-page.created", json!({}), "canvas_page_created"),
        ("ionflux.platform.activity.recorded", json!({"activity": "deal_closed"}), "deal_closed"),
        ("ionflux.agent.run.completed", json!({"status": "success"}), "agent_run_success"),
        ("ionflux.agent.emailwizard.campaign_sent", json!({}), "campaign_sent"),
    ] {
        assert_eq!(name(&event(kind, payload)).0, expected, "{kind}");
    }
    let text = with(sent, "payload_json", json!(payload.to_string()));
    assert_eq!(name(&text).2.as_deref(), Some("a9"), "the payload as text");
}

#[test]
fn changes_actions_and_spend_are_what_they_say() {
    let payload = json!({"shop_domain": "s", "app_name": "Proof", "before": "1", "after": 2});
    let (shop, change) = entity(&event("ionflux.store.app.updated", payload));
    let Body::StoreChange(change) = change.body else { panic!("{change:?}") };
    assert_eq!((&*shop, &*change.change, &*change.title), ("s", "app_updated", "Proof"));
    assert_eq!(change.details.len(), 2);
    let (_, theme) = entity(&event(
        "ionflux.store.change.recorded",
        json!({
            "change": "theme_deployed", "at": "2026-02-28T00:00:00Z",
        }),
    ));
    assert_eq!(theme.at.to_string(), "2026-02-28T00:00:00Z");

    let payload = json!({"incident_id": "i1", "action": "resolve", "user_id": "u"});
    let (_, action) = entity(&event("ionflux.incident.action.recorded", payload));
    let Body::IncidentAction(action) = action.body else { panic!("{action:?}") };
    assert_eq!((&*action.incident, &*action.action), ("i1", "resolved"));
    assert_eq!(action.user.as_deref(), Some("u"));

    let payload = json!({"platform": "TikTok", "amount": 12.5, "currency": "jod", "clicks": 3});
    let (_, spend) = entity(&event("ionflux.marketing.spend.recorded", payload));
    let Body::Spend(spend) = spend.body else { panic!("{spend:?}") };
    assert_eq!((&*spend.platform, spend.amount, spend.currency.code()), ("tiktok", 12_500, "JOD"));
    assert_eq!(spend.counts.into_iter().collect::<Vec<_>>(), [("clicks".into(), 3)]);
}

#[test]
fn a_shopify_event_means_what_its_webhook_means() {
    let headers = [
        ("x-shopify-topic", "orders/create"),
        ("x-shopify-shop-domain", "a.myshopify.com"),
        ("x-shopify-triggered-at", "2026-03-01T09:30:00Z"),
    ];
    let webhook =
        read_delivery(&delivery("shopify-webhooks", &headers, ORDER.as_bytes()), Position(9));
    assert_eq!((webhook.faults.len(), webhook.envelopes.is_empty()), (0, false));
    let order: Value = serde_json::from_str(ORDER).unwrap();
    let created = "ionflux.shopify.order.created";
    let shop = json!("a.myshopify.com");
    for sent in [
        with(event(created, order.clone()), "shop_domain", shop.clone()),
        event(created, with(order.clone(), "shop_domain", shop.clone())),
        event(created, json!({"shop_domain": shop, "body": order})),
        event(created, json!({"shop": shop, "body": ORDER})),
        event("ionverse.shopify.orders.created", json!({"shop_id": shop, "payload": order})),
        event(
            "ionflux.shopify.unmapped",
            json!({"headers": {"X-Shopify-Topic": ["orders/create"],
            "x_shopify_shop_domain": shop}, "body": order}),
        ),
    ] {
        assert_eq!(read(sent.to_string().as_bytes()).envelopes, webhook.envelopes, "{sent}");
    }
    let deleted = event("ionflux.shopify.order.deleted", json!({"id": 7}));
    let decoded = read(with(deleted.clone(), "shop_id", shop.clone()).to_string().as_bytes());
    assert!(matches!(decoded.envelopes[0].event, Event::OrderDeleted { .. }));
    assert!(reason(&deleted).contains("names no shop"), "{}", reason(&deleted));
    let test = json!({"headers": {"X-Shopify-Test": "true"}, "shop": "s", "body": order});
    assert!(reason(&event(created, test)).contains("a test notification"));
}

#[test]
fn a_shop_is_named_by_its_name_and_not_by_a_number() {
    let metric = |named: Value| {
        let sent = event("ionflux.performance.metric.recorded", json!({"metric": "m", "value": 1}));
        named.as_object().unwrap().iter().fold(sent, |sent, (k, v)| with(sent, k, v.clone()))
    };
    let domain = "https://A.myshopify.com/";
    for (named, shop) in [
        (json!({"shop_domain": domain}), "a.myshopify.com"),
        (json!({"shop_id": 954889, "shop_domain": domain}), "a.myshopify.com"),
        (json!({"shop_id": "gid://shopify/Shop/1", "shopify_shop_id": domain}), "a.myshopify.com"),
        (json!({"shop_id": "7494049642642441621"}), "7494049642642441621"),
    ] {
        assert_eq!(entity(&metric(named)).0, shop);
    }
    assert!(reason(&metric(json!({"shop_id": 954889}))).contains("\"954889\" is a number"));
    let deleted = event("ionflux.shopify.order.deleted", json!({"id": 7}));
    let named = with(deleted, "shop_id", json!("954889"));
    assert!(reason(&named).contains("is a number of a shop"), "{}", reason(&named));
    let decoded = read(with(named, "shop_domain", json!(domain)).to_string().as_bytes());
    assert_eq!(&*decoded.envelopes[0].shop.shop, "a.myshopify.com");
}

#[test]
fn what_is_wrong_is_named() {
    let metric = |payload| event("ionflux.performance.metric.recorded", payload);
    let spend = |payload| event("ionflux.marketing.spend.recorded", payload);
    let good = metric(json!({"metric_name": "sessions", "value": 1}));
    let set = |name: &str, value| with(good.clone(), name, value);
    let big: serde_json::Map<_, _> = (0..65).map(|n| (format!("p{n}"), json!(n))).collect();
    for (event, expected) in [
        (json!([]), "field: the event is not a JSON object"),
        (set("event_id", json!(null)), "field: event_id is missing"),
        (set("event_id", json!("x".repeat(129))), "field: event_id is longer than 128 bytes"),
        (set("event_id", json!({})), "field: event_id is not a text or a number"),
        (set("event_type", json!("a b")), "field: event_type is not a dotted name"),
        (set("event_timestamp", json!("soon")), "time: event_timestamp: \"soon\" is not a time"),
        (set("event_timestamp", json!(null)), "field: event_timestamp is missing"),
        (set("workspace_id", json!("v")), "field: workspace_id is not the workspace"),
        (set("payload_json", json!(7)), "field: payload_json is neither an object nor"),
        (set("payload_json", json!("{")), "syntax: payload_json is not valid JSON"),
        (set("payload_schema_version", json!("v2.0")), "unsupported: payload_schema_version v2.0"),
        (metric(json!({"metric_name": "a"})), "field: payload_json.value is missing"),
        (
            metric(json!({"metric_name": "a", "value": "1,5"})),
            "amount: payload_json.value: \"1,5\"",
        ),
        (
            metric(json!({"metric_name": "a", "value": true})),
            "amount: payload_json.value: \"true\"",
        ),
        (metric(json!({"metric_name": "cvr", "value": -1})), "amount: payload_json.value is below"),
        (metric(json!({"metric_name": "é", "value": 1})), "field: payload_json.metric_name is not"),
        (
            metric(json!({"metric_name": "a", "value": 1, "dimensions": {"x": []}})),
            "field: payload_json.dimensions.x is not a text",
        ),
        (
            metric(json!({"metric_name": "a", "value": 1, "until": "2026-03-01T09:29:59Z"})),
            "time: payload_json.until is before",
        ),
        (spend(json!({"platform": "x", "amount": 1})), "field: payload_json.currency is missing"),
        (
            spend(json!({"platform": "x", "amount": "1.234", "currency": "EUR"})),
            "amount: payload_json.amount: 1.234 has more than the 2 decimals",
        ),
        (
            spend(json!({"platform": "x", "amount": "-1", "currency": "EUR"})),
            "amount: payload_json.amount: what was spent is never below zero",
        ),
        (
            spend(json!({"platform": "x", "amount": "1", "currency": "EUR", "clicks": 0.5})),
            "quantity: payload_json.clicks is not a whole number",
        ),
        (event("ionflux.platform.x", json!(big)), "field: payload_json has more than 64 values"),
        (event("ionflux.platform.a.b.c", json!({})), "unsupported: event type platform.a.b.c"),
    ] {
        let told = reason(&event);
        assert!(told.starts_with(expected), "{told} instead of {expected}");
    }
    let twice = br#"{"event_id":"e","workspace_id":"w","workspace_id":"v"}"#;
    assert!(read(twice).faults[0].reason.contains("workspace_id stands twice"));
    assert_eq!(read(b"\xff").faults[0].kind, FaultKind::Syntax);
}

#[test]
fn depth_is_bounded_inside_and_outside_of_texts() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let of = |payload: String| {
        format!(
            r#"{{"event_id":"e","event_type":"saas_connected",
            "event_timestamp":"2026-03-01T09:30:00Z","payload_json":{payload}}}"#
        )
    };
    let told = |body: String| read(body.as_bytes()).faults.first().map(|f| f.reason.to_string());
    assert_eq!(told(of(format!("{{\"a\":{}}}", nested(60)))), None);
    assert_eq!(told(of("{\"a\":\"[[[\\\"[[[\"}".to_owned())), None, "brackets in texts are none");
    let deep = told(of(format!("{{\"a\":{}}}", nested(100_000)))).unwrap();
    assert!(deep.contains("deeper than 64"), "{deep}");
    let text = json!(format!("{{\"a\":{}}}", nested(70))).to_string();
    assert!(told(of(text)).unwrap().contains("payload_json is nested deeper than 64"));
}

#[test]
fn an_unknown_type_is_one_fault_of_the_workspace() {
    let unknown = |id: &str, payload| {
        let sent = with(event("ionflux.tiktok.video.unheard_of", payload), "event_id", json!(id));
        read(sent.to_string().as_bytes()).faults
    };
    let (one, two) = (unknown("a", json!({"shop_id": "s"})), unknown("b", json!({"x": 1})));
    assert_eq!(one, two);
    assert_eq!((one.len(), one[0].kind), (1, FaultKind::Unsupported));
    let broken = |id: &str| {
        let sent = event("ionflux.performance.metric.recorded", json!({}));
        read(with(sent, "event_id", json!(id)).to_string().as_bytes()).faults
    };
    assert_ne!(broken("a"), broken("b"));
}

#[test]
fn a_uuid_is_the_same_in_any_case() {
    let id = "0B6FF7A2-54D1-4B5C-9A55-6F2D0C6B1A01";
    let sent = with(event("saas_connected", json!({})), "event_id", json!(id));
    assert_eq!(&*entity(&sent).1.id, id.to_lowercase());
}

#[test]
fn a_broken_line_of_a_file_costs_itself() {
    let good = event("saas_connected", json!({})).to_string();
    let read = from_file(&format!("{good}\n{{\"event_id\":\n{good}\nnonsense\n"));
    let told: Vec<(usize, usize)> =
        read.iter().map(|decoded| (decoded.envelopes.len(), decoded.faults.len())).collect();
    assert_eq!(told, [(1, 0), (0, 1), (1, 0), (0, 1)]);
    assert_eq!(read[1].faults[0].place.to_string(), "f:2");
}

fn damage() -> impl Strategy<Value = (prop::sample::Index, u8, usize)> {
    (any::<prop::sample::Index>(), any::<u8>(), 0_usize..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damaged_events_are_read_or_refused(
        which in 0_usize..6,
        damages in prop::collection::vec(damage(), 0..5),
    ) {
        let blocks = DOCUMENTATION.split("```json\n").skip(1);
        let blocks: Vec<&str> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
        let mut bytes = blocks[which].trim().as_bytes().to_vec();
        for (at, byte, length) in damages {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, [byte]);
        }
        let decoded = read(&bytes);
        prop_assert!(!decoded.envelopes.is_empty() || !decoded.faults.is_empty());
        prop_assert!(decoded.faults.iter().all(|f| f.reason.len() + f.subject.len() <= 2_000));
    }
}
