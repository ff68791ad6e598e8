//! People on the way in: what the journal holds of them, what is laid aside, and what a request to
//! forget leaves behind. Over a real folder, of which every byte is looked at.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::event::Event;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::doors::Doors;
use ionflux_sources::doors::limits::{Limiter, Rate};
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::list::read_delivery;
use ionflux_sources::platform::tokens::{Grant, Tokens};
use ionflux_sources::subjects::receipts::{Scrubbed, verified};
use ionflux_sources::subjects::{Subjects, door};
use prometheus::Registry;
use tower::ServiceExt;

const SHOP: &str = "a.myshopify.com";
/// What no file may hold: a buyer's id, address, number, name, street and network address.
const PERSONAL: [&str; 7] = [
    "7301920001112",
    "ann.archer@post.example",
    "+49 30 1234567",
    "Archer",
    "Lindenstrasse 5",
    "203.0.113.77",
    "leave it at the back door",
];

struct Bench {
    inbox: Inbox,
    intake: Intake,
    subjects: Arc<Subjects>,
    clock: Arc<Stepped>,
    registry: Registry,
}

impl Bench {
    fn open(folder: &Path) -> Self {
        let files = Folder::open(&folder.join("journal")).unwrap();
        let (journal, opened) = Journal::open(Box::new(files), Limits::new(1 << 24)).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(1_772_323_200_000)));
        let registry = Registry::new();
        let metrics = JournalMetrics::new(&registry).unwrap();
        let inbox = Inbox::open(Scribe::new(journal, &opened, clock.clone(), metrics)).unwrap();
        let subjects = Subjects::open(&folder.join("subjects"), clock.clone()).unwrap();
        let subjects = Arc::new(subjects);
        let intake = Intake::new(inbox.clone(), Privacy::Minimised(Arc::clone(&subjects)));
        Self { inbox, intake, subjects, clock, registry }
    }

    fn deliver(&self, topic: &str, body: &str) {
        let headers = [("x-shopify-topic", topic), ("x-shopify-shop-domain", SHOP)];
        let headers = headers.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        let delivery = Delivery {
            source: "shopify-webhooks".into(),
            workspace: "acme".into(),
            received_at: UtcMs(0),
            headers,
            body: body.as_bytes().into(),
        };
        self.intake.deliver_blocking(delivery).unwrap();
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

    /// The buyers of the orders in the journal.
    fn buyers(&self) -> Vec<Option<Box<str>>> {
        let envelopes = self.kept().into_iter().flat_map(|delivery| {
            let decoded = read_delivery(&delivery, Position(0));
            decoded.envelopes
        });
        let buyer = |event| match event {
            Event::Order(order) => Some(order.customer),
            _ => None,
        };
        envelopes.filter_map(|envelope| buyer(envelope.event)).collect()
    }
}

fn order(id: u32) -> String {
    let [customer, email, phone, last, street, ip, note] = PERSONAL;
    format!(
        r##"{{"id":{id},"created_at":"2026-03-01T10:00:00Z","currency":"EUR","email":"{email}",
        "name":"#1001","browser_ip":"{ip}","note":"{note}","line_items":[{{"id":1,"quantity":1,
        "price":"9.00","product_id":5,"properties":[{{"name":"For","value":"{last}"}}]}}],
        "customer":{{"id":{customer},"email":"{email}","last_name":"{last}","phone":"{phone}",
        "default_address":{{"address1":"{street}"}}}},
        "shipping_address":{{"address1":"{street}"}}}}"##
    )
}

fn redact() -> String {
    let [customer, email, phone, ..] = PERSONAL;
    format!(
        r#"{{"shop_id":1,"shop_domain":"{SHOP}","customer":{{"id":{customer},
        "email":"{email}","phone":"{phone}"}},"orders_to_redact":[11]}}"#
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

#[test]
fn no_file_ever_holds_what_no_view_needs_and_a_buyer_stays_one_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path());
    bench.deliver("orders/create", &order(11));
    bench.deliver("orders/updated", &order(12));
    assert_eq!(leaks(folder.path()), Vec::<String>::new());
    let buyers = bench.buyers();
    assert!(buyers.len() == 2 && buyers[0].is_some() && buyers[0] == buyers[1], "{buyers:?}");
    bench.inbox.close();
    drop(bench);
    let bench = Bench::open(folder.path());
    bench.deliver("orders/create", &order(13));
    assert_eq!(bench.buyers()[2], buyers[0]);
    bench.inbox.close();
}

