//! Every sample of the shared fixtures folder: decoded, or refused with a reason.
//!
//! Invariant: no file panics and none is silent. The folder is not part of the repository; where
//! it is missing the tests say so loudly, and fail under `CI=true`.

#![allow(clippy::unwrap_used)]

mod shown;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::{Envelope, Event, Order, Refund};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::key::{ShopKey, content_hash};
use ionflux_schemas::time::Zone;
use ionflux_sources::error::SourceError;
use ionflux_sources::reading::{Decoded, Setting};
use ionflux_sources::shopify::webhook::{Webhook, records};
use ionflux_sources::shopify::{bulk_file, orders_csv, webhook_file};

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/shopify");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is missing, no shared sample was decoded", folder.display());
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "the shared samples must be there under CI=true");
    None
}

fn setting(currency: Option<&str>) -> Setting {
    let currency = currency.map(|code| Currency::parse(code).unwrap());
    let shop = Some("shop".into());
    Setting { workspace: "w".into(), shop, currency, zone: Zone::UTC, reading: 1 }
}

fn read(path: &Path, currency: Option<&str>) -> Vec<Result<Decoded, SourceError>> {
    let reader = Box::new(Cursor::new(fs::read(path).unwrap()));
    let source: Arc<str> = path.file_name().unwrap().to_str().unwrap().into();
    let (path, setting) = (path.to_owned(), setting(currency));
    match path.extension().unwrap().to_str().unwrap() {
        "jsonl" => bulk_file::read(reader, source, path, setting).collect(),
        "csv" => orders_csv::read(reader, source, path, setting).collect(),
        _ => webhook_file::read(reader, source, path, setting).collect(),
    }
}

/// All that a file says, which must not fail as a whole.
fn all(name: &str, currency: Option<&str>) -> Option<Decoded> {
    let mut all = Decoded::default();
    for decoded in read(&folder()?.join(name), currency) {
        let decoded = decoded.unwrap();
        all.envelopes.extend(decoded.envelopes);
        all.faults.extend(decoded.faults);
    }
    Some(all)
}

/// Topics that are stored and counted as such, and no more.
const NOT_COUNTED: [&str; 4] = [
    "draft_orders/create",
    "orders/risk_assessment_changed",
    "returns/approve",
    "tender_transactions/create",
];

fn orders(decoded: &Decoded) -> Vec<&Order> {
    let each = decoded.envelopes.iter().map(|envelope| &envelope.event);
    each.filter_map(|event| if let Event::Order(order) = event { Some(order) } else { None })
        .collect()
}

fn refunds(decoded: &Decoded) -> Vec<&Refund> {
    let each = decoded.envelopes.iter().map(|envelope| &envelope.event);
    each.filter_map(|event| if let Event::Refund(refund) = event { Some(refund) } else { None })
        .collect()
}

fn gross(order: &Order) -> i64 {
    order.lines.iter().map(|line| line.gross).sum()
}

#[test]
fn every_sample_is_decoded_or_refused_with_a_reason() {
    let Some(folder) = folder() else { return };
    let mut seen = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut said = 0;
        for item in read(&path, None) {
            match item {
                Ok(decoded) => {
                    said += decoded.envelopes.len() + decoded.faults.len();
                    assert!(decoded.faults.iter().all(|f| !f.reason.is_empty()), "{name}");
                    for fault in &decoded.faults {
                        println!("{name}: {} {} {}", fault.kind.name(), fault.place, fault.reason);
                    }
                }
                Err(error) => {
                    said += 1;
                    assert!(name.starts_with("warehouse_"), "{error}");
                    assert!(error.problem.contains("Lineitem"), "{error}");
                    assert!(!error.hint.is_empty());
                }
            }
        }
        assert!(said > 0, "{name} says nothing");
        seen += 1;
    }
    assert!(seen >= 80, "{seen} samples");
}

