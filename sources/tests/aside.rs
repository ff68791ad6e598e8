//! Bodies that are no JSON, and files that a crash or a refusal leaves: who sends them harms nobody
//! else, and nothing of a person stays behind.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::memory::Memory;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::subjects::raw::{RawLimits, not_kept};
use ionflux_sources::subjects::receipts::EXPORT_KEPT;
use ionflux_sources::subjects::requests::Request;
use ionflux_sources::subjects::{RAW, Subjects};
use prometheus::Registry;
use tempfile::TempDir;

const SHOP: &str = "a.myshopify.com";
const NOW: UtcMs = UtcMs(1_772_323_200_000);

struct Bench {
    folder: TempDir,
    inbox: Inbox,
    intake: Intake,
    subjects: Arc<Subjects>,
    clock: Arc<Stepped>,
}

impl Bench {
    fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap(), RawLimits::default())
    }

    fn over(folder: TempDir, limits: RawLimits) -> Self {
        let (journal, opened) =
            Journal::open(Box::new(Memory::new(1)), Limits::new(1 << 26)).unwrap();
        let clock = Arc::new(Stepped::new(NOW));
        let metrics = JournalMetrics::new(&Registry::new()).unwrap();
        let inbox = Inbox::open(Scribe::new(journal, &opened, clock.clone(), metrics)).unwrap();
        let subjects = Subjects::open(&folder.path().join("s"), clock.clone()).unwrap();
        let subjects = Arc::new(subjects.limited(limits));
        let intake = Intake::new(inbox.clone(), Privacy::Minimised(Arc::clone(&subjects)));
        Self { folder, inbox, intake, subjects, clock }
    }

    fn part(&self, part: &str) -> PathBuf {
        self.folder.path().join("s").join(part)
    }

    /// The program ends and begins again, with an empty journal.
    fn restarted(self) -> Self {
        self.inbox.close();
        let Self { folder, intake, subjects, .. } = self;
        drop((intake, subjects));
        Self::over(folder, RawLimits { bodies: 3, bytes: 1_000 })
    }

    /// Takes a request in, and gives it.
    fn ask(&self, topic: &str, body: &[u8]) -> Request {
        let mut body: serde_json::Value = serde_json::from_slice(body).unwrap();
        body["shop_domain"] = SHOP.into();
        let mut asked = delivery("shopify-webhooks", body.to_string().as_bytes());
        asked.headers.insert("x-shopify-topic".into(), topic.into());
        self.intake.deliver_blocking(asked).unwrap();
        self.subjects.all_pending().unwrap().pop().unwrap()
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
    bench.restarted().inbox.close();
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
    let request = bench.ask("customers/redact", br#"{"customer":{"id":77}}"#);
    bench.subjects.complete(&request, Default::default()).unwrap();
    assert!(!path.exists());
    bench.inbox.close();
}

#[test]
fn a_workspace_that_lays_too_much_aside_has_faults_and_nobody_else_notices() {
    let mut bench = Bench::new().restarted();
    let send = |bench: &Bench, workspace: &str, body: &[u8]| {
        let sent = delivery("shopify-webhooks", body);
        bench.intake.deliver_blocking(Delivery { workspace: workspace.into(), ..sent }).unwrap();
        let kept = bench.kept().pop().unwrap();
        assert!(kept.body.is_empty(), "nothing of it is in the journal");
        not_kept(&kept, Position(7))
    };
    let lie = |bench: &Bench| files(&bench.part("raw")).len();
    for body in [b"one", b"two", b"six"] {
        assert_eq!(send(&bench, "acme", body), None);
    }
    let over = send(&bench, "acme", b"four").unwrap();
    assert!(over.faults[0].reason.contains("was not kept"), "{over:?}");
    assert_eq!((&*over.faults[0].shop.workspace, &*over.faults[0].shop.shop), ("acme", SHOP));
    assert!(over.letter.unwrap().bytes.is_empty());
    assert_eq!(send(&bench, "acme", b"two"), None, "what lies there needs no room");
    assert_eq!((send(&bench, "other", b"four"), lie(&bench)), (None, 4));
    assert!(send(&bench, "other", &[b'x'; 1_000]).is_some(), "bytes are counted as well");
    // As much after a restart, until something goes.
    bench = bench.restarted();
    assert!(send(&bench, "acme", b"four").is_some());
    assert_eq!(send(&bench, "acme", b"two"), None);
    let two = bench.kept().pop().unwrap().headers.remove(RAW).unwrap();
    bench.subjects.clear(&two).unwrap();
    assert_eq!((send(&bench, "acme", b"four"), lie(&bench)), (None, 4));
    bench.inbox.close();
}

#[test]
fn what_the_journal_refuses_leaves_no_file() {
    let bench = Bench::new();
    bench.intake.deliver_blocking(delivery("shopify-webhooks", b"known")).unwrap();
    bench.inbox.close();
    let mut asked = delivery("shopify-webhooks", br#"{"customer":{"id":77}}"#);
    asked.headers.insert("x-shopify-topic".into(), "customers/redact".into());
    for refused in
        [asked, delivery("shopify-webhooks", b"no JSON"), delivery("shopify-webhooks", b"known")]
    {
        assert!(bench.intake.deliver_blocking(refused.clone()).is_err());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(bench.intake.deliver(refused)).is_err());
    }
    let request = Request::forget(("acme", SHOP), "77", NOW).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let asked = bench.intake.ask(Arc::clone(&bench.subjects), request);
    assert!(runtime.block_on(asked).is_err());
    assert_eq!(files(&bench.part("pending")), Vec::<PathBuf>::new());
    assert_eq!(files(&bench.part("raw")).len(), 1, "one that a letter names stays");
}

#[test]
fn what_a_crash_left_half_written_goes_at_the_next_start() {
    let bench = Bench::new();
    for part in ["", "raw", "pending", "exports", "receipts"] {
        for name in ["0123456789abcdef0123456789abcdef.12-3.part", "hiding.part"] {
            fs::write(bench.part(part).join(name), "ann@x.example").unwrap();
        }
    }
    let bench = bench.restarted();
    for part in ["", "raw", "pending", "exports", "receipts"] {
        let left = files(&bench.part(part));
        assert!(left.iter().all(|file| file.extension() != Some("part".as_ref())), "{left:?}");
    }
    bench.inbox.close();
}

#[test]
fn exports_and_downloads_go_with_whom_they_are_about() {
    let bench = Bench::new();
    let downloads = bench.folder.path().join("downloads").join(SHOP);
    fs::create_dir_all(&downloads).unwrap();
    bench.subjects.downloads_of(("acme", SHOP), downloads.clone());
    bench.subjects.downloads_of(("acme", "b.example"), bench.folder.path().join("none"));
    let download = || fs::write(downloads.join("1.jsonl"), r#"{"customer":{"id":77}}"#).unwrap();
    let tell = |body: &[u8]| {
        download();
        let request = bench.ask("customers/data_request", body);
        bench.subjects.keep_export(&request, Vec::new()).unwrap();
        bench.subjects.complete(&request, Default::default()).unwrap();
        assert_eq!(files(&downloads).len(), 1, "telling takes nothing away");
    };
    let forget = |topic: &str, body: &[u8]| {
        let request = bench.ask(topic, body);
        bench.subjects.complete(&request, Default::default()).unwrap();
        (files(&bench.part("exports")).len(), files(&downloads).len())
    };
    tell(br#"{"customer":{"id":77,"email":"ann@x.example"}}"#);
    tell(br#"{"customer":{"id":78}}"#);
    tell(br#"{"customer":{"id":79}}"#);
    assert_eq!(forget("customers/redact", br#"{"customer":{"email":"ann@x.example"}}"#), (2, 0));
    download();
    assert_eq!(forget("customers/redact", br#"{"customer":{"id":78}}"#), (1, 0));
    download();
    assert_eq!(forget("shop/redact", br#"{"shop_id":1}"#), (0, 0));
    bench.inbox.close();
}

#[test]
fn exports_are_kept_for_a_while_from_when_they_were_written() {
    let bench = Bench::new();
    let request = bench.ask("customers/data_request", br#"{"customer":{"id":77}}"#);
    bench.subjects.keep_export(&request, Vec::new()).unwrap();
    let export = fs::File::options().write(true).open(&files(&bench.part("exports"))[0]).unwrap();
    let now = UNIX_EPOCH + Duration::from_millis(NOW.0.try_into().unwrap());
    export.set_modified(now).unwrap();
    bench.clock.advance(EXPORT_KEPT.as_millis().try_into().unwrap());
    assert_eq!(bench.subjects.expire_exports().unwrap(), 0);
    bench.clock.advance(10);
    assert_eq!(bench.subjects.expire_exports().unwrap(), 1);
    assert_eq!(files(&bench.part("exports")), Vec::<PathBuf>::new());
    bench.inbox.close();
}
