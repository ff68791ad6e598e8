//! The door for Shopify webhooks: at least once in; counted once, whatever is sent again.
//!
//! Invariant: nothing is kept whose signature does not fit, or whose shop is not of its workspace;
//! and nobody learns which workspaces there are. No signature covers a header, so that the shop
//! that one names is held against the list of shops and against what the body says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;

use super::delivery::SOURCE;
use super::shape::Members;
use super::signature::Secrets;
use super::webhook::own_shop;
use crate::doors::budget::Sender;
use crate::doors::keyring::Keyring;
use crate::doors::{BODY_BYTES_MAX, Doors, Taken, header_of, refusal};
use crate::shop;

/// The source as metrics call it.
const LABEL: &str = "shopify";
/// The header with the shop's name, in lower case and without `x-`.
const SHOP: &str = "shopify-shop-domain";
/// The headers a reader needs beside the shop's name.
const HEADERS: [&str; 6] = [
    "shopify-topic",
    "shopify-api-version",
    "shopify-webhook-id",
    "shopify-event-id",
    "shopify-triggered-at",
    "shopify-test",
];

/// The app of one workspace.
#[derive(Clone, Debug)]
pub struct App {
    /// Its client secrets.
    pub secrets: Secrets,
    /// The shops it is installed in, by their names as [`shop::name`] gives them; where there is no
    /// list, every shop on Shopify.
    pub shops: Option<BTreeSet<Id>>,
}

impl From<Secrets> for App {
    fn from(secrets: Secrets) -> Self {
        Self { secrets, shops: None }
    }
}

#[derive(Clone)]
struct Door {
    doors: Doors,
    secrets: Arc<Keyring<Secrets>>,
    /// The shops of those workspaces that have a list.
    shops: Arc<BTreeMap<String, BTreeSet<Id>>>,
}

/// `POST /webhooks/shopify/{workspace}`, with the app of each workspace.
pub fn router<A: Into<App>>(doors: Doors, apps: BTreeMap<String, A>) -> Router {
    doors.announce(LABEL);
    let (mut secrets, mut shops) = (BTreeMap::new(), BTreeMap::new());
    for (workspace, app) in apps {
        let App { secrets: held, shops: listed } = app.into();
        shops.extend(listed.map(|listed| (workspace.clone(), listed)));
        secrets.insert(workspace, held);
    }
    let secrets = Arc::new(Keyring::new(secrets, Secrets::default()));
    let door = Door { doors, secrets, shops: Arc::new(shops) };
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
    let shop = shop_of(door.shops.get(&workspace), headers, &bytes)
        .map_err(|detail| Box::new(refusal(StatusCode::FORBIDDEN, detail)))?;
    door.doors.allow(&workspace, 1)?;
    let header = |name: &str, value| (Id::from(format!("x-{name}")), value);
    let kept = |name: &&str| Some(header(name, Id::from(named(headers, name)?)));
    let shop = shop.map(|shop| header(SHOP, shop));
    let delivery = Delivery {
        source: SOURCE.into(),
        workspace: workspace.into(),
        received_at: door.doors.clock.now(),
        headers: HEADERS.iter().filter_map(kept).chain(shop).collect(),
        body: Vec::from(bytes).into(),
    };
    door.doors.keep(delivery).await
}

/// A header with or without its `x-`.
fn named(headers: &HeaderMap, name: &str) -> Option<String> {
    header_of(headers, &format!("x-{name}")).or_else(|| header_of(headers, name))
}

/// The shop that the headers name, if it may be the body's; where they name none, the body says it.
fn shop_of(
    listed: Option<&BTreeSet<Id>>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Id>, &'static str> {
    let given = [format!("x-{SHOP}"), SHOP.to_owned()];
    let given = given.iter().any(|name| headers.contains_key(name));
    let told = named(headers, SHOP).filter(|shop| !shop.trim().is_empty());
    let own = own_name(body);
    let named = match (given, told) {
        (true, None) => return Err("the header with the name of the shop is empty or no text"),
        (_, Some(told)) => Some(shop::name(&told).map_err(|_| "the shop is no name of a shop")?),
        (false, None) => None,
    };
    let shop = named.as_ref().or(own.as_ref());
    let fits = match listed {
        Some(shops) => shop.is_some_and(|shop| shops.contains(shop)),
        None => shop.is_none_or(|shop| shop::on_shopify(shop)),
    };
    match (&named, own) {
        _ if !fits => Err("the shop is not one of this workspace's"),
        (Some(named), Some(own)) if *named != own => {
            Err("the body is of another shop than the header names")
        }
        _ => Ok(named),
    }
}

/// The shop that a body names itself. Few do, so that only those are looked into that may.
fn own_name(body: &[u8]) -> Option<Id> {
    let text = std::str::from_utf8(body).ok()?;
    // What every such member's name ends with.
    if !text.contains("omain\"") {
        return None;
    }
    let members = serde_json::from_str::<Members<'_>>(text).ok()?;
    shop::name(&own_shop(&members)?).ok()
}
