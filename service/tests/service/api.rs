//! Requests in, expected answers out, without a socket.

use axum::http::StatusCode;
use expect_test::{Expect, expect};
use serde_json::Value as Json;

use crate::sample::{Adds, folded, get, store};

async fn check(uri: &str, expected: Expect) {
    let (status, body) = get(&store(), uri).await;
    expected.assert_eq(&folded(&format!("{} {body}", status.as_u16())));
}

#[tokio::test]
async fn health_names_the_epochs() {
    check(
        "/healthz",
        expect![[
            r#"200 {"as_of":"2011-12-09T12:50:00Z","epoch":1,"phase":"live","since_epoch":0}"#
        ]],
    )
    .await;
    let closed = store();
    closed.close();
    assert_eq!(get(&closed, "/healthz").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn views_are_listed_with_columns_and_rows() {
    let (status, body) = get(&store(), "/v1/views").await;
    assert_eq!(status, StatusCode::OK);
    let body: Json = serde_json::from_str(&body).unwrap();
    let views = body["views"].as_array().unwrap();
    let named = |view: &Json| format!("{} {}", view["name"], view["rows"]);
    let shown: Vec<String> = views.iter().map(named).collect();
    expect![[r#"
        "revenue_by_day" 5
        "revenue_by_product_day" 6
        "customers_by_day" 4
        "metrics_hourly" 5
        "faults" 1
        "sources" 0
        "sinks" 0"#]]
    .assert_eq(&shown.join("\n"));
    expect![[
        r#"{"doc":"The shop's civil day.","key":true,"name":"day","nullable":false,"type":"date"}"#
    ]]
    .assert_eq(&views[2]["columns"][2].to_string());
}

#[tokio::test]
async fn rows_are_filtered_by_key_and_sorted() {
    check(
        "/v1/views/customers_by_day?workspace_id=acme&day_gte=2011-12-08&order=desc",
        expect![[r#"
            200 {"view":"customers_by_day","version":1,"epoch":1,
            "as_of":"2011-12-09T12:50:00Z","rows":[{"workspace_id":"acme","shop_id":"tea",
            "day":"2011-12-09","new":3,"returning":0},{"workspace_id":"acme",
            "shop_id":"tea","day":"2011-12-08","new":4,"returning":0}],"next_cursor":null}"#]],
    )
    .await;
    check(
        "/v1/views/metrics_hourly?hour_lt=2011-12-03T00:00:00Z",
        expect![[r#"
        200 {"view":"metrics_hourly","version":1,"epoch":1,
        "as_of":"2011-12-09T12:50:00Z","rows":[{"workspace_id":"acme","shop_id":"tea",
        "hour":"2011-12-02T10:00:00Z","currency":"GBP","orders":4,"revenue":"200.00",
        "aov":"50.00","refunds":0,"returns":"0.00"}],"next_cursor":null}"#]],
    )
    .await;
    check(
        "/v1/views/metrics_hourly?shop_id=tea&currency=JPY&format=csv",
        expect![[r#"
            200 workspace_id,shop_id,hour,currency,orders,revenue,aov,refunds,returns
            zen,tea,2011-12-09T10:00:00Z,JPY,1,1200,1200,0,0"#]],
    )
    .await;
    check(
        "/v1/views/customers_by_day?shop_id=tea'%20OR%201=1--",
        expect![[r#"
        200 {"view":"customers_by_day","version":1,"epoch":1,
        "as_of":"2011-12-09T12:50:00Z","rows":[],"next_cursor":null}"#]],
    )
    .await;
}

#[tokio::test]
async fn pages_neither_overlap_nor_skip() {
    for order in ["asc", "desc"] {
        let store = store();
        let mut seen = Vec::new();
        let base = format!("/v1/views/revenue_by_day?limit=2&order={order}");
        let mut uri = base.clone();
        loop {
            let (_, body) = get(&store, &uri).await;
            let body: Json = serde_json::from_str(&body).unwrap();
            seen.extend(body["rows"].as_array().unwrap().iter().cloned());
            let Some(cursor) = body["next_cursor"].as_str() else { break };
            uri = format!("{base}&cursor={cursor}");
            // A row that arrives on a page already read does not disturb the pages to come.
            let upper = store.newest().upper.0;
            let adds = Adds::default().sale(0, "2011-12-08", ("GBP", 1, 1), 1);
            store.apply(&adds.batch(upper, "2011-12-09T13:00:00Z"));
        }
        let keys: Vec<String> = seen
            .iter()
            .map(|r| format!("{}{}{}", r["workspace_id"], r["day"], r["currency"]))
            .collect();
        let mut sorted = keys.clone();
        sorted.sort();
        sorted.dedup();
        if order == "desc" {
            sorted.reverse();
        }
        assert_eq!(keys, sorted);
        assert_eq!(keys.len(), 5);
    }
}

#[tokio::test]
async fn bad_requests_say_what_exists() {
    check(
        "/v1/views/sales",
        expect![[r#"
            404 {"type":"about:blank","title":"not found","status":404,"detail":"there is
            no view \"sales\"","hint":"views are revenue_by_day, revenue_by_product_day,
            customers_by_day, metrics_hourly, faults, sources, sinks"}"#]],
    )
    .await;
    check(
        "/v1/views/faults?limit=0",
        expect![[r#"
        400 {"type":"about:blank","title":"bad request","status":400,"detail":"limit is
        \"0\", which is not a number from 1 to 10000","hint":"page with cursor, or use
        POST /v1/sql for larger answers"}"#]],
    )
    .await;
    check(
        "/v1/views/faults?limit=99999999999999999999",
        expect![[r#"
        400 {"type":"about:blank","title":"bad request","status":400,"detail":"limit is
        \"99999999999999999999\", which is not a number from 1 to 10000","hint":"page
        with cursor, or use POST /v1/sql for larger answers"}"#]],
    )
    .await;
    check(
        "/v1/views/faults?cursor=zz",
        expect![[r#"
        400 {"type":"about:blank","title":"bad request","status":400,"detail":"the
        cursor is not one that this view and order gave","hint":"use next_cursor of the
        page before, with the same view and order"}"#]],
    )
    .await;
    check(
        "/v1/views/revenue_by_day?day_gte=today",
        expect![[r#"
        400 {"type":"about:blank","title":"bad request","status":400,"detail":"day_gte
        is \"today\"","hint":"use a day such as 2011-12-09"}"#]],
    )
    .await;
    check(
        "/v1/views/revenue_by_day?orders=3",
        expect![[r#"
        400 {"type":"about:blank","title":"bad request","status":400,"detail":"there is
        no key column for the parameter \"orders\"","hint":"filters are workspace_id,
        shop_id, day, currency, channel; day_gte, day_gt, day_lte, day_lt; also limit,
        cursor, order, format"}"#]],
    )
    .await;
    check(
        "/v1/views/revenue_by_day?day=2011-12-09&day=2011-12-08",
        expect![[r#"
        400 {"type":"about:blank","title":"bad request","status":400,"detail":"the
        parameter \"day\" is given twice","hint":"give every parameter once"}"#]],
    )
    .await;
    check(
        "/v1/stream",
        expect![[r#"
        400 {"type":"about:blank","title":"bad request","status":400,"detail":"the
        parameter views is missing","hint":"use views= with some of revenue_by_day,
        revenue_by_product_day, customers_by_day, metrics_hourly, faults"}"#]],
    )
    .await;
    check(
        "/v1/stream?views=faults,nope",
        expect![[r#"
        404 {"type":"about:blank","title":"not found","status":404,"detail":"there is
        no view \"nope\"","hint":"use views= with some of revenue_by_day,
        revenue_by_product_day, customers_by_day, metrics_hourly, faults"}"#]],
    )
    .await;
    check(
        "/v1/dashboard?shop_id=tea",
        expect![[r#"
        400 {"type":"about:blank","title":"bad request","status":400,"detail":"several
        workspaces have a shop of that name","hint":"give workspace_id as well"}"#]],
    )
    .await;
    check(
        "/v1/dashboard?shop_id=coffee",
        expect![[r#"
        404 {"type":"about:blank","title":"not found","status":404,"detail":"there is
        no such shop","hint":"shops are acme/tea, zen/tea"}"#]],
    )
    .await;
    check(
        "/v1/dashboard?workspace_id=zen&currency=GBP",
        expect![[r#"
        404 {"type":"about:blank","title":"not found","status":404,"detail":"the shop
        has no sales in that currency","hint":"its currencies are JPY"}"#]],
    )
    .await;
    check(
        "/v2",
        expect![[r#"
            404 {"type":"about:blank","title":"not found","status":404,"detail":"there is
            nothing at this path","hint":"routes are /, /healthz, /readyz, /metrics,
            /v1/views, /v1/views/{name}, /v1/stream, /v1/dashboard, /v1/dashboard/stream
            (GET) and /v1/sql (POST)"}"#]],
    )
    .await;
    check(
        "/v1/sql",
        expect![[r#"
            405 {"type":"about:blank","title":"method not allowed","status":405,
            "detail":"this path does not take this method","hint":"routes are /, /healthz,
            /readyz, /metrics, /v1/views, /v1/views/{name}, /v1/stream, /v1/dashboard,
            /v1/dashboard/stream (GET) and /v1/sql (POST)"}"#]],
    )
    .await;
}
