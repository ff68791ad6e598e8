//! What the poller of TikTok Shop keeps over a restart: tokens that were renewed, and that the zone
//! of the shop was told.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::event::{Envelope, Event};
use ionflux_schemas::time::{UtcMs, Zone};
use ionflux_sources::clock::Stepped;
use ionflux_sources::cursor::Cursors;
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::memory::Memory;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::list::read_delivery;
use ionflux_sources::poller::{Poll, PollError, Stop};
use ionflux_sources::tiktok::client::{Asked, Client, Credentials};
use ionflux_sources::tiktok::hints::Hints;
use ionflux_sources::tiktok::poller::{Ends, Shop, ShopPoller};
use ionflux_sources::tiktok::tokens::Tokens;
use prometheus::Registry;
use serde_json::{Value, json};

const NOW_MS: i64 = 1_700_000_000_000;

/// The pair of tokens that is good; each renewal makes another and ends the one before.
type Good = Arc<Mutex<(String, String, u32)>>;

async fn answer(
    State(good): State<Good>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let mut good = good.lock().unwrap();
    let denied = json!({ "code": 105_002 });
    let value: Value = if request.uri().path() == "/api/v2/token/refresh" {
        if query["refresh_token"] == good.1 {
            let nth = good.2 + 1;
            *good = (format!("access-{nth}"), format!("refresh-{nth}"), nth);
            json!({ "code": 0, "data": { "access_token": good.0, "refresh_token": good.1 } })
        } else {
            denied
        }
    } else if request.headers()["x-tts-access-token"] == good.0.as_str() {
        json!({ "code": 0, "data": {} })
    } else {
        denied
    };
    value.to_string().into_response()
}

struct Bench {
    good: Good,
    base_url: String,
    inbox: Inbox,
    clock: Arc<Stepped>,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let good = Good::default();
        *good.lock().unwrap() = ("access-0".into(), "refresh-0".into(), 0);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&good));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let (journal, opened) =
            Journal::open(Box::new(Memory::new(1)), Limits::new(64 << 20)).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(NOW_MS)));
        let metrics = JournalMetrics::new(&Registry::new()).unwrap();
        let inbox = Inbox::open(Scribe::new(journal, &opened, clock.clone(), metrics)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { good, base_url, inbox, clock, folder, _runtime: runtime }
    }

    fn tokens(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// The poller as it is after a restart with these tokens and this zone.
    fn started(&self, tokens: (&str, &str), zone: Option<&str>) -> ShopPoller {
        let asked = Asked {
            base_url: self.base_url.clone(),
            auth_url: self.base_url.clone(),
            app_key: "key".into(),
            shop_cipher: "cipher".into(),
            pause: Duration::from_millis(1),
        };
        let credentials = Credentials {
            app_secret: "secret".into(),
            access_token: tokens.0.into(),
            refresh_token: Some(tokens.1.into()),
        };
        let shop = Shop {
            workspace: "w".into(),
            shop: "749".into(),
            sweep_every_ms: 1,
            backfill_s: 60,
            zone: zone.map(|zone| Zone::parse(zone).unwrap()),
        };
        let ends = Ends {
            intake: Intake::new(self.inbox.clone(), Privacy::Untouched),
            cursors: Cursors::open(&self.folder.path().join("cursors")).unwrap(),
            clock: self.clock.clone(),
            hints: Hints::default(),
        };
        let client = Client::new(asked, credentials, self.clock.clone());
        let kept = Tokens::open(&self.tokens(), ("w", "749")).unwrap();
        ShopPoller::new(shop, client.keeping(kept).unwrap(), ends)
    }

    fn kept(&self) -> Vec<Delivery> {
        self.inbox.close();
        let mut reader = self.inbox.read(Position(0));
        let durable = *self.inbox.durable().borrow();
        let mut kept = Vec::new();
        while let Some(record) = reader.next(durable).unwrap() {
            kept.extend(match record.entry {
                Entry::Delivery(delivery) => Some(delivery),
                _ => None,
            });
        }
        kept
    }
}

#[test]
fn renewed_tokens_outlive_a_restart_and_give_way_to_configured_ones() {
    let bench = Bench::new();
    let stop = Stop::default();
    bench.started(("worn", "refresh-0"), None).poll(&stop).unwrap();
    bench.good.lock().unwrap().0 = "access-1 has run out".into();
    // What was configured is worn out twice over; what was kept renews itself.
    bench.started(("worn", "refresh-0"), None).poll(&stop).unwrap();
    bench.started(("worn", "refresh-0"), None).poll(&stop).unwrap();
    assert_eq!(bench.good.lock().unwrap().2, 2);
    let files: Vec<PathBuf> =
        std::fs::read_dir(bench.tokens()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    #[cfg(unix)]
    for (path, mode) in [(&files[0], 0o600), (&bench.tokens(), 0o700)] {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
    }
    // A person authorised the shop again.
    *bench.good.lock().unwrap() = ("new".into(), "newer".into(), 7);
    bench.started(("new", "newer"), None).poll(&stop).unwrap();
    let denied = bench.started(("worn", "refresh-0"), None).poll(&stop).unwrap_err();
    assert!(matches!(&denied, PollError::Permanent(_)), "{denied}");
    // A damaged file is as good as none.
    std::fs::write(&files[0], "{").unwrap();
    bench.started(("new", "newer"), None).poll(&stop).unwrap();
}

#[test]
fn tokens_that_cannot_be_kept_are_kept_before_anything_else_is_asked() {
    let bench = Bench::new();
    let stop = Stop::default();
    let mut poller = bench.started(("worn", "refresh-0"), None);
    std::fs::remove_dir(bench.tokens()).unwrap();
    for _ in 0..2 {
        let failed = poller.poll(&stop).unwrap_err();
        assert!(matches!(&failed, PollError::Transient(why) if why.contains("not kept")));
        let secret =
            ["access-1", "refresh-1", "worn"].iter().any(|s| failed.to_string().contains(s));
        assert!(!secret, "{failed}");
    }
    std::fs::create_dir(bench.tokens()).unwrap();
    poller.poll(&stop).unwrap();
    bench.started(("worn", "refresh-0"), None).poll(&stop).unwrap();
    assert_eq!(bench.good.lock().unwrap().2, 1);
}

#[test]
fn the_zone_of_a_shop_is_told_once_and_again_when_it_is_another() {
    let bench = Bench::new();
    for zone in [None, Some("Asia/Jakarta"), Some("Asia/Jakarta"), Some("Asia/Makassar"), None] {
        let mut poller = bench.started(("access-0", "refresh-0"), zone);
        poller.poll(&Stop::default()).unwrap();
        bench.clock.advance(1_000);
        poller.poll(&Stop::default()).unwrap();
    }
    let said: Vec<Envelope> = bench
        .kept()
        .iter()
        .flat_map(|delivery| {
            let decoded = read_delivery(delivery, Position(0));
            assert_eq!(decoded.faults, []);
            decoded.envelopes
        })
        .collect();
    let zone = |zone: &str| Event::Zone { from: UtcMs(i64::MIN), zone: zone.into() };
    let events: Vec<&Event> = said.iter().map(|envelope| &envelope.event).collect();
    assert_eq!(events, [&zone("Asia/Jakarta"), &zone("Asia/Makassar")]);
    assert!(said[0].version < said[1].version);
    assert!(said.iter().all(|envelope| envelope.shop.to_string() == "w/749"));
}
