//! Every sample of the shared fixtures folder, minimised: its readers say the same but for buyers,
//! and none of what is personal in it is in the bytes.
//!
//! Invariant: the folder is not part of the repository; where it is missing the tests say so
//! loudly, and fail under `CI=true`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::key::Version;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::list::read_delivery;
use ionflux_sources::subjects::minimise::minimise;
use ionflux_sources::subjects::table::{Kind, Rules};
use serde_json::Value;

/// Names of members whose texts are personal wherever they stand.
const PERSONAL: [&str; 14] = [
    "email",
    "contact_email",
    "buyer_email",
    "phone",
    "phone_number",
    "first_name",
    "last_name",
    "address1",
    "address_line1",
    "full_address",
    "zip",
    "browser_ip",
    "user_agent",
    "cpf",
];

/// What some samples have in place of every text.
const MASKS: [&str; 3] = ["example string", "2019-01-01 00:00:00.000Z", "https://www.example.com/"];

fn folder(part: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is missing, no shared sample was minimised", folder.display());
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "the shared samples must be there under CI=true");
    None
}

/// The samples that are JSON, by name.
fn samples(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut samples = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".json") || name.ends_with(".jsonl") {
            samples.push((name, fs::read(&path).unwrap()));
        }
    }
    samples.sort();
    samples
}

fn delivery(source: &str, name: &str, body: &[u8]) -> Delivery {
    let topic = name.strip_prefix("webhook_").and_then(|name| name.split('.').next());
    let topic = topic.map(|topic| topic.split("__").take(2).collect::<Vec<_>>().join("/"));
    let shop = [("x-shopify-shop-domain".into(), "a.example".into())];
    let topic = topic.map(|topic| ("x-shopify-topic".into(), topic.into()));
    Delivery {
        source: source.into(),
        workspace: "w".into(),
        received_at: UtcMs(0),
        headers: shop.into_iter().chain(topic).collect(),
        body: body.into(),
    }
}

/// An id tells its name and back, so that what the reader says can be compared.
fn minimised(delivery: &Delivery) -> Option<Vec<u8>> {
    let mut naming =
        |_: Kind, id: &str| Some(id.bytes().fold(7, |n: u64, b| n * 31 % 99_991 + u64::from(b)));
    let rules = Rules::of(delivery).unwrap();
    minimise(&delivery.body, &rules, &mut naming).ok().map(|body| body.into_owned())
}

/// What is said, without who bought and the version, which hashes that as well.
fn said(delivery: &Delivery) -> Vec<Envelope> {
    let mut envelopes = read_delivery(delivery, Position(0)).envelopes;
    for Envelope { version, event, .. } in &mut envelopes {
        *version = Version::new(UtcMs(0), UtcMs(0), b"");
        if let Event::Order(order) = event {
            order.customer = order.customer.as_ref().map(|_| "somebody".into());
        }
    }
    envelopes
}

fn personal(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| personal(value, found)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if PERSONAL.contains(&name.as_str()) => {
                        let told = text.len() > 4 && !MASKS.contains(&text.as_str());
                        found.extend(told.then(|| text.clone()));
                    }
                    other => personal(other, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn readers_say_the_same_of_what_is_left_and_nothing_personal_is() {
    let (mut seen, mut words) = (0, 0);
    for (part, source) in [("shopify", "shopify-webhooks"), ("tiktok", "tiktok-webhooks")] {
        let Some(folder) = folder(part) else { return };
        for (name, body) in samples(&folder) {
            let before = delivery(source, &name, &body);
            let after = minimised(&before);
            assert_eq!(after.is_none(), name.contains(".invalid."), "{name}");
            let Some(after) = after else { continue };
            seen += 1;
            let text = String::from_utf8(after.clone()).unwrap();
            let mut found = BTreeSet::new();
            for document in serde_json::Deserializer::from_slice(&body).into_iter::<Value>() {
                personal(&document.unwrap(), &mut found);
            }
            words += found.len();
            for word in found {
                assert!(!text.contains(&word), "{name} still holds {word}");
            }
            let mut left = before.clone();
            left.body = after.into();
            assert_eq!(said(&left), said(&before), "{name}");
        }
    }
    assert!(seen > 80 && words > 60, "{seen} samples, {words} words");
}
