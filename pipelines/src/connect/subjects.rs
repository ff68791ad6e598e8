//! Requests about people: the doors for them and for their receipts.

use std::sync::Arc;

use ionflux_sources::subjects::door;

use super::{Connected, World, platform};
use crate::config::Config;
use crate::failure::Failure;

/// Opens the doors where there are tokens, those of the section `[platform]`.
///
/// # Errors
/// When the secret of a token is missing or no token.
pub fn connect(config: &Config, world: &World, connected: &mut Connected) -> Result<(), Failure> {
    if config.platform.is_none() {
        return Ok(());
    }
    let tokens = platform::tokens(config, world)?;
    connected.open(door::router(world.doors.clone(), Arc::clone(&world.subjects), tokens));
    Ok(())
}
