//! One request for changes: bytes in one of three forms, read and checked whole.
//!
//! Invariant: changes come of a request only if nothing at all is wrong with it.

use axum::http::StatusCode;
use axum::response::Response;
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::time::{UtcMs, Zone};

use super::change::{self, Around, Change};
use super::door::refused;
use super::held::{self, Held};
use super::kinds::{Kind, agents};
use super::problem::{Path, Problems};
use super::{tree, upload};
use crate::doors::refusal;

/// The most documents of one request; rows of a table have their own limit.
pub const ITEMS_MAX: usize = 1_000;

/// How documents are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One document or a list.
    Json,
    /// The same, and several documents one after another.
    Yaml,
    /// A table of product costs.
    Csv,
}

/// What is asked for.
pub struct Request {
    /// The kind of the documents.
    pub kind: &'static Kind,
    /// How they are written.
    pub form: Form,
    /// The shop of documents that name none.
    pub shop: Option<String>,
    /// The zone of civil days where a document names none.
    pub zone: Option<Zone>,
    /// When they came.
    pub received_at: UtcMs,
}

/// The changes of a body.
///
/// # Errors
/// The answer to give instead.
pub fn checked(
    request: &Request,
    body: &[u8],
    held: &dyn Held,
    workspace: &str,
) -> Result<Vec<Change>, Box<Response>> {
    let bad = |detail: &str| Box::new(refusal(StatusCode::BAD_REQUEST, detail));
    let text = std::str::from_utf8(body).map_err(|_| bad("the body is not valid UTF-8"))?;
    let mut problems = Problems::default();
    let items = match request.form {
        Form::Json => tree::json(text, &mut problems),
        Form::Yaml => tree::yaml(text, &mut problems),
        Form::Csv => upload::read(text, &mut problems),
    };
    let items = items.map_err(|reason| bad(&reason))?;
    if items.is_empty() {
        return Err(bad("there is no document in the body"));
    }
    if request.form != Form::Csv && items.len() > ITEMS_MAX {
        let detail = format!("more than {ITEMS_MAX} documents; send them in parts");
        return Err(Box::new(refusal(StatusCode::PAYLOAD_TOO_LARGE, &detail)));
    }
    let unread = std::cell::RefCell::new(None);
    let whole = ShopKey::new(workspace, "");
    let definition = |id: &str, at: UtcMs| {
        let found = held::document(held, &whole, (agents::DEFINITIONS.name, id), at);
        found.unwrap_or_else(|reason| {
            unread.replace(Some(reason));
            None
        })
    };
    let around = Around {
        shop: request.shop.as_deref(),
        zone: request.zone.clone(),
        now: request.received_at,
        definition: Some(&definition),
    };
    let changes = change::read(request.kind, items, &around, &mut problems);
    if let Some(reason) = unread.take() {
        return Err(Box::new(refusal(StatusCode::INTERNAL_SERVER_ERROR, &reason)));
    }
    if problems.count() > 0 {
        return Err(refused(&problems));
    }
    if changes.is_empty() {
        problems.add(&Path::Root, "sets nothing");
        return Err(refused(&problems));
    }
    Ok(changes)
}
