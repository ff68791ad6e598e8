//! Streams and concurrent readers: what they see is always one epoch.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use expect_test::expect;
use ionflux_service::routes::{Context, router};
use ionflux_service::{render, sql};
use tokio_stream::StreamExt;
use tower::ServiceExt;

use crate::sample::{event, folded, open, sell, store, utc};

#[tokio::test]
async fn a_stream_is_a_snapshot_and_then_changes_of_all_views_at_once() {
    let store = store();
    let router = router(Arc::clone(&store), Context::new(utc()));
    let uri =
        "/v1/stream?views=customers_by_day,revenue_by_product_day&workspace_id=acme&day=2011-12-09";
    let (_, mut stream) = open(&router, uri).await;
    expect![[r#"
        event: snapshot
        data: {"epoch":1,"as_of":"2011-12-09T12:50:00Z",
        "views":{"customers_by_day":[{"workspace_id":"acme","shop_id":"tea",
        "day":"2011-12-09","new":3,"returning":0}],
        "revenue_by_product_day":[{"workspace_id":"acme","shop_id":"tea",
        "day":"2011-12-09","currency":"GBP","product_id":"<b>kettle</b>","units":1,
        "units_returned":0,"gross_sales":"25.75","discounts":"0.00","returns":"0.00",
        "net_sales":"25.75"},{"workspace_id":"acme","shop_id":"tea","day":"2011-12-09",
        "currency":"GBP","product_id":"pot","units":2,"units_returned":0,
        "gross_sales":"150.00","discounts":"0.00","returns":"0.00",
        "net_sales":"150.00"}]}}
    "#]]
    .assert_eq(&folded(&event(&mut stream).await));
    sell(&store, 425);
    expect![[r#"
        event: change
        data: {"from_epoch":1,"epoch":2,"as_of":"2011-12-09T13:00:00Z",
        "views":{"customers_by_day":[{"old":{"workspace_id":"acme","shop_id":"tea",
        "day":"2011-12-09","new":3,"returning":0},"new":{"workspace_id":"acme",
        "shop_id":"tea","day":"2011-12-09","new":4,"returning":0}}],
        "revenue_by_product_day":[{"old":null,"new":{"workspace_id":"acme",
        "shop_id":"tea","day":"2011-12-09","currency":"GBP","product_id":"cup",
        "units":1,"units_returned":0,"gross_sales":"4.25","discounts":"0.00",
        "returns":"0.00","net_sales":"4.25"}}]}}
    "#]]
    .assert_eq(&folded(&event(&mut stream).await));
    store.close();
    assert!(stream.next().await.is_none(), "a closed store ends its streams");
}

#[tokio::test]
async fn a_reader_that_lags_starts_over() {
    let store = store();
    let router = router(Arc::clone(&store), Context::new(utc()));
    let (_, mut stream) = open(&router, "/v1/stream?views=customers_by_day").await;
    for _ in 0..200 {
        sell(&store, 1);
    }
    let mut last = String::new();
    while !last.contains(r#""epoch":201"#) {
        last = event(&mut stream).await;
    }
    assert!(last.starts_with("event: snapshot"), "{last}");
    assert!(last.contains(r#""day":"2011-12-09","new":203"#), "{last}");
}

#[tokio::test]
async fn the_dashboard_streams_the_latest() {
    let store = store();
    let router = router(Arc::clone(&store), Context::new(utc()));
    let (_, mut stream) = open(&router, "/v1/dashboard/stream").await;
    let first = event(&mut stream).await;
    let begins = "event: dashboard\ndata: {\"phase\":\"live\",\"epoch\":1,";
    assert!(first.starts_with(begins), "{first}");
    for _ in 0..50 {
        sell(&store, 100);
    }
    let next = event(&mut stream).await;
    assert!(next.contains(r#""epoch":51,"#), "the latest wins: {next}");
    assert!(next.contains(r#""net_sales":{"money":true,"value":"225.75""#), "{next}");
}

#[tokio::test]
async fn streams_are_counted() {
    let router = router(store(), Context::new(utc()));
    let mut open_streams = Vec::new();
    for _ in 0..256 {
        open_streams.push(open(&router, "/v1/stream?views=faults").await);
    }
    assert!(open_streams.iter().all(|(status, _)| status.is_success()));
    let request = Request::get("/v1/stream?views=faults").body(Body::empty()).unwrap();
    let refused = router.clone().oneshot(request).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_epoch_while_a_writer_writes() {
    let store = store();
    let writer = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || (0..300).for_each(|_| sell(&store, 100)))
    };
    let query = "SELECT (SELECT sum(orders) FROM revenue_by_day) AS a,
        (SELECT sum(units) FROM revenue_by_product_day) AS b,
        (SELECT sum(\"new\") FROM customers_by_day) AS c,
        (SELECT sum(orders) FROM metrics_hourly) AS d";
    let mut epoch = 0;
    while epoch < 301 {
        let answer = sql::query(&store.published().tables, query).await.unwrap();
        assert!(answer.epoch.0 >= epoch, "epochs never go back");
        epoch = answer.epoch.0;
        // Epoch 1 holds twelve orders, and each later one adds one.
        let n = epoch + 11;
        let shown = render::csv(&answer).unwrap();
        assert_eq!(shown, format!("a,b,c,d\n{n},{n},{n},{n}\n"), "epoch {epoch}");
    }
    writer.join().unwrap();
}
