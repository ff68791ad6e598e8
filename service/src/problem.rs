//! Every refusal as one JSON shape: RFC 9457 `application/problem+json` with a hint.
//!
//! Invariant: a problem says what was wrong with the request and what would be right; it never
//! repeats a body.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::sql::SqlError;

/// How long a client should wait before it tries again when the service is full.
const RETRY_AFTER_S: &str = "5";

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    hint: String,
}

impl Problem {
    /// A refusal with its status and title, what was wrong, and what to do.
    pub fn new(
        status: StatusCode,
        title: &'static str,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (detail, hint) = (detail.into(), hint.into());
        Self { kind: "about:blank", title, status: status.as_u16(), detail, hint }
    }

    /// A request that makes no sense.
    pub fn bad(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad request", detail, hint)
    }

    /// Something that is not there.
    pub fn missing(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found", detail, hint)
    }

    /// Too much is going on at once.
    pub fn busy(detail: impl Into<String>) -> Self {
        let hint = format!("try again in {RETRY_AFTER_S} seconds");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too busy", detail, hint)
    }

    /// A view that exists and cannot be read yet.
    pub fn rebuilding(view: &str) -> Self {
        Self::from(SqlError::Rebuilding(view.to_owned()))
    }

    /// A fault of ours.
    pub fn ours(detail: impl Into<String>) -> Self {
        let hint = "this is a fault of the service; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error", detail, hint)
    }

    /// The problem as JSON text, for streams that have already begun.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl From<SqlError> for Problem {
    fn from(error: SqlError) -> Self {
        let (status, title) = match error {
            SqlError::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "query too long"),
            SqlError::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid query"),
            SqlError::NotOne(_) => (StatusCode::BAD_REQUEST, "not one statement"),
            SqlError::NotReadOnly(_) => (StatusCode::FORBIDDEN, "read only"),
            SqlError::Memory => (StatusCode::UNPROCESSABLE_ENTITY, "query too large"),
            SqlError::Timeout => (StatusCode::UNPROCESSABLE_ENTITY, "query too slow"),
            SqlError::Rebuilding(_) => (StatusCode::SERVICE_UNAVAILABLE, "being rebuilt"),
            SqlError::Failed(_) => (StatusCode::UNPROCESSABLE_ENTITY, "query failed"),
        };
        Self::new(status, title, error.to_string(), error.hint())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let mut response = (status, [kind], self.json()).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let after = HeaderValue::from_static(RETRY_AFTER_S);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}
