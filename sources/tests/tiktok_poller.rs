//! The poller of TikTok Shop against a server that speaks its protocol: signatures, pages, limits
//! on requests, tokens that run out.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::event::Event;
use ionflux_schemas::time::UtcMs;
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
use ionflux_sources::tiktok::hints::{Change, Hint, Hints};
use ionflux_sources::tiktok::poller::{Ends, Shop, ShopPoller};
use ionflux_sources::tiktok::signature;
use prometheus::Registry;
use serde_json::{Value, json};

const NOW_S: i64 = 1_700_000_000;
const DAY_S: i64 = 86_400;

/// What the server has, what it was asked, and what it answers next instead of the truth.
#[derive(Default)]
struct World {
    orders: BTreeMap<String, Value>,
    cancellations: Vec<Value>,
    asked: Vec<String>,
    instead: Vec<(u16, Value)>,
    token: &'static str,
    /// What a webhook says while a search is answered.
    webhook: Option<(Hints, Hint)>,
    refreshed: bool,
}

type Shared = Arc<Mutex<World>>;

async fn answer(
    State(world): State<Shared>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let token = token(request.headers());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let query: Vec<(String, String)> = pairs(&query.unwrap_or_default());
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let mut world = world.lock().unwrap();
    world.asked.push(format!("{path} {body}"));
    if let Some((hints, hint)) = world.webhook.take_if(|_| path.ends_with("search")) {
        assert!(hints.push(hint));
    }
    if let Some((status, instead)) = world.instead.pop() {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, instead.to_string()).into_response();
    }
    let refused = || json!({ "code": 105_002, "message": "Expired credentials" });
    let value = match path.as_str() {
        "/api/v2/token/refresh" => {
            let fits = get("refresh_token") == Some("again") && get("app_secret") == Some("secret");
            world.refreshed |= fits;
            match fits {
                true => json!({ "code": 0, "data": { "access_token": world.token } }),
                false => json!({ "code": 36_004_004, "message": "no" }),
            }
        }
        _ if token.as_deref() != Some(world.token) => refused(),
        _ => {
            let plain: Vec<(&str, &str)> =
                query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(get("sign").unwrap(), signature::request("secret", &path, &plain, &body));
            assert_eq!((get("app_key"), get("shop_cipher")), (Some("key"), Some("cipher")));
            json!({ "code": 0, "data": shop(&world, &path, &get, &body) })
        }
    };
    value.to_string().into_response()
}

fn token(headers: &HeaderMap) -> Option<String> {
    let token = headers.get("x-tts-access-token");
    token.map(|token| token.to_str().unwrap().to_owned())
}

/// Parameters as the server reads them.
fn pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
                }
                b'+' => b' ',
                byte => byte,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let each = query.split('&').filter_map(|pair| pair.split_once('='));
    each.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn shop<'q>(
    world: &World,
    path: &str,
    get: &impl Fn(&str) -> Option<&'q str>,
    body: &str,
) -> Value {
    if path == "/order/202507/orders" {
        let ids: Vec<&str> = get("ids").unwrap().split(',').collect();
        assert!(ids.len() <= 50, "{} ids", ids.len());
        let orders: Vec<&Value> = ids.iter().filter_map(|id| world.orders.get(*id)).collect();
        return json!({ "orders": orders });
    }
    let filter: Value = serde_json::from_str(body).unwrap();
    let fits = |record: &&Value| match filter["order_ids"].as_array() {
        Some(ids) => ids.contains(&record["order_id"]),
        None => {
            let at = record["update_time"].as_i64().unwrap();
            let bound = |name: &str| filter[name].as_i64().unwrap();
            (bound("update_time_ge")..bound("update_time_lt")).contains(&at)
        }
    };
    let (list, records): (&str, Vec<&Value>) = match path {
        "/order/202309/orders/search" => ("orders", world.orders.values().filter(fits).collect()),
        "/return_refund/202309/returns/search" => ("return_orders", Vec::new()),
        _ => ("cancellations", world.cancellations.iter().filter(fits).collect()),
    };
    // Pages of two, whatever was asked for.
    let at: usize = get("page_token").map_or(0, |token| token.parse().unwrap());
    let page: Vec<&&Value> = records.iter().skip(at).take(2).collect();
    let next = if at + 2 < records.len() { (at + 2).to_string() } else { String::new() };
    json!({ list: page, "next_page_token": next })
}

