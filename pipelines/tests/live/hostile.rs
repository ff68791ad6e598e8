//! Hostile requests to the real program: each gets the answer that is written beside it, and none
//! of them leaves a trace. What is signed is kept, however broken, and shows as one fault.
//!
//! Invariant: after all of it the journal holds what was acknowledged, and the views are those of
//! the good deliveries.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::reader::Reader;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::shopify::signature::Secrets;

use crate::instance::{Instance, Load, OTHER_SECRET, OTHER_VARIABLE, SECRET, SECRET_VARIABLE};
use crate::socket::{Request, ask, statuses};

const DOOR: &str = "POST /webhooks/shopify/acme";
const OTHER_DOOR: &str = "POST /webhooks/shopify/other";
const BODY: &[u8] = b"{\"id\":1}";
/// Deliveries of the made-up shop that the views are made of.
const GOOD: usize = 60;
/// How often the views are asked before a fault that is not there counts as a failure.
const QUESTIONS_MAX: usize = 10_000;

/// What it is, what is answered, and the request.
type Hostile = (&'static str, &'static [u16], Request);

fn signature(secret: &str, body: &[u8]) -> String {
    Secrets::new([secret]).sign(body).unwrap()
}

/// A post with a signature.
fn signed(line: &str, signature: &str, body: &[u8]) -> Request {
    let shop = ("x-shopify-shop-domain", "victim.myshopify.com");
    Request::new(line, &[("x-shopify-hmac-sha256", signature), shop], body)
}

/// Not signed by whom it says.
fn forged() -> Vec<Hostile> {
    let good = signature(SECRET, BODY);
    let theirs = signature(OTHER_SECRET, BODY);
    let of_another_body = signature(SECRET, b"{\"id\":2}");
    let hex: String =
        STANDARD.decode(&good).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let twice = [("x-shopify-hmac-sha256", theirs.as_str()), ("x-shopify-hmac-sha256", &good)];
    let (cut, doubled) = (&good[..20], format!("{good}{good}"));
    let long = "A".repeat(20_000);
    let workspace = |name: &str| format!("POST /webhooks/shopify/{name}");
    vec![
        ("no signature", &[401], Request::new(DOOR, &[], BODY)),
        ("an empty signature", &[401], signed(DOOR, "", BODY)),
        ("a signature of another body", &[401], signed(DOOR, &of_another_body, BODY)),
        ("a signature that is no base64", &[401], signed(DOOR, "!!!!", BODY)),
        ("a signature in hex", &[401], signed(DOOR, &hex, BODY)),
        ("a signature cut off", &[401], signed(DOOR, cut, BODY)),
        ("a signature twice in one", &[401], signed(DOOR, &doubled, BODY)),
        ("an endless signature", &[401], signed(DOOR, &long, BODY)),
        ("two signatures, the first of them forged", &[401], Request::new(DOOR, &twice, BODY)),
        ("signed by another tenant", &[401], signed(DOOR, &theirs, BODY)),
        ("replayed to another tenant's shop", &[401], signed(OTHER_DOOR, &good, BODY)),
        ("a body with a byte more", &[401], signed(DOOR, &good, b"{\"id\":1} ")),
        ("a workspace nobody has", &[401], signed(&workspace("nobody"), &good, BODY)),
        ("a slash in a workspace", &[401], signed(&workspace("acme%2Fx"), &good, BODY)),
        ("dots in a workspace", &[401], signed(&workspace("%2e%2e"), &good, BODY)),
        ("a NUL in a workspace", &[401], signed(&workspace("acme%00"), &good, BODY)),
        ("another case of a workspace", &[401], signed(&workspace("ACME"), &good, BODY)),
        ("a workspace that is no UTF-8", &[400], signed(&workspace("%ff"), &good, BODY)),
        ("an endless workspace", &[414], signed(&workspace(&"w".repeat(2_000)), &good, BODY)),
        ("waits to be asked for a forged body", &[401], {
            Request::headed(DOOR, &[("expect", "100-continue"), ("content-length", "8")])
        }),
    ]
}

