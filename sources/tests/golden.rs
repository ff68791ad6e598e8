//! Golden decoding: every file of `fixtures/shopify` beside what it says.
//!
//! Invariant: a case is a file and its `.expect`; adding one adds no Rust. `UPDATE_EXPECT=1`
//! writes the answers of today, to be read before they are kept.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ionflux_schemas::event::{Envelope, Event, Order, Refund};
use ionflux_schemas::money::Money;
use ionflux_schemas::time::Zone;
use ionflux_sources::error::SourceError;
use ionflux_sources::reading::{Decoded, Setting};
use ionflux_sources::shopify::{bulk_file, orders_csv, webhook_file};

fn setting() -> Setting {
    Setting {
        workspace: "w".into(),
        shop: Some("shop".into()),
        currency: None,
        zone: Zone::UTC,
        reading: 1,
    }
}

fn read(path: &Path) -> Vec<Result<Decoded, SourceError>> {
    let bytes = fs::read(path).unwrap();
    let reader = Box::new(Cursor::new(bytes));
    let source: Arc<str> = path.file_name().unwrap().to_str().unwrap().into();
    match path.extension().unwrap().to_str().unwrap() {
        "jsonl" => bulk_file::read(reader, source, path.to_owned(), setting()).collect(),
        "csv" => orders_csv::read(reader, source, path.to_owned(), setting()).collect(),
        _ => webhook_file::read(reader, source, path.to_owned(), setting()).collect(),
    }
}

fn shown(envelope: &Envelope) -> String {
    let Envelope { shop, version, event } = envelope;
    let stamp = format!("changed={} raised={}", version.changed_at, version.raised_at.0);
    let said = match event {
        Event::Order(order) => order_shown(order),
        Event::Refund(refund) => refund_shown(refund),
        Event::OrderDeleted { order } => format!("deleted order={order}"),
        Event::OrderEdit(edit) => {
            let additions: Vec<String> =
                edit.additions.iter().map(|(id, units)| format!("{id}+{units}")).collect();
            let at = edit.edited_at;
            format!("edit {} order={} at={at} {}", edit.id, edit.order, additions.join(" "))
        }
        Event::Zone { from, zone } => format!("zone {zone} from={from}"),
        Event::Redacted { order } => format!("redacted order={order}"),
        Event::Entity(entity) => {
            format!("{:?} {} at={} {:?}", entity.kind(), entity.id, entity.at, entity.body)
        }
        Event::Row(_) => "row".to_owned(),
    };
    format!("{shop} {stamp}\n  {said}\n")
}

fn order_shown(order: &Order) -> String {
    let money = |minor: i64| Money::new(minor, order.currency);
    let Order { id, placed_at, currency, channel, test, .. } = order;
    let customer = order.customer.as_deref().unwrap_or("-");
    let mut text = format!(
        "order {id} placed={placed_at} {currency} channel={channel} customer={customer} \
         test={test} shipping={} taxes={} tips={} duties_and_fees={}",
        money(order.shipping),
        money(order.taxes),
        money(order.tips),
        money(order.duties_and_fees),
    );
    for line in &order.lines {
        let (gross, discounts) = (money(line.gross), money(line.discounts));
        let product = line.product.as_deref().unwrap_or("-");
        let units = line.units;
        let id = &line.id;
        let _ = write!(
            text,
            "\n    line {id} product={product} units={units} gross={gross} discounts={discounts}"
        );
    }
    text
}

fn refund_shown(refund: &Refund) -> String {
    let money = |minor: i64| Money::new(minor, refund.currency);
    let Refund { id, order, processed_at, currency, .. } = refund;
    let mut text = format!(
        "refund {id} order={order} at={processed_at} {currency} adjustment={} shipping={} taxes={} \
         duties_and_fees={}",
        money(refund.adjustment),
        money(refund.shipping),
        money(refund.taxes),
        money(refund.duties_and_fees),
    );
    for line in &refund.lines {
        let product = line.product.as_deref().unwrap_or("-");
        let (units, amount) = (line.units, money(line.amount));
        let _ = write!(text, "\n    line product={product} units={units} amount={amount}");
    }
    text
}

fn said(path: &Path) -> String {
    let mut text = String::new();
    for decoded in read(path) {
        match decoded {
            Ok(decoded) => {
                text.extend(decoded.envelopes.iter().map(shown));
                for fault in &decoded.faults {
                    let (place, kind) = (&fault.place, fault.kind.name());
                    let _ = writeln!(
                        text,
                        "fault {place} {kind} [{}]: {}",
                        fault.subject, fault.reason
                    );
                }
            }
            Err(error) => {
                let problem = &error.problem;
                let _ = writeln!(text, "error: {problem}\n  hint: {}", error.hint);
            }
        }
    }
    text
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shopify");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut cases: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|kind| kind != "expect")).collect();
    cases.sort();
    cases
}

#[test]
fn every_fixture_says_what_is_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let expect = PathBuf::from(format!("{}.expect", case.display()));
        let said = said(&case);
        assert!(!said.is_empty(), "{} says nothing", case.display());
        if update {
            fs::write(&expect, &said).unwrap();
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- said\n{said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn grouped_and_ungrouped_children_make_the_same_envelopes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shopify");
    let envelopes = |name: &str| {
        let decoded = read(&folder.join(name)).into_iter().flat_map(|d| d.unwrap().envelopes);
        let mut envelopes: Vec<Envelope> = decoded.collect();
        envelopes.sort_by_key(|envelope| envelope.version);
        envelopes
    };
    let grouped = envelopes("bulk_grouped.jsonl");
    assert!(grouped.len() >= 4);
    assert_eq!(grouped, envelopes("bulk_ungrouped.jsonl"));
}
