//! The door for platform events without a socket: an answer for each, and never one too early.
//!
//! Invariant: what is accepted is in the journal once, however it was cut into requests; what is
//! refused leaves nothing behind.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::entity::Kind;
use ionflux_schemas::event::Event;
use ionflux_schemas::key::Version;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::doors::limits::{Limiter, Rate};
use ionflux_sources::doors::{BODY_BYTES_MAX, Doors};
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::memory::{Fault, Memory};
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::list::read_delivery;
use ionflux_sources::platform::door::{InLedger, Parts, router};
use ionflux_sources::platform::tokens::{Grant, Tokens};
use ionflux_sources::shopify::door;
use ionflux_sources::shopify::signature::Secrets;
use prometheus::Registry;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

struct Bench {
    inbox: Inbox,
    files: Memory,
    clock: Arc<Stepped>,
    router: Router,
    runtime: Runtime,
}

/// What came back: the status, `Retry-After`, and the body.
type Answer = (StatusCode, Option<u32>, Value);

impl Bench {
    fn new() -> Self {
        Self::with(Arc::new(|_, _, _| false), None, None)
    }

    fn with(in_ledger: InLedger, token: Option<Rate>, workspace: Option<Rate>) -> Self {
        let files = Memory::new(1);
        let (journal, opened) =
            Journal::open(Box::new(files.clone()), Limits::new(64 << 20)).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(1_772_323_200_000)));
        let registry = Registry::new();
        let metrics = JournalMetrics::new(&registry).unwrap();
        let scribe = Scribe::new(journal, &opened, clock.clone(), metrics);
        let inbox = Inbox::open(scribe).unwrap();
        let grant =
            |workspace: &str, name: &str| Grant { workspace: workspace.into(), name: name.into() };
        let tokens = Tokens::new([
            ("acme-token".into(), grant("acme", "ci")),
            ("acme-other".into(), grant("acme", "cd")),
            ("bolt-token".into(), grant("bolt", "ci2")),
        ]);
        let doors =
            Doors::new(Intake::new(inbox.clone(), Privacy::Untouched), clock.clone(), &registry)
                .unwrap();
        let doors = match workspace {
            Some(rate) => doors.limited(Limiter::new(rate, clock.clone())),
            None => doors,
        };
        let limiter = token.map(|rate| Limiter::new(rate, clock.clone()));
        let parts = Parts { doors, tokens, limiter, in_ledger };
        let router = router(parts, &registry).unwrap();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        Self { inbox, files, clock, router, runtime }
    }

    fn send(&self, token: &str, body: impl Into<Body>, headers: &[(&str, &str)]) -> Answer {
        self.runtime.block_on(Self::ask(self.router.clone(), token, body.into(), headers))
    }

    async fn ask(router: Router, token: &str, body: Body, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post("/v1/events");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router.oneshot(request.body(body).unwrap()).await.unwrap();
        let after = response.headers().get("retry-after");
        let after = after.map(|after| after.to_str().unwrap().parse().unwrap());
        let status = response.status();
        let body = to_bytes(response.into_body(), 16 << 20).await.unwrap();
        (status, after, serde_json::from_slice(&body).unwrap())
    }

    fn post(&self, body: impl Into<Body>) -> Answer {
        self.send("acme-token", body, &[])
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

fn event(id: &str) -> String {
    json!({
        "event_id": id, "event_type": "ionflux.platform.saas_connected",
        "event_timestamp": "2026-03-01T09:30:00Z", "payload_json": {"provider": "shopify"},
    })
    .to_string()
}

/// The answers as `index id status reason`.
fn told(answer: &Answer) -> Vec<String> {
    let results = answer.2["results"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let one = |r: &Value| {
        let fields = [text(&r["event_id"]), text(&r["status"]), text(&r["reason"])];
        format!("{} {}", r["index"], fields.join(" "))
    };
    results.map(one).collect()
}

#[test]
fn each_event_has_its_answer() {
    let bench = Bench::new();
    let one = bench.post(event("a"));
    assert_eq!((one.0, told(&one)), (StatusCode::OK, vec!["0 a accepted -".to_owned()]));
    let other =
        event("c").replace("\"payload_json\"", "\"workspace_id\":\"bolt\",\"payload_json\"");
    let own = event("d").replace("\"payload_json\"", "\"workspace_id\":\"acme\",\"payload_json\"");
    let unknown = event("u").replace("platform.saas_connected", "nobody.knows.this");
    let body = format!("[{},{},{},{other},{own},7,{unknown}]", event("b"), event("a"), event("b"));
    let batch = bench.post(body);
    assert_eq!(batch.0, StatusCode::MULTI_STATUS);
    let expected = [
        "0 b accepted -",
        "1 a duplicate -",
        "2 b duplicate -",
        "3 c refused workspace_id is not the workspace that this event came for",
        "4 d accepted -",
        "5 - refused the event is not a JSON object",
        "6 u accepted -",
    ];
    assert_eq!(told(&batch), expected);
    let lines = format!("\u{feff}{}\r\n\r\n{{broken\r\n  \n{}\n", event("e"), event("a"));
    let lines = bench.send("acme-token", lines, &[("content-type", "application/x-ndjson")]);
    let shown = told(&lines);
    assert_eq!(
        (lines.0, &*shown[0], &*shown[2]),
        (StatusCode::MULTI_STATUS, "0 e accepted -", "2 a duplicate -")
    );
    assert!(shown[1].starts_with("1 - refused the event is not valid JSON"), "{shown:?}");
    let bolt = bench.send("bolt-token", event("a"), &[]);
    assert_eq!(told(&bolt), ["0 a accepted -"], "tenants do not know of each other");

    let kept = bench.kept();
    let of = |workspace: &str| kept.iter().filter(|k| &*k.workspace == workspace).count();
    assert_eq!((kept.len(), of("acme"), of("bolt")), (6, 5, 1));
    assert!(kept.iter().all(|kept| &*kept.source == "platform-events"));
    let headers: Vec<(&str, &str)> = kept[0].headers.iter().map(|(n, t)| (&**n, &**t)).collect();
    assert_eq!((headers, &*kept[0].body), (vec![("by", "ci")], event("a").as_bytes()));
}

#[test]
fn what_is_refused_whole_leaves_nothing_behind() {
    let bench = Bench::new();
    let status = |answer: Answer| {
        assert_eq!(answer.2["status"], answer.0.as_u16());
        answer.0
    };
    for token in ["", "acme", "acme-token2"] {
        assert_eq!(status(bench.send(token, event("a"), &[])), StatusCode::UNAUTHORIZED);
    }
    for body in ["", " \n", "[]", "[{}", "{\"a\":1}}", "\u{1}"] {
        let json = [("content-type", "application/json; charset=utf-8")];
        let answer = bench.send("acme-token", body, &json);
        assert_eq!(status(answer), StatusCode::BAD_REQUEST, "{body:?}");
    }
    assert_eq!(status(bench.post(b"[\"\xff\"]".to_vec())), StatusCode::BAD_REQUEST);
    let large = vec![b' '; BODY_BYTES_MAX + 1];
    assert_eq!(status(bench.post(large)), StatusCode::PAYLOAD_TOO_LARGE);
    let many = format!("[{}0]", "0,".repeat(10_000));
    assert_eq!(status(bench.post(many)), StatusCode::PAYLOAD_TOO_LARGE);
    let packed = bench.send("acme-token", event("a"), &[("content-encoding", "gzip")]);
    assert_eq!(status(packed), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let deep = event("a").replace("\"shopify\"", &format!("{}1", "{\"a\":".repeat(300_000)));
    assert_eq!(status(bench.post(deep)), StatusCode::BAD_REQUEST);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let refused = bench.post(deep);
    assert_eq!((refused.0, told(&refused).len()), (StatusCode::MULTI_STATUS, 1));
    let bad = bench.post(b"{\"event_id\":\"a\"}\n\xff\n".to_vec());
    assert_eq!(told(&bad)[1], "1 - refused not valid UTF-8");
    assert!(bench.kept().is_empty());
}

#[test]
fn what_a_disk_did_not_keep_is_not_known() {
    let bench = Bench::new();
    bench.files.fail_next(Fault::SyncError);
    let (status, after, _) = bench.post(event("a"));
    assert_eq!((status, after), (StatusCode::SERVICE_UNAVAILABLE, Some(1)));
    assert_eq!(told(&bench.post(event("a"))), ["0 a accepted -"]);
    assert_eq!(told(&bench.post(event("a"))), ["0 a duplicate -"]);
    assert_eq!(bench.kept().len(), 1);
}

#[test]
fn what_the_ledger_has_is_a_duplicate_after_a_restart() {
    let has: InLedger = Arc::new(|kind, shop, id| {
        (kind, &*shop.workspace, &*shop.shop, id) == (Kind::Activity, "acme", "", "a")
    });
    let bench = Bench::with(has, None, None);
    let body = format!("[{},{}]", event("a"), event("b"));
    assert_eq!(told(&bench.post(body.clone())), ["0 a duplicate -", "1 b accepted -"]);
    let bolt = bench.send("bolt-token", body, &[]);
    assert_eq!(told(&bolt), ["0 a accepted -", "1 b accepted -"]);
}

#[test]
fn senders_at_once_are_told_once_that_it_is_accepted() {
    let bench = Bench::new();
    let ids: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let forwards: Vec<String> = ids.iter().map(|id| event(id)).collect();
    let backwards: Vec<String> = ids.iter().rev().map(|id| event(id)).collect();
    let answers = bench.runtime.block_on(async {
        let mut senders = tokio::task::JoinSet::new();
        for at in 0..8 {
            let body = if at % 2 == 0 { forwards.join("\n") } else { backwards.join("\n") };
            let router = bench.router.clone();
            senders.spawn(Bench::ask(router, "acme-token", body.into(), &[]));
        }
        senders.join_all().await
    });
    let all: Vec<String> = answers.iter().flat_map(told).collect();
    let count = |what: &str| all.iter().filter(|told| told.contains(what)).count();
    assert!(answers.iter().all(|answer| answer.0 == StatusCode::OK));
    assert_eq!((count("accepted"), count("duplicate")), (200, 1_400));
    assert_eq!(bench.kept().len(), 200);
}

#[test]
fn a_batch_of_the_largest_size_is_kept() {
    let bench = Bench::new();
    let events: Vec<String> = (0..10_000).map(|n| event(&n.to_string())).collect();
    assert_eq!(bench.post(events.join("\n")).0, StatusCode::OK);
    assert_eq!(bench.kept().len(), 10_000);
}

#[test]
fn tokens_and_workspaces_have_their_rates() {
    let (token, workspace) = (Rate { per_s: 1, burst: 2 }, Rate { per_s: 2, burst: 3 });
    let bench = Bench::with(Arc::new(|_, _, _| false), Some(token), Some(workspace));
    let mut sent = 0;
    let mut send = |token: &str| {
        sent += 1;
        let (status, after, _) = bench.send(token, event(&sent.to_string()), &[]);
        (status.as_u16(), after)
    };
    assert_eq!([send("acme-token"), send("acme-token")], [(200, None); 2]);
    assert_eq!(send("acme-token"), (429, Some(1)), "the token's burst is used up");
    assert_eq!(send("acme-other"), (200, None));
    assert_eq!(send("acme-other"), (429, Some(1)), "the workspace's burst is used up");
    assert_eq!(send("bolt-token"), (200, None));
    bench.clock.advance(1_000);
    assert_eq!([send("acme-token"), send("acme-token")], [(200, None), (429, Some(1))]);
    assert_eq!(bench.kept().len(), 5);
}

#[test]
fn webhooks_have_the_rate_of_their_workspace() {
    let rate = Rate { per_s: 1, burst: 1 };
    let bench = Bench::new();
    let doors = Doors::new(
        Intake::new(bench.inbox.clone(), Privacy::Untouched),
        bench.clock.clone(),
        &Registry::new(),
    );
    let doors = doors.unwrap().limited(Limiter::new(rate, bench.clock.clone()));
    let secrets = |workspace: &str| (workspace.to_owned(), Secrets::new(["secret"]));
    let shopify = door::router(doors, BTreeMap::from([secrets("acme"), secrets("bolt")]));
    let send = |workspace: &str, secret: &str| {
        let signature = Secrets::new([secret]).sign(b"{}").unwrap();
        let request = Request::post(format!("/webhooks/shopify/{workspace}"))
            .header("x-shopify-hmac-sha256", signature)
            .body(Body::from("{}"));
        let answer = bench.runtime.block_on(shopify.clone().oneshot(request.unwrap())).unwrap();
        let after = answer.headers().get("retry-after").cloned();
        (answer.status().as_u16(), after.map(|after| after.to_str().unwrap().to_owned()))
    };
    assert_eq!(send("acme", "forged"), (401, None), "uses up nothing");
    assert_eq!(send("acme", "secret"), (200, None));
    assert_eq!(send("acme", "secret"), (429, Some("1".to_owned())));
    assert_eq!(send("bolt", "secret"), (200, None));
    bench.clock.advance(1_000);
    assert_eq!(send("acme", "secret"), (200, None));
    assert_eq!(bench.kept().len(), 3);
}

/// The latest version of every entity of some deliveries.
fn entities(deliveries: &[Delivery]) -> BTreeMap<(Kind, String, String), (Version, String)> {
    let mut latest = BTreeMap::new();
    for delivery in deliveries {
        for envelope in read_delivery(delivery, Position(0)).envelopes {
            let Event::Entity(entity) = envelope.event else { panic!("{:?}", envelope.event) };
            let key = (entity.kind(), envelope.shop.to_string(), entity.id.to_string());
            let said = (envelope.version, format!("{entity:?}"));
            let held = latest.entry(key).or_insert_with(|| said.clone());
            *held = held.clone().max(said);
        }
    }
    latest
}

fn metric(n: usize) -> String {
    json!({
        "event_id": n.to_string(), "event_type": "ionflux.performance.metric.recorded",
        "event_timestamp": "2026-03-01T09:30:00Z",
        "payload_json": {"shop_id": "s", "metric_name": "sessions", "value": n},
    })
    .to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn order_batches_and_duplicates_change_nothing(
        order in prop::collection::vec(0_usize..12, 1..60).prop_shuffle(),
        cuts in prop::collection::vec(1_usize..9, 60),
        fails in prop::collection::vec(prop::bool::weighted(0.2), 60),
    ) {
        let sent = |n: &usize| match n % 3 {
            0 => event(&n.to_string()),
            1 => event(&n.to_string()).replace("ionflux.platform.saas_connected", "video_posted"),
            _ => metric(*n),
        };
        let bench = Bench::new();
        let (mut rest, mut accepted) = (&order[..], 0);
        for (cut, fail) in cuts.iter().zip(&fails) {
            if rest.is_empty() {
                break;
            }
            let (batch, later) = rest.split_at(rest.len().min(*cut));
            rest = later;
            let body = batch.iter().map(sent).collect::<Vec<_>>().join("\n");
            if *fail {
                bench.files.fail_next(Fault::SyncError);
            }
            let mut answer = bench.post(body.clone());
            while answer.0 == StatusCode::SERVICE_UNAVAILABLE {
                answer = bench.post(body.clone());
            }
            prop_assert_eq!(answer.0, StatusCode::OK);
            accepted += told(&answer).iter().filter(|told| told.contains("accepted")).count();
        }
        let distinct: std::collections::BTreeSet<usize> = order.iter().copied().collect();
        let kept = bench.kept();
        let alone: Vec<Delivery> = distinct
            .iter()
            .map(|n| Delivery { body: sent(n).into_bytes().into(), ..kept[0].clone() })
            .collect();
        prop_assert_eq!(entities(&kept), entities(&alone));
        // What failed part of the way is accepted when it is sent again, and never twice.
        prop_assert_eq!(kept.len(), distinct.len());
        prop_assert!(accepted <= distinct.len());
    }
}
