//! The sinks of a configuration, connected.
//!
//! Invariant: a section that is not there reaches no target.

use std::sync::Arc;

use ionflux_operators::list;
use ionflux_sinks::error::SinkError;
use ionflux_sinks::registry::SchemaIds;
use ionflux_sinks::section::Given;
use ionflux_sources::poller::Stop;
use ionflux_sources::registry::{Registry, RegistryError};

use super::World;
use crate::config::Config;
use crate::failure::Failure;
use crate::outlets::{Outlets, Surroundings};
use crate::state::State;

/// Starts the sinks of a configuration; each asks its target at once.
///
/// # Errors
/// A secret that is missing or makes no sense, or options that cannot work.
pub fn start(config: &Config, world: &World, state: &Arc<State>) -> Result<Outlets, Failure> {
    let secret = |name: &str, purpose: &str| {
        let missing = |failure: Failure| format!("{}; {}", failure.problem, failure.hint);
        world.secrets.get(name, purpose).map_err(missing)
    };
    let registry = config.registry.as_ref().map(|section| section.client(&world.secrets));
    let schema_ids = registry.transpose()?.map(|registry| Arc::new(Ids(registry)) as Arc<_>);
    let given = Given { secret: &secret, schema_ids };
    let sinks = config.sinks.build(&list::views(), &given);
    let hint = "see the section [sinks] of config/reference.toml";
    let sinks = sinks.map_err(|problem| Failure::usage(problem, hint))?;
    let World { clock, registry, board, .. } = world;
    Outlets::start(sinks, &Surroundings { state, clock, registry, board })
}

/// The ids of our schemas, from the registry of the section `[registry]`.
struct Ids(Registry);

impl SchemaIds for Ids {
    fn id(&self, subject: &str, schema: &str) -> Result<u32, SinkError> {
        let stop = Stop::default();
        // What was put in beforehand needs no right to write.
        let id = match self.0.known(subject, schema, &stop) {
            Ok(None) => self.0.register(subject, schema, &stop),
            Ok(Some(id)) => Ok(id),
            Err(error) => Err(error),
        };
        id.map_err(|error| match error {
            RegistryError::Transient(_) => SinkError::transient(error.to_string()),
            RegistryError::Unknown(_) | RegistryError::Refused(_) => SinkError::permanent(format!(
                "{error}: change the rules of the subject, or put the schema in by \
                 `ionflux schemas register`, and start again"
            )),
        })
    }
}

#[cfg(test)]
#[path = "../../../sources/tests/confluent/mod.rs"]
mod confluent;

#[cfg(test)]
mod tests {
    use super::confluent::Server;
    use super::*;

    const ONE: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}"#;
    const OTHER: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}"#;

    #[test]
    fn ids_come_from_the_registry_and_it_is_told_what_no_try_gets_over() {
        let server = Server::start();
        let ids = Ids(Registry::new(&server.url(), None).unwrap());
        let id = ids.id("s-value", ONE).unwrap();
        assert_eq!(server.held.lock().unwrap().subjects["s-value"], [id]);
        for rule in ["incompatible", "read-only"] {
            let refused = ids.id("s-value", OTHER).unwrap_err();
            assert!(!refused.passing());
            let said = refused.to_string();
            let named = ["schema registry: s-value: ", rule, "ionflux schemas register"];
            assert!(named.iter().all(|part| said.contains(part)), "{said}");
            server.held.lock().unwrap().read_only = true;
        }
        assert_eq!(ids.id("s-value", ONE).unwrap(), id, "it was put in before");
        server.held.lock().unwrap().away = u32::MAX;
        let away = ids.id("s-value", ONE).unwrap_err();
        assert!(away.passing() && away.to_string().contains("503"), "{away}");
    }
}
