//! The sinks of a configuration, connected.
//!
//! Invariant: a section that is not there reaches no target.

use std::sync::Arc;

use ionflux_operators::list;
use ionflux_sinks::error::SinkError;
use ionflux_sinks::list::Given;
use ionflux_sinks::registry::SchemaIds;
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
        self.0.register(subject, schema, &Stop::default()).map_err(|error| match error {
            RegistryError::Transient(_) => SinkError::transient(error.to_string()),
            RegistryError::Unknown(_) | RegistryError::Refused(_) => {
                SinkError::permanent(error.to_string())
            }
        })
    }
}
