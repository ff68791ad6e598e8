//! A journal in memory, a stepped clock, cursors in a folder of their own: what a shop is read
//! into, also over crashes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::key::Version;
use ionflux_schemas::time::{UtcMs, Zone};
use ionflux_sources::clock::{Clock, Stepped};
use ionflux_sources::cursor::Cursors;
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::memory::Memory;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::list::read_delivery;
use ionflux_sources::poller::{Poll, PollError, Stop};
use ionflux_sources::shopify::admin::poll::Admin;
use ionflux_sources::shopify::admin::{Account, Client, Patience, Token};
use prometheus::Registry;
use tempfile::TempDir;

use crate::shop::Shop;

/// The token of the shop, which no message may show.
pub const TOKEN: &str = "shpat_0123456789abcdef";

/// Waiting moves the clock, and does what else is to happen meanwhile.
pub struct Steps {
    clock: Arc<Stepped>,
    waited: Mutex<Vec<Duration>>,
    meanwhile: Box<dyn Fn() + Send + Sync>,
}

impl Patience for Steps {
    fn wait(&self, stop: &Stop, at_most: Duration) -> bool {
        self.clock.advance(i64::try_from(at_most.as_millis()).unwrap());
        self.waited.lock().unwrap().push(at_most);
        (self.meanwhile)();
        stop.asked()
    }
}

/// Everything that lasts while readers come and go.
pub struct Bench {
    pub shop: Shop,
    pub clock: Arc<Stepped>,
    pub steps: Arc<Steps>,
    pub inbox: Inbox,
    pub folder: TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self::with_journal(64 << 20)
    }

    /// A journal of so many bytes, which is emptied while somebody waits.
    pub fn with_journal(max_bytes: u64) -> Self {
        let clock = Arc::new(Stepped::new(at("2026-03-10T12:00:00Z")));
        let limits = Limits { segment_bytes: 20_000, ..Limits::new(max_bytes) };
        let (journal, opened) = Journal::open(Box::new(Memory::new(1)), limits).unwrap();
        let metrics = JournalMetrics::new(&Registry::new()).unwrap();
        let scribe = Scribe::new(journal, &opened, clock.clone(), metrics);
        let inbox = Inbox::open(scribe).unwrap();
        let emptied = inbox.clone();
        let meanwhile = Box::new(move || emptied.trim(*emptied.durable().borrow()));
        let meanwhile: Box<dyn Fn() + Send + Sync> =
            if max_bytes < 1 << 20 { meanwhile } else { Box::new(|| {}) };
        let waited = Mutex::new(Vec::new());
        let steps = Arc::new(Steps { clock: clock.clone(), waited, meanwhile });
        let shop = Shop::open(clock.clone());
        Self { shop, clock, steps, inbox, folder: tempfile::tempdir().unwrap() }
    }

    pub fn client(&self) -> Client {
        let account = Account {
            workspace: "acme".into(),
            shop: "acme.myshopify.com".into(),
            base_url: self.shop.url().into(),
            version: "2026-10".into(),
            token: Token::new(TOKEN.to_owned()),
            token_name: "ACME_TOKEN".into(),
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        Client::new(account, clock, self.steps.clone())
    }

    pub fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    /// A program that begins, as after a crash.
    pub fn sweeper(&self) -> Admin {
        let cursors = Cursors::open(&self.folder.path().join("cursors")).unwrap();
        Admin::new(self.client(), Intake::new(self.inbox.clone(), Privacy::Untouched), cursors)
            .unwrap()
    }

    /// The same, reading the past first, in pieces of 16,000 bytes.
    pub fn admin(&self) -> Admin {
        self.sweeper().with_pieces(self.downloads(), 16_000)
    }

    pub fn round(&self) -> Result<(), PollError> {
        self.admin().poll(&Stop::default())
    }

    pub fn waited(&self) -> Vec<Duration> {
        std::mem::take(&mut self.steps.waited.lock().unwrap())
    }

    pub fn deliveries(&self) -> Vec<(Position, Delivery)> {
        let mut reader = self.inbox.read(Position(0));
        let durable = *self.inbox.durable().borrow();
        let mut kept = Vec::new();
        while let Some(record) = reader.next(durable).unwrap() {
            if let Entry::Delivery(delivery) = record.entry {
                kept.push((Position(0), delivery));
            }
        }
        kept
    }

    /// The ids of the orders that were delivered, in their order.
    pub fn orders(&self) -> Vec<u64> {
        let order = |(_, delivery): (Position, Delivery)| {
            let kind = delivery.headers.get("kind").unwrap();
            let body: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
            let id = body.get("id")?.as_str()?.rsplit('/').next()?.parse().ok()?;
            (&**kind == "order").then_some(id)
        };
        self.deliveries().into_iter().filter_map(order).collect()
    }

    /// What is known after all deliveries: the highest version of each entity. No faults.
    pub fn known(&self) -> BTreeMap<String, String> {
        let mut envelopes = Vec::new();
        for (position, delivery) in self.deliveries() {
            let decoded = read_delivery(&delivery, position);
            assert_eq!(decoded.faults, []);
            envelopes.extend(decoded.envelopes);
        }
        known(envelopes)
    }
}

/// An instant.
pub fn at(text: &str) -> UtcMs {
    UtcMs::parse(text, &Zone::UTC).unwrap()
}

/// The highest version of each entity, by its name.
pub fn known(envelopes: Vec<Envelope>) -> BTreeMap<String, String> {
    let mut known: BTreeMap<String, (Version, String)> = BTreeMap::new();
    for Envelope { version, event, shop } in envelopes {
        let name = match &event {
            Event::Order(order) => format!("order {}", order.id),
            Event::Refund(refund) => format!("refund {}", refund.id),
            Event::Entity(entity) => format!("{:?} {}", entity.kind(), entity.id),
            Event::Zone { .. } => "zone".to_owned(),
            other => format!("{other:?}"),
        };
        let told = (version, format!("{shop:?} {event:?}"));
        let held = known.entry(name).or_insert_with(|| told.clone());
        if held.0 < told.0 {
            *held = told;
        }
    }
    known.into_iter().map(|(name, (_, text))| (name, text)).collect()
}
