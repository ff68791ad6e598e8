//! Dead letters: listed, shown with their raw bytes, and read again after a fix, exactly once.

use std::fs;

use crate::bench::{Bench, CSV, LINES, MAPPING};

/// An order that names no currency: it can be counted only by whoever knows it.
const ORDER: &str = concat!(
    r#"{"headers":{"X-Shopify-Topic":"orders/create"},"body":{"id":31,"#,
    r#""created_at":"2026-03-01T10:00:00Z","updated_at":"2026-03-01T10:00:00Z","#,
    r#""taxes_included":false,"total_tax":"0.00","test":false,"source_name":"web","#,
    r#""line_items":[{"id":1,"product_id":9,"price":"10.00","quantity":2}],"#,
    r#""shipping_lines":[],"refunds":[]}}"#
);

const WEBHOOKS: &str = "--format shopify-webhooks --shop a.myshopify.com";

#[test]
fn a_letter_is_counted_once_after_its_fix() {
    let bench = Bench::new();
    bench.write("orders.ndjson", format!("{ORDER}\n{{broken\n"));
    bench.good(&format!("replay orders.ndjson {WEBHOOKS} --state books"));
    let listed = bench.good("faults list --state books");
    assert!(listed.contains("currency") && listed.contains("orders.ndjson:1"), "{listed}");
    assert!(listed.contains("syntax") && listed.ends_with("2 faults\n"), "{listed}");

    let said = bench.good("faults replay --state books");
    assert_eq!(said, "2 read again: 0 are counted now, 2 faults remain\n");
    assert_eq!(bench.good("faults list --state books"), listed, "nothing changed");

    let said = bench.good("faults replay --state books --currency EUR");
    assert_eq!(said, "2 read again: 1 are counted now, 1 faults remain\n");
    let said = bench.good("faults replay --state books --currency EUR");
    assert_eq!(said, "1 read again: 0 are counted now, 1 faults remain\n", "once");
    assert!(bench.good("faults list --state books").ends_with("1 faults\n"));
    assert!(bench.good("verify --state books").starts_with("equal: "));

    bench.good(&format!("replay orders.ndjson {WEBHOOKS} --currency EUR --export fresh"));
    let sql = "SELECT * FROM revenue_by_day";
    let answer = bench.command(&["query", "--state", "books", "--output", "csv", sql]);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), bench.read("fresh/revenue_by_day.csv"));
}

#[test]
fn a_fault_is_shown_with_its_raw_bytes_by_any_beginning_of_its_id() {
    let bench = Bench::new();
    bench.write("mapping.toml", MAPPING);
    bench.write("lines.csv", LINES);
    bench.good(&format!("replay lines.csv {CSV} --state books"));
    let listed = bench.good("faults list --state books");
    let yesterday = listed.lines().find(|line| line.contains("lines.csv:8")).unwrap();
    let id = yesterday.split_whitespace().next().unwrap();
    for id in [id, &id[..12]] {
        let shown = bench.good(&format!("faults show {id} --state books"));
        for part in ["time", "lines.csv:8", "6,cup,1,1.00,yesterday,8", "remedy", "mapping"] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
    }
    let raw = bench.good(&format!("faults show {id} --state books --raw"));
    assert_eq!(raw.trim_end(), "6,cup,1,1.00,yesterday,8");
    bench.refused("faults show ffff --state books", 1, &["ffff", "faults list"]);
    bench.refused("faults show 0 --state nowhere", 1, &["nowhere", "ionflux replay"]);
    bench.refused("faults replay 00ff --state books", 1, &["00ff"]);
    let limited = bench.good("faults list --state books --limit 1");
    assert!(limited.ends_with("1 of 4 faults; --limit shows more\n"), "{limited}");
}

#[test]
fn rows_are_read_again_with_a_corrected_mapping() {
    let bench = Bench::new();
    bench.write("mapping.toml", MAPPING);
    // The price stands in another column than the mapping says.
    bench.write("wrong.toml", MAPPING.replace("\"price\"", "\"note\""));
    bench.write(
        "lines.csv",
        "order,product,quantity,price,at,customer,note\n\
        1,mug,2,10.00,2026-03-01T10:00:00,7,x\n1,mug,2,10.00,2026-03-01T10:00:00,7,x\n",
    );
    bench.good("replay lines.csv --format csv --mapping wrong.toml --state books");
    assert!(bench.good("faults list --state books").ends_with("2 faults\n"));
    let said = bench.good("faults replay --state books --mapping mapping.toml");
    assert_eq!(said, "2 read again: 2 are counted now, 0 faults remain\n");
    // Read as a file beside it, the rows are the same rows.
    bench.good(&format!("replay lines.csv {CSV} --state books"));
    let sql = "SELECT orders, units, gross_sales FROM revenue_by_day";
    let answer = bench.command(&["query", "--state", "books", "--output", "csv", sql]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(text, "orders,units,gross_sales\n1,4,40.00\n");
    fs::remove_dir_all(bench.path().join("books")).unwrap();
}
