//! Hostile input: whatever the bytes, readers end, stay within bounds and panic never.
//!
//! Invariant: what is said is bounded by the length of what was read, and a letter by the record;
//! a letter that someone has changed is read or refused like any other input.

#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::fault::Place;
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::{UtcMs, Zone};
use ionflux_sources::files::input::Origin;
use ionflux_sources::files::mapped_csv;
use ionflux_sources::files::mapping::Mapping;
use ionflux_sources::letters::{COLUMNS_BYTES_MAX, Changes, LetterError, read_again};
use ionflux_sources::list::read_delivery;
use ionflux_sources::reading::{Decoded, Setting};
use ionflux_sources::shopify::{bulk_file, orders_csv, webhook_file};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const MAPPING: &str = "shop = \"s\"\ncurrency = \"USD\"\n[columns]\norder = \"invoice\"\n\
    quantity = \"qty\"\nunit_price = \"price\"\ntime = \"at\"\n";
const ROWS: &str = "invoice,qty,price,at\n1,2,1.50,2026-03-01 09:30\n\"2\n\",0,1,\n3,1,x,2026\n";
const REDACT: &str = "{\"shop_domain\":\"a\",\"orders_to_redact\":[1,\"2\",null,3.5,{},[]]}";

const SAMPLES: [&str; 18] = [
    include_str!("../fixtures/shopify/broken_lines.ndjson"),
    include_str!("../fixtures/shopify/broken_pretty.json"),
    include_str!("../fixtures/shopify/bulk_entities.jsonl"),
    include_str!("../fixtures/shopify/bulk_odd.jsonl"),
    include_str!("../fixtures/shopify/bulk_ungrouped.jsonl"),
    include_str!("../fixtures/shopify/checkouts_and_carts.ndjson"),
    include_str!("../fixtures/shopify/disputes.ndjson"),
    include_str!("../fixtures/shopify/not_counted.ndjson"),
    include_str!("../fixtures/shopify/order_bad_amounts.ndjson"),
    include_str!("../fixtures/shopify/order_edited.json"),
    include_str!("../fixtures/shopify/order_with_refunds.json"),
    include_str!("../fixtures/shopify/orders_export.csv"),
    include_str!("../fixtures/shopify/products_and_costs.ndjson"),
    include_str!("../fixtures/shopify/refund_since_2024_10.json"),
    include_str!("../fixtures/shopify/store_changes.ndjson"),
    include_str!("../fixtures/shopify/transactions.ndjson"),
    ROWS,
    REDACT,
];

fn setting() -> Setting {
    let shop = Some("shop".into());
    Setting { workspace: "w".into(), shop, currency: None, zone: Zone::UTC, reading: 1 }
}

/// Every answer of every reader to some bytes.
fn read(bytes: &[u8]) -> [Vec<Decoded>; 5] {
    let (source, path) = (Arc::<str>::from("f"), PathBuf::from("f"));
    let reader = || Box::new(Cursor::new(bytes.to_vec()));
    let names = || (Arc::clone(&source), path.clone());
    let (name, file) = names();
    let documents = webhook_file::read(reader(), name, file, setting()).map_while(Result::ok);
    let (name, file) = names();
    let nodes = bulk_file::read(reader(), name, file, setting()).map_while(Result::ok);
    let (name, file) = names();
    let orders = orders_csv::read(reader(), name, file, setting()).map_while(Result::ok);
    let mapping = Mapping::parse(MAPPING, Path::new("m")).unwrap();
    let origin = Origin { path, source };
    let rows = mapped_csv::read(reader(), origin, &mapping, &setting());
    let rows = rows.map(|rows| rows.map_while(Result::ok).collect()).unwrap_or_default();
    [documents.collect(), nodes.collect(), orders.collect(), rows, vec![delivered(bytes, "")]]
}

fn delivered(bytes: &[u8], topic: &str) -> Decoded {
    let headers = [("x-shopify-topic".into(), topic.into())].into_iter().collect();
    let delivery = Delivery {
        source: "shopify-webhooks".into(),
        workspace: "w".into(),
        received_at: UtcMs(1),
        headers,
        body: bytes.into(),
    };
    read_delivery(&delivery, Position(1))
}

/// What is said of some bytes is not much more than they are, and letters say the same again.
fn check(answers: &[Decoded], bytes: &[u8]) {
    let (mut said, mut kept) = (0, 0);
    for decoded in answers {
        said += decoded.envelopes.len() + decoded.faults.len();
        assert!(decoded.faults.iter().all(|f| f.reason.len() + f.subject.len() <= 2_000));
        assert_eq!(decoded.faults.is_empty(), decoded.letter.is_none());
        let Some(letter) = &decoded.letter else { continue };
        let columns = letter.context.get("columns").map_or(0, |columns| columns.len());
        assert!(columns <= COLUMNS_BYTES_MAX);
        // Quoting at most doubles a cell and puts it between two quotes.
        kept += letter.bytes.len();
        let again = read_again(letter, &Changes::default());
        assert!(again.is_ok_and(|again| again == *decoded), "{decoded:?}");
    }
    assert!(said <= bytes.len() + 1, "{said} things said of {} bytes", bytes.len());
    assert!(kept <= 4 * bytes.len() + 2, "{kept} bytes kept of {}", bytes.len());
}

