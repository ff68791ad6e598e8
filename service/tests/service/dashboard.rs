//! The dashboard's figures and the page that paints them.

use axum::body::Body;
use axum::http::Request;
use expect_test::expect;
use ionflux_service::store::Phase;
use serde_json::Value as Json;

use crate::sample::{Adds, folded, get, send, store, text};

#[tokio::test]
async fn the_dashboard_is_computed_here() {
    let shown = |body: &mut Json| {
        let busy = |point: &Json| point["orders"] != 0;
        let points = body["hours"]["points"].as_array_mut().unwrap();
        assert_eq!(points.len(), 48);
        points.retain(busy);
        folded(&body.to_string())
    };
    let (_, body) = get(&store(), "/v1/dashboard").await;
    let mut body: Json = serde_json::from_str(&body).unwrap();
    expect![[r#"
        {"as_of":"2011-12-09T12:50:00Z","cards":{"aov":{"day_before":{"change":"74.9",
        "direction":1,"value":"33.50"},"money":true,"value":"58.58",
        "week_before":{"change":"17.2","direction":1,"value":"50.00"}},
        "discounts":{"day_before":{"change":null,"direction":0,"value":"0.00"},
        "money":true,"value":"0.00","week_before":{"change":null,"direction":0,
        "value":"0.00"}},"gross_sales":{"day_before":{"change":"74.9","direction":1,
        "value":"100.50"},"money":true,"value":"175.75","week_before":{"change":"-12.1",
        "direction":-1,"value":"200.00"}},"net_sales":{"day_before":{"change":"74.9",
        "direction":1,"value":"100.50"},"money":true,"value":"175.75",
        "week_before":{"change":"-12.1","direction":-1,"value":"200.00"}},
        "new_customers":{"day_before":{"change":"-25.0","direction":-1,"value":"4"},
        "money":false,"value":"3","week_before":{"change":"-25.0","direction":-1,
        "value":"4"}},"orders":{"day_before":{"change":"0.0","direction":0,"value":"3"},
        "money":false,"value":"3","week_before":{"change":"-25.0","direction":-1,
        "value":"4"}},"returning_customers":{"day_before":{"change":null,"direction":0,
        "value":"0"},"money":false,"value":"0","week_before":{"change":null,
        "direction":0,"value":"0"}},"returns":{"day_before":{"change":null,
        "direction":0,"value":"0.00"},"money":true,"value":"0.00",
        "week_before":{"change":null,"direction":0,"value":"0.00"}},
        "units":{"day_before":{"change":"0.0","direction":0,"value":"3"},"money":false,
        "value":"3","week_before":{"change":"-25.0","direction":-1,"value":"4"}}},
        "days":{"points":[{"at":"2011-12-02","height":1000,"orders":4,"value":"200.00"},
        {"at":"2011-12-03","height":0,"orders":0,"value":"0.00"},{"at":"2011-12-04",
        "height":0,"orders":0,"value":"0.00"},{"at":"2011-12-05","height":0,"orders":0,
        "value":"0.00"},{"at":"2011-12-06","height":0,"orders":0,"value":"0.00"},
        {"at":"2011-12-07","height":0,"orders":0,"value":"0.00"},{"at":"2011-12-08",
        "height":502,"orders":3,"value":"100.50"},{"at":"2011-12-09","height":878,
        "orders":3,"value":"175.75"}],"ticks":[{"height":0,"value":"0"},{"height":250,
        "value":"50"},{"height":500,"value":"100"},{"height":750,"value":"150"},
        {"height":1000,"value":"200"}],"zero":0},"epoch":1,"faults":{"count":1,
        "examples":[{"kind":"price","place":"orders.csv:12","reason":"the unit price is
        0","remedy":"a line without a price counts nowhere; correct it and replay the
        file","subject":"order 7"}],"kinds":[{"count":1,"kind":"price"}]},
        "hours":{"points":[{"at":"2011-12-08T10:00:00Z","height":502,"orders":3,
        "value":"100.50"},{"at":"2011-12-09T10:00:00Z","height":878,"orders":3,
        "value":"175.75"}],"ticks":[{"height":0,"value":"0"},{"height":250,
        "value":"50"},{"height":500,"value":"100"},{"height":750,"value":"150"},
        {"height":1000,"value":"200"}],"zero":0},"money":{"code":"GBP","decimals":2,
        "others":["EUR"]},"phase":"live","products_ever":[{"net_sales":"300.50",
        "product_id":"cup","share":1000,"units":7,"units_returned":0},
        {"net_sales":"150.00","product_id":"pot","share":499,"units":2,
        "units_returned":0},{"net_sales":"25.75","product_id":"<b>kettle</b>",
        "share":85,"units":1,"units_returned":0}],
        "products_week":[{"net_sales":"150.00","product_id":"pot","share":1000,
        "units":2,"units_returned":0},{"net_sales":"100.50","product_id":"cup",
        "share":670,"units":3,"units_returned":0},{"net_sales":"25.75",
        "product_id":"<b>kettle</b>","share":171,"units":1,"units_returned":0}],
        "shop":{"orders":11,"shop_id":"tea","workspace_id":"acme"},
        "shops":[{"orders":11,"shop_id":"tea","workspace_id":"acme"},{"orders":1,
        "shop_id":"tea","workspace_id":"zen"}],"time_zone":"UTC",
        "today":{"current":true,"day":"2011-12-09","day_before":"2011-12-08",
        "week_before":"2011-12-02"},"total":{"first_day":"2011-12-02",
        "last_day":"2011-12-09","net_sales":"476.25","orders":10}}"#]]
    .assert_eq(&shown(&mut body));
    let (_, body) = get(&store(), "/v1/dashboard?workspace_id=zen").await;
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(body["cards"]["net_sales"]["value"], "1200");
    let store = store();
    store.set_phase(Phase::Complete);
    store.apply(&Adds::default().batch(1, "2011-12-25T00:00:00Z"));
    let (_, body) = get(&store, "/v1/dashboard").await;
    let body: Json = serde_json::from_str(&body).unwrap();
    let told = format!("{} {} {}", body["epoch"], body["phase"], body["today"]);
    expect![[r#"
        2 "complete" {"current":false,"day":"2011-12-09","day_before":"2011-12-08",
        "week_before":"2011-12-02"}"#]]
    .assert_eq(&folded(&told));
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    for path in ["/", "/live.js", "/paint.js", "/style.css", "/icon.svg"] {
        let response = send(&store(), Request::get(path).body(Body::empty()).unwrap()).await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let body = text(response).await.replace("http://www.w3.org/2000/svg", "");
        for word in ["http:", "https:", "<style", " onclick", "innerHTML", " style="] {
            assert!(!body.contains(word), "{path} has {word}");
        }
    }
}
