//! Callers that post webhooks: one connection and one request at a time each, every order another.
//!
//! Invariant: a caller does as little as a sender must: it changes the order's id in a request that
//! is there, signs the body, writes it whole, and reads the answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ionflux_sources::shopify::signature::Secrets;

/// The secret that requests are signed with.
pub const SECRET: &str = "the secret of a bench";
/// Bytes of a body, at least: what Shopify's orders of a few lines have.
pub const BODY_BYTES: usize = 6_000;
const ID_DIGITS: usize = 16;
/// What stands where the id and the signature will.
const NO_ID: &str = "0000000000000000";
const NO_SIGNATURE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OK: &[u8] = b"HTTP/1.1 200 ";
/// How long an answer may take before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request whose order and signature are filled in again and again.
#[derive(Clone)]
pub struct Template {
    bytes: Vec<u8>,
    id: usize,
    signature: usize,
    body: usize,
    secrets: Secrets,
}

impl Template {
    /// A post of an order to a path.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let body = order();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             x-shopify-topic: orders/create\r\nx-shopify-shop-domain: bench.myshopify.com\r\n\
             x-shopify-api-version: 2025-10\r\nx-shopify-triggered-at: 2026-03-01T09:30:06Z\r\n\
             x-shopify-webhook-id: b1f1a0a8-0000-4000-8000-000000000000\r\n\
             x-shopify-hmac-sha256: {NO_SIGNATURE}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let place = |text: &str, part: &str| text.find(part).unwrap_or_default();
        let (signature, id) = (place(&head, NO_SIGNATURE), head.len() + place(&body, NO_ID));
        let (at, bytes) = (head.len(), (head + &body).into_bytes());
        Self { bytes, id, signature, body: at, secrets: Secrets::new([SECRET]) }
    }

    /// The request about an order.
    pub fn about(&mut self, order: u64) -> &[u8] {
        let digits = format!("{:0>ID_DIGITS$}", 1_000_000_000_000_000 + order);
        self.bytes[self.id..self.id + ID_DIGITS].copy_from_slice(digits.as_bytes());
        let signature = self.secrets.sign(&self.bytes[self.body..]).unwrap_or_default();
        let place = self.signature..self.signature + signature.len();
        self.bytes[place].copy_from_slice(signature.as_bytes());
        &self.bytes
    }
}

/// An order of as many lines as fill a body.
fn order() -> String {
    let mut lines = Vec::new();
    let mut bytes = 0;
    while bytes < BODY_BYTES {
        let id = lines.len() + 1;
        let line = format!(
            "{{\"id\":{id},\"admin_graphql_api_id\":\"gid://shopify/LineItem/{id}\",\
             \"product_id\":{},\"variant_id\":null,\"title\":\"A kettle of the bench\",\
             \"quantity\":1,\"current_quantity\":1,\"price\":\"20.00\",\"price_set\":{{\
             \"shop_money\":{{\"amount\":\"20.00\",\"currency_code\":\"USD\"}},\
             \"presentment_money\":{{\"amount\":\"20.00\",\"currency_code\":\"USD\"}}}},\
             \"gift_card\":false,\"requires_shipping\":true,\"taxable\":true,\"properties\":[],\
             \"total_discount\":\"0.00\",\"discount_allocations\":[],\"tax_lines\":[]}}",
            7_000 + id
        );
        bytes += line.len();
        lines.push(line);
    }
    let total = 20 * lines.len();
    format!(
        "{{\"id\":{NO_ID},\"created_at\":\"2026-03-01T09:30:00-05:00\",\
         \"processed_at\":\"2026-03-01T09:30:00-05:00\",\
         \"updated_at\":\"2026-03-01T09:30:05-05:00\",\"test\":false,\"currency\":\"USD\",\
         \"taxes_included\":false,\"source_name\":\"web\",\"customer\":{{\"id\":5001}},\
         \"total_price\":\"{total}.00\",\"total_tax\":\"0.00\",\"line_items\":[{}],\
         \"shipping_lines\":[],\"refunds\":[]}}",
        lines.join(",")
    )
}

/// What a run gave.
#[derive(Default, Debug)]
pub struct Ran {
    /// How long each answer took, the shortest first.
    pub waits: Vec<Duration>,
    /// How long the run was.
    pub took: Duration,
}

impl Ran {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.waits.len() as f64 / self.took.as_secs_f64()
    }

    /// The wait that a share of the answers did not exceed, in milliseconds.
    #[must_use]
    pub fn wait_ms(&self, share: f64) -> f64 {
        let place = ((self.waits.len() as f64 * share) as usize).min(self.waits.len().max(1) - 1);
        self.waits.get(place).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    }
}

/// Posts to a path over so many connections for some time. Every order has a number of its own,
/// from `orders` on.
///
/// # Errors
/// When a connection fails, or anything else than 200 is answered.
pub fn run(
    address: SocketAddr,
    template: &Template,
    (connections, time): (usize, Duration),
    orders: &AtomicU64,
) -> io::Result<Ran> {
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let parts = thread::scope(|scope| {
        let call = || call(address, template.clone(), orders, &over);
        let callers: Vec<_> = (0..connections).map(|_| scope.spawn(call)).collect();
        while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        over.store(true, Ordering::Relaxed);
        let panicked = |_| Err(io::Error::other("a caller panicked"));
        let ended = callers.into_iter().map(|caller| caller.join().unwrap_or_else(panicked));
        ended.collect::<io::Result<Vec<Ran>>>()
    })?;
    let mut ran = Ran { took: begun.elapsed(), ..Ran::default() };
    for part in parts {
        ran.waits.extend(part.waits);
    }
    ran.waits.sort_unstable();
    Ok(ran)
}

fn call(
    address: SocketAddr,
    mut template: Template,
    orders: &AtomicU64,
    over: &AtomicBool,
) -> io::Result<Ran> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut ran = Ran::default();
    let mut answer = [0; 1024];
    while !over.load(Ordering::Relaxed) {
        let request = template.about(orders.fetch_add(1, Ordering::Relaxed));
        let sent = Instant::now();
        stream.write_all(request)?;
        let mut read = 0;
        // An answer of 200 has no body.
        while !answer[..read].ends_with(b"\r\n\r\n") {
            let more = stream.read(&mut answer[read..])?;
            read += more;
            if more == 0 || (read >= OK.len() && !answer.starts_with(OK)) {
                let said = String::from_utf8_lossy(&answer[..read]).into_owned();
                return Err(io::Error::other(format!("not acknowledged: {said}")));
            }
        }
        ran.waits.push(sent.elapsed());
    }
    Ok(ran)
}
