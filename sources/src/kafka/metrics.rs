//! What a member of a group counts.
//!
//! Invariant: a partition that another member has is not told of.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// The metrics of the source.
#[derive(Clone, Debug)]
pub struct KafkaMetrics {
    /// Messages that are in the journal, by topic.
    pub messages: IntCounterVec,
    /// Messages without a payload, by topic.
    pub tombstones: IntCounterVec,
    /// Messages whose schema or whole was not to be had, by topic; they are dead letters.
    pub dead_letters: IntCounterVec,
    /// Messages that wait behind the cursor, by topic and partition.
    pub lag: IntGaugeVec,
}

impl KafkaMetrics {
    /// Metrics in a registry.
    ///
    /// # Errors
    /// When a name is taken, which is a bug.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &["topic"])?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let help = "Messages of a partition that are not in the journal yet";
        let lag = IntGaugeVec::new(Opts::new("ionflux_kafka_lag", help), &["topic", "partition"])?;
        registry.register(Box::new(lag.clone()))?;
        Ok(Self {
            messages: counter("ionflux_kafka_messages_total", "Messages taken into the journal")?,
            tombstones: counter(
                "ionflux_kafka_tombstones_total",
                "Messages without a payload, which say nothing",
            )?,
            dead_letters: counter(
                "ionflux_kafka_dead_letters_total",
                "Messages that are too large, or whose schema is not to be had",
            )?,
            lag,
        })
    }
}
