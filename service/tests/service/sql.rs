//! SQL over HTTP: what is answered, in which forms, and what is refused.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use expect_test::{Expect, expect};
use ionflux_service::store::Store;

use crate::sample::{folded, send, store, text};

async fn sql(store: &Arc<Store>, query: &str, accept: &str) -> (StatusCode, String) {
    let request = Request::post("/v1/sql").header("accept", accept);
    let response = send(store, request.body(Body::from(query.to_owned())).unwrap()).await;
    (response.status(), text(response).await)
}

async fn check_sql(query: &str, expected: Expect) {
    let (status, body) = sql(&store(), query, "application/json").await;
    expected.assert_eq(&folded(&format!("{} {body}", status.as_u16())));
}

#[tokio::test]
async fn sql_answers_from_one_epoch() {
    check_sql(
        "SELECT currency, sum(net_sales) AS net, sum(orders) n FROM revenue_by_day
            GROUP BY 1 ORDER BY 1;",
        expect![[r#"
            200 {"epoch":1,"as_of":"2011-12-09T12:50:00Z","truncated":false,
            "columns":[{"name":"currency","type":"Utf8"},{"name":"net",
            "type":"Decimal128(38, 4)"},{"name":"n","type":"Int64"}],
            "rows":[{"currency":"EUR","net":"9.99","n":1},{"currency":"GBP","net":"476.25",
            "n":10},{"currency":"JPY","net":"1200","n":1}]}"#]],
    )
    .await;
    check_sql(
        "SELECT 0.1 + 0.2 AS exact, NULL AS nothing, 1 = 1 AS yes",
        expect![[r#"
        200 {"epoch":1,"as_of":"2011-12-09T12:50:00Z","truncated":false,
        "columns":[{"name":"exact","type":"Decimal128(2, 1)"},{"name":"nothing",
        "type":"Null"},{"name":"yes","type":"Boolean"}],"rows":[{"exact":"0.30",
        "nothing":null,"yes":true}]}"#]],
    )
    .await;
}

#[tokio::test]
async fn sql_refuses_what_is_not_a_query() {
    for query in [
        "CREATE TABLE t (a INT)",
        "DROP VIEW faults",
        "INSERT INTO faults VALUES (1)",
        "DELETE FROM faults",
        "COPY faults TO '/tmp/faults.csv'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE p AS SELECT 1",
        "SELECT 1; SELECT 2",
        "",
        "SELEC 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT nett FROM revenue_by_day",
        "SELECT * FROM revenue",
        "SELECT repeat('a', 1000000000)",
        "WITH RECURSIVE t AS (SELECT 1 a UNION ALL SELECT a + 1 FROM t) SELECT * FROM t",
        "SHOW TABLES",
        "SELECT 1 / (orders - orders) FROM revenue_by_day",
    ] {
        let (status, body) = sql(&store(), query, "*/*").await;
        assert!(status.is_client_error(), "{query}: {status} {body}");
    }
    check_sql(
        "DROP TABLE faults",
        expect![[r#"
        403 {"type":"about:blank","title":"read only","status":403,"detail":"DDL not
        supported: DropTable","hint":"views are read only: use SELECT, WITH, VALUES or
        EXPLAIN"}"#]],
    )
    .await;
    check_sql(
        "SELECT returning FROM customers_by_day",
        expect![[r#"
        200 {"epoch":1,"as_of":"2011-12-09T12:50:00Z","truncated":false,
        "columns":[{"name":"returning","type":"Int64"}],"rows":[{"returning":0},
        {"returning":0},{"returning":0},{"returning":0}]}"#]],
    )
    .await;
    check_sql(
        "SELECT nett FROM customers_by_day",
        expect![[r#"
        400 {"type":"about:blank","title":"invalid query","status":400,"detail":"there
        is no column nett","hint":"customers_by_day has workspace_id, shop_id, day, new,
         returning"}"#]],
    )
    .await;
    check_sql(
        "SELECT * FROM revenue",
        expect![[r#"
        400 {"type":"about:blank","title":"invalid query","status":400,"detail":"table
        'revenue' not found","hint":"the views are revenue_by_day,
        revenue_by_product_day, customers_by_day, metrics_hourly, faults"}"#]],
    )
    .await;
    check_sql(
        "SELECT 1; SELECT 2",
        expect![[r#"
        400 {"type":"about:blank","title":"not one statement","status":400,
        "detail":"the text holds more than one statement","hint":"send one SELECT; a
        trailing semicolon is fine"}"#]],
    )
    .await;
    let long = format!("SELECT '{}'", "x".repeat(64 * 1024));
    assert_eq!(sql(&store(), &long, "*/*").await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(sql(&store(), "SELECT 1", "image/png").await.0, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn long_answers_say_that_they_are_cut() {
    let query = "SELECT count(*) OVER () FROM generate_series(1, 100001)";
    let (_, body) = sql(&store(), query, "text/plain").await;
    assert!(body.ends_with("100000 rows (cut: there are more), epoch 1\n"), "{}", body.len());
}

#[tokio::test]
async fn answers_come_as_text_and_parquet() {
    let query =
        "SELECT product_id, units, net_sales FROM revenue_by_product_day WHERE currency = 'JPY'";
    expect![[r#"
         product_id   units   net_sales
        ──────────── ─────── ───────────
         cup              1     1200.00
        1 row, epoch 1
    "#]]
    .assert_eq(&sql(&store(), query, "text/plain").await.1);
    let query =
        "SELECT product_id, currency, net_sales FROM revenue_by_product_day ORDER BY day, 1, 2";
    expect![[r#"
        product_id,currency,net_sales
        cup,GBP,200.00
        cup,GBP,100.50
        pot,EUR,9.99
        <b>kettle</b>,GBP,25.75
        cup,JPY,1200
        pot,GBP,150.00
    "#]]
    .assert_eq(&sql(&store(), query, "text/csv").await.1);
    let request = Request::post("/v1/sql").header("accept", "application/vnd.apache.parquet");
    let response = send(&store(), request.body(Body::from(query)).unwrap()).await;
    assert_eq!(response.headers()["ionflux-epoch"], "1");
    assert!(to_bytes(response.into_body(), 1 << 20).await.unwrap().starts_with(b"PAR1"));
}