/// A sample whose bytes are turned, put in, cut out, doubled, swapped or cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), select(b"\n\r\t\",'{}[]:\\ 0-.e;\xef".to_vec())];
    let damage = (any::<Index>(), any::<Index>(), byte, 0_usize..80, 0_u8..7);
    (select(SAMPLES.to_vec()), vec(damage, 1..8)).prop_map(|(sample, damages)| {
        let mut bytes = sample.as_bytes().to_vec();
        for (at, other, byte, length, what) in damages {
            let length_now = bytes.len();
            if length_now == 0 {
                break;
            }
            let (at, other) = (at.index(length_now), other.index(length_now));
            let end = (at + length).min(length_now);
            match what {
                0 => bytes[at] ^= 1 << (byte & 7),
                1 => bytes.insert(at, byte),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let part = bytes[at..end].to_vec();
                    drop(bytes.splice(other..other, part));
                }
                4 => bytes.swap(at, other),
                5 => bytes[at] = byte,
                _ => bytes.truncate(at.max(length_now / 2)),
            }
        }
        bytes
    })
}

fn topics() -> impl Strategy<Value = &'static str> {
    select(vec![
        "orders/create",
        "orders/edited",
        "orders/delete",
        "refunds/create",
        "order_transactions/create",
        "disputes/update",
        "checkouts/update",
        "checkouts/delete",
        "carts/update",
        "products/update",
        "products/delete",
        "inventory_items/update",
        "themes/publish",
        "app/uninstalled",
        "app/scopes_update",
        "app_subscriptions/update",
        "bulk_operations/finish",
        "shop/update",
        "customers/redact",
        "CUSTOMERS_REDACT",
        "\u{e9}/",
    ])
}

fn text() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "",
        "USD",
        "UTC",
        "-1",
        "1-",
        "2-1",
        "0-18446744073709551615",
        "1 2 x",
        "\"",
        MAPPING,
        "invoice,qty,price,at",
        "Name,Created at,Lineitem quantity,Lineitem price",
    ]);
    prop_oneof![odd.prop_map(str::to_owned), "\\PC{0,20}"]
}

fn letters() -> impl Strategy<Value = Letter> {
    let names = select(vec![
        "workspace",
        "shop",
        "currency",
        "zone",
        "reading",
        "columns",
        "mapping",
        "lines",
        "header.x-shopify-topic",
        "header.",
        "other",
    ]);
    let formats = select(vec!["shopify-webhooks", "shopify-bulk", "shopify-csv", "csv", "none"]);
    let position = prop::option::of(any::<u64>().prop_map(Position));
    let context = prop::collection::btree_map(names, text(), 0..8);
    (formats, any::<u64>(), position, context, damaged()).prop_map(
        |(format, line, position, context, bytes)| Letter {
            format: format.into(),
            place: Place { source: "f".into(), line },
            position,
            received_at: None,
            context: context.into_iter().map(|(n, t)| (n.into(), t.into())).collect(),
            bytes: bytes.into(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn arbitrary_bytes_are_read_within_bounds(bytes in vec(any::<u8>(), 0..600)) {
        for answers in read(&bytes) {
            check(&answers, &bytes);
        }
    }

    #[test]
    fn damaged_samples_are_read_within_bounds(bytes in damaged()) {
        for answers in read(&bytes) {
            check(&answers, &bytes);
        }
    }

    #[test]
    fn damaged_deliveries_are_read_within_bounds(bytes in damaged(), topic in topics()) {
        check(&[delivered(&bytes, topic)], &bytes);
    }

    #[test]
    fn any_letter_is_read_or_refused(letter in letters()) {
        match read_again(&letter, &Changes::default()) {
            Ok(decoded) => {
                prop_assert_eq!(decoded.faults.is_empty(), decoded.letter.is_none());
                let said = decoded.envelopes.len() + decoded.faults.len();
                prop_assert!(said <= letter.bytes.len() + 1);
                if let Some(again) = decoded.letter.clone() {
                    prop_assert_eq!(read_again(&again, &Changes::default()).unwrap(), decoded);
                }
            }
            Err(LetterError::Format(name)) => prop_assert_eq!(&*name, "none"),
            Err(LetterError::Cut(_)) => prop_assert!(letter.context.contains_key("cut")),
            Err(LetterError::Context(_) | LetterError::Unfit(_)) => {}
        }
    }
}

#[test]
fn a_letter_without_a_line_is_read_like_any_other() {
    let columns = ("columns".into(), "Name,Created at,Lineitem quantity,Lineitem price".into());
    let letter = Letter {
        format: "shopify-csv".into(),
        place: Place { source: "f".into(), line: 0 },
        position: None,
        received_at: None,
        context: [columns, ("workspace".into(), "w".into())].into_iter().collect(),
        bytes: b"#1,yesterday,1,1.00\n".as_slice().into(),
    };
    assert!(!read_again(&letter, &Changes::default()).unwrap().faults.is_empty());
}
