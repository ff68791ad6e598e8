//! The door for settings without a socket: what is set, what is refused, who may see what, and
//! what holds afterwards.

use std::sync::Arc;

use axum::http::StatusCode;
use ionflux_sources::journal::memory::Fault;
use serde_json::{Value, json};

use crate::bench::{Bench, CHANGES_MAX, Never, held};

#[test]
fn what_is_set_is_kept_as_one_delivery_and_holds() {
    let bench = Bench::new();
    let costs = json!([
        {"sku": "A", "cost": "12.50", "currency": "EUR", "valid_from": "2026-01-01T00:00:00Z"},
        {"sku": "B", "cost": "3", "shop": "a.myshopify.com"},
    ]);
    let (status, answer) = bench.put("product-costs", &costs);
    assert_eq!((status, &answer["count"], &answer["counted"]), (200, &json!(2), &json!(true)));
    let expected = json!([
        {"name": "sku:A", "shop": "", "valid_from": "2026-01-01T00:00:00Z", "valid_until": null,
         "removed": false},
        {"name": "sku:B", "shop": "a.myshopify.com", "valid_from": "2026-03-01T00:00:00Z",
         "valid_until": null, "removed": false},
    ]);
    assert_eq!(answer["settings"], expected);

    let kept = bench.counted.deliveries();
    assert_eq!((kept.len(), &*kept[0].source, &*kept[0].workspace), (1, "settings", "acme"));
    let headers: Vec<(&str, &str)> = kept[0].headers.iter().map(|(n, t)| (&**n, &**t)).collect();
    assert_eq!(headers, [("by", "ci"), ("kind", "product-costs")]);
    assert_eq!(kept[0].body.iter().filter(|byte| **byte == b'\n').count(), 2);

    let whole = bench.get("/product-costs");
    assert_eq!(
        held(&whole, "settings")[0].1,
        json!({"sku": "A", "cost": "12.50", "currency": "EUR"})
    );
    assert_eq!((&whole["next"], &whole["settings"][0]["by"]), (&Value::Null, &json!("ci")));
    let shops = bench.get("/product-costs?shop=a.myshopify.com");
    assert_eq!(held(&shops, "settings")[0].1["sku"], "B");
    assert_eq!(held(&bench.get("/product-costs?at=2025-12-31T00:00:00Z"), "settings"), []);
    assert_eq!(held(&bench.get("/fee-rules"), "settings"), []);
}

#[test]
fn of_a_request_everything_is_kept_or_nothing() {
    let bench = Bench::new();
    let (status, answer) = bench.put(
        "badges",
        &json!([
            {"id": "a", "name": "A", "criteria": {"streak": {"days": 3}}},
            {"id": "b", "name": "B", "criteria": {"streak": {"days": 0}}, "colour": "red"},
        ]),
    );
    assert_eq!(status, 422);
    assert!(
        answer["detail"].as_str().unwrap().starts_with("nothing was set: item 1: "),
        "{answer}"
    );
    assert_eq!(answer["errors"].as_array().unwrap().len(), 2);
    let first = json!({"item": 1, "field": "criteria.streak.days", "reason": "must be at least 1"});
    assert_eq!(answer["errors"][0], first);
    for (form, body, expected) in [
        ("application/json", "{", 400),
        ("application/json", "[]", 400),
        ("application/json", "\u{0}", 400),
        ("application/yaml", "a: [", 400),
        (
            "application/json",
            r#"{"id":"a","id":"b","name":"A","criteria":{"streak":{"days":3}}}"#,
            422,
        ),
        ("text/csv", "sku,cost\nA,1\n", 415),
        ("application/xml", "<a/>", 415),
    ] {
        let (status, answer) =
            bench.ask("PUT", "/v1/config/badges", ("one", form), body.as_bytes());
        assert_eq!(status, expected, "{form} {body}: {answer}");
    }
    assert_eq!(bench.ask("PUT", "/v1/config/badges", ("one", ""), b"\xff").0, 400);
    let many = vec![json!({"id": "a"}); 1_001];
    assert_eq!(bench.put("badges", &many.into()).0, 413);
    let large = json!({"id": "a", "name": "A", "criteria": {"streak": {"days": 3}},
        "description": "x".repeat(9 << 20)});
    assert_eq!(bench.put("badges", &large).0, 413);
    assert_eq!(bench.put("poems", &json!({})).0, 404);
    assert_eq!(bench.put("badges?colour=red", &json!({})).0, 400);
    assert_eq!(bench.counted.deliveries().len(), 0);
}