struct Bench {
    world: Shared,
    base_url: String,
    inbox: Inbox,
    cursors: Cursors,
    clock: Arc<Stepped>,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let world = Shared::default();
        world.lock().unwrap().token = "good";
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&world));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let limits = Limits::new(64 << 20);
        let (journal, opened) = Journal::open(Box::new(Memory::new(1)), limits).unwrap();
        let clock = Arc::new(Stepped::new(UtcMs(NOW_S * 1_000)));
        let metrics = JournalMetrics::new(&Registry::new()).unwrap();
        let scribe = Scribe::new(journal, &opened, clock.clone(), metrics);
        let folder = tempfile::tempdir().unwrap();
        let cursors = Cursors::open(folder.path()).unwrap();
        let inbox = Inbox::open(scribe).unwrap();
        Self { world, base_url, inbox, cursors, clock, _folder: folder, _runtime: runtime }
    }

    fn poller(&self, access_token: &str, refresh_token: Option<&str>) -> (ShopPoller, Hints) {
        let asked = Asked {
            base_url: self.base_url.clone(),
            auth_url: format!("{}/", self.base_url),
            app_key: "key".into(),
            shop_cipher: "cipher".into(),
            pause: Duration::from_millis(1),
        };
        let credentials = Credentials {
            app_secret: "secret".into(),
            access_token: access_token.into(),
            refresh_token: refresh_token.map(String::from),
        };
        let (workspace, shop) = ("w".into(), "749".into());
        let shop =
            Shop { workspace, shop, sweep_every_ms: 900_000, backfill_s: 3 * DAY_S, zone: None };
        let hints = Hints::default();
        let ends = Ends {
            intake: Intake::new(self.inbox.clone(), Privacy::Untouched),
            cursors: self.cursors.clone(),
            clock: self.clock.clone(),
            hints: hints.clone(),
        };
        let client = Client::new(asked, credentials, self.clock.clone());
        (ShopPoller::new(shop, client, ends), hints)
    }

    fn sell(&self, id: u32, at_s: i64) {
        let order = json!({
            "id": id.to_string(), "status": "IN_TRANSIT", "create_time": at_s, "paid_time": at_s,
            "update_time": at_s, "buyer_email": "private",
            "recipient_address": { "name": "private" },
            "payment": { "currency": "USD", "shipping_fee": "1.00" },
            "line_items": [{ "id": "1", "original_price": "10.00", "tracking_number": "private" }],
        });
        self.world.lock().unwrap().orders.insert(id.to_string(), order);
    }

    fn cancel(&self, order: u32, at_s: i64) {
        let money = json!({ "currency": "USD", "refund_subtotal": "10.00" });
        self.world.lock().unwrap().cancellations.push(json!({
            "order_id": order.to_string(), "cancel_id": format!("c{order}"), "update_time": at_s,
            "cancel_status": "CANCELLATION_REQUEST_COMPLETE", "refund_amount": money,
            "cancel_line_items": [{ "order_line_item_id": "1", "refund_amount": money }],
        }));
    }

    /// What was asked since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.world.lock().unwrap().asked)
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

/// Ids of what was kept: orders as they are, refunds with their order.
fn ids(kept: &[Delivery]) -> Vec<String> {
    let mut ids = Vec::new();
    for delivery in kept {
        let decoded = read_delivery(delivery, Position(0));
        assert_eq!(decoded.faults, []);
        ids.extend(decoded.envelopes.iter().map(|envelope| match &envelope.event {
            Event::Order(order) => order.id.to_string(),
            Event::Refund(refund) => format!("{}/{}", refund.order, refund.id),
            other => panic!("{other:?}"),
        }));
    }
    ids.sort();
    ids.dedup();
    ids
}

#[test]
fn a_sweep_reads_every_page_and_moves_its_cursors() {
    let bench = Bench::new();
    (1..=5).for_each(|id| bench.sell(id, NOW_S - 100 * i64::from(id)));
    bench.sell(6, NOW_S - 2 * DAY_S);
    bench.sell(7, NOW_S - 9 * DAY_S);
    (1..=3).for_each(|id| bench.cancel(id, NOW_S - 50));
    bench.cancel(99, NOW_S - 50);
    let (mut poller, _) = bench.poller("good", None);
    poller.poll(&Stop::default()).unwrap();
    let cursor = |name: &str| bench.cursors.get(&format!("tiktok-shop/w/749/{name}")).unwrap();
    for name in ["orders", "return_orders", "cancellations"] {
        assert_eq!(cursor(name), Some(NOW_S.to_string()), "{name}");
    }
    bench.asked();
    // Nothing is due before a quarter of an hour is over.
    poller.poll(&Stop::default()).unwrap();
    assert!(bench.asked().is_empty());
    bench.clock.advance(900_000);
    poller.poll(&Stop::default()).unwrap();
    let again = bench.asked();
    assert!(again[0].contains(&(NOW_S - 600).to_string()), "{again:?}");
    let kept = bench.kept();
    let expected = ["1", "1/c1", "2", "2/c2", "3", "3/c3", "4", "5", "6", "99/c99"];
    assert_eq!(ids(&kept), expected);
    for delivery in &kept {
        let text = String::from_utf8(delivery.body.to_vec()).unwrap();
        assert!(!text.contains("private"), "{text}");
        assert_eq!(&**delivery.headers.get("tiktok-shop-id").unwrap(), "749");
    }
}

