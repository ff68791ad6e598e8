//! Forgetting by the live program: a person comes, is counted, asks to be forgotten, and no file of
//! the state knows them; every view is as it was.

use std::fs;
use std::path::Path;

use ionflux_schemas::time::UtcMs;
use ionflux_sources::simulator::Sent;
use ionflux_sources::subjects::receipts::verified;

use crate::instance::{Instance, Load};

const SHOP: &str = "a.myshopify.com";
const AT: UtcMs = UtcMs(1_772_323_200_000);
/// What no file may hold.
const PERSONAL: [&str; 6] = [
    "7301920001112",
    "ann.archer@post.example",
    "+49 30 1234567",
    "Archer",
    "Lindenstrasse 5",
    "203.0.113.77",
];
/// How often something is asked for before it counts as missing.
const QUESTIONS_MAX: usize = 100_000;
const VIEWS: [&str; 4] =
    ["revenue_by_day", "revenue_by_product_day", "customers_by_day", "metrics_hourly"];

fn sent(topic: &'static str, body: String) -> Load {
    Load::of(vec![Sent { at: AT, topic, shop: SHOP, triggered_at: AT, body }])
}

fn order(id: u32, day: u32) -> String {
    let [customer, email, phone, last, street, ip] = PERSONAL;
    format!(
        r#"{{"id":{id},"created_at":"2026-03-0{day}T10:00:00Z","currency":"EUR","email":"{email}",
        "browser_ip":"{ip}","line_items":[{{"id":1,"quantity":1,"price":"9.00","product_id":5}}],
        "customer":{{"id":{customer},"email":"{email}","last_name":"{last}","phone":"{phone}"}},
        "shipping_address":{{"address1":"{street}","phone":"{phone}"}}}}"#
    )
}

/// The files under a folder that hold any of what is personal.
fn leaks(folder: &Path) -> Vec<String> {
    let mut leaks = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            leaks.extend(self::leaks(&path));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for text in PERSONAL {
            if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                leaks.push(format!("{path:?}: {text}"));
            }
        }
    }
    leaks
}

fn views(instance: &Instance) -> Vec<String> {
    let rows = |view: &&str| {
        let (status, text) = instance.get(&format!("/v1/views/{view}"));
        assert_eq!(status, 200, "{view}: {text}");
        text.split_once("\"rows\":").map(|(_, rows)| rows.to_owned()).unwrap()
    };
    VIEWS.iter().map(rows).collect()
}

/// Asks until the answer is as wanted.
fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    assert!((0..QUESTIONS_MAX).any(|_| wanted()), "never: {what}");
}

#[test]
fn whoever_is_forgotten_is_in_no_file_and_every_total_stays() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut instance = Instance::start(folder.path(), 1).listening();
    instance.ready();
    instance.send_until(&sent("orders/create", order(11, 1)), 1, 1);
    instance.send_until(&sent("orders/create", order(12, 2)), 1, 1);
    instance.send_until(&sent("orders/create", order(13, 3).replace("}}", "}")), 1, 1);
    until("both orders and the broken one are counted", || {
        let customers = instance.get("/v1/views/customers_by_day").1;
        let faults = instance.get("/v1/views/faults").1;
        customers.contains("2026-03-02") && faults.contains("syntax")
    });
    let before = views(&instance);
    let early = leaks(&state);
    assert!(
        !early.is_empty() && early.iter().all(|leak| leak.contains("/subjects/raw/")),
        "{early:?}"
    );

    let [customer, email, phone, ..] = PERSONAL;
    let request = format!(
        r#"{{"shop_domain":"{SHOP}","customer":{{"id":{customer},"email":"{email}",
        "phone":"{phone}"}},"orders_to_redact":[11,12]}}"#
    );
    for times in 1..=2 {
        instance.send_until(&sent("customers/redact", request.clone()), 1, 1);
        // Killed with the request on its way: the next start carries it out.
        instance.kill_after_requests(times);
        instance = Instance::start(folder.path(), 1).listening();
        instance.ready();
        let receipts = || fs::read_dir(state.join("subjects/receipts")).unwrap();
        until("a receipt", || instance.get("/readyz").0 == 200 && receipts().count() >= times);
        for receipt in receipts() {
            assert!(verified(&fs::read(receipt.unwrap().path()).unwrap()));
        }
        assert_eq!(views(&instance), before, "totals after {times} requests");
    }
    instance.terminate();
    assert_eq!(leaks(&state), Vec::<String>::new());
    assert_eq!(fs::read_dir(state.join("subjects/pending")).unwrap().count(), 0);
}