#[test]
fn a_token_sees_and_sets_its_own_workspace_alone() {
    let bench = Bench::new();
    let budget = json!({"id": "default", "false_incidents_per_week": "0.05"});
    assert_eq!(bench.put("budgets", &budget).0, 200);
    let body = budget.to_string();
    for token in ["", "three", "one two"] {
        for (method, path) in [
            ("PUT", "/v1/config/budgets"),
            ("GET", "/v1/config/budgets"),
            ("GET", "/v1/config/budgets/history"),
            ("GET", "/v1/config"),
            ("PUT", "/v1/config/poems"),
        ] {
            let (status, _) = bench.ask(method, path, (token, "application/json"), body.as_bytes());
            assert_eq!(status, 401, "{token:?} {method} {path}");
        }
    }
    assert_eq!(bench.counted.deliveries().len(), 1);
    for path in ["/v1/config/budgets", "/v1/config/budgets/history"] {
        let (status, answer) = bench.ask("GET", path, ("two", ""), b"");
        let list = if path.ends_with("history") { "changes" } else { "settings" };
        assert_eq!((status, held(&answer, list)), (200, vec![]), "{path}");
    }
    // The other tenant's agent is nobody's here.
    let agent = json!({"id": "x", "name": "X", "version": "1.0.0"});
    assert_eq!(bench.put("agent-definitions", &agent).0, 200);
    let configuration = json!({"name": "mine", "agent_definition_id": "x"}).to_string();
    let ask = |token| {
        let form = (token, "application/json");
        bench.ask("PUT", "/v1/config/agent-configurations", form, configuration.as_bytes()).0
    };
    assert_eq!((ask("two"), ask("one")), (422, 200));
}

