//! What can be watched of the journal.
//!
//! Invariant: base units (seconds, bytes), and `_total` on what only grows.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    exponential_buckets,
};

/// The measures of one journal.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    /// Bytes of the segments on disk.
    pub(super) bytes: IntGauge,
    /// Bytes appended and made durable since the start.
    pub(super) appended_bytes: IntCounter,
    /// How long syncs took.
    pub(super) fsync_seconds: Histogram,
    /// How many deliveries shared a sync.
    pub(super) group_deliveries: Histogram,
    /// Deliveries that were refused, by reason.
    pub(super) refused: IntCounterVec,
    /// The durable end.
    pub(super) end_position: IntGauge,
}

impl JournalMetrics {
    /// Measures that the registry will show.
    ///
    /// # Errors
    /// If the registry has measures of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            bytes: IntGauge::new("ionflux_journal_bytes", "Bytes of the journal's segments")?,
            appended_bytes: IntCounter::new(
                "ionflux_journal_appended_bytes_total",
                "Bytes made durable in the journal since the start",
            )?,
            fsync_seconds: Histogram::with_opts(
                HistogramOpts::new("ionflux_journal_fsync_seconds", "How long syncs took")
                    .buckets(exponential_buckets(0.000_1, 2.0, 16)?),
            )?,
            group_deliveries: Histogram::with_opts(
                HistogramOpts::new(
                    "ionflux_journal_group_deliveries",
                    "How many deliveries shared a sync",
                )
                .buckets(exponential_buckets(1.0, 2.0, 13)?),
            )?,
            refused: IntCounterVec::new(
                Opts::new("ionflux_journal_refused_total", "Deliveries that were refused"),
                &["reason"],
            )?,
            end_position: IntGauge::new(
                "ionflux_journal_end_position",
                "Bytes of all records ever made durable",
            )?,
        };
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.appended_bytes.clone()))?;
        registry.register(Box::new(metrics.fsync_seconds.clone()))?;
        registry.register(Box::new(metrics.group_deliveries.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.end_position.clone()))?;
        Ok(metrics)
    }
}

/// A gauge holds 63 bits.
pub(super) fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
