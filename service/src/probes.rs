//! What machines ask of the service itself: whether it is alive, whether it is ready, its metrics.
//!
//! Invariant: alive is not ready. A service that catches up answers with the views as last kept,
//! and says so. A source that fails is shown, and takes the others from nobody.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ionflux_schemas::health::Health;
use ionflux_schemas::time::Epoch;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use serde::Serialize;

use crate::answer::{JSON, of};
use crate::health::HealthBoard;
use crate::meters::Meters;
use crate::problem::Problem;
use crate::store::{Hydration, Phase, Store};

/// Where the answers come from, beside the store.
pub(crate) struct Probes {
    pub board: Arc<HealthBoard>,
    pub registry: Registry,
    pub meters: Arc<Meters>,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    phase: Phase,
    epoch: u64,
    hydration: Option<Hydration>,
    components: Vec<Health>,
}

pub(crate) async fn healthz(State(store): State<Arc<Store>>) -> Response {
    let health = store.health();
    let status = match health.phase {
        Phase::Closed => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let mut body = serde_json::to_value(health).unwrap_or_default();
    body["as_of"] = health.as_of.to_string().into();
    (status, of(Epoch(health.epoch), JSON), body.to_string()).into_response()
}

pub(crate) async fn readyz(
    State(store): State<Arc<Store>>,
    State(probes): State<Arc<Probes>>,
) -> Result<Response, Problem> {
    let (components, running) = probes.board.read();
    let signal = store.signal();
    // Read after the phase: whoever is told that hydration is over is told the epoch after it.
    let epoch = store.published().tables.epoch;
    let ready = running && !matches!(signal.phase, Phase::Hydrating | Phase::Closed);
    let (phase, hydration) = (signal.phase, signal.hydration);
    let body = Readiness { ready, phase, epoch: epoch.0, hydration, components };
    let body = serde_json::to_string(&body).map_err(|error| Problem::ours(error.to_string()))?;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, of(epoch, JSON), body).into_response())
}

pub(crate) async fn metrics(
    State(store): State<Arc<Store>>,
    State(probes): State<Arc<Probes>>,
) -> Result<Response, Problem> {
    let mut families = probes.registry.gather();
    families.extend(probes.meters.collect(&store, &probes.board.list()));
    let text = TextEncoder::new().encode_to_string(&families);
    let text = text.map_err(|error| Problem::ours(error.to_string()))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    Ok((headers, text).into_response())
}