/// Elsewhere, or otherwise than it is meant.
fn astray() -> Vec<Hostile> {
    let good = signature(SECRET, BODY);
    let line = |line: &str| signed(line, &good, BODY);
    let raw = |text: &str| Request::raw(format!("{text}\r\nhost: x\r\nconnection: close\r\n\r\n"));
    vec![
        ("a door is asked", &[405], Request::new("GET /webhooks/shopify/acme", &[], b"")),
        ("a door is put to", &[405], line("PUT /webhooks/shopify/acme")),
        ("a made-up method", &[405], line("BREW /webhooks/shopify/acme")),
        ("a path nobody has", &[404], line("POST /webhooks/paypal/acme")),
        ("no workspace", &[404], line("POST /webhooks/shopify/")),
        ("a slash behind", &[404], line("POST /webhooks/shopify/acme/")),
        ("two slashes", &[404], line("POST //webhooks/shopify/acme")),
        ("dots in the path", &[404], line("POST /x/../webhooks/shopify/acme")),
        ("files by dots", &[404], Request::new("GET /../../etc/passwd", &[], b"")),
        ("files by hidden dots", &[404], Request::new("GET /..%2f..%2fetc/passwd", &[], b"")),
        (
            "an absolute URI",
            &[401],
            Request::new("POST http://evil/webhooks/shopify/acme", &[], BODY),
        ),
        (
            "an absolute URI elsewhere",
            &[404],
            Request::new("GET http://evil/latest/meta", &[], b""),
        ),
        ("a tunnel", &[404], raw("CONNECT 169.254.169.254:80 HTTP/1.1")),
        ("a star", &[404], raw("OPTIONS * HTTP/1.1")),
        ("an upgrade", &[404], Request::new("GET /x", &[("upgrade", "h2c")], b"")),
    ]
}

/// Too much of something.
fn oversized() -> Vec<Hostile> {
    let any = ("x-shopify-hmac-sha256", "AAAA");
    let chunked = [any, ("transfer-encoding", "chunked")];
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let declared = |bytes: &'static str| Request::headed(DOOR, &[any, ("content-length", bytes)]);
    let part = vec![b'x'; 1 << 20];
    let many = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let start = format!("{DOOR} HTTP/1.1\r\nhost: x\r\n");
    let extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(1 << 20));
    let packed = [any, ("content-encoding", "gzip")];
    let endless = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    vec![
        ("100 MB at once", &[413], declared("104857600").then(part.clone(), 100)),
        ("100 MB declared", &[413], declared("104857600")),
        ("9 MB", &[413], declared("9437184").then(part, 9)),
        ("100 MB in chunks", &[413], Request::headed(DOOR, &chunked).then(chunk, 1_600)),
        ("2^63 bytes", &[413], declared("9223372036854775807")),
        ("a compressed body", &[415], Request::new(DOOR, &packed, &[0x1f, 0x8b, 8, 0])),
        ("10,000 headers", &[431], Request::raw(start.clone() + &many + "\r\n")),
        ("200 headers", &[431], Request::raw(start.clone() + &many[..2_000] + "\r\n")),
        ("a header of 1 MB", &[431], Request::raw(start + "x: ").then(vec![b'x'; 1 << 20], 1)),
        ("a path of 100 KB", &[431], Request::raw(endless)),
        ("a chunk extension of 1 MB", &[413], Request::headed(DOOR, &chunked).and(extension)),
    ]
}

/// Two readers of these might not agree on where they end.
fn ambiguous() -> Vec<Hostile> {
    let any = ("x-shopify-hmac-sha256", "AAAA");
    let with = |headers: &[(&str, &str)], body: &str| Request::headed(DOOR, headers).and(body);
    let line = |header: &str| Request::raw(format!("{DOOR} HTTP/1.1\r\n{header}\r\n\r\n"));
    let length = |length: &str| with(&[any, ("content-length", length)], "x");
    let coding = |coding: &str| with(&[any, ("transfer-encoding", coding)], "0\r\n\r\n");
    let hidden = "0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n";
    let two = [("content-length", "0"), ("content-length", "30")];
    let both = [any, ("content-length", "4"), ("transfer-encoding", "chunked")];
    let pipelined = format!(
        "{DOOR} HTTP/1.1\r\ncontent-length: 0\r\n\r\nGET /x HTTP/1.1\r\n\r\n\
         GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n"
    );
    vec![
        ("two lengths", &[400], with(&two, hidden)),
        ("a length and chunks, with a request behind", &[401], with(&both, hidden)),
        ("a negative length", &[400], length("-1")),
        ("a length with a sign", &[400], length("+1")),
        ("two lengths in one", &[400], length("1, 2")),
        ("a length of 2^64", &[400], length("18446744073709551616")),
        ("chunks that are not the last coding", &[400], coding("chunked, gzip")),
        ("a coding nobody knows", &[400], coding("xchunked")),
        ("a chunk of 2^68 bytes", &[413], with(&[any, both[2]], "FFFFFFFFFFFFFFFFF\r\nx")),
        ("a chunk without a length", &[413], with(&[any, both[2]], "x\r\n")),
        ("a header split by CR", &[400], line("x-shopify-topic: a\rx-shopify-test: 1")),
        ("a header with NUL", &[400], line("x-shopify-topic: a\0b")),
        ("a header over two lines", &[400], line("x-shopify-topic: a\r\n b")),
        ("a space before the colon", &[400], line("content-length : 1")),
        ("no colon", &[400], line("x-shopify-topic")),
        ("bytes that are no request", &[400], Request::raw(vec![0_u8; 64])),
        ("TLS where none is", &[400], Request::raw([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0])),
        ("three at once", &[401, 404, 200], Request::raw(pipelined)),
    ]
}

