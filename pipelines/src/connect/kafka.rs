//! Kafka: a member of a consumer group.

use super::{Connected, World};
use crate::config::Config;
use crate::failure::Failure;

/// Joins the group of the section `[kafka]`.
///
/// # Errors
/// When a secret is missing, an option is none of Kafka, or the program was built without it.
#[cfg(feature = "kafka")]
pub fn connect(config: &Config, world: &World, connected: &mut Connected) -> Result<(), Failure> {
    use std::sync::Arc;
    use std::time::Duration;

    use ionflux_sources::kafka::carrier::{self, Carrier, Options};
    use ionflux_sources::kafka::metrics::KafkaMetrics;
    use ionflux_sources::poller::Poller;

    /// After how long without a sign the group gives a member up.
    const SESSION_MS: u32 = 30_000;

    let Some(kafka) = &config.kafka else { return Ok(()) };
    let options = Options {
        connection: kafka.connection(&world.secrets)?,
        group: kafka.group.clone(),
        instance: kafka.instance.clone(),
        session_ms: SESSION_MS,
        patterns: kafka.patterns().map_err(|problem| Failure::usage(problem, ""))?,
        workspaces: kafka.workspaces.clone(),
        shops: config.shopify.as_ref().map(|shopify| shopify.only_shops()).unwrap_or_default(),
    };
    let registry = config.registry.as_ref().map(|registry| registry.client(&world.secrets));
    if registry.is_none() {
        eprintln!(
            "note: there is no section [registry]: messages in Avro become dead letters, those in \
             JSON are read"
        );
    }
    let bug = |cause| Failure::world(cause, "please report this");
    let ties = carrier::World {
        intake: world.intake.clone(),
        cursors: world.cursors.clone(),
        clock: Arc::clone(&world.clock),
        metrics: KafkaMetrics::new(&world.registry).map_err(bug)?,
        registry: registry.transpose()?,
    };
    let carrier = Carrier::new(options, ties);
    let carrier = carrier.map_err(|problem| {
        Failure::usage(format!("kafka: {problem}"), "see the section [kafka]")
    })?;
    // It says itself how it is: a round that has to wait is no pause of the member.
    world.board.source(carrier.health());
    let (clock, hint) = (Arc::clone(&world.clock), "check the limits of this account");
    let poller = Poller::start("kafka", Duration::ZERO, clock, Box::new(carrier));
    let poller = poller.map_err(|cause| Failure::world(format!("no thread: {cause}"), hint))?;
    connected.pollers.push(poller);
    Ok(())
}

/// The same of a program without Kafka.
///
/// # Errors
/// When there is a section `[kafka]`.
#[cfg(not(feature = "kafka"))]
pub fn connect(config: &Config, _: &World, _: &mut Connected) -> Result<(), Failure> {
    config.kafka.as_ref().map_or(Ok(()), |_| Err(crate::config::kafka::not_built()))
}
