//! Whatever the bytes, the three readers neither panic nor fall silent.
//!
//! Invariant: input that is not blank gives at least one envelope, fault or error.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use ionflux_schemas::time::Zone;
use ionflux_sources::error::SourceError;
use ionflux_sources::reading::{Decoded, Setting};
use ionflux_sources::shopify::{bulk_file, orders_csv, webhook_file};
use proptest::prelude::*;

fn setting() -> Setting {
    let shop = Some("shop".into());
    Setting { workspace: "w".into(), shop, currency: None, zone: Zone::UTC, reading: 1 }
}

/// How many things were said, by whichever reader.
fn said(items: impl Iterator<Item = Result<Decoded, SourceError>>) -> usize {
    items.map(|item| item.map_or(1, |d| d.envelopes.len() + d.faults.len())).sum()
}

fn webhooks(bytes: &[u8]) -> usize {
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    said(webhook_file::read(reader, Arc::from("f"), PathBuf::from("f"), setting()))
}

fn bulk(bytes: &[u8]) -> usize {
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    said(bulk_file::read(reader, Arc::from("f"), PathBuf::from("f"), setting()))
}

fn csv(bytes: &[u8]) -> usize {
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    said(orders_csv::read(reader, Arc::from("f"), PathBuf::from("f"), setting()))
}

const ORDER: &str = include_str!("../fixtures/shopify/order_tax_inclusive.json");
const BULK: &str = include_str!("../fixtures/shopify/bulk_grouped.jsonl");
const EXPORT: &str = include_str!("../fixtures/shopify/orders_export.csv");

/// Text made of the pieces that matter to a scanner.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\n",
        " ",
        "x",
        "1",
        "null",
        "{\"id\":1}",
        "\"line_items\":[]",
        "\"total_price\":\"1\"",
        "\"__parentId\":\"gid://a/Order/1\"",
        "\"id\":\"gid:\\/\\/a\\/Order\\/1\"",
        "\r\n",
        "\u{e9}",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A sample with some bytes changed, cut out or doubled.
fn damaged(sample: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let damage = (any::<prop::sample::Index>(), any::<u8>(), 0_usize..40);
    prop::collection::vec(damage, 1..6).prop_map(move |damages| {
        let mut bytes = sample.as_bytes().to_vec();
        for (at, byte, length) in damages {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, [byte]);
        }
        bytes
    })
}

fn blank(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assume!(!blank(&bytes) && !matches!(bytes.first(), Some(0xEF | 0xBB | 0xBF)));
        prop_assert!(webhooks(&bytes) > 0);
        prop_assert!(bulk(&bytes) > 0 || String::from_utf8_lossy(&bytes).trim().is_empty());
        prop_assert!(csv(&bytes) > 0);
    }

    #[test]
    fn json_like_text_is_answered(text in pieces()) {
        prop_assume!(!blank(text.as_bytes()));
        prop_assert!(webhooks(text.as_bytes()) > 0);
        prop_assert!(bulk(text.as_bytes()) > 0);
    }

    #[test]
    fn damaged_samples_are_answered(
        order in damaged(ORDER),
        nodes in damaged(BULK),
        export in damaged(EXPORT),
    ) {
        prop_assume!(!blank(&order));
        prop_assert!(webhooks(&order) > 0);
        prop_assert!(bulk(&nodes) > 0);
        prop_assert!(csv(&export) > 0);
    }

    #[test]
    fn rows_under_a_good_header_are_answered(rows in "[^\\s\",][^\"]{0,200}") {
        let header = "Name,Created at,Lineitem quantity,Lineitem price";
        let file = format!("{header}\n{rows}");
        prop_assert!(csv(file.as_bytes()) > 0);
    }
}

/// Gives some bytes and then fails, as a truncated archive does.
struct Truncated(Cursor<Vec<u8>>);

impl Read for Truncated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

#[test]
fn a_truncated_archive_is_one_error_after_what_was_read() {
    let reader = |text: &str| -> Box<dyn BufRead + Send> {
        Box::new(BufReader::new(Truncated(Cursor::new(text.as_bytes().to_vec()))))
    };
    let (name, path) = (Arc::<str>::from("f.gz"), PathBuf::from("f.gz"));
    let webhooks = webhook_file::read(reader(ORDER), name.clone(), path.clone(), setting());
    let nodes = bulk_file::read(reader(BULK), name.clone(), path.clone(), setting());
    let orders = orders_csv::read(reader(EXPORT), name, path, setting());
    let ends: [(&str, Vec<Result<Decoded, SourceError>>); 3] =
        [("webhooks", webhooks.collect()), ("bulk", nodes.collect()), ("csv", orders.collect())];
    for (format, items) in ends {
        let errors: Vec<&SourceError> =
            items.iter().filter_map(|item| item.as_ref().err()).collect();
        assert_eq!(errors.len(), 1, "{format}");
        assert!(items.last().is_some_and(Result::is_err), "{format}");
        assert!(errors.iter().all(|error| error.problem.contains("line")), "{format}");
        assert!(errors.iter().all(|error| error.hint.contains("cut off")), "{format}");
    }
}

#[test]
fn depth_does_not_overflow_the_stack() {
    for open in ["[", "{\"line_items\":", "{\"a\":[", "{\"orders\":["] {
        let deep = open.repeat(200_000);
        assert!(webhooks(deep.as_bytes()) > 0);
        assert!(bulk(deep.as_bytes()) > 0);
    }
    let balanced = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(webhooks(balanced.as_bytes()) > 0);
    let inside = format!("{{\"id\":1,\"line_items\":{balanced},\"total_price\":\"1\"}}");
    assert!(webhooks(inside.as_bytes()) > 0);
    assert!(bulk(inside.as_bytes()) > 0);
}
