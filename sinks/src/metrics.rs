//! What sinks measure of themselves.
//!
//! Invariant: every measure is labelled by the sink's name and by nothing a tenant could choose.

use std::time::Duration;

use ionflux_schemas::time::Epoch;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

/// The measures of all sinks.
#[derive(Clone, Debug)]
pub struct Metrics {
    epoch: IntGaugeVec,
    lag_epochs: IntGaugeVec,
    writes: IntCounterVec,
    write_seconds: HistogramVec,
    rows: IntCounterVec,
}

/// How a write ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Confirmed.
    Written,
    /// Failed in a way that may pass.
    Transient,
    /// Refused for good.
    Permanent,
    /// No answer in time.
    Unanswered,
}

/// The measures of one sink.
#[derive(Clone, Debug)]
pub(crate) struct Measures {
    name: String,
    epoch: IntGauge,
    lag_epochs: IntGauge,
    writes: IntCounterVec,
    write_seconds: Histogram,
    rows: IntCounter,
}

impl Metrics {
    /// Makes the measures and registers them.
    ///
    /// # Errors
    /// When the registry already has measures of these names.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let sink = &["sink"];
        let opts = |name: &str, help: &str| Opts::new(format!("ionflux_sink_{name}"), help);
        let seconds = HistogramOpts::from(opts("write_seconds", "How long a write took."))
            .buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]);
        let writes = opts("writes_total", "Writes by how they ended.");
        let metrics = Self {
            epoch: IntGaugeVec::new(opts("epoch", "Below it the target holds all."), sink)?,
            lag_epochs: IntGaugeVec::new(
                opts("lag_epochs", "Epochs not yet in the target."),
                sink,
            )?,
            writes: IntCounterVec::new(writes, &["sink", "outcome"])?,
            write_seconds: HistogramVec::new(seconds, sink)?,
            rows: IntCounterVec::new(opts("rows_total", "Row changes confirmed."), sink)?,
        };
        registry.register(Box::new(metrics.epoch.clone()))?;
        registry.register(Box::new(metrics.lag_epochs.clone()))?;
        registry.register(Box::new(metrics.writes.clone()))?;
        registry.register(Box::new(metrics.write_seconds.clone()))?;
        registry.register(Box::new(metrics.rows.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn of(&self, name: &str) -> Measures {
        Measures {
            name: name.to_owned(),
            epoch: self.epoch.with_label_values(&[name]),
            lag_epochs: self.lag_epochs.with_label_values(&[name]),
            writes: self.writes.clone(),
            write_seconds: self.write_seconds.with_label_values(&[name]),
            rows: self.rows.with_label_values(&[name]),
        }
    }
}

impl Measures {
    pub(crate) fn progress(&self, newest: Option<Epoch>, reached: Option<Epoch>) {
        let number = |epoch: Option<Epoch>| epoch.map_or(0, |epoch| epoch.0);
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.epoch.set(gauge(number(reached)));
        self.lag_epochs.set(gauge(number(newest).saturating_sub(number(reached))));
    }

    pub(crate) fn write(&self, outcome: Outcome, took: Duration, rows: usize) {
        let label = match outcome {
            Outcome::Written => "written",
            Outcome::Transient => "transient",
            Outcome::Permanent => "permanent",
            Outcome::Unanswered => "unanswered",
        };
        self.writes.with_label_values(&[self.name.as_str(), label]).inc();
        self.write_seconds.observe(took.as_secs_f64());
        if outcome == Outcome::Written {
            self.rows.inc_by(rows as u64);
        }
    }
}
