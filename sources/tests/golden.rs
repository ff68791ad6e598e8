//! Golden decoding: every file of `fixtures/shopify` beside what it says.
//!
//! Invariant: a case is a file and its `.expect`; adding one adds no Rust. `UPDATE_EXPECT=1`
//! writes the answers of today, to be read before they are kept.

#![allow(clippy::unwrap_used)]

mod shown;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ionflux_schemas::event::Envelope;
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

fn said(path: &Path) -> String {
    shown::all(read(path))
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
