//! The doors for TikTok's webhooks without a socket, and what their deliveries say.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::entity::{Body as Of, Entity};
use ionflux_schemas::event::Event;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::doors::Doors;
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::memory::Memory;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::list::read_delivery;
use ionflux_sources::reading::Decoded;
use ionflux_sources::tiktok::door::{HintsOf, developers, shops};
use ionflux_sources::tiktok::hints::{Change, Hints};
use ionflux_sources::tiktok::signature::{DeveloperApp, ShopApp};
use prometheus::Registry;
use tower::ServiceExt;

const NOW_S: i64 = 1_700_000_000;

struct Bench {
    inbox: Inbox,
    hints: Hints,
    router: Router,
}

fn app() -> ShopApp {
    ShopApp::new("key", ["new", "old"])
}

impl Bench {
    fn new() -> Self {
        let limits = Limits { segment_bytes: 4_000, ..Limits::new(1 << 20) };
        let (journal, opened) = Journal::open(Box::new(Memory::new(1)), limits).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(NOW_S * 1_000)));
        let registry = Registry::new();
        let metrics = JournalMetrics::new(&registry).unwrap();
        let scribe = Scribe::new(journal, &opened, clock.clone(), metrics);
        let inbox = Inbox::open(scribe).unwrap();
        let doors =
            Doors::new(Intake::new(inbox.clone(), Privacy::Untouched), clock, &registry).unwrap();
        let hints = Hints::default();
        let hints_of = HintsOf::from([(("acme".into(), "749".into()), hints.clone())]);
        let apps = BTreeMap::from([("acme".to_owned(), app())]);
        let clients = BTreeMap::from([("acme".to_owned(), DeveloperApp::new(["client"]))]);
        let router = shops(doors.clone(), apps, hints_of).merge(developers(doors, clients, 300));
        Self { inbox, hints, router }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> StatusCode {
        let request = Request::post(format!("/webhooks/{path}"));
        let request = headers.iter().fold(request, |request, (n, v)| request.header(*n, *v));
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.router.clone().oneshot(request)).unwrap().status()
    }

    fn shop(&self, body: &str) -> StatusCode {
        let signature = app().sign(body.as_bytes()).unwrap();
        self.post("tiktok-shop/acme", &[("Authorization", &signature)], body.as_bytes())
    }

    fn kept(&self) -> Vec<Delivery> {
        self.inbox.close();
        let mut reader = self.inbox.read(Position(0));
        let durable = *self.inbox.durable().borrow();
        let mut kept = Vec::new();
        while let Some(record) = reader.next(durable).unwrap() {
            if let Entry::Delivery(delivery) = record.entry {
                kept.push(delivery);
            }
        }
        kept
    }
}

/// A webhook of a shop as the journal would have it.
fn said(body: &str) -> Decoded {
    let (source, workspace) = ("tiktok-shop-webhooks".into(), "acme".into());
    let (received_at, headers) = (UtcMs(1), BTreeMap::new());
    let body = body.as_bytes().into();
    let delivery = Delivery { source, workspace, received_at, headers, body };
    read_delivery(&delivery, Position(3))
}

fn entity(body: &str) -> (String, Entity) {
    let decoded = said(body);
    let [envelope] = &decoded.envelopes[..] else { panic!("{decoded:?}") };
    let Event::Entity(entity) = &envelope.event else { panic!("{decoded:?}") };
    (envelope.shop.to_string(), (**entity).clone())
}

#[test]
fn a_signed_webhook_is_kept_and_its_hint_passed_on() {
    let bench = Bench::new();
    let order = r#"{"type":1,"tts_notification_id":"9","shop_id":"749","timestamp":1700000000,
        "data":{"order_id":"576486316948490001","order_status":"CANCEL"}}"#;
    assert_eq!(bench.shop(order), StatusCode::OK);
    let old = ShopApp::new("key", ["old"]).sign(order.as_bytes()).unwrap();
    let header = [("authorization", old.as_str())];
    assert_eq!(bench.post("tiktok-shop/acme", &header, order.as_bytes()), StatusCode::OK);
    assert_eq!(bench.hints.take(9), [("576486316948490001".into(), Change::Order)]);
    let reversed = order.replace("\"type\":1", "\"type\":12");
    assert_eq!(bench.shop(&reversed), StatusCode::OK);
    assert_eq!(bench.shop(&order.replace("749", "750")), StatusCode::OK);
    assert_eq!(bench.hints.take(9), [("576486316948490001".into(), Change::Reversal)]);
    let kept = bench.kept();
    assert_eq!(kept.len(), 4);
    assert_eq!((&*kept[0].source, &*kept[0].workspace), ("tiktok-shop-webhooks", "acme"));
    assert_eq!((&*kept[0].body, kept[0].headers.len()), (order.as_bytes(), 0));
    assert_eq!(read_delivery(&kept[0], Position(0)), Decoded::default());
}

