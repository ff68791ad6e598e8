//! Settings: the door through which a workspace's configuration comes and is read.

use std::sync::Arc;

use ionflux_ledger::LedgerError;
use ionflux_ledger::records::Records;
use ionflux_schemas::entity::Kind;
use ionflux_schemas::key::ShopKey;
use ionflux_sources::platform::tokens::Tokens;
use ionflux_sources::settings::door::{COUNTED_WITHIN, Parts, router};
use ionflux_sources::settings::held::{Each, Held};

use super::{Connected, World};
use crate::config::Config;
use crate::failure::Failure;

/// Opens the door for whoever has one of the tokens of the section `[platform]`.
///
/// # Errors
/// When the secret of a token is missing or no token.
pub fn connect(config: &Config, world: &World, connected: &mut Connected) -> Result<(), Failure> {
    if config.platform.is_some() {
        open(super::platform::tokens(config, world)?, world, connected);
    }
    Ok(())
}

fn open(tokens: Tokens, world: &World, connected: &mut Connected) {
    let held = Arc::new(Counted(world.records.clone()));
    let doors = world.doors.clone();
    connected.open(router(Parts { doors, tokens, held, counted_within: COUNTED_WITHIN }));
}

/// The settings of the ledger.
struct Counted(Records);

/// Why a reading ended before its end.
enum Ended {
    Enough,
    Failed(LedgerError),
}

impl From<LedgerError> for Ended {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error)
    }
}

impl Held for Counted {
    fn each(&self, shop: &ShopKey, prefix: &str, each: Each<'_>) -> Result<(), String> {
        let read = self.0.for_each_of(Kind::Setting, shop, |_, version, entity| {
            let enough = match entity.id.starts_with(prefix) {
                true => each(version, entity).is_break(),
                // In order of their ids: those that begin so are behind us.
                false => *entity.id > *prefix,
            };
            if enough { Err(Ended::Enough) } else { Ok(()) }
        });
        match read {
            Ok(()) | Err(Ended::Enough) => Ok(()),
            Err(Ended::Failed(error)) => Err(error.to_string()),
        }
    }

    fn has(&self, shop: &ShopKey, id: &str) -> Result<bool, String> {
        let found = self.0.record(Kind::Setting, shop, id);
        found.map(|found| found.is_some()).map_err(|error| error.to_string())
    }
}
