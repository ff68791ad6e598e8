//! The shop's own totals, in each form its analytics have.

use ionflux_sources::poller::Stop;
use ionflux_sources::shopify::admin::AdminError;
use ionflux_sources::shopify::admin::totals::{Days, compare, facts, theirs};
use serde_json::json;

use crate::bench::Bench;

fn ask(bench: &Bench) -> Result<Days, AdminError> {
    theirs(&mut bench.client(), ("2026-03-01", "2026-03-02"), &Stop::default())
}

#[test]
fn rows_are_read_as_objects_and_as_lists() {
    let bench = Bench::new();
    let names = [
        "day",
        "orders",
        "gross_sales",
        "discounts",
        "sales_reversals",
        "net_sales",
        "shipping_charges",
        "taxes",
        "total_sales",
    ];
    let columns: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let row = json!({ "day": "2026-03-01", "orders": 2, "gross_sales": "100.10",
        "discounts": "-10.00", "sales_reversals": -20.05, "net_sales": "70.05",
        "shipping_charges": "5.00", "taxes": null, "total_sales": "75.05" });
    let list: Vec<_> = names.iter().map(|name| row[*name].clone()).collect();
    let mut read = Vec::new();
    for rows in [json!([row]), json!([list])] {
        bench.shop.state().analytics =
            json!({ "tableData": { "columns": columns, "rows": rows }, "parseErrors": [] });
        read.push(ask(&bench).unwrap());
    }
    assert_eq!(read[0], read[1]);
    let shown: Vec<String> =
        read[0]["2026-03-01"].iter().map(|total| total.normalize().to_string()).collect();
    assert_eq!(shown, ["2", "100.1", "10", "20.05", "70.05", "5", "0", "75.05"]);
    assert_eq!(compare(&read[0], &read[1]), []);
    assert_eq!(compare(&Days::new(), &read[0]).len(), 7);
}

#[test]
fn what_analytics_do_not_answer_is_said() {
    let bench = Bench::new();
    for (answer, told) in [
        (json!(null), "read_reports"),
        (json!({ "tableData": null, "parseErrors": ["no column"] }), "no column"),
        (json!({ "tableData": null, "parseErrors": [] }), "no table"),
        (json!({ "tableData": { "columns": [], "rows": [{ "orders": 1 }] } }), "no day"),
        (json!({ "tableData": { "columns": [], "rows": 7 } }), "unexpected form"),
        (
            json!({ "tableData": { "columns": [],
                "rows": [{ "day": "2026-03-01", "taxes": {} }] } }),
            "taxes of 2026-03-01 is no number",
        ),
    ] {
        bench.shop.state().analytics = answer;
        let Err(error) = ask(&bench) else { panic!("it was answered") };
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn the_currency_and_the_days_are_the_shops() {
    let bench = Bench::new();
    let facts = facts(&mut bench.client(), &Stop::default()).unwrap();
    assert_eq!((facts.currency.code(), facts.zone.name()), ("EUR", "Europe/Berlin"));
}