/// Where a token says whose it is.
fn without_a_token() -> Vec<Hostile> {
    let event = "{\"event_id\":\"e\",\"event_type\":\"ionflux.platform.saas_connected\",\
                 \"event_timestamp\":\"2026-03-01T09:30:00Z\",\"workspace_id\":\"acme\",\
                 \"payload_json\":{}}";
    let with = |line: &str, credential: &str| {
        Request::new(line, &[("authorization", credential)], event.as_bytes())
    };
    let events = "POST /v1/events";
    let [ours, theirs] = [SECRET, OTHER_SECRET].map(|secret| format!("Bearer {secret}"));
    let (longer, cut) = (format!("{ours}x"), &ours[..ours.len() - 1]);
    vec![
        ("events without a token", &[401], Request::new(events, &[], event.as_bytes())),
        ("events with a token nobody has", &[401], with(events, "Bearer 0123456789abcdef01234567")),
        ("events with a token cut off", &[401], with(events, cut)),
        ("events with a longer token", &[401], with(events, &longer)),
        ("events with a token of another scheme", &[401], with(events, "Basic YTpi")),
        ("an event of ours with another tenant's token", &[207], with(events, &theirs)),
        ("settings without a token", &[401], Request::new("GET /v1/config/budgets", &[], b"")),
        ("settings with a token cut off", &[401], with("PUT /v1/config/budgets", cut)),
        ("forgetting without a token", &[401], Request::new("DELETE /v1/subjects/1", &[], b"")),
        ("forgetting with a token cut off", &[401], with("DELETE /v1/subjects/1", cut)),
    ]
}

/// Signed and kept, and nothing that can be counted.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, close: &str| (open.repeat(100_000) + &close.repeat(100_000)).into();
    let order = |id: &str| format!("{{\"id\":{id},\"currency\":\"EUR\"}}").into_bytes();
    vec![
        ("nothing", Vec::new()),
        ("a space", b" ".to_vec()),
        ("null", b"null".to_vec()),
        ("a number", b"42".to_vec()),
        ("an open end", b"{\"id\":".to_vec()),
        ("something behind", b"{\"id\":1} x".to_vec()),
        ("100,000 brackets", nested("[", "]")),
        ("100,000 braces", nested("{\"a\":", "}")),
        ("100,000 open brackets", vec![b'['; 100_000]),
        ("2^63", order("9223372036854775808")),
        ("2^64", order("18446744073709551616")),
        ("-2^63", order("-9223372036854775808")),
        ("1e400", order("1e400")),
        ("an endless number", order(&"9".repeat(10_000))),
        ("no UTF-8", b"{\"id\":\"\xff\xfe\"}".to_vec()),
        ("NUL bytes", vec![0; 64]),
        ("an escaped NUL for an id", order("\"\\u0000\"")),
        ("half a surrogate", order("\"\\ud800\"")),
        ("two ids", b"{\"id\":1,\"id\":2}".to_vec()),
        ("a mark of byte order", b"\xef\xbb\xbf{\"id\":1}".to_vec()),
    ]
}

