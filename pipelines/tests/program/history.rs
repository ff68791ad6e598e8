//! Replays of history: what they print, what they leave, and how they refuse.

use std::fs;

use crate::bench::{Bench, CSV, LINES, MAPPING};

#[test]
fn a_replay_is_exported_queried_and_replayed_again() {
    let bench = Bench::new();
    bench.write("mapping.toml", MAPPING);
    bench.write("lines.csv", LINES);
    let said = bench.good(&format!("replay lines.csv {CSV} --state books --export out"));
    assert!(said.contains("default/default USD"), "{said}");
    let days = "\
workspace_id,shop_id,day,currency,channel,orders,units,units_returned,gross_sales,discounts,\
returns,net_sales,shipping,taxes,tips,duties_and_fees,total_sales
default,default,2026-03-01,USD,,1,4,0,40.00,0.00,0.00,40.00,0.00,0.00,0.00,0.00,40.00
default,default,2026-03-02,USD,,1,3,1,3.76,0.00,4.00,-0.24,0.00,0.00,0.00,0.00,-0.24
";
    assert_eq!(bench.read("out/revenue_by_day.csv"), days);
    let faults = bench.read("out/faults.csv");
    let kinds =
        ["price,lines.csv,5", "price,lines.csv,6", "quantity,lines.csv,7", "time,lines.csv,8"];
    for kind in kinds {
        assert!(faults.contains(kind), "no {kind} in {faults}");
    }
    assert_eq!(faults.lines().count(), 5, "{faults}");

    bench.good(&format!("replay lines.csv {CSV} --state books --export again --workers 3"));
    assert_eq!(bench.read("again/revenue_by_day.csv"), days);
    assert_eq!(bench.read("again/faults.csv"), faults);

    let sql = "SELECT day, new, returning FROM customers_by_day ORDER BY day";
    let answer = bench.command(&["query", "--state", "books", "--output", "csv", sql]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(text, "day,new,returning\n2026-03-01,1,0\n2026-03-02,1,0\n");
}

#[test]
fn shopify_orders_and_refunds_make_a_shops_books() {
    let bench = Bench::new();
    let order = r#"{"id":31,"created_at":"2026-03-01T23:30:00-05:00",
"updated_at":"2026-03-01T23:30:00-05:00","currency":"USD","taxes_included":false,
"total_tax":"1.60","total_price":"26.50","test":false,"source_name":"web",
"line_items":[{"id":1,"product_id":9,"price":"10.00","quantity":2,"discount_allocations":[]}],
"shipping_lines":[{"price":"4.90","discounted_price":"4.90"}],"customer":{"id":5},"refunds":[]}"#;
    let refund = r#"{"id":77,"order_id":31,"processed_at":"2026-03-05T12:00:00-05:00",
"created_at":"2026-03-05T12:00:00-05:00","order_adjustments":[],"transactions":[],
"refund_line_items":[{"quantity":1,"subtotal":10.00,"total_tax":0.80,
"line_item":{"product_id":9}}]}"#;
    let delivery = |topic: &str, body: &str| {
        let shop = r#""X-Shopify-Shop-Domain":"a.myshopify.com""#;
        let headers = format!(r#"{{"X-Shopify-Topic":"{topic}",{shop}}}"#);
        format!(r#"{{"headers":{headers},"body":{}}}"#, body.replace('\n', ""))
    };
    let (order, refund) = (delivery("orders/create", order), delivery("refunds/create", refund));
    bench.write("one.ndjson", format!("{order}\nnot json\n{refund}\n"));
    bench.write("two.ndjson", format!("{refund}\n{order}\n{order}\n"));
    let options = "--format shopify-webhooks --timezone America/New_York --currency USD";
    bench.good(&format!("replay one.ndjson {options} --export one"));
    bench.good(&format!("replay two.ndjson {options} --export two"));
    let days = bench.read("one/revenue_by_day.csv");
    assert_eq!(days, bench.read("two/revenue_by_day.csv"), "order and repetition are invisible");
    let rows: Vec<&str> = days.lines().skip(1).collect();
    let sold = "2026-03-01,USD,web,1,2,0,20.00,0.00,0.00,20.00,4.90,1.60,0.00,0.00,26.50";
    let back = "2026-03-05,USD,web,0,0,1,0.00,0.00,10.00,-10.00,0.00,-0.80,0.00,0.00,-10.80";
    assert_eq!(rows, [sold, back].map(|row| format!("default,a.myshopify.com,{row}")));
    assert!(bench.read("one/faults.csv").contains("syntax,one.ndjson,2"));
}

#[test]
fn whatever_is_wrong_is_said_with_place_and_remedy() {
    let bench = Bench::new();
    bench.write("mapping.toml", MAPPING);
    bench.write("lines.csv", LINES);
    bench.write("wrong.toml", MAPPING.replace("\"price\"", "\"prise\""));
    bench.write("coin.toml", MAPPING.replace("USD", "DOLLAR"));
    bench.write("broken.csv.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b");
    bench.write("state.txt", "x");
    fs::create_dir(bench.path().join("full")).unwrap();
    bench.write("full/thing", "x");

    bench.refused(&format!("replay nowhere.csv {CSV}"), 1, &["nowhere.csv", "no such file"]);
    bench.refused(&format!("replay full {CSV}"), 1, &["full", "folder"]);
    bench.refused("replay lines.csv --format csv", 2, &["--mapping"]);
    bench.refused("replay lines.csv --format cvs --mapping mapping.toml", 2, &["cvs", "csv"]);
    bench.refused(&format!("replay lines.csv {CSV} --currency XXX"), 2, &["XXX", "ISO 4217"]);
    bench.refused(&format!("replay lines.csv {CSV} --timezone Mars/X"), 2, &["Mars/X", "IANA"]);
    bench.refused(&format!("replay lines.csv {CSV} --workers 0"), 2, &["--workers"]);
    bench.refused("replay lines.csv --format csv --mapping wrong.toml", 1, &["prise", "price"]);
    bench.refused("replay lines.csv --format csv --mapping coin.toml", 2, &["coin.toml", "DOLLAR"]);
    bench.refused(&format!("replay broken.csv.gz {CSV}"), 1, &["broken.csv.gz", "compressed"]);
    bench.refused(&format!("replay lines.csv {CSV} --state full"), 1, &["full", "no state"]);
    bench.refused(&format!("replay lines.csv {CSV} --state state.txt"), 1, &["state.txt"]);
    bench.refused("query --state nowhere SELECT", 1, &["nowhere", "ionflux replay"]);
    bench.refused("query --url http://127.0.0.1:1 SELECT", 1, &["127.0.0.1:1"]);
    bench.refused("run --config nowhere.toml", 2, &["nowhere.toml"]);
    bench.refused("demo --rate=-1", 2, &["rate"]);

    bench.good(&format!("replay lines.csv {CSV} --state books"));
    let answer = bench.command(&["query", "--state", "books", "SELECT dai FROM revenue_by_day"]);
    let error = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(1));
    assert!(error.contains("dai") && error.contains("day"), "{error}");
    bench.refused("query --url nowhere SELECT", 2, &["nowhere", "http://"]);
    let other = format!("replay lines.csv {CSV} --state books --timezone Europe/Berlin");
    bench.refused(&other, 1, &["UTC", "Europe/Berlin", "--state"]);
}

#[test]
fn a_broken_file_costs_nothing_of_the_others_and_views_catch_up_with_the_ledger() {
    let bench = Bench::new();
    bench.write("mapping.toml", MAPPING);
    bench.write("a.csv", LINES);
    bench.write("b.csv", LINES.replace("\n1,mug", "\n9,mug"));
    bench.write("bad.csv", "no,such,columns\n1,2,3\n");
    bench.refused(&format!("replay a.csv bad.csv b.csv {CSV} --state books"), 1, &["bad.csv"]);
    let sql = "SELECT sum(gross_sales) AS gross FROM revenue_by_day";
    let gross = |state: &str| {
        let answer = bench.command(&["query", "--state", state, "--output", "csv", sql]);
        String::from_utf8(answer.stdout).unwrap()
    };
    assert_eq!(gross("books"), "gross\n83.76\n", "both good files are there");
    // As if the process had been killed before it could keep its views.
    fs::remove_file(bench.path().join("books/views/CURRENT")).unwrap();
    bench.good(&format!("replay a.csv {CSV} --state books"));
    assert_eq!(gross("books"), "gross\n83.76\n");
}
