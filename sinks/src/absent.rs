//! The section of Kafka in a program that was built without it.
//!
//! Invariant: whoever asks for the sink is told what is missing, before anything starts.

use ionflux_schemas::view::View;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{ConfigError, wrong};
use crate::section::{Given, Section};
use crate::sink::Sink;

/// Any options.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
pub struct KafkaConfig(IgnoredAny);

impl Section for KafkaConfig {
    fn check(&self, _: bool) -> Result<(), ConfigError> {
        Ok(())
    }

    fn build(
        &self,
        _: &str,
        _: &[&'static View],
        _: &Given<'_>,
    ) -> Result<Box<dyn Sink>, ConfigError> {
        Err(wrong(
            "brokers",
            "this program was built without Kafka; install make, pkg-config and libssl-dev and \
             build with --features kafka",
        ))
    }
}
