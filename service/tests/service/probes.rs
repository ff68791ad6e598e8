//! What machines ask: whether the service is ready, and its metrics.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use expect_test::expect;
use ionflux_schemas::health::{Condition, Health};
use ionflux_schemas::time::UtcMs;
use ionflux_service::routes::{Context, router};
use ionflux_service::store::{Phase, Store};
use prometheus::IntCounter;
use tower::ServiceExt;

use crate::sample::{empty, first, folded, sell, store, stored, text, utc};

async fn ask(router: &Router, method: Method, uri: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    (response.status().as_u16(), text(response).await)
}

#[tokio::test]
async fn ready_means_caught_up_and_running() {
    let store = Arc::new(Store::restored(empty(), stored()));
    let context = Context::new(utc());
    let board = Arc::clone(&context.board);
    let router = router(Arc::clone(&store), context);
    let mut told = Vec::new();
    let mut tell = async || {
        let (status, body) = ask(&router, Method::GET, "/readyz").await;
        told.push(folded(&format!("{status} {body}")));
    };
    tell().await;
    board.set("journal", Condition::Running, "", UtcMs(7));
    store.apply(&first());
    store.set_hydration(630, 1000);
    sell(&store, 1);
    tell().await;
    store.set_phase(Phase::Replaying);
    store.reveal();
    tell().await;
    store.set_phase(Phase::Live);
    board.set("ledger", Condition::Stalled, "the disk is full", UtcMs(8));
    tell().await;
    board.set("ledger", Condition::Running, "", UtcMs(9));
    tell().await;
    store.set_phase(Phase::Complete);
    tell().await;
    store.close();
    tell().await;
    expect![[r#"
        503 {"ready":false,"phase":"hydrating","epoch":1,"hydration":null,
        "components":[]}
        503 {"ready":false,"phase":"hydrating","epoch":1,"hydration":{"done":630,
        "total":1000},"components":[{"component":"journal","state":"running","since":7,
        "reason":""}]}
        200 {"ready":true,"phase":"replaying","epoch":2,"hydration":null,
        "components":[{"component":"journal","state":"running","since":7,"reason":""}]}
        503 {"ready":false,"phase":"live","epoch":2,"hydration":null,
        "components":[{"component":"journal","state":"running","since":7,"reason":""},
        {"component":"ledger","state":"stalled","since":8,"reason":"the disk is full"}]}
        200 {"ready":true,"phase":"live","epoch":2,"hydration":null,
        "components":[{"component":"journal","state":"running","since":7,"reason":""},
        {"component":"ledger","state":"running","since":9,"reason":""}]}
        200 {"ready":true,"phase":"complete","epoch":2,"hydration":null,
        "components":[{"component":"journal","state":"running","since":7,"reason":""},
        {"component":"ledger","state":"running","since":9,"reason":""}]}
        503 {"ready":false,"phase":"closed","epoch":2,"hydration":null,
        "components":[{"component":"journal","state":"running","since":7,"reason":""},
        {"component":"ledger","state":"running","since":9,"reason":""}]}"#]]
    .assert_eq(&told.join("\n"));
    let (status, _) = ask(&router, Method::GET, "/healthz").await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn a_source_that_fails_is_shown_and_takes_nothing_from_the_others() {
    let context = Context::new(utc());
    let health = |name: &str, state, reason: &str| Health {
        component: name.into(),
        state,
        since: UtcMs(7_000),
        reason: reason.into(),
    };
    let journal = Arc::new(Mutex::new(Condition::Running));
    let (shop, told) =
        (health("shop", Condition::Halted, "the token is refused"), Arc::clone(&journal));
    context.board.ask(move || shop.clone());
    context.board.need(move || health("journal", *told.lock().unwrap(), ""));
    let store = store();
    store.set_phase(Phase::Live);
    let router = router(store, context);
    let (status, body) = ask(&router, Method::GET, "/readyz").await;
    assert_eq!(status, 200);
    assert!(body.contains("the token is refused"), "{body}");
    let (_, metrics) = ask(&router, Method::GET, "/metrics").await;
    for line in [
        r#"ionflux_component_running{component="journal"} 1"#,
        r#"ionflux_component_running{component="shop"} 0"#,
        r#"ionflux_component_since_seconds{component="shop"} 7"#,
    ] {
        assert!(metrics.lines().any(|told| told == line), "{line}: {metrics}");
    }
    *journal.lock().unwrap() = Condition::Stalled;
    let (status, _) = ask(&router, Method::GET, "/readyz").await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn alive_is_not_ready() {
    let store = Arc::new(Store::restored(empty(), stored()));
    let router = router(store, Context::new(utc()));
    let (status, body) = ask(&router, Method::GET, "/healthz").await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""phase":"hydrating""#), "{body}");
}

#[tokio::test]
async fn metrics_are_named_by_patterns() {
    let context = Context::new(utc());
    let ours = IntCounter::new("ionflux_events_total", "Events.").unwrap();
    ours.inc_by(5);
    context.registry.register(Box::new(ours)).unwrap();
    let router = router(store(), context);
    for uri in ["/v1/views/faults", "/v1/views/faults?limit=1", "/v1/views/secret", "/x/secret"] {
        ask(&router, Method::GET, uri).await;
    }
    ask(&router, Method::DELETE, "/v1/views").await;
    ask(&router, Method::GET, "/v1/dashboard?shop_id=secret").await;
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    let body = text(response).await;
    assert!(!body.contains("secret") && !body.contains("faults"), "{body}");
    // How long a request took differs from run to run; how many were timed does not.
    let timed = |line: &&str| !line.contains("_bucket{") && !line.contains("_sum{");
    let lines: Vec<&str> = body.lines().filter(timed).collect();
    expect![[r##"
        # HELP ionflux_events_total Events.
        # TYPE ionflux_events_total counter
        ionflux_events_total 5
        # HELP ionflux_http_request_seconds Time from a request to the head of its answer.
        # TYPE ionflux_http_request_seconds histogram
        ionflux_http_request_seconds_count{route="/v1/dashboard"} 1
        ionflux_http_request_seconds_count{route="/v1/views"} 1
        ionflux_http_request_seconds_count{route="/v1/views/{name}"} 3
        ionflux_http_request_seconds_count{route="none"} 1
        # HELP ionflux_http_requests_total Requests answered.
        # TYPE ionflux_http_requests_total counter
        ionflux_http_requests_total{route="/v1/dashboard",status="404"} 1
        ionflux_http_requests_total{route="/v1/views",status="405"} 1
        ionflux_http_requests_total{route="/v1/views/{name}",status="200"} 2
        ionflux_http_requests_total{route="/v1/views/{name}",status="404"} 1
        ionflux_http_requests_total{route="none",status="404"} 1
        # HELP ionflux_served_epoch Everything below this epoch is counted.
        # TYPE ionflux_served_epoch gauge
        ionflux_served_epoch 1"##]]
    .assert_eq(&lines.join("\n"));
    let (_, again) = ask(&router, Method::GET, "/metrics").await;
    let own = r#"ionflux_http_requests_total{route="/metrics",status="200"} 1"#;
    assert!(again.contains(own), "{again}");
}

#[tokio::test]
async fn two_routers_may_share_a_registry() {
    let context = Context::new(utc());
    for _ in 0..2 {
        let router = router(store(), context.clone());
        let (status, body) = ask(&router, Method::GET, "/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("ionflux_served_epoch 1"), "{body}");
    }
}
