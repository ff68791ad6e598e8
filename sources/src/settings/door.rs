//! The door for settings: documents in, checked whole, kept as one delivery; what holds, and what
//! ever held, out.
//!
//! ```text
//! PUT    /v1/config/{kind}           one document, a list, YAML, or a table of costs
//! DELETE /v1/config/{kind}/{name}    takes a setting back from now on
//! GET    /v1/config                  the kinds
//! GET    /v1/config/{kind}           what holds at an instant
//! GET    /v1/config/{kind}/history   every change
//! ```
//!
//! Invariant: of a request everything is kept or nothing, and a token sees its workspace alone.
//! What is answered with 200 is in every later answer; with 202 it is kept, and will be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use ionflux_schemas::key::{Id, ShopKey};
use ionflux_schemas::time::{UtcMs, Zone};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::change::{Change, lines};
use super::delivery;
use super::held::{self, Held, PAGE, PAGE_MAX, Question};
use super::kinds::{self, FRAME, KINDS, Kind};
use super::leaf::{Scope, moment};
use super::problem::{Problems, shown};
use super::request::{Form, Request, checked};
use crate::doors::budget::Sender;
use crate::doors::{BODY_BYTES_MAX, Doors, refusal};
use crate::platform::tokens::{Grant, Tokens};
use crate::shop;

/// The source as metrics call it.
const LABEL: &str = "settings";
/// How many changes an answer names; the others are counted.
const NAMED_MAX: usize = 1_000;
/// Readers of the ledger, and checks of documents, at once.
const AT_ONCE_MAX: usize = 4;
/// How long a change is waited for until it is counted, and how often it is looked for.
pub const COUNTED_WITHIN: Duration = Duration::from_secs(2);
const LOOKED_FOR_EVERY: Duration = Duration::from_millis(20);

/// What the door is made of.
#[derive(Clone)]
pub struct Parts {
    /// The parts of every door.
    pub doors: Doors,
    /// Whose settings a token may see and change.
    pub tokens: Tokens,
    /// The settings that are counted.
    pub held: Arc<dyn Held>,
    /// How long a change is waited for until it is counted.
    pub counted_within: Duration,
}

#[derive(Clone)]
struct Door {
    parts: Arc<Parts>,
    last: Arc<Mutex<UtcMs>>,
    busy: Arc<Semaphore>,
}

type Answer = Result<Response, Box<Response>>;
type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The door for settings.
pub fn router(parts: Parts) -> Router {
    parts.doors.announce(LABEL);
    let busy = Arc::new(Semaphore::new(AT_ONCE_MAX));
    let door = Door { parts: Arc::new(parts), last: Arc::default(), busy };
    Router::new()
        .route("/v1/config", get(list))
        .route("/v1/config/{kind}", get(effective).put(put))
        .route("/v1/config/{kind}/history", get(history))
        .route("/v1/config/{kind}/{name}", delete(end))
        .with_state(door)
}

async fn list(State(door): State<Door>, headers: HeaderMap) -> Response {
    let fields = |fields: &[&super::shape::Field]| -> Vec<Value> {
        let field =
            |field: &&super::shape::Field| json!({"name": field.name, "needed": field.needed});
        fields.iter().map(field).collect()
    };
    let kind = |kind: &Kind| {
        json!({
            "kind": kind.name, "about": kind.about, "named_by": kind.names(),
            "of_shops": kind.of_shops, "fields": fields(&kind.fields()),
        })
    };
    let every = fields(&FRAME.iter().collect::<Vec<_>>());
    let kinds: Vec<Value> = KINDS.iter().map(kind).collect();
    let answer = || Json(json!({"kinds": kinds, "fields_of_all": every})).into_response();
    door.grant(&headers).map_or_else(|refused| *refused, |_| answer())
}

async fn put(
    State(door): State<Door>,
    Path(kind): Path<String>,
    asked: Asked,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let taken = door.take(&kind, asked, &headers, body).await;
    let answer = taken.unwrap_or_else(|refused| *refused);
    door.parts.doors.count(LABEL, &answer);
    answer
}

async fn end(
    State(door): State<Door>,
    Path((kind, name)): Path<(String, String)>,
    asked: Asked,
    headers: HeaderMap,
) -> Response {
    let taken = door.take_back((&kind, name), asked, &headers).await;
    let answer = taken.unwrap_or_else(|refused| *refused);
    door.parts.doors.count(LABEL, &answer);
    answer
}

