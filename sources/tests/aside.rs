//! Bodies that are no JSON, and files that a crash or a refusal leaves: who sends them harms nobody
//! else, and nothing of a person stays behind.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::memory::Memory;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::subjects::Subjects;
use prometheus::Registry;
use tempfile::TempDir;

const SHOP: &str = "a.myshopify.com";

struct Bench {
    folder: TempDir,
    inbox: Inbox,
    intake: Intake,
    subjects: Arc<Subjects>,
}

impl Bench {
    fn new() -> Self {
        Self::with(|subjects| subjects)
    }

    fn with(made: impl FnOnce(Subjects) -> Subjects) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (journal, opened) =
            Journal::open(Box::new(Memory::new(1)), Limits::new(1 << 26)).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(1_772_323_200_000)));
        let metrics = JournalMetrics::new(&Registry::new()).unwrap();
        let inbox = Inbox::open(Scribe::new(journal, &opened, clock.clone(), metrics)).unwrap();
        let subjects = Arc::new(made(Subjects::open(&folder.path().join("s"), clock).unwrap()));
        let intake = Intake::new(inbox.clone(), Privacy::Minimised(Arc::clone(&subjects)));
        Self { folder, inbox, intake, subjects }
    }

    fn part(&self, part: &str) -> PathBuf {
        self.folder.path().join("s").join(part)
    }

    fn kept(&self) -> Vec<Delivery> {
        let (mut reader, mut kept) = (self.inbox.read(Position(0)), Vec::new());
        while let Some(record) = reader.next(*self.inbox.durable().borrow()).unwrap() {
            if let Entry::Delivery(delivery) = record.entry {
                kept.push(delivery);
            }
        }
        kept
    }
}

fn delivery(source: &str, body: &[u8]) -> Delivery {
    let headers = [("x-shopify-topic", "orders/create"), ("x-shopify-shop-domain", SHOP)];
    let headers = headers.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
    let (source, workspace) = (source.into(), "acme".into());
    Delivery { source, workspace, received_at: UtcMs(0), headers, body: body.into() }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn an_id_as_long_as_a_body_has_no_name_and_stops_no_start() {
    let bench = Bench::new();
    let long = "7".repeat(600);
    let body = format!(r#"{{"user_id":{long},"customer":"gid://shopify/Customer/{long}"}}"#);
    bench.intake.deliver_blocking(delivery("platform-events", body.as_bytes())).unwrap();
    let kept = bench.kept().pop().unwrap();
    assert!(!String::from_utf8_lossy(&kept.body).contains(&long), "{kept:?}");
    bench.inbox.close();
    let Bench { folder, intake, subjects, .. } = bench;
    drop((intake, subjects));
    Subjects::open(&folder.path().join("s"), Arc::new(Stepped::new(UtcMs(0)))).unwrap();
}

#[test]
fn one_body_from_many_senders_at_once_is_one_whole_file() {
    let bench = Bench::new();
    for round in 0..20 {
        let body = vec![b'x'; 10_000 + round];
        std::thread::scope(|threads| {
            let send = || bench.intake.deliver_blocking(delivery("shopify-webhooks", &body));
            let sent: Vec<_> = (0..8).map(|_| threads.spawn(send)).collect();
            assert!(sent.into_iter().all(|sender| sender.join().unwrap().is_ok()), "{round}");
        });
        let mut kept = bench.kept().pop().unwrap();
        assert!(bench.subjects.restore(&mut kept).is_some());
        assert_eq!(&*kept.body, body);
    }
    assert_eq!(files(&bench.part("raw")).len(), 20);
    bench.inbox.close();
}

#[test]
fn a_damaged_body_is_a_letter_without_bytes() {
    let bench = Bench::new();
    bench.intake.deliver_blocking(delivery("shopify-webhooks", b"no JSON")).unwrap();
    let path = files(&bench.part("raw")).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 1], b"", b"\n", b"oops"] {
        fs::write(&path, damaged).unwrap();
        let mut kept = bench.kept().pop().unwrap();
        assert!(bench.subjects.restore(&mut kept).is_some());
        assert!(kept.body.is_empty(), "{damaged:?}");
    }
    // What nobody can say anything of goes with the next who is forgotten.
    let redact = br#"{"customer":{"id":77}}"#;
    let mut asked = delivery("shopify-webhooks", redact);
    asked.headers.insert("x-shopify-topic".into(), "customers/redact".into());
    bench.intake.deliver_blocking(asked).unwrap();
    let request = bench.subjects.all_pending().unwrap().pop().unwrap();
    bench.subjects.complete(&request, Default::default()).unwrap();
    assert!(!path.exists());
    bench.inbox.close();
}
