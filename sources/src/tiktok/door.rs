//! The doors for TikTok's webhooks: at least once in; counted once, whatever is sent again.
//!
//! Invariant: nothing is kept whose signature does not fit, and of a buyer's data nothing is kept
//! at all. A hint is passed on only after what it stands for is on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;

use super::delivery::{DEVELOPER_WEBHOOKS, SHOP_WEBHOOKS};
use super::hints::Hints;
use super::signature::{DeveloperApp, ShopApp};
use super::webhook;
use crate::doors::budget::Sender;
use crate::doors::keyring::Keyring;
use crate::doors::{Doors, Taken, header_of, refusal};

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
    apps: Arc<Keyring<ShopApp>>,
    hints: Arc<HintsOf>,
}

#[derive(Clone)]
struct DeveloperDoor {
    doors: Doors,
    apps: Arc<Keyring<DeveloperApp>>,
    tolerance_s: i64,
}

/// `POST /webhooks/tiktok-shop/{workspace}`, with the app of each workspace.
pub fn shops(doors: Doors, apps: BTreeMap<String, ShopApp>, hints: HintsOf) -> Router {
    doors.announce(SHOP_LABEL);
    let apps = Arc::new(Keyring::new(apps, ShopApp::default()));
    let door = ShopDoor { doors, apps, hints: Arc::new(hints) };
    Router::new().route("/webhooks/tiktok-shop/{workspace}", post(shop)).with_state(door)
}

/// `POST /webhooks/tiktok/{workspace}`, with the app of each workspace, and how many seconds a
/// signature may be old.
pub fn developers(doors: Doors, apps: BTreeMap<String, DeveloperApp>, tolerance_s: u32) -> Router {
    doors.announce(DEVELOPER_LABEL);
    let apps = Arc::new(Keyring::new(apps, DeveloperApp::default()));
    let door = DeveloperDoor { doors, apps, tolerance_s: tolerance_s.into() };
    Router::new().route("/webhooks/tiktok/{workspace}", post(developer)).with_state(door)
}

async fn shop(
    State(door): State<ShopDoor>,
    Path(workspace): Path<String>,
    request: Request,
) -> Response {
    let taken = take_of_shop(&door, workspace, request).await;
    let answer = taken.map_or_else(|refused| *refused, |()| StatusCode::OK.into_response());
    door.doors.count(SHOP_LABEL, &answer);
    answer
}

async fn take_of_shop(
    door: &ShopDoor,
    workspace: String,
    request: Request,
) -> Result<(), Box<Response>> {
    let (head, body) = request.into_parts();
    let signature = header_of(&head.headers, "authorization").ok_or_else(forged)?;
    let sender = Sender::Claimed { workspace: &workspace, peer: head.extensions.get().copied() };
    let Taken { bytes, place: _place } = door.doors.body(sender, body, WEBHOOK_BYTES_MAX).await?;
    // Whether there is such a workspace is not looked at before: nobody learns who is a customer.
    if !door.apps.signed(&workspace, |app| app.signed(&bytes, &signature)) {
        return Err(forged());
    }
    door.doors.allow(&workspace, 1)?;
    let kept = webhook::kept(&bytes);
    let workspace = Id::from(workspace);
    let delivery = delivery(&door.doors, SHOP_WEBHOOKS, workspace.clone(), &kept);
    door.doors.keep(delivery).await?;
    if let Some(hint) = webhook::hint(&bytes)
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
    request: Request,
) -> Response {
    let taken = take_of_developer(&door, workspace, request).await;
    let answer = taken.map_or_else(|refused| *refused, |()| StatusCode::OK.into_response());
    door.doors.count(DEVELOPER_LABEL, &answer);
    answer
}

async fn take_of_developer(
    door: &DeveloperDoor,
    workspace: String,
    request: Request,
) -> Result<(), Box<Response>> {
    let (head, body) = request.into_parts();
    let signature = header_of(&head.headers, "tiktok-signature").ok_or_else(forged)?;
    let sender = Sender::Claimed { workspace: &workspace, peer: head.extensions.get().copied() };
    let Taken { bytes, place: _place } = door.doors.body(sender, body, WEBHOOK_BYTES_MAX).await?;
    let (now_s, tolerance_s) = (door.doors.clock.now().0 / 1_000, door.tolerance_s);
    let fits = |app: &DeveloperApp| app.signed(&bytes, &signature, now_s, tolerance_s);
    if !door.apps.signed(&workspace, fits) {
        return Err(forged());
    }
    door.doors.allow(&workspace, 1)?;
    let workspace = Id::from(workspace);
    door.doors.keep(delivery(&door.doors, DEVELOPER_WEBHOOKS, workspace, &bytes)).await
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