#[test]
fn history_keeps_every_change_in_order() {
    let bench = Bench::new();
    let fee = |percent: &str, from: Option<&str>| {
        let mut rule = json!({"id": "card", "gateway": "stripe", "percent": percent});
        if let Some(from) = from {
            rule["valid_from"] = from.into();
        }
        assert_eq!(bench.put("fee-rules", &rule).0, 200);
    };
    fee("2.9", Some("2026-01-01T00:00:00Z"));
    fee("3.1", Some("2026-02-01T00:00:00Z"));
    // In one millisecond, and the same thing again: the last word still counts.
    fee("3.3", Some("2026-01-01T00:00:00Z"));
    fee("2.9", Some("2026-01-01T00:00:00Z"));
    bench.clock.advance(60_000);
    fee("3.5", None);
    bench.clock.advance(60_000);
    assert_eq!(bench.put("fee-rules", &json!({"id": "card", "removed": true})).0, 200);

    let shown = |answer: &Value| -> Vec<String> {
        let percent = |document: &Value| document["percent"].as_str().unwrap_or("-").to_owned();
        held(answer, "changes")
            .iter()
            .map(|(from, d)| format!("{} {}", &from[..16], percent(d)))
            .collect()
    };
    let expected = [
        "2026-01-01T00:00 2.9",
        "2026-01-01T00:00 3.3",
        "2026-01-01T00:00 2.9",
        "2026-02-01T00:00 3.1",
        "2026-03-01T00:01 3.5",
        "2026-03-01T00:02 -",
    ];
    assert_eq!(shown(&bench.get("/fee-rules/history")), expected);
    let mut paged = Vec::new();
    let mut path = "/fee-rules/history?limit=4".to_owned();
    loop {
        let page = bench.get(&path);
        paged.extend(shown(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/fee-rules/history?limit=4&after={next}");
    }
    assert_eq!(paged, expected);

    let at = |at: &str| {
        let answer = bench.get(&format!("/fee-rules?at={at}"));
        held(&answer, "settings").pop().map(|(_, document)| document["percent"].clone())
    };
    assert_eq!(at("2025-12-31T23:59:59Z"), None);
    assert_eq!(at("2026-01-15T00:00:00Z"), Some("2.9".into()));
    assert_eq!(at("2026-02-15T00:00:00Z"), Some("3.1".into()));
    assert_eq!(at("2026-03-01T00:01:30Z"), Some("3.5".into()));
    assert_eq!(held(&bench.get("/fee-rules"), "settings"), []);
}

#[test]
fn what_is_deleted_is_taken_back_from_now_on() {
    let bench = Bench::new();
    let costs = json!([
        {"sku": "A/1", "cost": "12.50", "currency": "EUR", "valid_from": "2026-01-01T00:00:00Z"},
        {"sku": "A/1", "shop": "a.myshopify.com", "cost": "9.00", "currency": "EUR"},
    ]);
    assert_eq!(bench.put("product-costs", &costs).0, 200);
    bench.clock.advance(60_000);
    let delete = |path: &str, token: &str| {
        bench.ask("DELETE", &format!("/v1/config/product-costs/{path}"), (token, ""), b"")
    };
    assert_eq!(delete("sku:A%2F1", "").0, 401);
    assert_eq!(delete("sku:A%2F1", "two").0, 404, "another workspace's");
    assert_eq!(delete("sku:B", "one").0, 404);
    assert_eq!(delete("sku:A%2F1?at=2026-01-01T00:00:00Z", "one").0, 400);
    assert_eq!(bench.counted.deliveries().len(), 1);
    let (status, answer) = delete("sku:A%2F1", "one");
    let expected = json!([{"name": "sku:A/1", "shop": "", "valid_from": "2026-03-01T00:01:00.002Z",
        "valid_until": null, "removed": true}]);
    assert_eq!((status, &answer["settings"]), (200, &expected));
    let now = "product-costs?at=2026-03-01T00:02:00Z";
    assert_eq!(held(&bench.get(&format!("/{now}")), "settings"), []);
    assert_eq!(held(&bench.get(&format!("/{now}&shop=a.myshopify.com")), "settings").len(), 1);
    let before = bench.get("/product-costs?at=2026-02-01T00:00:00Z");
    assert_eq!(held(&before, "settings")[0].1["cost"], "12.50");
    assert_eq!(held(&bench.get("/product-costs/history"), "changes").len(), 2);
    assert_eq!(delete("sku:A%2F1", "one").0, 404, "it is taken back already");
    assert_eq!(delete("sku:A%2F1?shop=31", "one").0, 400, "a number is no name");
    assert_eq!(delete("sku:A%2F1?shop=A.myshopify.com.", "one").0, 200);
}

#[test]
fn settings_come_in_pages() {
    let bench = Bench::new();
    let names = ["a", "a-b", "a/0", "a/b", "b"];
    let cost = |sku: &&str| json!({"sku": sku, "cost": "1"});
    assert_eq!(bench.put("product-costs", &names.iter().map(cost).collect()).0, 200);
    let mut found = Vec::new();
    let mut path = "/product-costs?limit=2".to_owned();
    loop {
        let page = bench.get(&path);
        assert!(page["settings"].as_array().unwrap().len() <= 2);
        found.extend(
            held(&page, "settings").iter().map(|(_, d)| d["sku"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/product-costs?limit=2&after={}", next.replace('/', "%2F"));
    }
    found.sort();
    assert_eq!(found, names);
    let one = bench.get("/product-costs?name=sku:a/b");
    assert_eq!(held(&one, "settings")[0].1["sku"], "a/b");
    for wrong in ["limit=0", "limit=1001", "limit=x", "at=soon", "at=2026-01-01", "colour=red"] {
        let path = format!("/v1/config/product-costs?{wrong}");
        assert_eq!(bench.ask("GET", &path, ("one", ""), b"").0, 400, "{wrong}");
    }
    let path = "/v1/config/product-costs/history?at=2026-01-01T00:00:00Z";
    assert_eq!(bench.ask("GET", path, ("one", ""), b"").0, 400);
}

#[test]
fn a_table_of_costs_is_one_request() {
    let bench = Bench::new();
    let rows: String = (0..2_000).map(|n| format!("SKU-{n},{n}.25,2026-03-01\n")).collect();
    let table = format!("\u{feff}sku,cost,valid_from\r\n{rows}");
    let path = "/v1/config/product-costs?shop=a.myshopify.com&zone=Asia/Tokyo";
    let (status, answer) =
        bench.ask("PUT", path, ("one", "text/csv; charset=utf-8"), table.as_bytes());
    assert_eq!((status, &answer["count"]), (200, &json!(2_000)), "{answer}");
    assert_eq!(answer["settings"].as_array().unwrap().len(), 1_000);
    assert_eq!(answer["settings"][0]["valid_from"], "2026-02-28T15:00:00Z");
    assert_eq!(bench.counted.deliveries().len(), 1);
    let bad = table.replace("SKU-7,7.25", "SKU-7,free");
    let (status, answer) = bench.ask("PUT", path, ("one", "text/csv"), bad.as_bytes());
    assert_eq!((status, &answer["errors"][0]["line"]), (422, &json!(9)), "{answer}");
    let endless = format!("sku,cost\n{}", "A,1\n".repeat(100_001));
    let (status, answer) = bench.ask("PUT", path, ("one", "text/csv"), endless.as_bytes());
    assert_eq!(status, 400, "{answer}");
    assert_eq!(bench.counted.deliveries().len(), 1);
}

#[test]
fn the_kinds_say_what_may_be_set() {
    let answer = Bench::new().get("");
    let kinds = answer["kinds"].as_array().unwrap();
    assert_eq!(kinds.len(), 12);
    assert_eq!(kinds[0]["kind"], "product-costs");
    assert_eq!(kinds[0]["fields"][2], json!({"name": "cost", "needed": true}));
    assert_eq!(answer["fields_of_all"][0]["name"], "shop");
}

#[test]
fn what_is_kept_and_not_counted_yet_is_said_to_be() {
    let bench = Bench::over(|_| Arc::new(Never));
    let budget = json!({"id": "default", "false_incidents_per_week": "0.05"});
    let (status, answer) = bench.put("budgets", &budget);
    assert_eq!((status, &answer["counted"]), (StatusCode::ACCEPTED.as_u16(), &json!(false)));
    assert_eq!(bench.counted.deliveries().len(), 1);
    let (status, answer) = bench.ask("GET", "/v1/config/budgets", ("one", ""), b"");
    assert_eq!((status, &answer["detail"]), (500, &json!("the store cannot be read")));
    // Whether the agent is defined cannot be known: nobody is to blame but us.
    let configuration = json!({"name": "mine", "agent_definition_id": "x"});
    assert_eq!(bench.put("agent-configurations", &configuration).0, 500);
    bench.files.fail_next(Fault::SyncError);
    assert_eq!(bench.put("budgets", &budget).0, 503);
}

#[test]
fn a_workspace_has_a_rate_and_another_has_its_own() {
    let bench = Bench::new();
    let budget = json!({"id": "default", "false_incidents_per_week": "0.05"});
    for _ in 0..CHANGES_MAX {
        assert_eq!(bench.put("budgets", &budget).0, 200);
    }
    assert_eq!(bench.put("budgets", &budget).0, 429);
    let body = budget.to_string();
    let other = ("two", "application/json");
    assert_eq!(bench.ask("PUT", "/v1/config/budgets", other, body.as_bytes()).0, 200);
    bench.clock.advance(1_000);
    assert_eq!(bench.put("budgets", &budget).0, 200);
}

#[test]
fn a_shop_has_one_name_in_settings() {
    let bench = Bench::new();
    let cost = |shop: &str| json!({"sku": "A", "cost": "1", "shop": shop});
    assert_eq!(bench.put("product-costs", &cost("https://A.myshopify.com")).0, 200);
    for shop in ["a.myshopify.com", "A.MYSHOPIFY.COM."] {
        let found = bench.get(&format!("/product-costs?shop={shop}"));
        assert_eq!(held(&found, "settings").len(), 1, "{shop}");
        assert_eq!(found["shop"], "a.myshopify.com");
    }
    let (status, answer) = bench.put("product-costs", &cost("954889"));
    assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!("shop")), "{answer}");
    let path = "/v1/config/product-costs?shop=954889";
    assert_eq!(bench.ask("GET", path, ("one", ""), b"").0, 400);
}
