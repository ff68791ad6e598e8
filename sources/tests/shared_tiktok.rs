//! Every sample of the shared fixtures folder of TikTok, beside what we read in it.
//!
//! Invariant: no file panics and none is silent; only our own words for it are kept here. The
//! folder is not part of the repository; where it is missing the tests say so loudly, and fail
//! under `CI=true`. `UPDATE_EXPECT=1` writes the answers of today.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::Event;
use ionflux_schemas::time::Zone;
use ionflux_sources::letters::{Changes, read_again};
use ionflux_sources::reading::{Decoded, Setting};
use ionflux_sources::tiktok::file::{Holds, Whence, read};
use serde_json::json;

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/tiktok");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is missing, no shared sample was decoded", folder.display());
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "the shared samples must be there under CI=true");
    None
}

fn setting() -> Setting {
    let (workspace, shop) = ("w".into(), Some("shop".into()));
    Setting { workspace, shop, currency: None, zone: Zone::UTC, reading: 1 }
}

/// The rows of a table of ads as the API gives them, in a document of their own.
fn report(text: &str) -> String {
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let names = rows.headers().unwrap().clone();
    let list: Vec<_> = rows
        .records()
        .map(|row| {
            let row = row.unwrap();
            let mut dimensions = serde_json::Map::new();
            let mut metrics = serde_json::Map::new();
            for (name, value) in names.iter().zip(&row) {
                let name = name.to_lowercase();
                let dimension = name.ends_with("_id") || name == "stat_time_hour";
                let members = if dimension { &mut dimensions } else { &mut metrics };
                members.insert(name, value.into());
            }
            json!({ "dimensions": dimensions, "metrics": metrics })
        })
        .collect();
    json!({ "data": { "list": list } }).to_string()
}

fn decoded(path: &Path) -> Vec<Decoded> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let told = |headers: serde_json::Value, body: &str| {
        json!({ "headers": headers, "body": body }).to_string()
    };
    let (holds, text) = match name {
        _ if name.ends_with(".csv") => {
            let headers = json!({ "tiktok-account": "1", "tiktok-currency": "USD",
                "tiktok-zone": "Etc/GMT+5", "tiktok-observed-at": 1_631_750_400_000_i64 });
            (Holds::Answers, told(headers, &report(&text)))
        }
        _ if name.contains("webhook") => (Holds::Webhooks, text),
        _ => (Holds::Answers, text),
    };
    let reader = Box::new(Cursor::new(text.into_bytes()));
    let whence = Whence { source: name.into(), path: path.into() };
    read(reader, holds, whence, setting()).map(Result::unwrap).collect()
}

fn shown(decoded: &Decoded) -> String {
    let mut text = String::new();
    for envelope in &decoded.envelopes {
        let said = match &envelope.event {
            Event::Order(order) => format!("{order:?}"),
            Event::Refund(refund) => format!("{refund:?}"),
            Event::Entity(entity) => format!("{entity:?}"),
            other => panic!("{other:?}"),
        };
        let _ = writeln!(text, "{} changed={} {said}", envelope.shop, envelope.version.changed_at);
    }
    for fault in &decoded.faults {
        let kind = fault.kind.name();
        let _ =
            writeln!(text, "fault {} {kind} [{}]: {}", fault.place, fault.subject, fault.reason);
    }
    text
}

#[test]
fn every_sample_says_what_is_expected() {
    let Some(folder) = folder() else { return };
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 38, "{} samples", files.len());
    let mut said = String::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let _ = writeln!(said, "== {name}");
        let answers = decoded(&path);
        assert!(!answers.is_empty(), "{name} says nothing");
        for answer in &answers {
            assert_eq!(answer.faults.is_empty(), answer.letter.is_none(), "{name}");
            if let Some(letter) = &answer.letter {
                assert_eq!(read_again(letter, &Changes::default()).unwrap(), *answer, "{name}");
            }
            let text = shown(answer);
            said.push_str(if text.is_empty() { "nothing to count\n" } else { &text });
        }
    }
    for private in ["1199 Coleman", "David", "@chat.seller", "3213-31231412", "213-***"] {
        assert!(!said.contains(private), "{private} is said");
    }
    let expect = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tiktok/shared.expect");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(expect.parent().unwrap()).unwrap();
        fs::write(&expect, &said).unwrap();
    }
    let expected = fs::read_to_string(&expect).unwrap_or_default();
    let differs = said.lines().zip(expected.lines()).find(|(said, expected)| said != expected);
    assert_eq!(differs, None);
    assert_eq!(said.lines().count(), expected.lines().count());
}

#[test]
fn spend_in_a_currency_that_is_none_is_a_fault() {
    let Some(folder) = folder() else { return };
    let advertisers = fs::read_to_string(folder.join("ads_advertiser.csv")).unwrap();
    assert!(advertisers.contains(",CAN,"));
    assert!(Currency::parse("CAN").is_err());
    let body = report(&fs::read_to_string(folder.join("ads_campaign_report_hourly.csv")).unwrap());
    let headers = json!({ "tiktok-account": "2", "tiktok-currency": "CAN" });
    let text = json!({ "headers": headers, "body": body }).to_string();
    let reader = Box::new(Cursor::new(text.into_bytes()));
    let whence = Whence { source: "a".into(), path: "a".into() };
    let answers: Vec<Decoded> =
        read(reader, Holds::Answers, whence, setting()).map(Result::unwrap).collect();
    assert_eq!((answers[0].envelopes.len(), answers[0].faults.len()), (0, 1));
    assert!(answers[0].faults[0].reason.contains("CAN"));
}
