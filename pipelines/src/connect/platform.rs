//! Platform events: the door for them, and the tokens that open the platform's doors.

use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_sources::doors::limits::Limiter;
use ionflux_sources::platform::door::{InLedger, Parts, router};
use ionflux_sources::platform::tokens::{Grant, Tokens};

use super::{Connected, World};
use crate::config::Config;
use crate::failure::Failure;

/// The shortest token, in bytes: what is shorter can be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// Opens the door of the section `[platform]`.
///
/// # Errors
/// When the secret of a token is missing or no token.
pub fn connect(config: &Config, world: &World, connected: &mut Connected) -> Result<(), Failure> {
    let Some(platform) = &config.platform else { return Ok(()) };
    let records = world.records.clone();
    // A ledger that cannot be read now still tells doubles apart when it counts.
    let in_ledger: InLedger =
        Arc::new(move |kind, shop, id| matches!(records.record(kind, shop, id), Ok(Some(_))));
    let parts = Parts {
        doors: world.doors.clone(),
        tokens: tokens(config, world)?,
        limiter: Some(Limiter::new(platform.rate(), Arc::clone(&world.clock))),
        in_ledger,
    };
    let bug = |cause| Failure::world(cause, "please report this");
    connected.open(router(parts, &world.registry).map_err(bug)?);
    Ok(())
}

/// The tokens of a configuration; none where there is no section `[platform]`.
///
/// # Errors
/// When the secret of a token is missing, too short, or that of another token.
pub fn tokens(config: &Config, world: &World) -> Result<Tokens, Failure> {
    let Some(platform) = &config.platform else { return Ok(Tokens::default()) };
    let mut held: BTreeMap<String, Grant> = BTreeMap::new();
    for (name, token) in &platform.tokens {
        let secret = world.secrets.get(&token.secret, "a token of the platform's doors")?;
        let secret = secret.trim().to_owned();
        if secret.len() < TOKEN_BYTES_MIN {
            let problem = format!("the secret {} is too short for a token", token.secret);
            let hint =
                format!("take at least {TOKEN_BYTES_MIN} random bytes: openssl rand -hex 24");
            return Err(Failure::usage(problem, hint));
        }
        let grant =
            Grant { workspace: token.workspace.as_str().into(), name: name.as_str().into() };
        if let Some(other) = held.insert(secret, grant) {
            let problem = format!("the tokens {name} and {} are the same secret", other.name);
            return Err(Failure::usage(problem, "give each token a secret of its own"));
        }
    }
    Ok(Tokens::new(held))
}
