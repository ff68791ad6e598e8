//! The poller of ad reports against a server that speaks its protocol.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::routing::get;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::event::Event;
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
use ionflux_sources::tiktok::reports::{Advertiser, Ends, ReportPoller};
use ionflux_sources::tiktok::transport::Transport;
use prometheus::Registry;
use serde_json::json;

type Asked = Arc<Mutex<Vec<String>>>;
type Parameters = Query<BTreeMap<String, String>>;

async fn report(
    State(asked): State<Asked>,
    headers: HeaderMap,
    Query(query): Parameters,
) -> String {
    let (day, page) = (query["start_date"].as_str(), query["page"].as_str());
    assert_eq!((query["end_date"].as_str(), query["advertiser_id"].as_str()), (day, "70"));
    asked.lock().unwrap().push(format!("{day} {page}"));
    if headers.get("access-token").unwrap() != "good" {
        return json!({ "code": 40_105, "message": "Access token is incorrect" }).to_string();
    }
    let hour = if page == "1" { "05" } else { "06" };
    let row = json!({
        "dimensions": { "campaign_id": "31", "stat_time_hour": format!("{day} {hour}:00:00") },
        "metrics": { "spend": "1.255", "impressions": "100", "clicks": "-", "conversion": "0" },
    });
    let page_info = json!({ "total_page": 2 });
    json!({ "code": 0, "data": { "list": [row], "page_info": page_info } }).to_string()
}

struct Bench {
    asked: Asked,
    base_url: String,
    inbox: Inbox,
    cursors: Cursors,
    clock: Arc<Stepped>,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let asked = Asked::default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let path = "/open_api/v1.3/report/integrated/get/";
        let router = Router::new().route(path, get(report)).with_state(Arc::clone(&asked));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let (journal, opened) =
            Journal::open(Box::new(Memory::new(1)), Limits::new(64 << 20)).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(1_700_000_000_000)));
        let metrics = JournalMetrics::new(&Registry::new()).unwrap();
        let scribe = Scribe::new(journal, &opened, clock.clone(), metrics);
        let inbox = Inbox::open(scribe).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cursors = Cursors::open(folder.path()).unwrap();
        Self { asked, base_url, inbox, cursors, clock, _folder: folder, _runtime: runtime }
    }

    fn poller(&self, token: &str) -> ReportPoller {
        let advertiser = Advertiser {
            workspace: "w".into(),
            advertiser: "70".into(),
            currency: Currency::parse("USD").unwrap(),
            zone: Zone::parse("Etc/GMT+5").unwrap(),
            base_url: self.base_url.clone(),
            backfill_days: 5,
        };
        let ends = Ends {
            intake: Intake::new(self.inbox.clone(), Privacy::Untouched),
            cursors: self.cursors.clone(),
            clock: self.clock.clone(),
        };
        let transport = Transport::new(Duration::from_millis(1));
        ReportPoller::new(advertiser, token.into(), transport, ends)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn kept(&self) -> Vec<Delivery> {
        self.inbox.close();
        let mut reader = self.inbox.read(Position(0));
        let durable = *self.inbox.durable().borrow();
        let mut kept = Vec::new();
        while let Some(record) = reader.next(durable).unwrap() {
            if let Entry::Delivery(delivery) = record.entry {
                kept.push(delivery);
            }
        }
        kept
    }
}

#[test]
fn reports_are_read_page_by_page_and_young_days_again() {
    let bench = Bench::new();
    let mut poller = bench.poller("good");
    poller.poll(&Stop::default()).unwrap();
    let asked = bench.asked();
    assert_eq!((asked.len(), &*asked[0], &*asked[11]), (12, "2023-11-09 1", "2023-11-14 2"));
    poller.poll(&Stop::default()).unwrap();
    assert_eq!(bench.asked().len(), 4 * 2);
    // Ten days on, what was never read is, and no day between is missed.
    bench.clock.advance(10 * 86_400_000);
    poller.poll(&Stop::default()).unwrap();
    let asked = bench.asked();
    assert_eq!((&*asked[0], asked.len()), ("2023-11-15 1", 10 * 2));
    assert_eq!(bench.kept().len(), 12 + 8 + 20);
}

#[test]
fn an_advertiser_that_took_its_leave_back_is_the_matter_of_a_person() {
    let bench = Bench::new();
    let failed = bench.poller("worn").poll(&Stop::default()).unwrap_err();
    let PollError::Permanent(why) = failed else { panic!("{failed}") };
    assert!(why.contains("authorise the advertiser again") && !why.contains("worn"), "{why}");
    assert_eq!(bench.cursors.get("tiktok-ads/w/70").unwrap(), None);
}

#[test]
fn a_row_is_spend_in_the_advertisers_hour_and_currency() {
    let bench = Bench::new();
    bench.poller("good").poll(&Stop::default()).unwrap();
    let decoded = read_delivery(&bench.kept()[0], Position(0));
    let Event::Entity(entity) = &decoded.envelopes[0].event else { panic!("{decoded:?}") };
    // Five o'clock of an advertiser five hours behind; half a cent goes to the even one.
    assert_eq!(entity.at.to_string(), "2023-11-09T10:00:00Z");
    let shown = format!("{:?}", entity.body);
    assert!(shown.contains("amount: 126") && shown.contains("\"impressions\": 100"), "{shown}");
    assert!(!shown.contains("clicks") && shown.contains("span_ms: 3600000"), "{shown}");
}