#[test]
fn every_webhook_sample_is_decoded_by_its_topic() {
    let Some(folder) = folder() else { return };
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_prefix("webhook_").and_then(|n| n.strip_suffix(".json")) else {
            continue;
        };
        let mut parts = stem.split("__");
        let topic = format!("{}/{}", parts.next().unwrap(), parts.next().unwrap());
        let body = fs::read_to_string(&path).unwrap();
        let webhook = Webhook {
            topic: Some(&topic),
            body: &body,
            triggered_at: Some("2026-05-01T00:00:00Z"),
            ..Webhook::default()
        };
        let outcomes = records(&webhook, &setting(None));
        // Requests about people say nothing that counts; whoever feeds the ledger carries them out.
        let request = ["customers/data_request", "shop/redact"].contains(&&*topic);
        assert_eq!(outcomes.is_empty(), request, "{name}");
        for outcome in outcomes {
            match outcome {
                Ok(envelopes) => assert!(!envelopes.is_empty(), "{name}"),
                Err(refusal) if NOT_COUNTED.contains(&&*topic) => {
                    assert_eq!(refusal.kind, FaultKind::Unsupported, "{name}");
                }
                // The sample of shop/update has no zone.
                Err(refusal) => {
                    assert_eq!((&*topic, refusal.kind), ("shop/update", FaultKind::Field));
                }
            }
        }
    }
}

/// What a sample says, with its topic where its name tells one.
fn said(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    let Some(topic) = name.strip_prefix("webhook_").and_then(|name| name.strip_suffix(".json"))
    else {
        return shown::all(read(path, None).into_iter().map(|item| item.map(nameless)).collect());
    };
    let mut parts = topic.split("__");
    let topic = format!("{}/{}", parts.next().unwrap(), parts.next().unwrap());
    let body = fs::read_to_string(path).unwrap();
    let triggered_at = Some("2026-05-01T00:00:00Z");
    let webhook = Webhook { topic: Some(&topic), body: &body, triggered_at, ..Webhook::default() };
    let mut decoded = Decoded::default();
    for outcome in records(&webhook, &setting(None)) {
        match outcome {
            Ok(envelopes) => decoded.envelopes.extend(envelopes),
            Err(refusal) => {
                let place = Place { source: Arc::from(name), line: 0 };
                decoded.faults.push(refusal.at(ShopKey::new("w", "shop"), place));
            }
        }
    }
    shown::one(&nameless(decoded))
}

/// The same without the number of any customer.
fn nameless(mut decoded: Decoded) -> Decoded {
    for envelope in &mut decoded.envelopes {
        if let Event::Order(order) = &mut envelope.event {
            order.customer = order.customer.take().map(|_| "known".into());
        }
    }
    decoded
}

/// Samples whose owners declare no licence: of what they say, only a hash is kept here.
const UNLICENSED: [&str; 2] = ["orders_export.csv", "rest_orders_jpy.json"];