#[test]
fn a_redaction_leaves_nothing_and_a_second_one_and_late_deliveries_bring_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(folder.path());
    bench.deliver("orders/create", &order(11));
    let broken = order(14).replace("}}", "}");
    bench.deliver("orders/create", &broken);
    let laid = bench.kept().pop().unwrap();
    assert!(laid.body.is_empty(), "what cannot be minimised is in no journal");
    let mut restored = laid.clone();
    assert!(bench.subjects.restore(&mut restored).is_some());
    assert_eq!(&*restored.body, broken.as_bytes());
    assert_eq!(read_delivery(&restored, Position(0)).faults.len(), 1);
    assert!(leaks(folder.path()).iter().all(|leak| leak.contains("/raw/")));
    for time in ["first", "second"] {
        bench.deliver("customers/redact", &redact());
        // Killed here, the request is still there at the next start.
        bench.inbox.close();
        bench = Bench::open(folder.path());
        let pending = bench.subjects.all_pending().unwrap();
        assert_eq!(pending.len(), 1, "{time}");
        bench.subjects.complete(&pending[0], Scrubbed::default()).unwrap();
        bench.subjects.complete(&pending[0], Scrubbed::default()).unwrap();
        assert_eq!(leaks(folder.path()), Vec::<String>::new(), "{time}");
        let receipt = bench.subjects.receipt("acme", &pending[0].id).unwrap().unwrap();
        assert!(verified(&receipt));
        let text = String::from_utf8(receipt.clone()).unwrap();
        let links = if time == "first" { 1 } else { 0 };
        assert!(text.contains(&format!("\"links_destroyed\":{links},")), "{text}");
        assert!(!verified(
            text.replace("\"links_destroyed\":", "\"links_destroyed\":1").as_bytes()
        ));
        assert_eq!(bench.subjects.receipt("other", &pending[0].id).unwrap(), None);
        bench.deliver("orders/updated", &order(11));
        assert_eq!(bench.buyers().pop().unwrap(), None, "who was forgotten stays unknown");
    }
    bench.inbox.close();
}

#[test]
fn a_token_forgets_people_of_its_own_workspace_and_reads_its_own_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(folder.path());
    bench.deliver("orders/create", &order(11));
    let doors = Doors::new(bench.intake.clone(), bench.clock.clone(), &bench.registry).unwrap();
    let grant = |workspace: &str| Grant { workspace: workspace.into(), name: "t".into() };
    let tokens = Tokens::new([("one".into(), grant("acme")), ("two".into(), grant("other"))]);
    let rate = Rate { per_s: 1, burst: 6 };
    let doors = doors.limited(Limiter::new(rate, bench.clock.clone()));
    let router = door::router(doors, Arc::clone(&bench.subjects), tokens);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let ask = |method: &str, path: &str, token: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        let answer = router.clone().oneshot(request.body(Body::empty()).unwrap());
        let (head, body) = runtime.block_on(answer).unwrap().into_parts();
        let body = runtime.block_on(to_bytes(body, 1 << 20)).unwrap();
        (head.status, serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default())
    };
    let path = format!("/v1/subjects/{}?shop={SHOP}", PERSONAL[0]);
    assert_eq!(ask("DELETE", &path, "three").0, StatusCode::UNAUTHORIZED);
    assert_eq!(bench.subjects.all_pending().unwrap().len(), 0);
    let links = |answer: (StatusCode, serde_json::Value)| {
        assert_eq!(answer.0, StatusCode::ACCEPTED);
        let id = answer.1["request"].as_str().unwrap().to_owned();
        let receipt = format!("/v1/subjects/receipts/{id}");
        assert_eq!(ask("GET", &receipt, "one").0, StatusCode::NOT_FOUND);
        let request = bench.subjects.pending(&id).unwrap().unwrap();
        bench.subjects.complete(&request, Scrubbed::default()).unwrap();
        let seen = ["one", "two"].map(|token| ask("GET", &receipt, token));
        let told = seen.iter().find(|(status, _)| *status == StatusCode::OK).unwrap();
        assert_eq!(seen.iter().filter(|(status, _)| *status == StatusCode::OK).count(), 1);
        told.1["statement"]["links_destroyed"].as_u64().unwrap()
    };
    assert_eq!(links(ask("DELETE", &path, "two")), 0, "another tenant's person is nobody here");
    assert_eq!(links(ask("DELETE", &path, "one")), 1);
    assert_eq!(leaks(folder.path()), Vec::<String>::new());
    let headers: BTreeMap<_, _> = bench.kept().pop().unwrap().headers;
    assert_eq!(headers.len(), 1, "the journal has the request's number and nothing else");
    bench.clock.advance(10_000);
    for method in ["DELETE", "GET"] {
        let receipt = format!("/v1/subjects/receipts/{:032x}", 0);
        let path = if method == "GET" { &receipt } else { &path };
        let answers: Vec<_> = (0..7).map(|_| ask(method, path, "two").0).collect();
        assert_eq!(answers[6], StatusCode::TOO_MANY_REQUESTS, "{answers:?}");
        assert_ne!(answers[0], answers[6]);
        bench.clock.advance(10_000);
    }
    bench.inbox.close();
}