async fn effective(
    State(door): State<Door>,
    Path(kind): Path<String>,
    asked: Asked,
    headers: HeaderMap,
) -> Response {
    let read = async {
        let (question, rest) = door.question(&kind, asked, &headers)?;
        let at = match rest {
            Some(text) => {
                moment(&text, &Scope::default()).map_err(|reason| bad(&format!("at: {reason}")))?
            }
            None => door.parts.doors.clock.now(),
        };
        door.read(move |held| held::effective(held, &question, at)).await
    };
    read.await.unwrap_or_else(|refused: Box<Response>| *refused)
}

async fn history(
    State(door): State<Door>,
    Path(kind): Path<String>,
    asked: Asked,
    headers: HeaderMap,
) -> Response {
    let read = async {
        let (question, at) = door.question(&kind, asked, &headers)?;
        if at.is_some() {
            return Err(bad("at: a history has every instant"));
        }
        door.read(move |held| held::history(held, &question)).await
    };
    read.await.unwrap_or_else(|refused: Box<Response>| *refused)
}

fn bad(detail: &str) -> Box<Response> {
    Box::new(refusal(StatusCode::BAD_REQUEST, detail))
}

fn failed(detail: &str) -> Box<Response> {
    Box::new(refusal(StatusCode::INTERNAL_SERVER_ERROR, detail))
}

fn kind_of(name: &str) -> Result<&'static Kind, Box<Response>> {
    kinds::of(name).ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        let detail =
            format!("{:?} is no kind of settings; there are {}", shown(name), known.join(", "));
        Box::new(refusal(StatusCode::NOT_FOUND, &detail))
    })
}

impl Door {
    fn grant(&self, headers: &HeaderMap) -> Result<Grant, Box<Response>> {
        self.parts.tokens.grant(headers).cloned().ok_or_else(|| {
            let detail = "a bearer token of a workspace is needed";
            Box::new(refusal(StatusCode::UNAUTHORIZED, detail))
        })
    }

    async fn take(&self, kind: &str, asked: Asked, headers: &HeaderMap, body: Body) -> Answer {
        let grant = self.grant(headers)?;
        self.parts.doors.allow(&grant.workspace, 1)?;
        let kind = kind_of(kind)?;
        let (mut shop, mut zone) = (None, None);
        for (name, text) in asked.map_err(|error| bad(&error.to_string()))?.0 {
            match name.as_str() {
                "shop" => shop = Some(text),
                "zone" => zone = Some(Zone::parse(&text).map_err(|error| bad(&error.to_string()))?),
                _ => return Err(bad(&format!("{:?} is not shop or zone", shown(&name)))),
            }
        }
        let form = form(headers, kind)?;
        let body =
            self.parts.doors.body(Sender::Known(&grant.workspace), body, BODY_BYTES_MAX).await?;
        let received_at = self.stamp();
        let request = Request { kind, form, shop, zone, received_at };
        let (held, workspace) = (Arc::clone(&self.parts.held), grant.workspace.clone());
        let bytes = body.bytes.clone();
        let work = move || checked(&request, &bytes, &*held, &workspace);
        let changes = self.blocking(work).await?;
        let changes = changes?;
        self.keep(grant, kind, received_at, changes).await
    }

    /// Takes a setting back that holds now. What is set from a later instant on holds then.
    async fn take_back(
        &self,
        (kind, name): (&str, String),
        asked: Asked,
        headers: &HeaderMap,
    ) -> Answer {
        let grant = self.grant(headers)?;
        self.parts.doors.allow(&grant.workspace, 1)?;
        let kind = kind_of(kind)?;
        let mut asked_of = Id::default();
        for (field, text) in asked.map_err(|error| bad(&error.to_string()))?.0 {
            match field.as_str() {
                "shop" => {
                    let named = shop::first([&*text]).map_err(|wrong| bad(&wrong.to_string()))?;
                    asked_of = named.unwrap_or_default();
                }
                _ => return Err(bad(&format!("{:?} is not shop", shown(&field)))),
            }
        }
        let received_at = self.stamp();
        let whose = ShopKey::new(&*grant.workspace, &*asked_of);
        let held = Arc::clone(&self.parts.held);
        let sought = name.clone();
        let look = move || held::document(&*held, &whose, (kind.name, &sought), received_at);
        let found = self.blocking(look).await?.map_err(|reason| failed(&reason))?;
        if found.is_none() {
            let detail = format!("no setting {:?} of {} holds now", shown(&name), kind.name);
            return Err(Box::new(refusal(StatusCode::NOT_FOUND, &detail)));
        }
        let (valid_from, valid_until, document) = (None, None, None);
        let change =
            Change { shop: asked_of, name: name.into(), valid_from, valid_until, document };
        self.keep(grant, kind, received_at, vec![change]).await
    }

