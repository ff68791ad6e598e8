//! The doors for webhooks: a bounded body, a checked signature, an append; and only then 200.
//!
//! Invariant: what is answered with 200 is on disk; what is not is answered so that the sender
//! tries again, or learns that it never will do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;

use crate::clock::Clock;
use crate::inbox::{Inbox, Refused};
use crate::shopify::signature::Secrets;

/// The largest body of a webhook: Shopify's own are below 1 MB; orders with thousands of lines
/// come near it.
pub const BODY_BYTES_MAX: usize = 8 << 20;
/// The longest value of a header that is kept.
const HEADER_BYTES_MAX: usize = 512;
/// How long a delivery may take from its first byte to its answer; Shopify gives up after 5 s.
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
}

/// `POST /webhooks/shopify/{workspace}`.
pub fn router(doors: Doors) -> Router {
    Router::new()
        .route("/webhooks/shopify/{workspace}", post(shopify))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(doors)
}

async fn shopify(
    State(doors): State<Doors>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(error) => return refusal(error.status(), &error.body_text()),
    };
    let signature = header_of(&headers, "shopify-hmac-sha256");
    let secrets = doors.shopify.get(&workspace);
    // One answer for an unknown workspace and a bad signature: nobody learns who is a customer.
    if !secrets.zip(signature).is_some_and(|(secrets, text)| secrets.signed(&body, &text)) {
        return refusal(StatusCode::UNAUTHORIZED, "the signature does not fit the body");
    }
    let kept = |name: &&str| {
        let value = header_of(&headers, name)?;
        Some((Id::from(format!("x-{name}")), Id::from(value)))
    };
    let delivery = Delivery {
        source: "shopify-webhooks".into(),
        workspace: workspace.into(),
        received_at: doors.clock.now(),
        headers: SHOPIFY_HEADERS.iter().filter_map(kept).collect(),
        body: body.as_ref().into(),
    };
    match tokio::time::timeout(DELIVERY_MAX, doors.inbox.deliver(delivery)).await {
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
