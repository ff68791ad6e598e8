//! Shopify: the door for webhooks.

use ionflux_sources::shopify::door;
use ionflux_sources::shopify::signature::Secrets;

use super::{Connected, World};
use crate::config::Config;
use crate::failure::Failure;

/// Opens the door of the section `[shopify]`.
///
/// # Errors
/// When a secret is missing.
pub fn connect(config: &Config, world: &World, connected: &mut Connected) -> Result<(), Failure> {
    let Some(shopify) = &config.shopify else { return Ok(()) };
    let secrets = shopify.secrets(&world.secrets)?.into_iter();
    let secrets = secrets.map(|(workspace, held)| (workspace, Secrets::new(held))).collect();
    connected.open(door::router(world.doors.clone(), secrets));
    Ok(())
}