#[test]
fn hostile_requests_get_their_answer_and_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let instance = loaded(folder.path());
    let (views, door) = (shown(&instance), answered(&instance));
    let table = [forged(), astray(), oversized(), ambiguous(), without_a_token()];
    let (mut sent, mut refused) = (0, 0);
    for (what, expected, request) in table.into_iter().flatten() {
        let text = ask(instance.socket(), &request);
        assert_eq!(statuses(&text), expected, "{what}: {text}");
        for secret in [SECRET, OTHER_SECRET, "panicked", "src/"] {
            assert!(!text.contains(secret), "{what}: {text}");
        }
        (sent, refused) = (sent + 1, refused + usize::from(text.contains(" 401 ")));
    }
    assert!(sent > 50 && refused > 20, "{sent} sent, {refused} refused");
    assert_eq!(answered(&instance), door, "something was taken");
    assert_eq!(instance.get("/readyz").0, 200);
    assert_eq!(shown(&instance), views);
    instance.terminate();
    assert_eq!(kept(folder.path()).len(), GOOD);
}

#[test]
fn what_is_signed_and_broken_is_kept_and_is_one_fault_each() {
    let folder = tempfile::tempdir().unwrap();
    let instance = loaded(folder.path());
    let before = faults(&instance).len();
    let revenue = shown(&instance);
    let broken = broken();
    for (what, body) in &broken {
        let headers = [
            ("x-shopify-topic", "orders/create"),
            ("x-shopify-shop-domain", "victim.myshopify.com"),
            ("x-shopify-hmac-sha256", &signature(SECRET, body)),
        ];
        let text = ask(instance.socket(), &Request::new(DOOR, &headers, body));
        assert_eq!(statuses(&text), [200], "{what}: {text}");
    }
    let all = before + broken.len();
    let there = (0..QUESTIONS_MAX).any(|_| faults(&instance).len() >= all);
    let shown_now = faults(&instance);
    assert!(there && shown_now.len() == all, "{} of {all}: {shown_now:#?}", shown_now.len());
    assert_eq!(shown(&instance), revenue);
    instance.terminate();
    assert_eq!(kept(folder.path()).len(), GOOD + broken.len());
}

/// The secret of each tenant's app is its token, too.
fn sections() -> String {
    let token = |of: &str, variable: &str| {
        format!("[platform.tokens.{of}]\nworkspace = \"{of}\"\nsecret = \"{variable}\"\n")
    };
    token("acme", SECRET_VARIABLE) + &token("other", OTHER_VARIABLE)
}

/// An instance that has counted some deliveries: all of them, for it was started anew.
fn loaded(folder: &Path) -> Instance {
    let instance = Instance::start_with(folder, 1, "", &sections()).listening();
    instance.send_until(&Load::new(11, GOOD), 1, GOOD);
    instance.terminate();
    let instance = Instance::start_with(folder, 1, "", &sections()).listening();
    instance.ready();
    instance
}

/// The rows of the views of orders.
fn shown(instance: &Instance) -> [String; 3] {
    let views = ["revenue_by_day", "revenue_by_product_day", "customers_by_day"];
    views.map(|view| rows(instance, view))
}

fn rows(instance: &Instance, view: &str) -> String {
    let (status, text) = instance.get(&format!("/v1/views/{view}"));
    assert_eq!(status, 200, "{text}");
    text.split_once("\"rows\":").map(|(_, rows)| rows.to_owned()).unwrap()
}

fn faults(instance: &Instance) -> Vec<String> {
    let (_, text) = instance.get("/v1/views/faults?limit=1000");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    answer["rows"].as_array().unwrap().iter().map(ToString::to_string).collect()
}

/// How many deliveries the door has taken.
fn answered(instance: &Instance) -> String {
    let metrics = instance.get("/metrics").1;
    let taken = "ionflux_webhooks_total{source=\"shopify\",status=\"200\"}";
    metrics.lines().find(|line| line.starts_with(taken)).unwrap().to_owned()
}

/// What the journal holds.
fn kept(folder: &Path) -> Vec<Delivery> {
    let storage = Box::new(Folder::open(&folder.join("state/journal")).unwrap());
    let (journal, _) = Journal::open(storage, Limits::new(1 << 30)).unwrap();
    let mut reader = Reader::new(journal.shelf(), Position(0));
    let mut kept = Vec::new();
    while let Some(record) = reader.next(journal.durable_end()).unwrap() {
        if let Entry::Delivery(delivery) = record.entry {
            kept.push(delivery);
        }
    }
    kept
}
