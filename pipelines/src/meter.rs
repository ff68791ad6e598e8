//! The meter: what the engine says of itself on `/metrics`.
//!
//! Invariant: names and units follow the conventions of Prometheus: base units, `_total` on what
//! only grows. Nothing here decides anything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ionflux_ledger::Stats;
use ionflux_schemas::time::{Epoch, UtcMs};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry};

use crate::failure::Failure;

/// Epochs whose publication is waited for; older ones are no longer timed.
const WAITING_MAX: usize = 4_096;
/// From a millisecond to a minute.
const SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The engine's metrics.
#[derive(Clone)]
pub struct Meter {
    epochs: IntCounter,
    open_epochs: IntGauge,
    epoch_seconds: Histogram,
    freshness_seconds: Histogram,
    entities: IntGauge,
    ledger_bytes: IntGauge,
    hydration_done: IntGauge,
    hydration_total: IntGauge,
    faults: IntGauge,
    waiting: Arc<Mutex<VecDeque<Waiting>>>,
}

/// An epoch that was counted and is not published yet.
struct Waiting {
    epoch: Epoch,
    counted_at: UtcMs,
    oldest: Option<UtcMs>,
}

impl Meter {
    /// Metrics in a registry.
    ///
    /// # Errors
    /// When one of the names is taken, which is a bug.
    pub fn new(registry: &Registry) -> Result<Self, Failure> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::with_opts(Opts::new(name, help))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let histogram = Histogram::with_opts(options)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let build = || {
            let epochs = IntCounter::new("ionflux_epochs_total", "Epochs counted")?;
            registry.register(Box::new(epochs.clone()))?;
            Ok::<_, prometheus::Error>(Self {
                epochs,
                open_epochs: gauge("ionflux_open_epochs", "Epochs counted and not published")?,
                epoch_seconds: histogram(
                    "ionflux_epoch_seconds",
                    "From an epoch in the ledger to its publication",
                )?,
                freshness_seconds: histogram(
                    "ionflux_freshness_seconds",
                    "From the arrival of an epoch's oldest delivery to views that show it",
                )?,
                entities: gauge("ionflux_ledger_entities", "Entities the ledger keeps")?,
                ledger_bytes: gauge("ionflux_ledger_bytes", "Bytes of its keys and values")?,
                hydration_done: gauge("ionflux_hydration_entities", "Entities brought back")?,
                hydration_total: gauge(
                    "ionflux_hydration_entities_expected",
                    "Entities to be brought back after a start",
                )?,
                faults: gauge("ionflux_faults", "Rows of the view faults")?,
                waiting: Arc::default(),
            })
        };
        build().map_err(|problem: prometheus::Error| Failure::world(problem, "report this bug"))
    }

    /// An epoch was counted.
    pub fn counted(&self, epoch: Epoch, now: UtcMs, oldest: Option<UtcMs>) {
        self.epochs.inc();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(Waiting { epoch, counted_at: now, oldest });
        self.open_epochs.set(waiting.len() as i64);
    }

    /// Everything below an epoch was published.
    pub fn published(&self, upper: Epoch, now: UtcMs) {
        let seconds = |since: UtcMs| (now.0 - since.0).max(0) as f64 / 1000.0;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.front().is_some_and(|first| first.epoch <= upper) {
            let Some(first) = waiting.pop_front() else { break };
            self.epoch_seconds.observe(seconds(first.counted_at));
            if let Some(oldest) = first.oldest {
                self.freshness_seconds.observe(seconds(oldest));
            }
        }
        self.open_epochs.set(waiting.len() as i64);
    }

    /// How far hydration is.
    pub fn hydrated(&self, done: u64, total: u64) {
        self.hydration_done.set(done as i64);
        self.hydration_total.set(total as i64);
    }

    /// What the ledger holds, and how many faults readers see.
    pub fn held(&self, ledger: Stats, faults: u64) {
        self.entities.set(ledger.entities as i64);
        self.ledger_bytes.set(ledger.bytes as i64);
        self.faults.set(faults as i64);
    }
}
