//! What all answers have in common: their headers, and where the slow part of them is made.
//!
//! Invariant: every answer about the views names its epoch in a header.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use ionflux_schemas::time::Epoch;

use crate::problem::Problem;

/// The header that names the epoch of every answer.
const EPOCH: HeaderName = HeaderName::from_static("ionflux-epoch");
pub(crate) const JSON: &str = "application/json";

/// The parameters of a request.
pub(crate) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub(crate) fn pairs_of(pairs: Pairs) -> Result<Vec<(String, String)>, Problem> {
    let unread =
        |error: QueryRejection| Problem::bad(error.body_text(), "use name=value&name=value");
    pairs.map(|Query(pairs)| pairs).map_err(unread)
}

/// The headers of an answer of an epoch.
pub(crate) fn of(epoch: Epoch, kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(EPOCH, HeaderValue::from(epoch.0));
    headers
}

/// Runs what takes a while beside the tasks that must stay quick.
pub(crate) async fn blocking(
    work: impl FnOnce() -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Problem::ours("the answer could not be made")))
}
