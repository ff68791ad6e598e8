//! The doors for webhooks without a socket: what is taken, what is refused, and what comes back
//! when there is no room.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::doors::budget::Peer;
use ionflux_sources::doors::{BODY_BYTES_MAX, Doors};
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::memory::{Fault, Memory};
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::shopify::door::{App, router};
use ionflux_sources::shopify::signature::Secrets;
use prometheus::Registry;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt;

struct Bench {
    inbox: Inbox,
    files: Memory,
    router: Router,
}

impl Bench {
    fn new(max_bytes: u64) -> Self {
        Self::with_shops(max_bytes, None)
    }

    /// A workspace whose app is installed in some shops alone.
    fn with_shops(max_bytes: u64, shops: Option<[&str; 2]>) -> Self {
        let files = Memory::new(1);
        let limits = Limits { segment_bytes: 4_000, ..Limits::new(max_bytes) };
        let (journal, opened) = Journal::open(Box::new(files.clone()), limits).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(1_772_323_200_000)));
        let registry = Registry::new();
        let metrics = JournalMetrics::new(&registry).unwrap();
        let scribe = Scribe::new(journal, &opened, clock.clone(), metrics);
        let inbox = Inbox::open(scribe).unwrap();
        let shops = shops.map(|shops| shops.map(Id::from).into());
        let app = App { secrets: Secrets::new(["secret"]), shops };
        let shopify = BTreeMap::from([("acme".to_owned(), app)]);
        let doors =
            Doors::new(Intake::new(inbox.clone(), Privacy::Untouched), clock, &registry).unwrap();
        Self { inbox, files, router: router(doors, shopify) }
    }

    /// Sends a signed body; gives the status and `Retry-After`.
    fn send(&self, body: &[u8], headers: &[(&str, &str)]) -> (StatusCode, Option<u32>) {
        let mut request = Request::post("/webhooks/shopify/acme")
            .header("x-shopify-hmac-sha256", Secrets::new(["secret"]).sign(body).unwrap());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(Body::from(body.to_vec())).unwrap())
    }

    fn ask(&self, request: Request<Body>) -> (StatusCode, Option<u32>) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let response = runtime.block_on(self.router.clone().oneshot(request)).unwrap();
        let after = response.headers().get("retry-after");
        (response.status(), after.map(|after| after.to_str().unwrap().parse().unwrap()))
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

#[test]
fn a_delivery_is_kept_as_it_came_with_the_headers_its_reader_needs() {
    let bench = Bench::new(1 << 20);
    let long = "x".repeat(600);
    let headers = [
        ("X-Shopify-Topic", "orders/create"),
        ("shopify-shop-domain", "a.myshopify.com"),
        ("x-shopify-webhook-id", long.as_str()),
        ("authorization", "never kept"),
    ];
    assert_eq!(bench.send(b"\xff not even text", &headers), (StatusCode::OK, None));
    let kept = bench.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!(&*kept[0].body, b"\xff not even text");
    assert_eq!((&*kept[0].source, &*kept[0].workspace), ("shopify-webhooks", "acme"));
    let names: Vec<&str> = kept[0].headers.keys().map(|name| &**name).collect();
    assert_eq!(names, ["x-shopify-shop-domain", "x-shopify-topic"]);
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let bench = Bench::new(1 << 20);
    let signed = |body: &'static str| Secrets::new(["secret"]).sign(body.as_bytes()).unwrap();
    let post = |path: &str, signature: Option<String>| {
        let mut request = Request::post(path);
        if let Some(signature) = signature {
            request = request.header("x-shopify-hmac-sha256", signature);
        }
        bench.ask(request.body(Body::from("{}")).unwrap()).0
    };
    assert_eq!(post("/webhooks/shopify/acme", None), StatusCode::UNAUTHORIZED);
    assert_eq!(post("/webhooks/shopify/acme", Some(signed("{ }"))), StatusCode::UNAUTHORIZED);
    assert_eq!(post("/webhooks/shopify/other", Some(signed("{}"))), StatusCode::UNAUTHORIZED);
    let large = vec![b' '; BODY_BYTES_MAX + 1];
    assert_eq!(bench.send(&large, &[]).0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(bench.kept().is_empty());
}

#[test]
fn without_room_it_says_when_to_come_again_and_keeps_what_it_took() {
    let bench = Bench::new(20_000);
    let body = [b' '; 1_500];
    let mut taken = 0;
    let refused = loop {
        let (status, after) = bench.send(&body, &[]);
        if status != StatusCode::OK {
            break (status, after);
        }
        taken += 1;
        assert!(taken < 20, "the limit is not held");
    };
    assert_eq!(refused.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.1.is_some_and(|seconds| seconds > 0), "no Retry-After");
    assert!(taken >= 8, "{taken}");
    assert_eq!(bench.kept().len(), taken);
}

#[test]
fn a_disk_that_fails_once_costs_one_answer() {
    let bench = Bench::new(1 << 20);
    assert_eq!(bench.send(b"one", &[]).0, StatusCode::OK);
    bench.files.fail_next(Fault::SyncError);
    let (status, after) = bench.send(b"two", &[]);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(after.is_some());
    assert_eq!(bench.send(b"three", &[]).0, StatusCode::OK);
    let bodies: Vec<_> = bench.kept().into_iter().map(|kept| kept.body.to_vec()).collect();
    assert_eq!(bodies, [b"one".to_vec(), b"three".to_vec()]);
}

/// Sends a signed body in the name of a shop.
fn send_as(bench: &Bench, shop: &str, body: &str) -> u16 {
    let headers = [("x-shopify-topic", "orders/create"), ("x-shopify-shop-domain", shop)];
    bench.send(body.as_bytes(), &headers).0.as_u16()
}

#[test]
fn a_shop_is_kept_under_one_name_and_what_is_none_is_refused() {
    let bench = Bench::new(1 << 20);
    for shop in ["a.myshopify.com", " A.MyShopify.com. ", "https://a.myshopify.com/admin"] {
        assert_eq!(send_as(&bench, shop, "{}"), 200, "{shop}");
    }
    for shop in ["", "a", "1", "gid://shopify/Shop/1", "a.example", "a.b.myshopify.com", "ä"] {
        assert_eq!(send_as(&bench, shop, "{}"), 403, "{shop}");
    }
    let kept = bench.kept();
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().all(|kept| &*kept.headers["x-shopify-shop-domain"] == "a.myshopify.com"));
}

