//! What the service measures of itself.
//!
//! Invariant: a series is named by a route's pattern, a status or a component, never by anything a
//! client wrote, so that no client can make series.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use ionflux_schemas::health::{Condition, Health};
use prometheus::proto::MetricFamily;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::store::Store;

/// Seconds: a page from memory takes a thousandth, the longest request forty.
const SECONDS: [f64; 8] = [0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 5.0, 40.0];

/// The service's own metrics, in a registry of their own: in the program's, a second router of one
/// process would find its names taken.
pub(crate) struct Meters {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    epoch: IntGauge,
    running: IntGaugeVec,
    since: IntGaugeVec,
}

/// One route with the meters it moves.
#[derive(Clone)]
pub(crate) struct Metered {
    pub route: &'static str,
    pub meters: Arc<Meters>,
}

impl Meters {
    /// Meters at zero.
    ///
    /// # Panics
    /// When a name below is malformed or there twice.
    pub fn new() -> Self {
        let requests = Opts::new("ionflux_http_requests_total", "Requests answered.");
        let seconds = HistogramOpts::new(
            "ionflux_http_request_seconds",
            "Time from a request to the head of its answer.",
        );
        let seconds = seconds.buckets(SECONDS.to_vec());
        let epoch = ("ionflux_served_epoch", "Everything below this epoch is counted.");
        let running = Opts::new(
            "ionflux_component_running",
            "Whether a component does its work: 1, or 0 while it starts, is stalled or halted.",
        );
        let since = Opts::new(
            "ionflux_component_since_seconds",
            "Since when a component is as it is, in seconds since 1970.",
        );
        let meters = Self {
            registry: Registry::new(),
            requests: made(IntCounterVec::new(requests, &["route", "status"])),
            seconds: made(HistogramVec::new(seconds, &["route"])),
            epoch: made(IntGauge::new(epoch.0, epoch.1)),
            running: made(IntGaugeVec::new(running, &["component"])),
            since: made(IntGaugeVec::new(since, &["component"])),
        };
        made(meters.registry.register(Box::new(meters.requests.clone())));
        made(meters.registry.register(Box::new(meters.seconds.clone())));
        made(meters.registry.register(Box::new(meters.epoch.clone())));
        made(meters.registry.register(Box::new(meters.running.clone())));
        made(meters.registry.register(Box::new(meters.since.clone())));
        meters
    }

    /// The metrics as they are now; those that nothing moved yet are absent.
    pub fn collect(&self, store: &Store, components: &[Health]) -> Vec<MetricFamily> {
        for Health { component, state, since, .. } in components {
            let running = i64::from(*state == Condition::Running);
            self.running.with_label_values(&[&**component]).set(running);
            self.since.with_label_values(&[&**component]).set(since.0 / 1_000);
        }
        let epoch = store.published().tables.epoch.0;
        self.epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
        self.registry.gather()
    }
}

fn made<T>(meter: prometheus::Result<T>) -> T {
    meter.unwrap_or_else(|error| panic!("a metric of the service is malformed: {error}"))
}

/// Counts and times one request.
pub(crate) async fn measured(
    State(Metered { route, meters }): State<Metered>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let response = next.run(request).await;
    meters.seconds.with_label_values(&[route]).observe(began.elapsed().as_secs_f64());
    meters.requests.with_label_values(&[route, response.status().as_str()]).inc();
    response
}