#[test]
fn every_sample_says_what_is_expected() {
    let Some(folder) = folder() else { return };
    let expect = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-shared/shopify.expect");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut text = String::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let said = said(&path);
        text.push_str(&format!("== {name}\n"));
        if UNLICENSED.contains(&name) {
            let (lines, hash) = (said.lines().count(), content_hash(said.as_bytes()));
            text.push_str(&format!("{lines} lines {hash:032x}\n"));
        } else {
            text.push_str(&said);
        }
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&expect, &text).unwrap();
    }
    let expected = fs::read_to_string(&expect).unwrap_or_default();
    let differs = expected.lines().zip(text.lines()).position(|(expected, said)| expected != said);
    let at = differs.unwrap_or(expected.lines().count().min(text.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or_default().to_owned();
    let (said, wanted) = (line(&text), line(&expected));
    assert!(text == expected, "line {}\n--- expected\n{wanted}\n--- said\n{said}", at + 1);
}

#[test]
fn a_refund_leaves_the_order_and_comes_beside_it() {
    let Some(paid) = all("lifecycle_1_order_paid.json", None) else { return };
    let Some(refunded) = all("lifecycle_3_order_partially_refunded.json", None) else { return };
    let Some(alone) = all("lifecycle_refund.json", None) else { return };
    for decoded in [&paid, &refunded] {
        let order = orders(decoded)[0];
        assert_eq!((gross(order), order.shipping, order.taxes), (45_000, 2_000, 0));
        assert_eq!((order.test, order.currency.code(), order.lines.len()), (true, "EUR", 2));
    }
    assert!(refunds(&paid).is_empty());
    assert_eq!(refunds(&refunded), refunds(&alone));
    let refund = refunds(&alone)[0];
    assert_eq!((refund.lines[0].units, refund.lines[0].amount, refund.taxes), (1, 15_000, 0));
    assert_eq!(refund.processed_at.to_string(), "2017-10-07T11:59:31Z");
    assert!(refunded.envelopes[0].version > paid.envelopes[0].version);
}

#[test]
fn shop_money_is_counted_whatever_the_buyer_pays_in() {
    let name = "webhook_orders__create__aud_shop_usd_presentment.json";
    let Some(decoded) = all(name, Some("USD")) else { return };
    let order = orders(&decoded)[0];
    assert_eq!(order.currency.code(), "AUD");
    assert_eq!((gross(order), order.shipping, order.taxes), (4_562, 1_015, 456));
}

#[test]
fn ids_that_were_rounded_are_read_from_the_global_id() {
    let Some(decoded) = all("webhook_orders__create.json", None) else { return };
    let order = orders(&decoded)[0];
    assert_eq!(&*order.id, "820982911946154508");
    assert!(order.lines.iter().any(|line| &*line.id == "487817672276298554"));
    let Some(decoded) = all("webhook_refunds__create.json", None) else { return };
    let refund = refunds(&decoded)[0];
    let goods: i64 = refund.lines.iter().map(|line| line.amount).sum();
    assert_eq!((&*refund.id, goods), ("890088186047892319", 41_495));
}

#[test]
fn yen_have_no_decimals_and_old_refunds_find_their_currency() {
    let Some(decoded) = all("rest_orders_jpy.json", None) else { return };
    let orders = orders(&decoded);
    // Its own id is "4216043012249-fake".
    assert!(orders.iter().any(|order| &*order.id == "4216043012249"));
    assert!(orders.iter().all(|order| order.currency.code() == "JPY"));
    assert!(orders.iter().any(|order| gross(order) == 23_600));
    // The oldest refund shape names its currency only in its payment.
    let Some(refund) = all("rest_refund.json", None) else { return };
    assert_eq!((refunds(&refund).len(), refund.faults.len()), (1, 0));
    assert_eq!(refunds(&refund)[0].currency.code(), "USD");
}

#[test]
fn a_bulk_export_without_prices_names_what_it_lacks() {
    let Some(decoded) = all("bulk_orders_cancellations.jsonl", None) else { return };
    // The money that moved for them is told all the same.
    let moved = |envelope: &Envelope| matches!(&envelope.event, Event::Entity(_));
    assert_eq!((orders(&decoded).len(), decoded.faults.len()), (0, 3));
    assert_eq!(decoded.envelopes.iter().filter(|envelope| moved(envelope)).count(), 6);
    assert!(decoded.faults.iter().all(|fault| fault.kind == FaultKind::Field));
}

#[test]
fn the_orders_export_adds_up() {
    let Some(decoded) = all("orders_export.csv", None) else { return };
    assert!(decoded.faults.is_empty(), "{:?}", decoded.faults);
    let orders = orders(&decoded);
    assert_eq!((orders.len(), refunds(&decoded).len()), (19, 0));
    // 1,659.95 less the gift card of 10.00 inside the Subtotal.
    let first = orders[0];
    assert_eq!((&*first.id, first.lines.len(), gross(first)), ("6634244374859", 3, 164_995));
    assert!(orders.iter().flat_map(|order| &order.lines).all(|line| line.discounts == 0));
    assert_eq!(first.placed_at.to_string(), "2025-05-11T13:55:16Z");
}