    async fn keep(&self, grant: Grant, kind: &Kind, at: UtcMs, changes: Vec<Change>) -> Answer {
        let Grant { workspace, name } = grant;
        let kept = delivery::of((workspace.clone(), name), kind.name, at, lines(&changes));
        self.parts.doors.keep(kept).await?;
        let counted = match changes.last() {
            Some(last) => self.counted(&workspace, &last.shop, &last.named(kind.name, at).1).await,
            None => true,
        };
        let named: Vec<Value> =
            changes.iter().take(NAMED_MAX).map(|change| told(change, at)).collect();
        let body = json!({
            "kind": kind.name, "received_at": at.to_string(), "count": changes.len(),
            "counted": counted, "settings": named,
        });
        let status = if counted { StatusCode::OK } else { StatusCode::ACCEPTED };
        Ok((status, Json(body)).into_response())
    }

    /// Waits until a change is counted, but not for ever. An epoch is counted whole, and a delivery
    /// is of one epoch: the last change stands for all.
    async fn counted(&self, workspace: &Id, shop: &Id, id: &str) -> bool {
        let shop = ShopKey::new(workspace.clone(), shop.clone());
        let looked = async {
            // A ledger that cannot be read says so to whoever reads.
            while !self.parts.held.has(&shop, id).unwrap_or(false) {
                tokio::time::sleep(LOOKED_FOR_EVERY).await;
            }
        };
        tokio::time::timeout(self.parts.counted_within, looked).await.is_ok()
    }

    /// Our time, and never the same twice: of two changes the later one must be told.
    fn stamp(&self) -> UtcMs {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = self.parts.doors.clock.now().max(UtcMs(last.0 + 1));
        *last
    }

    /// What is asked for, and at which instant.
    fn question(
        &self,
        kind: &str,
        asked: Asked,
        headers: &HeaderMap,
    ) -> Result<(Question, Option<String>), Box<Response>> {
        let grant = self.grant(headers)?;
        let kind = kind_of(kind)?.name;
        let shop = ShopKey::new(grant.workspace, "");
        let mut question = Question { shop, kind, name: None, after: None, limit: PAGE };
        let mut at = None;
        for (name, text) in asked.map_err(|error| bad(&error.to_string()))?.0 {
            match name.as_str() {
                "shop" => {
                    let named = shop::first([&*text]).map_err(|wrong| bad(&wrong.to_string()))?;
                    question.shop.shop = named.unwrap_or_default();
                }
                "name" => question.name = Some(text),
                "after" => question.after = Some(text),
                "at" => at = Some(text),
                "limit" => {
                    let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                    let wrong = || bad(&format!("limit: must be from 1 to {PAGE_MAX}"));
                    question.limit = limit.ok_or_else(wrong)?;
                }
                _ => {
                    let name = shown(&name);
                    return Err(bad(&format!("{name:?} is not shop, name, at, after or limit")));
                }
            }
        }
        Ok((question, at))
    }

    async fn read(
        &self,
        read: impl FnOnce(&dyn Held) -> Result<Value, String> + Send + 'static,
    ) -> Answer {
        let held = Arc::clone(&self.parts.held);
        let answer = self.blocking(move || read(&*held)).await?;
        answer.map(|answer| Json(answer).into_response()).map_err(|reason| failed(&reason))
    }

    /// Work that would hold up others, a little of it at a time.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Box<Response>> {
        let place = Arc::clone(&self.busy).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        done.await.map_err(|_| failed("a fault of ours; the log says more"))
    }
}

/// How a body is written.
fn form(headers: &HeaderMap, kind: &Kind) -> Result<Form, Box<Response>> {
    let told = headers.get(header::CONTENT_TYPE).and_then(|told| told.to_str().ok());
    let told = told.unwrap_or("application/json").split(';').next().unwrap_or_default();
    match told.trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Form::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Form::Yaml),
        "text/csv" if kind.name == "product-costs" => Ok(Form::Csv),
        _ => {
            let detail = "documents are application/json or application/yaml, and product-costs \
                          text/csv as well";
            Err(Box::new(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)))
        }
    }
}

fn told(change: &Change, at: UtcMs) -> Value {
    json!({
        "shop": change.shop,
        "name": change.name,
        "valid_from": change.from(at).to_string(),
        "valid_until": change.valid_until.map(|until| until.to_string()),
        "removed": change.document.is_none(),
    })
}

/// The answer to documents that something is wrong with.
pub(super) fn refused(problems: &Problems) -> Box<Response> {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let count = problems.count();
    let first = problems.told().first().map(ToString::to_string).unwrap_or_default();
    let rest = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
    let body = json!({
        "status": status.as_u16(),
        "title": status.canonical_reason(),
        "detail": format!("nothing was set: {first}{rest}"),
        "errors": problems.told(),
        "errors_not_told": problems.more(),
    });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    Box::new((status, kind, body.to_string()).into_response())
}
