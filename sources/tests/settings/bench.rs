//! The door for settings over a journal in memory, and what a ledger would have of it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::event::Event;
use ionflux_schemas::key::{ShopKey, Version};
use ionflux_schemas::time::UtcMs;
use ionflux_sources::clock::Stepped;
use ionflux_sources::doors::Doors;
use ionflux_sources::doors::limits::{Limiter, Rate};
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::memory::Memory;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::list::read_delivery;
use ionflux_sources::platform::tokens::{Grant, Tokens};
use ionflux_sources::settings::door::{Parts, router};
use ionflux_sources::settings::held::{Each, Held};
use prometheus::Registry;
use serde_json::Value;
use tower::ServiceExt;

/// 2026-03-01T00:00:00Z.
const NOW: UtcMs = UtcMs(1_772_323_200_000);

/// How many requests for changes a workspace has before the clock goes on.
pub const CHANGES_MAX: u32 = 20;

/// What the journal says, as a ledger would have it.
pub struct Counted(Inbox);

impl Counted {
    pub fn deliveries(&self) -> Vec<Delivery> {
        let mut reader = self.0.read(Position(0));
        let durable = *self.0.durable().borrow();
        let mut kept = Vec::new();
        while let Some(record) = reader.next(durable).unwrap() {
            if let Entry::Delivery(delivery) = record.entry {
                kept.push(delivery);
            }
        }
        kept
    }
}

impl Held for Counted {
    fn each(&self, shop: &ShopKey, prefix: &str, each: Each<'_>) -> Result<(), String> {
        let mut found = Vec::new();
        for delivery in self.deliveries() {
            let decoded = read_delivery(&delivery, Position(0));
            assert_eq!(decoded.faults, []);
            for envelope in decoded.envelopes {
                let Event::Entity(entity) = envelope.event else { panic!("no entity") };
                if *envelope.shop == *shop && entity.id.starts_with(prefix) {
                    found.push((entity.id.clone(), envelope.version, *entity));
                }
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let mut each = |(_, version, entity)| each(version, entity);
        let _ = found.into_iter().try_for_each(|held| -> ControlFlow<()> { each(held) });
        Ok(())
    }

    fn has(&self, shop: &ShopKey, id: &str) -> Result<bool, String> {
        let mut found = false;
        self.each(shop, id, &mut |_: Version, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

/// A ledger that never gets there, or cannot be read.
pub struct Never;

impl Held for Never {
    fn each(&self, _: &ShopKey, _: &str, _: Each<'_>) -> Result<(), String> {
        Err("the store cannot be read".to_owned())
    }

    fn has(&self, _: &ShopKey, _: &str) -> Result<bool, String> {
        Ok(false)
    }
}

pub struct Bench {
    pub counted: Counted,
    pub clock: Arc<Stepped>,
    pub files: Memory,
    router: Router,
}

impl Bench {
    pub fn new() -> Self {
        Self::over(|inbox| Arc::new(Counted(inbox)))
    }

    pub fn over(held: impl FnOnce(Inbox) -> Arc<dyn Held>) -> Self {
        let files = Memory::new(1);
        let (journal, opened) =
            Journal::open(Box::new(files.clone()), Limits::new(1 << 30)).unwrap();
        let (clock, registry) = (Arc::new(Stepped::new(NOW)), Registry::new());
        let metrics = JournalMetrics::new(&registry).unwrap();
        let inbox = Inbox::open(Scribe::new(journal, &opened, clock.clone(), metrics)).unwrap();
        let doors =
            Doors::new(Intake::new(inbox.clone(), Privacy::Untouched), clock.clone(), &registry)
                .unwrap();
        let rate = Rate { per_s: 1, burst: CHANGES_MAX };
        let doors = doors.limited(Limiter::new(rate, clock.clone()));
        let grant = |workspace: &str| Grant { workspace: workspace.into(), name: "ci".into() };
        let tokens = Tokens::new([("one".into(), grant("acme")), ("two".into(), grant("other"))]);
        let (held, counted_within) = (held(inbox.clone()), Duration::from_millis(1));
        let router = router(Parts { doors, tokens, held, counted_within });
        Self { counted: Counted(inbox), clock, files, router }
    }

    pub fn ask(
        &self,
        method: &str,
        path: &str,
        (token, form): (&str, &str),
        body: &[u8],
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !form.is_empty() {
            request = request.header("content-type", form);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
        })
    }

    pub fn put(&self, path: &str, document: &Value) -> (u16, Value) {
        let (path, body) = (format!("/v1/config/{path}"), document.to_string());
        self.ask("PUT", &path, ("one", "application/json"), body.as_bytes())
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", &format!("/v1/config{path}"), ("one", ""), b"");
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

/// The documents of an answer, with the instants from which they hold.
pub fn held(answer: &Value, list: &str) -> Vec<(String, Value)> {
    let list = answer[list].as_array().unwrap().iter();
    list.map(|one| (one["valid_from"].as_str().unwrap().to_owned(), one["document"].clone()))
        .collect()
}
