//! The doors for webhooks: a bounded body, a checked signature, an append; and only then 200.
//!
//! Invariant: what is answered with 200 is on disk; what is not is answered so that the sender
//! tries again, or learns that it never will do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::inbox::{Inbox, Refused};
use crate::shopify::signature::Secrets;

/// The largest body of a webhook: Shopify's own are below 1 MB; orders with thousands of lines
/// come near it.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// The longest value of a header that is kept.
const HEADER_BYTES_MAX: usize = 512;
/// Bodies on their way in at once: with the largest of them, half a gigabyte.
const BODIES_MAX: usize = 64;
/// How long a body may take to come, and then to be kept; Shopify gives up after 5 s.
const DELIVERY_MAX: Duration = Duration::from_secs(10);
/// The headers a reader needs, in lower case and without `x-`.
const SHOPIFY_HEADERS: [&str; 7] = [
    "shopify-topic",
    "shopify-shop-domain",
    "shopify-api-version",
    "shopify-webhook-id",
    "shopify-event-id",
    "shopify-triggered-at",
    "shopify-test",
];

/// What the doors need.
#[derive(Clone)]
pub struct Doors {
    /// Where deliveries go.
    pub inbox: Inbox,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    /// The secrets of each workspace's Shopify app.
    pub shopify: Arc<BTreeMap<String, Secrets>>,
    bodies: Arc<Semaphore>,
    taken: IntCounterVec,
}

impl Doors {
    /// Doors to an inbox, which count what they answer in a registry.
    ///
    /// # Errors
    /// When the name of their metric is taken, which is a bug.
    pub fn new(
        inbox: Inbox,
        clock: Arc<dyn Clock>,
        shopify: BTreeMap<String, Secrets>,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let help = "Webhooks answered, by the status of the answer";
        let options = Opts::new("ionflux_webhooks_total", help);
        let taken = IntCounterVec::new(options, &["source", "status"])?;
        registry.register(Box::new(taken.clone()))?;
        // From the first scrape on, so that a rate misses none of them.
        for status in ["200", "401", "503"] {
            taken.with_label_values(&["shopify", status]).reset();
        }
        let bodies = Arc::new(Semaphore::new(BODIES_MAX));
        Ok(Self { inbox, clock, shopify: Arc::new(shopify), bodies, taken })
    }
}

/// `POST /webhooks/shopify/{workspace}`.
pub fn router(doors: Doors) -> Router {
    Router::new().route("/webhooks/shopify/{workspace}", post(shopify)).with_state(doors)
}

async fn shopify(
    State(doors): State<Doors>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = take(&doors, workspace, &headers, body).await;
    doors.taken.with_label_values(&["shopify", answer.status().as_str()]).inc();
    answer
}

async fn take(doors: &Doors, workspace: String, headers: &HeaderMap, body: Body) -> Response {
    let forged = || refusal(StatusCode::UNAUTHORIZED, "the signature does not fit the body");
    let signature = header_of(headers, "shopify-hmac-sha256");
    // Before a byte of the body is taken, and one answer for an unknown workspace and a bad
    // signature: nobody learns who is a customer.
    let Some((secrets, signature)) = doors.shopify.get(&workspace).zip(signature) else {
        return forged();
    };
    let Ok(_place) = doors.bodies.try_acquire() else {
        return busy(Refused::Full { retry_after_s: 1 });
    };
    let body = match timeout(DELIVERY_MAX, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let detail = format!("the body is broken off, or larger than {BODY_BYTES_MAX} bytes");
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, &detail);
        }
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
    };
    if !secrets.signed(&body, &signature) {
        return forged();
    }
    let kept = |name: &&str| {
        let value = header_of(headers, name)?;
        Some((Id::from(format!("x-{name}")), Id::from(value)))
    };
    let delivery = Delivery {
        source: "shopify-webhooks".into(),
        workspace: workspace.into(),
        received_at: doors.clock.now(),
        headers: SHOPIFY_HEADERS.iter().filter_map(kept).collect(),
        body: body.as_ref().into(),
    };
    match timeout(DELIVERY_MAX, doors.inbox.deliver(delivery)).await {
        Ok(Ok(_)) => StatusCode::OK.into_response(),
        Ok(Err(refused)) => busy(refused),
        // It may yet be kept: sent again, it is a duplicate and counts once.
        Err(_) => busy(Refused::Full { retry_after_s: 1 }),
    }
}

/// A header with or without its `x-`, if it is text of a sane length.
fn header_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(format!("x-{name}")).or_else(|| headers.get(name))?;
    let text = value.to_str().ok()?;
    (text.len() <= HEADER_BYTES_MAX).then(|| text.to_owned())
}

fn busy(refused: Refused) -> Response {
    let Some(seconds) = refused.retry_after_s() else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, &refused.to_string());
    };
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, &refused.to_string());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn refusal(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({ "status": status.as_u16(), "detail": detail });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, body.to_string()).into_response()
}
