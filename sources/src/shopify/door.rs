//! The door for Shopify webhooks: at least once in; counted once, whatever is sent again.
//!
//! Invariant: nothing is kept whose signature does not fit, and nobody learns which workspaces
//! there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;

use super::delivery::SOURCE;
use super::signature::Secrets;
use crate::doors::budget::Sender;
use crate::doors::keyring::Keyring;
use crate::doors::{BODY_BYTES_MAX, Doors, Taken, header_of, refusal};

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
    secrets: Arc<Keyring<Secrets>>,
}

/// `POST /webhooks/shopify/{workspace}`, with the secrets of each workspace's app.
pub fn router(doors: Doors, secrets: BTreeMap<String, Secrets>) -> Router {
    doors.announce(LABEL);
    let secrets = Arc::new(Keyring::new(secrets, Secrets::default()));
    let door = Door { doors, secrets };
    Router::new().route("/webhooks/shopify/{workspace}", post(webhook)).with_state(door)
}

async fn webhook(
    State(door): State<Door>,
    Path(workspace): Path<String>,
    request: Request,
) -> Response {
    let taken = take(&door, workspace, request).await;
    let answer = taken.map_or_else(|refused| *refused, |()| StatusCode::OK.into_response());
    door.doors.count(LABEL, &answer);
    answer
}

async fn take(door: &Door, workspace: String, request: Request) -> Result<(), Box<Response>> {
    let forged = || {
        let detail = "the signature does not fit the body";
        Box::new(refusal(StatusCode::UNAUTHORIZED, detail))
    };
    let (head, body) = request.into_parts();
    let headers = &head.headers;
    let signature = named(headers, "shopify-hmac-sha256").ok_or_else(forged)?;
    let sender = Sender::Claimed { workspace: &workspace, peer: head.extensions.get().copied() };
    let Taken { bytes, place: _place } = door.doors.body(sender, body, BODY_BYTES_MAX).await?;
    // Whether there is such a workspace is not looked at before: nobody learns who is a customer.
    if !door.secrets.signed(&workspace, |secrets| secrets.signed(&bytes, &signature)) {
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
        body: Vec::from(bytes).into(),
    };
    door.doors.keep(delivery).await
}

/// A header with or without its `x-`.
fn named(headers: &HeaderMap, name: &str) -> Option<String> {
    header_of(headers, &format!("x-{name}")).or_else(|| header_of(headers, name))
}