#[test]
fn a_signed_body_is_not_taken_for_another_shop() {
    let bench = Bench::new(1 << 20);
    for body in [
        r#"{"shop_id":1,"shop_domain":"A.myshopify.com"}"#,
        r#"{"domain":"a.example","myshopify_domain":"a.myshopify.com"}"#,
    ] {
        assert_eq!(send_as(&bench, "b.myshopify.com", body), 403, "{body}");
        assert_eq!(send_as(&bench, "a.myshopify.com", body), 200, "{body}");
    }
    assert_eq!(bench.kept().len(), 2);
    // Most bodies do not say whose they are, so that only the list tells.
    let listed = Bench::with_shops(1 << 20, Some(["a.myshopify.com", "shop.localhost"]));
    assert_eq!(send_as(&listed, "a.myshopify.com", "{}"), 200);
    assert_eq!(send_as(&listed, "Shop.localhost", "{}"), 200);
    assert_eq!(send_as(&listed, "b.myshopify.com", "{}"), 403);
    let unnamed = |body: &str| listed.send(body.as_bytes(), &[]).0.as_u16();
    assert_eq!(unnamed("{}"), 403);
    assert_eq!(unnamed(r#"{"myshopify_domain":"b.myshopify.com"}"#), 403);
    assert_eq!(unnamed(r#"{"myshopify_domain":"a.myshopify.com"}"#), 200);
    assert_eq!(listed.kept().len(), 3);
}

/// A forged request of an address, and where its body comes from.
fn open(workspace: &str, last: u8) -> (Request<Body>, mpsc::Sender<Result<Vec<u8>, Infallible>>) {
    let (sender, body) = mpsc::channel(1);
    let request = Request::post(format!("/webhooks/shopify/{workspace}"))
        .header("x-shopify-hmac-sha256", "AAAA")
        .extension(Peer([192, 0, 2, last].into()));
    (request.body(Body::from_stream(ReceiverStream::new(body))).unwrap(), sender)
}

#[tokio::test]
async fn large_bodies_of_one_address_leave_room_for_others() {
    let bench = Bench::new(1 << 20);
    let large = || Ok(vec![b' '; BODY_BYTES_MAX]);
    let mut held = Vec::new();
    let refused = loop {
        let (request, sender) = open(&format!("workspace-{}", held.len()), 1);
        let answer = tokio::spawn(bench.router.clone().oneshot(request));
        sender.send(large()).await.unwrap();
        // Once there is room again, the door has what was sent; or it has answered.
        if sender.reserve().await.is_err() {
            break answer.await.unwrap().unwrap().status();
        }
        held.push((answer, sender));
        assert!(held.len() < 32, "one address has all the room");
    };
    assert_eq!((refused, held.len() > 1), (StatusCode::SERVICE_UNAVAILABLE, true));
    for (workspace, last) in [("acme", 2), ("nobody", 2)] {
        let (request, sender) = open(workspace, last);
        let answer = tokio::spawn(bench.router.clone().oneshot(request));
        sender.send(large()).await.unwrap();
        drop(sender);
        let status = answer.await.unwrap().unwrap().status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{workspace}");
    }
    let (request, sender) = open("acme", 1);
    let answer = tokio::spawn(bench.router.clone().oneshot(request));
    sender.send(Ok(vec![b' '; 1_000])).await.unwrap();
    drop(sender);
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED, "it is small");
    drop(held);
    assert!(tokio::task::spawn_blocking(move || bench.kept().is_empty()).await.unwrap());
}

#[tokio::test]
async fn strangers_are_answered_as_those_who_are_known() {
    let bench = Bench::new(1 << 20);
    for parts in [vec![1_000; 3], vec![BODY_BYTES_MAX, 1]] {
        let mut told = Vec::new();
        for workspace in ["acme", "nobody"] {
            let (request, sender) = open(workspace, 1);
            let answer = tokio::spawn(bench.router.clone().oneshot(request));
            for bytes in &parts {
                // All of it is taken, or refused because of its length.
                assert!(sender.send(Ok(vec![b' '; *bytes])).await.is_ok(), "{workspace}");
            }
            drop(sender);
            let answer = answer.await.unwrap().unwrap();
            let status = answer.status();
            let body: Bytes = axum::body::to_bytes(answer.into_body(), 1 << 10).await.unwrap();
            told.push((status, body));
        }
        assert_eq!(told[0], told[1]);
    }
    assert!(tokio::task::spawn_blocking(move || bench.kept().is_empty()).await.unwrap());
}
