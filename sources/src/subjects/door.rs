//! The doors for requests about people, and for what came of them.
//!
//! ```text
//! DELETE /v1/subjects/{id}?shop=S      202 and the request's id; done within seconds; without S
//!                                      the person of every shop is meant
//! GET    /v1/subjects/receipts/{id}    the signed receipt; 404 until it is done
//! GET    /v1/subjects/exports/{id}     what a person asked to see, for 30 days
//! ```
//!
//! Invariant: a token reaches the people, receipts and exports of its own workspace only, and the
//! answer does not say whether somebody was known.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use serde::Deserialize;

use super::Subjects;
use super::error::SubjectError;
use super::requests::{Request, WORD_BYTES_MAX};
use crate::doors::{Doors, busy, refusal};
use crate::platform::tokens::{Grant, Tokens};

/// The source as metrics call it.
const LABEL: &str = "subjects";

#[derive(Clone)]
struct Door {
    doors: Doors,
    subjects: Arc<Subjects>,
    tokens: Tokens,
}

/// Which shop's person is meant.
#[derive(Default, Deserialize)]
struct Whose {
    shop: Option<String>,
}

/// The doors, for whoever has a token.
pub fn router(doors: Doors, subjects: Arc<Subjects>, tokens: Tokens) -> Router {
    doors.announce(LABEL);
    let door = Door { doors, subjects, tokens };
    Router::new()
        .route("/v1/subjects/{id}", delete(forget))
        .route("/v1/subjects/receipts/{id}", get(receipt))
        .route("/v1/subjects/exports/{id}", get(export))
        .with_state(door)
}

async fn forget(
    State(door): State<Door>,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
    headers: HeaderMap,
) -> Response {
    let answer = asked(&door, &id, whose.shop.unwrap_or_default(), &headers).await;
    let answer = answer.unwrap_or_else(|refused| *refused);
    door.doors.count(LABEL, &answer);
    answer
}

async fn asked(
    door: &Door,
    id: &str,
    shop: String,
    headers: &HeaderMap,
) -> Result<Response, Box<Response>> {
    let grant = granted(door, headers)?;
    door.doors.allow(&grant.workspace, 1)?;
    if shop.len() > WORD_BYTES_MAX {
        return Err(Box::new(refusal(StatusCode::BAD_REQUEST, "the shop's name is too long")));
    }
    let request = Request::forget((&grant.workspace, &shop), id, door.doors.clock.now());
    let request = request.map_err(failed)?;
    let place = format!("/v1/subjects/receipts/{}", request.id);
    let id = request.id.clone();
    let kept = door.doors.intake.ask(Arc::clone(&door.subjects), request).await;
    kept.map_err(|refused| Box::new(busy(refused)))?;
    let body = serde_json::json!({ "request": id, "receipt": place }).to_string();
    let kind = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::LOCATION, place)];
    Ok((StatusCode::ACCEPTED, kind, body).into_response())
}

async fn receipt(State(door): State<Door>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    told(&door, &headers, move |subjects, workspace| subjects.receipt(workspace, &id)).await
}

async fn export(State(door): State<Door>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    told(&door, &headers, move |subjects, workspace| subjects.export(workspace, &id)).await
}

async fn told(
    door: &Door,
    headers: &HeaderMap,
    read: impl FnOnce(&Subjects, &str) -> Result<Option<Vec<u8>>, SubjectError> + Send + 'static,
) -> Response {
    let allowed = |grant: Grant| {
        door.doors.allow(&grant.workspace, 1)?;
        Ok(grant.workspace)
    };
    let workspace = match granted(door, headers).and_then(allowed) {
        Ok(workspace) => workspace,
        Err(refused) => return *refused,
    };
    let subjects = Arc::clone(&door.subjects);
    let read = tokio::task::spawn_blocking(move || read(&subjects, &workspace)).await;
    match read.unwrap_or(Err(SubjectError::Refused)) {
        Ok(Some(bytes)) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Ok(None) => refusal(StatusCode::NOT_FOUND, "there is none, or it is not done yet"),
        Err(problem) => *failed(problem),
    }
}

fn granted(door: &Door, headers: &HeaderMap) -> Result<Grant, Box<Response>> {
    let refused = || Box::new(refusal(StatusCode::UNAUTHORIZED, "the token opens no workspace"));
    door.tokens.grant(headers).cloned().ok_or_else(refused)
}

fn failed(problem: SubjectError) -> Box<Response> {
    let status = match problem {
        SubjectError::Request(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    // A file's name says nothing to whoever asks.
    let detail = match &problem {
        SubjectError::File { .. } | SubjectError::Damaged { .. } => "the disk refused".to_owned(),
        other => other.to_string(),
    };
    Box::new(refusal(status, &detail))
}
