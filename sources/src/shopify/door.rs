//! The door for Shopify webhooks: at least once in; counted once, whatever is sent again.
//!
//! Invariant: nothing is kept whose signature does not fit, and nobody learns which workspaces
//! there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;

use super::delivery::SOURCE;
use super::signature::Secrets;
use crate::doors::{BODY_BYTES_MAX, Doors, header_of, refusal};

/// The source as metrics call it.
const LABEL: &str = "shopify";
/// The headers a reader needs, in lower case and without `x-`.
const HEADERS: [&str; 7] = [
    "shopify-topic",
    "shopify-shop-domain",
    "shopify-api-version",
    "shopify-webhook-id",
    "shopify-event-id",
    "shopify-triggered-at",
    "shopify-test",
];

#[derive(Clone)]
struct Door {
    doors: Doors,
    secrets: Arc<BTreeMap<String, Secrets>>,
}

/// `POST /webhooks/shopify/{workspace}`, with the secrets of each workspace's app.
pub fn router(doors: Doors, secrets: BTreeMap<String, Secrets>) -> Router {
    doors.announce(LABEL);
    let door = Door { doors, secrets: Arc::new(secrets) };
    Router::new().route("/webhooks/shopify/{workspace}", post(webhook)).with_state(door)
}

async fn webhook(
    State(door): State<Door>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = take(&door, workspace, &headers, body).await;
    let answer = taken.map_or_else(|refused| *refused, |()| StatusCode::OK.into_response());
    door.doors.count(LABEL, &answer);
    answer
}

async fn take(
    door: &Door,
    workspace: String,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Box<Response>> {
    let forged = || {
        let detail = "the signature does not fit the body";
        Box::new(refusal(StatusCode::UNAUTHORIZED, detail))
    };
    // Before a byte of the body is taken, and one answer for an unknown workspace and a bad
    // signature: nobody learns who is a customer.
    let signature = named(headers, "shopify-hmac-sha256");
    let (secrets, signature) = door.secrets.get(&workspace).zip(signature).ok_or_else(forged)?;
    let body = door.doors.body(body, BODY_BYTES_MAX).await?;
    if !secrets.signed(&body.bytes, &signature) {
        return Err(forged());
    }
    door.doors.allow(&workspace, 1)?;
    let kept = |name: &&str| {
        let value = named(headers, name)?;
        Some((Id::from(format!("x-{name}")), Id::from(value)))
    };
    let delivery = Delivery {
        source: SOURCE.into(),
        workspace: workspace.into(),
        received_at: door.doors.clock.now(),
        headers: HEADERS.iter().filter_map(kept).collect(),
        body: body.bytes.as_ref().into(),
    };
    door.doors.keep(delivery).await
}

/// A header with or without its `x-`.
fn named(headers: &HeaderMap, name: &str) -> Option<String> {
    header_of(headers, &format!("x-{name}")).or_else(|| header_of(headers, name))
}
