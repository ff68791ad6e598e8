//! The doors for TikTok's webhooks: at least once in; counted once, whatever is sent again.
//!
//! Invariant: nothing is kept whose signature does not fit, and of a buyer's data nothing is kept
//! at all. A hint is passed on only after what it stands for is on disk.

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

use super::delivery::{DEVELOPER_WEBHOOKS, SHOP_WEBHOOKS};
use super::hints::Hints;
use super::signature::{DeveloperApp, ShopApp};
use super::webhook;
use crate::doors::{Doors, header_of, refusal};

/// The sources as metrics call them.
const SHOP_LABEL: &str = "tiktok-shop";
const DEVELOPER_LABEL: &str = "tiktok";
/// The largest body: TikTok's are below 10 KB.
const WEBHOOK_BYTES_MAX: usize = 1 << 20;

/// The hints of each workspace's shops, by workspace and shop.
pub type HintsOf = BTreeMap<(Id, Id), Hints>;

#[derive(Clone)]
struct ShopDoor {
    doors: Doors,
    apps: Arc<BTreeMap<String, ShopApp>>,
    hints: Arc<HintsOf>,
}

#[derive(Clone)]
struct DeveloperDoor {
    doors: Doors,
    apps: Arc<BTreeMap<String, DeveloperApp>>,
    tolerance_s: i64,
}

/// `POST /webhooks/tiktok-shop/{workspace}`, with the app of each workspace.
pub fn shops(doors: Doors, apps: BTreeMap<String, ShopApp>, hints: HintsOf) -> Router {
    doors.announce(SHOP_LABEL);
    let door = ShopDoor { doors, apps: Arc::new(apps), hints: Arc::new(hints) };
    Router::new().route("/webhooks/tiktok-shop/{workspace}", post(shop)).with_state(door)
}

/// `POST /webhooks/tiktok/{workspace}`, with the app of each workspace, and how many seconds a
/// signature may be old.
pub fn developers(doors: Doors, apps: BTreeMap<String, DeveloperApp>, tolerance_s: u32) -> Router {
    doors.announce(DEVELOPER_LABEL);
    let door = DeveloperDoor { doors, apps: Arc::new(apps), tolerance_s: tolerance_s.into() };
    Router::new().route("/webhooks/tiktok/{workspace}", post(developer)).with_state(door)
}

async fn shop(
    State(door): State<ShopDoor>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = take_of_shop(&door, workspace, &headers, body).await;
    let answer = taken.map_or_else(|refused| *refused, |()| StatusCode::OK.into_response());
    door.doors.count(SHOP_LABEL, &answer);
    answer
}

async fn take_of_shop(
    door: &ShopDoor,
    workspace: String,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Box<Response>> {
    // Before a byte of the body is taken, and one answer for an unknown workspace and a bad
    // signature: nobody learns who is a customer.
    let signature = header_of(headers, "authorization");
    let (app, signature) = door.apps.get(&workspace).zip(signature).ok_or_else(forged)?;
    let body = door.doors.body(body, WEBHOOK_BYTES_MAX).await?;
    if !app.signed(&body.bytes, &signature) {
        return Err(forged());
    }
    door.doors.allow(&workspace, 1)?;
    let kept = webhook::kept(&body.bytes);
    let workspace = Id::from(workspace);
    let delivery = delivery(&door.doors, SHOP_WEBHOOKS, workspace.clone(), &kept);
    door.doors.keep(delivery).await?;
    if let Some(hint) = webhook::hint(&body.bytes)
        && let Some(hints) = door.hints.get(&(workspace, hint.shop.clone()))
    {
        // Without room the next sweep finds the order.
        let _ = hints.push(hint);
    }
    Ok(())
}

async fn developer(
    State(door): State<DeveloperDoor>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = take_of_developer(&door, workspace, &headers, body).await;
    let answer = taken.map_or_else(|refused| *refused, |()| StatusCode::OK.into_response());
    door.doors.count(DEVELOPER_LABEL, &answer);
    answer
}

async fn take_of_developer(
    door: &DeveloperDoor,
    workspace: String,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Box<Response>> {
    let signature = header_of(headers, "tiktok-signature");
    let (app, signature) = door.apps.get(&workspace).zip(signature).ok_or_else(forged)?;
    let body = door.doors.body(body, WEBHOOK_BYTES_MAX).await?;
    let now_s = door.doors.clock.now().0 / 1_000;
    if !app.signed(&body.bytes, &signature, now_s, door.tolerance_s) {
        return Err(forged());
    }
    door.doors.allow(&workspace, 1)?;
    let workspace = Id::from(workspace);
    door.doors.keep(delivery(&door.doors, DEVELOPER_WEBHOOKS, workspace, &body.bytes)).await
}

fn forged() -> Box<Response> {
    let detail = "the signature does not fit the body, or is too old";
    Box::new(refusal(StatusCode::UNAUTHORIZED, detail))
}

fn delivery(doors: &Doors, source: &str, workspace: Id, body: &[u8]) -> Delivery {
    Delivery {
        source: source.into(),
        workspace,
        received_at: doors.clock.now(),
        headers: BTreeMap::new(),
        body: body.into(),
    }
}