#[test]
fn hinted_orders_are_asked_for_at_once_and_fifty_at_a_time() {
    let bench = Bench::new();
    let (mut poller, hints) = bench.poller("good", None);
    poller.poll(&Stop::default()).unwrap();
    bench.asked();
    for id in 100..220 {
        bench.sell(id, NOW_S - 30 * DAY_S);
        let change = if id == 150 { Change::Reversal } else { Change::Order };
        assert!(hints.push(Hint { shop: "749".into(), order: id.to_string().into(), change }));
    }
    bench.cancel(150, NOW_S - 29 * DAY_S);
    poller.poll(&Stop::default()).unwrap();
    let details = |asked: &[String]| asked.iter().filter(|a| a.starts_with("/order")).count();
    // Three for the orders, one for that of the cancellation.
    assert_eq!(details(&bench.asked()), 4);
    assert!(hints.take(1).is_empty());
    let ids = ids(&bench.kept());
    assert_eq!((ids.len(), ids.contains(&"150/c150".to_owned())), (121, true));
}

#[test]
fn a_hint_does_not_wait_for_the_end_of_a_sweep() {
    let bench = Bench::new();
    bench.sell(1, NOW_S - 30 * DAY_S);
    let (mut poller, hints) = bench.poller("good", None);
    let hint = Hint { shop: "749".into(), order: "1".into(), change: Change::Order };
    bench.world.lock().unwrap().webhook = Some((hints, hint));
    poller.poll(&Stop::default()).unwrap();
    let asked = bench.asked();
    assert!(asked[0].starts_with("/order/202309/orders/search"), "{asked:?}");
    assert!(asked[1].starts_with("/order/202507/orders"), "{asked:?}");
    assert_eq!(ids(&bench.kept()), ["1"]);
}

#[test]
fn a_busy_api_is_asked_again_and_a_failed_round_loses_nothing() {
    let bench = Bench::new();
    bench.sell(1, NOW_S - 10);
    let busy = |status: u16| (status, json!({ "code": 1 }));
    bench.world.lock().unwrap().instead = vec![busy(429), busy(503)];
    let (mut poller, hints) = bench.poller("good", None);
    let hint = Hint { shop: "749".into(), order: "1".into(), change: Change::Order };
    assert!(hints.push(hint));
    bench.world.lock().unwrap().instead.extend(vec![busy(429); 4]);
    let failed = poller.poll(&Stop::default()).unwrap_err();
    assert!(matches!(&failed, PollError::Transient(why) if why.contains("429")), "{failed}");
    assert_eq!(bench.cursors.get("tiktok-shop/w/749/orders").unwrap(), None);
    poller.poll(&Stop::default()).unwrap();
    bench.world.lock().unwrap().instead = vec![(200, json!({ "code": 36_009_003 }))];
    bench.clock.advance(900_000);
    let failed = poller.poll(&Stop::default()).unwrap_err();
    assert!(matches!(&failed, PollError::Transient(why) if why.contains("36009003")), "{failed}");
    bench.world.lock().unwrap().instead = vec![(200, json!("not an answer"))];
    assert!(poller.poll(&Stop::default()).is_err());
    assert_eq!(ids(&bench.kept()), ["1"]);
}

#[test]
fn a_token_that_ran_out_is_renewed_or_the_matter_of_a_person() {
    let bench = Bench::new();
    bench.sell(1, NOW_S - 10);
    let (mut poller, _) = bench.poller("old", Some("again"));
    poller.poll(&Stop::default()).unwrap();
    assert!(bench.world.lock().unwrap().refreshed);
    for refresh in [None, Some("worn")] {
        let (mut poller, _) = bench.poller("old", refresh);
        let PollError::Permanent(why) = poller.poll(&Stop::default()).unwrap_err() else {
            panic!("{refresh:?}");
        };
        assert!(why.contains("authorise the shop again"), "{why}");
        for secret in ["secret", "worn", "old", "cipher", "127.0.0.1"] {
            assert!(!why.contains(secret), "{why}");
        }
    }
    let status = (401, json!({}));
    bench.world.lock().unwrap().instead = vec![status];
    let (mut poller, _) = bench.poller("good", None);
    assert!(matches!(poller.poll(&Stop::default()), Err(PollError::Permanent(_))));
    assert_eq!(ids(&bench.kept()), ["1"]);
}

#[test]
fn a_round_that_is_stopped_ends_without_a_word() {
    let bench = Bench::new();
    bench.sell(1, NOW_S - 10);
    let (mut poller, _) = bench.poller("good", None);
    let stop = Stop::default();
    stop.ask();
    poller.poll(&stop).unwrap();
    assert!(bench.asked().is_empty() && bench.kept().is_empty());
    assert_eq!(bench.cursors.get("tiktok-shop/w/749/orders").unwrap(), None);
}
