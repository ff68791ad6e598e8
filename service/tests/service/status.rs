//! The tables `sources` and `sinks`: what the board says, at the moment of the question.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use expect_test::expect;
use ionflux_schemas::health::{Condition, Health, Standing};
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_service::routes::{Context, router};
use tower::ServiceExt;

use crate::sample::{folded, store, text, utc};

fn health(name: &str, state: Condition, reason: &str) -> Health {
    Health { component: name.into(), state, since: UtcMs(7_000), reason: reason.into() }
}

#[tokio::test]
async fn sources_and_sinks_are_tables_of_the_moment() {
    let context = Context::new(utc());
    context.board.source(|| health("kafka", Condition::Running, ""));
    let away = Standing {
        health: health("timescale", Condition::Stalled, "the database is away"),
        epoch: None,
        offered: Some(Epoch(12)),
    };
    let sink = Arc::new(Mutex::new(away));
    let told = Arc::clone(&sink);
    context.board.sink(move || told.lock().unwrap().clone());
    let (board, router) = (Arc::clone(&context.board), router(store(), context));
    let ask = async |method: &str, uri: &str, body: &str| {
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("accept", "text/csv, */*").body(Body::from(body.to_owned()));
        let response = router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status();
        folded(&format!("{status} {}", text(response).await))
    };
    let joined = "SELECT k.name, s.name, s.epoch, s.lag_epochs, (SELECT count(*) FROM faults) f \
                  FROM sources k CROSS JOIN \"sinks\" s";
    let mut answers = vec![
        ask("POST", "/v1/sql", "SELECT * FROM Sinks").await,
        ask("POST", "/v1/sql", joined).await,
        ask("GET", "/v1/views/sinks?name=timescale", "").await,
    ];
    *sink.lock().unwrap() = Standing {
        health: health("timescale", Condition::Running, ""),
        epoch: Some(Epoch(11)),
        offered: Some(Epoch(12)),
    };
    answers.push(ask("POST", "/v1/sql", "SELECT * FROM sinks").await);
    answers.push(ask("GET", "/v1/views/sources?name=tiktok", "").await);
    answers.push(ask("POST", "/v1/sql", "DROP TABLE sinks").await);
    answers.push(ask("GET", "/v1/stream?views=sinks", "").await);
    expect![[r#"
        200 OK name,state,since,reason,epoch,lag_epochs
        timescale,stalled,1970-01-01T00:00:07Z,the database is away,,12
        200 OK name,name,epoch,lag_epochs,f
        kafka,timescale,,12,1
        200 OK {"view":"sinks","version":1,"epoch":1,"as_of":"2011-12-09T12:50:00Z",
        "rows":[{"name":"timescale","state":"stalled","since":"1970-01-01T00:00:07Z",
        "reason":"the database is away","epoch":null,"lag_epochs":12}],
        "next_cursor":null}
        200 OK name,state,since,reason,epoch,lag_epochs
        timescale,running,1970-01-01T00:00:07Z,,11,1
        200 OK {"view":"sources","version":1,"epoch":1,"as_of":"2011-12-09T12:50:00Z",
        "rows":[],"next_cursor":null}
        403 Forbidden {"type":"about:blank","title":"read only","status":403,
        "detail":"DDL not supported: DropTable","hint":"views are read only: use SELECT,
         WITH, VALUES or EXPLAIN"}
        404 Not Found {"type":"about:blank","title":"not found","status":404,
        "detail":"there is no view \"sinks\"","hint":"use views= with some of
        revenue_by_day, revenue_by_product_day, customers_by_day, metrics_hourly,
        faults"}"#]]
    .assert_eq(&answers.join("\n"));
    let (components, running) = board.read();
    assert!(running, "no sink makes the rest wait");
    let names: Vec<&str> = components.iter().map(|health| &*health.component).collect();
    assert_eq!(names, ["kafka", "sink timescale"]);
}
