//! The door for platform events: `POST /v1/events`, with an answer for each.
//!
//! Invariant: nothing is read of whoever has no token, and nobody learns which workspaces there
//! are; what is answered as accepted is on disk.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::batch::{Answer, Judged, Keeper, Status};
use super::items::{Form, ITEMS_MAX, Uncut, cut};
use super::known::{IDS_MAX, Known};
use super::tokens::{Grant, Tokens};
use crate::doors::budget::Sender;
use crate::doors::limits::{Limiter, slow_down};
use crate::doors::{BODY_BYTES_MAX, DELIVERY_MAX, Doors, busy, refusal};
use crate::inbox::Refused;

pub use super::batch::InLedger;

/// The source as metrics call it.
const LABEL: &str = "platform";
/// Bodies that are read at once: what their members take in memory is bounded by it.
const READINGS_MAX: usize = 4;

/// What the door is made of.
pub struct Parts {
    /// The parts of every door, with the limit of each workspace.
    pub doors: Doors,
    /// Who may send.
    pub tokens: Tokens,
    /// How much each token may send, by its name.
    pub limiter: Option<Limiter>,
    /// What came before the memory of recent ids begins.
    pub in_ledger: InLedger,
}

#[derive(Clone)]
struct Door(Arc<Shared>);

struct Shared {
    doors: Doors,
    tokens: Tokens,
    limiter: Option<Limiter>,
    keeper: Arc<Keeper>,
    readings: Semaphore,
    events: IntCounterVec,
}

/// `POST /v1/events`
///
/// # Errors
/// When the name of its metric is taken, which is a bug.
pub fn router(parts: Parts, registry: &Registry) -> Result<Router, prometheus::Error> {
    let Parts { doors, tokens, limiter, in_ledger } = parts;
    doors.announce(LABEL);
    let options =
        Opts::new("ionflux_platform_events_total", "Platform events, by what they became");
    let events = IntCounterVec::new(options, &["status"])?;
    registry.register(Box::new(events.clone()))?;
    for status in [Status::Accepted, Status::Duplicate, Status::Refused] {
        events.with_label_values(&[label(status)]).reset();
    }
    let keeper = Keeper::new(doors.intake.clone(), Known::new(IDS_MAX), in_ledger);
    let (keeper, readings) = (Arc::new(keeper), Semaphore::new(READINGS_MAX));
    let door = Door(Arc::new(Shared { doors, tokens, limiter, keeper, readings, events }));
    Ok(Router::new().route("/v1/events", post(events_in)).with_state(door))
}

async fn events_in(State(door): State<Door>, headers: HeaderMap, body: Body) -> Response {
    let door = door.0;
    let taken = take(&door, &headers, body).await;
    let answer = taken.map_or_else(|refused| *refused, |answers| told(&door, &answers));
    door.doors.count(LABEL, &answer);
    answer
}

async fn take(
    door: &Shared,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<Answer>, Box<Response>> {
    let grant = door.tokens.grant(headers).cloned().ok_or_else(unknown)?;
    // Before a byte of the body is taken; the events are counted once they are known.
    let slow = |seconds| Box::new(slow_down(seconds));
    let limiter = door.limiter.as_ref();
    limiter.map_or(Ok(()), |limiter| limiter.ready(&grant.name)).map_err(slow)?;
    let coding = headers.get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "a body is taken as it is: send it without Content-Encoding";
        return Err(Box::new(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)));
    }
    let body = door.doors.body(Sender::Known(&grant.workspace), body, BODY_BYTES_MAX).await?;
    let kept = async {
        let judged = judge(door, body.bytes.clone(), &grant, Form::of(headers)).await?;
        let events = judged.answers.len();
        limiter.map_or(Ok(()), |limiter| limiter.take(&grant.name, events)).map_err(slow)?;
        door.doors.allow(&grant.workspace, events)?;
        door.keeper.keep(judged, &grant).await.map_err(|refused| Box::new(busy(refused)))
    };
    let late = |_| Box::new(busy(Refused::Full { retry_after_s: 1 }));
    timeout(DELIVERY_MAX, kept).await.map_err(late)?
}

/// Cuts a body and judges its events, beside the threads that answer.
async fn judge(
    door: &Shared,
    bytes: Bytes,
    grant: &Grant,
    form: Form,
) -> Result<Judged, Box<Response>> {
    let closed = || Box::new(busy(Refused::Closed));
    let _place = door.readings.acquire().await.map_err(|_| closed())?;
    let (keeper, grant) = (Arc::clone(&door.keeper), grant.clone());
    let received_at = door.doors.clock.now();
    let judged = tokio::task::spawn_blocking(move || {
        let items = cut(&bytes, form)?;
        Ok(keeper.judge(&items, &grant, received_at))
    });
    judged.await.map_err(|_| closed())?.map_err(|uncut| Box::new(unfit(uncut)))
}

fn unfit(uncut: Uncut) -> Response {
    match uncut {
        Uncut::TooMany => {
            let detail = format!("the body holds more than {ITEMS_MAX} events: send it in parts");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, &detail)
        }
        Uncut::Malformed(detail) => refusal(StatusCode::BAD_REQUEST, &detail),
    }
}

fn unknown() -> Box<Response> {
    let detail = "a token is needed that is known here: Authorization: Bearer TOKEN";
    let mut response = refusal(StatusCode::UNAUTHORIZED, detail);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Box::new(response)
}

fn label(status: Status) -> &'static str {
    match status {
        Status::Accepted => "accepted",
        Status::Duplicate => "duplicate",
        Status::Refused => "refused",
    }
}

/// The answers: 200 where all events are kept, 207 where some were refused.
fn told(door: &Shared, answers: &[Answer]) -> Response {
    for answer in answers {
        door.events.with_label_values(&[label(answer.status)]).inc();
    }
    let refused = answers.iter().any(|answer| answer.status == Status::Refused);
    let status = if refused { StatusCode::MULTI_STATUS } else { StatusCode::OK };
    let body = serde_json::json!({ "results": answers });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}
