//! After a restart: the views as last kept, until the new ones take over all at once.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use expect_test::expect;
use ionflux_schemas::time::Epoch;
use ionflux_service::routes::{Context, router};
use ionflux_service::store::{Phase, Store};
use ionflux_service::tables::Tables;
use ionflux_service::{render, sql};
use serde_json::Value as Json;

use crate::sample::{empty, event, first, folded, get, open, sell, send, store, stored, text, utc};

fn restored() -> Arc<Store> {
    Arc::new(Store::restored(empty(), stored()))
}

/// A sum from each view; one epoch gives one line.
async fn sums(tables: &Arc<Tables>) -> String {
    let query = "SELECT (SELECT sum(orders) FROM revenue_by_day) AS a,
        (SELECT sum(units) FROM revenue_by_product_day) AS b,
        (SELECT sum(\"new\") FROM customers_by_day) AS c,
        (SELECT sum(orders) FROM metrics_hourly) AS d";
    let answer = sql::query(tables, query).await.unwrap();
    let shown = render::csv(&answer).unwrap();
    format!("{} {}", answer.epoch, shown.lines().last().unwrap())
}

#[tokio::test]
async fn what_was_kept_is_read_like_what_is_live() {
    for uri in [
        "/v1/views",
        "/v1/views/revenue_by_day?workspace_id=acme&day_gte=2011-12-09&order=desc",
        "/v1/views/metrics_hourly?hour_lt=2011-12-03T00:00:00Z&format=csv",
        "/v1/views/faults",
        "/v1/views/revenue_by_product_day?limit=2",
        "/v1/views/revenue_by_product_day?orders=2",
    ] {
        assert_eq!(get(&restored(), uri).await, get(&store(), uri).await, "{uri}");
    }
    let (_, page) = get(&restored(), "/v1/views/revenue_by_product_day?limit=2").await;
    let page: Json = serde_json::from_str(&page).unwrap();
    let next = page["next_cursor"].as_str().unwrap();
    let uri = format!("/v1/views/revenue_by_product_day?cursor={next}");
    let (status, rest) = get(&restored(), &uri).await;
    assert_eq!(status, StatusCode::OK);
    // The same page of the store that the rows came from, and of one that reads them again.
    assert_eq!(rest, get(&store(), &uri).await.1);
}

#[tokio::test]
async fn a_reader_keeps_its_epoch_over_the_reveal() {
    let store = restored();
    let held = store.published().tables;
    store.apply(&first());
    sell(&store, 100);
    sell(&store, 100);
    assert_eq!((store.newest().upper, store.health().epoch), (Epoch(3), 1));
    assert_eq!(sums(&store.published().tables).await, "1 12,12,12,12");
    store.reveal();
    assert_eq!(sums(&held).await, "1 12,12,12,12");
    assert_eq!(sums(&store.published().tables).await, "3 14,14,14,14");
    sell(&store, 100);
    assert_eq!(sums(&store.published().tables).await, "4 15,15,15,15");
    store.reveal();
    assert_eq!(store.health().epoch, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_epoch_while_it_is_revealed() {
    let store = restored();
    let writer = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            store.apply(&first());
            (0..50).for_each(|_| sell(&store, 100));
            store.reveal();
            (0..50).for_each(|_| sell(&store, 100));
        })
    };
    let mut epoch = 1;
    while epoch < 101 {
        let tables = store.published().tables;
        assert!(tables.epoch.0 >= epoch, "epochs never go back");
        assert!(!(2..51).contains(&tables.epoch.0), "epoch {} was hidden", tables.epoch);
        epoch = tables.epoch.0;
        let n = epoch + 11;
        assert_eq!(sums(&tables).await, format!("{epoch} {n},{n},{n},{n}"));
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn the_ledger_is_right_also_against_later_views() {
    let mut kept = stored();
    kept.epoch = Epoch(3);
    let store = Store::restored(empty(), kept);
    store.apply(&first());
    assert_eq!((store.health().epoch, store.health().phase), (3, Phase::Hydrating));
    store.reveal();
    assert_eq!((store.health().epoch, store.health().phase), (1, Phase::Live));
    sell(&store, 100);
    assert_eq!(store.health().epoch, 2);
}

#[tokio::test]
async fn a_first_start_serves_empty_views() {
    let store = Arc::new(Store::hydrating(empty()));
    store.apply(&first());
    let (_, body) = get(&store, "/v1/views/faults").await;
    assert!(body.contains(r#""epoch":0"#) && body.contains(r#""rows":[]"#), "{body}");
    assert_eq!(store.health().phase, Phase::Hydrating);
    store.reveal();
    let (_, body) = get(&store, "/v1/views/faults").await;
    assert!(body.contains(r#""epoch":1"#) && body.contains("orders.csv"), "{body}");
    assert_eq!(store.health().phase, Phase::Live);
}

#[tokio::test]
async fn a_stream_starts_over_at_the_reveal() {
    // Even where the epoch is the same, and where batches follow before the reader looks.
    for more in [0, 2] {
        let store = restored();
        let router = router(Arc::clone(&store), Context::new(utc()));
        let uri = "/v1/stream?views=customers_by_day&workspace_id=zen";
        let (_, mut stream) = open(&router, uri).await;
        let before = event(&mut stream).await;
        assert!(before.starts_with("event: snapshot\ndata: {\"epoch\":1,"), "{before}");
        store.apply(&first());
        store.reveal();
        (0..more).for_each(|_| sell(&store, 100));
        let after = event(&mut stream).await;
        let begins = format!("event: snapshot\ndata: {{\"epoch\":{},", 1 + more);
        assert!(after.starts_with(&begins), "{after}");
        store.apply(
            &crate::sample::Adds::default()
                .sale(1, "2011-12-09", ("JPY", 100, 1), 1)
                .batch(1 + more, "2011-12-09T14:00:00Z"),
        );
        let change = event(&mut stream).await;
        assert!(change.starts_with("event: change"), "{change}");
        assert!(change.contains(r#""new":1,"returning":0},"new":{"#), "{change}");
    }
}

#[tokio::test]
async fn a_view_of_another_form_is_being_rebuilt() {
    let mut kept = stored();
    kept.tables.retain(|(name, _)| name != "faults");
    // Columns of an earlier release: the same number, other names.
    let other = kept.tables.iter().position(|(name, _)| name == "metrics_hourly").unwrap();
    kept.tables[other].1 = kept.tables[other].1.project(&[1, 0, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    let store = Arc::new(Store::restored(empty(), kept));
    let mut told = Vec::new();
    for uri in ["/v1/views/faults", "/v1/stream?views=customers_by_day,metrics_hourly"] {
        let response = send(&store, Request::get(uri).body(Body::empty()).unwrap()).await;
        assert!(response.headers().contains_key("retry-after"), "{uri}");
        told.push(format!("{} {}", response.status().as_u16(), text(response).await));
    }
    let query = Body::from("SELECT count(*) FROM customers_by_day, Faults");
    let response = send(&store, Request::post("/v1/sql").body(query).unwrap()).await;
    told.push(format!("{} {}", response.status().as_u16(), text(response).await));
    let (status, body) = get(&store, "/v1/dashboard").await;
    told.push(format!("{} {body}", status.as_u16()));
    let (status, body) = get(&store, "/v1/views/nope").await;
    told.push(format!("{} {body}", status.as_u16()));
    let told: Vec<String> = told.iter().map(|line| folded(line)).collect();
    expect![[r#"
        503 {"type":"about:blank","title":"being rebuilt","status":503,"detail":"the
        view faults is being rebuilt","hint":"this release makes it anew: try again
        when /readyz says ready"}
        503 {"type":"about:blank","title":"being rebuilt","status":503,"detail":"the
        view metrics_hourly is being rebuilt","hint":"this release makes it anew: try
        again when /readyz says ready"}
        503 {"type":"about:blank","title":"being rebuilt","status":503,"detail":"the
        view faults is being rebuilt","hint":"this release makes it anew: try again
        when /readyz says ready"}
        503 {"type":"about:blank","title":"being rebuilt","status":503,"detail":"the
        view faults is being rebuilt","hint":"this release makes it anew: try again
        when /readyz says ready"}
        404 {"type":"about:blank","title":"not found","status":404,"detail":"there is
        no view \"nope\"","hint":"views are revenue_by_day, revenue_by_product_day,
        customers_by_day, sources, sinks"}"#]]
    .assert_eq(&told.join("\n"));
    store.apply(&first());
    store.reveal();
    for uri in ["/v1/views/faults", "/v1/dashboard", "/v1/views/metrics_hourly"] {
        assert_eq!(get(&store, uri).await.0, StatusCode::OK, "{uri}");
    }
}

#[tokio::test]
async fn a_phase_begins_with_the_reveal() {
    let store = restored();
    store.set_phase(Phase::Replaying);
    assert_eq!(store.health().phase, Phase::Hydrating);
    store.apply(&first());
    store.reveal();
    assert_eq!(store.health().phase, Phase::Replaying);
    store.set_hydration(1, 2);
    assert_eq!(store.signal().hydration, None, "nothing hydrates any more");
    let store = restored();
    store.apply(&first());
    store.close();
    store.reveal();
    assert_eq!(store.health().phase, Phase::Closed);
}

#[tokio::test]
async fn watchers_wake_at_whole_percents() {
    let store = restored();
    let mut signal = store.watch();
    let mut woken = 0;
    for done in 0..=1000 {
        store.set_hydration(done, 1000);
        woken += u32::from(signal.has_changed().unwrap());
        signal.mark_unchanged();
    }
    assert_eq!(woken, 101);
    store.apply(&first());
    assert!(!signal.has_changed().unwrap(), "what is hidden wakes nobody");
    store.reveal();
    assert!(signal.has_changed().unwrap());
}

#[tokio::test]
async fn the_page_is_told_how_far_it_is() {
    let store = restored();
    store.set_hydration(629, 1000);
    let router = router(Arc::clone(&store), Context::new(utc()));
    let (_, body) = get(&store, "/v1/dashboard").await;
    let body: Json = serde_json::from_str(&body).unwrap();
    let told = format!("{} {} {}", body["phase"], body["hydration"], body["epoch"]);
    assert_eq!(told, r#""hydrating" {"done":629,"percent":62,"total":1000} 1"#);
    let (_, mut stream) = open(&router, "/v1/dashboard/stream").await;
    let begins = "event: dashboard\ndata: {\"phase\":\"hydrating\",\"hydration\":{";
    let opening = event(&mut stream).await;
    assert!(opening.starts_with(begins), "{opening}");
    store.apply(&first());
    sell(&store, 100);
    store.set_hydration(630, 1000);
    expect![[r#"
        event: clock
        data: {"epoch":1,"as_of":"2011-12-09T12:50:00Z","phase":"hydrating",
        "hydration":{"done":630,"total":1000,"percent":63}}
    "#]]
    .assert_eq(&folded(&event(&mut stream).await));
    store.reveal();
    let revealed = event(&mut stream).await;
    let begins = "event: dashboard\ndata: {\"phase\":\"live\",\"epoch\":2,";
    assert!(revealed.starts_with(begins), "{revealed}");
}

#[tokio::test]
async fn a_page_that_opens_at_the_reveal_is_told_of_it() {
    let store = restored();
    store.apply(&first());
    let router = router(Arc::clone(&store), Context::new(utc()));
    let (_, mut stream) = open(&router, "/v1/dashboard/stream").await;
    // The answer has begun, and nothing of its stream has run yet.
    store.reveal();
    assert!(event(&mut stream).await.contains(r#"{"phase":"hydrating","epoch":1,"#));
    let revealed = event(&mut stream).await;
    let begins = "event: dashboard\ndata: {\"phase\":\"live\",\"epoch\":1,";
    assert!(revealed.starts_with(begins), "{revealed}");
}