#[test]
fn what_is_forged_leaves_nothing_behind() {
    let bench = Bench::new();
    let body = br#"{"type":1,"shop_id":"749","data":{"order_id":"1"}}"#;
    let fits = app().sign(body).unwrap();
    let bearer = format!("Bearer {fits}");
    let post = |path: &str, headers: &[(&str, &str)]| bench.post(path, headers, body);
    for (path, headers) in [
        ("tiktok-shop/acme", &[][..]),
        ("tiktok-shop/acme", &[("Authorization", &*bearer)]),
        ("tiktok-shop/acme", &[("Authorization", "00")]),
        ("tiktok-shop/other", &[("Authorization", &*fits)]),
        ("tiktok/acme", &[("Authorization", &*fits)]),
        ("tiktok/acme", &[("TikTok-Signature", &*fits)]),
    ] {
        assert_eq!(post(path, headers), StatusCode::UNAUTHORIZED, "{path} {headers:?}");
    }
    let client = DeveloperApp::new(["client"]);
    let old = client.sign(body, NOW_S - 301).unwrap();
    assert_eq!(post("tiktok/acme", &[("TikTok-Signature", &old)]), StatusCode::UNAUTHORIZED);
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(bench.shop(&large), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(bench.hints.take(9).is_empty() && bench.kept().is_empty());
}

#[test]
fn a_developer_webhook_is_kept() {
    let bench = Bench::new();
    let body = br#"{"event":"tiktok.ping","create_time":1700000000,"content":"{}"}"#;
    let signature = DeveloperApp::new(["client"]).sign(body, NOW_S - 300).unwrap();
    let header = [("tiktok-signature", signature.as_str())];
    assert_eq!(bench.post("tiktok/acme", &header, body), StatusCode::OK);
    let kept = bench.kept();
    assert_eq!((&*kept[0].source, &*kept[0].body), ("tiktok-developer-webhooks", &body[..]));
    let fault = &read_delivery(&kept[0], Position(0)).faults[0];
    assert_eq!(fault.kind, FaultKind::Unsupported);
}

#[test]
fn nothing_of_a_buyer_is_kept() {
    let bench = Bench::new();
    for number in [3, 13, 14, 33] {
        let body = format!(
            r#"{{"type":{number},"tts_notification_id":"7","shop_id":"749","timestamp":1,
                "data":{{"content":"private","order_id":"5"}}}}"#
        );
        assert_eq!(bench.shop(&body), StatusCode::OK);
    }
    let kept = bench.kept();
    assert_eq!(kept.len(), 4);
    for delivery in kept {
        let text = String::from_utf8(delivery.body.to_vec()).unwrap();
        assert!(text.contains("\"tts_notification_id\":\"7\"") && !text.contains("data"), "{text}");
        assert_eq!(read_delivery(&delivery, Position(0)), Decoded::default());
    }
}

#[test]
fn changes_of_the_store_are_named_by_their_notification() {
    let body = r#"{"type":5,"tts_notification_id":"73","shop_id":"749","timestamp":1700000009,
        "data":{"product_id":576486316948490000,"status":"PRODUCT_AUDIT_FAILURE",
        "update_time":1700000000}}"#;
    let (shop, change) = entity(body);
    assert_eq!((&*shop, &*change.id), ("acme/749", "tiktok_shop/5/73"));
    assert_eq!(change.at, UtcMs(1_700_000_000_000));
    let Of::StoreChange(change) = change.body else { panic!() };
    assert_eq!((&*change.change, &*change.title), ("product_status_changed", "576486316948490000"));
    assert_eq!(change.details.get("status").unwrap().as_ref(), "PRODUCT_AUDIT_FAILURE");

    let linked = r#"{"type":17,"creator_open_id":"VIy","timestamp":1700000000,"data":{
        "product_id":"78","event":{"type":"ADD","scene":"VIDEO","content_id":"91"}}}"#;
    let (shop, change) = entity(linked);
    // Without an id of its own it is named by a hash of its bytes.
    assert_eq!((&*shop, change.id.len()), ("acme/", "tiktok_shop/17/".len() + 64));
    assert_ne!(entity(&linked.replace("ADD", "REMOVE")).1.id, change.id);
    let Of::StoreChange(change) = change.body else { panic!() };
    let details: Vec<_> = change.details.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let expected = ["action=ADD", "creator=VIy", "product=78", "scene=VIDEO", "video=91"];
    assert_eq!((&*change.change, details), ("content_linked", expected.map(String::from).to_vec()));

    for (number, name) in [
        (6, "deauthorized"),
        (7, "authorization_expires"),
        (20, "creator_deauthorized"),
        (27, "inventory_status_changed"),
        (39, "promotion_status_changed"),
    ] {
        let body = format!(r#"{{"type":{number},"shop_id":"749","timestamp":1700000000}}"#);
        let Of::StoreChange(change) = entity(&body).1.body else { panic!() };
        assert_eq!(&*change.change, name);
    }
}

#[test]
fn what_no_view_counts_is_one_fault_for_each_shop_and_type() {
    let fault = |body: &str| {
        let decoded = said(body);
        assert!(decoded.letter.is_some());
        decoded.faults[0].clone()
    };
    let of = |number: u32, shop: &str, id: u32| {
        fault(&format!(
            r#"{{"type":{number},"shop_id":"{shop}","tts_notification_id":"{id}","timestamp":1}}"#
        ))
    };
    assert_eq!(of(36, "749", 1), of(36, "749", 2));
    assert_ne!(of(36, "749", 1).id(), of(36, "750", 1).id());
    assert_ne!(of(36, "749", 1).id(), of(4_000_000, "749", 1).id());
    assert!(of(36, "749", 1).reason.contains("INVOICE_STATUS_CHANGE"));
    assert_eq!(of(4_000_000, "749", 1).kind, FaultKind::Unsupported);
    let broken = fault(r#"{"type":12,"data":{"create_time":1 "update_time":2}}"#);
    assert_eq!(broken.kind, FaultKind::Syntax);
    assert_eq!(fault(r#"{"shop_id":"749"}"#).kind, FaultKind::Field);
}
