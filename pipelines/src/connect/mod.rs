//! The sources and sinks of a configuration, connected: a line each.
//!
//! Invariant: a section that is not there opens no door and asks nobody.

mod kafka;
pub mod platform;
mod settings;
mod shopify;
pub mod sinks;
mod subjects;
mod tiktok;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use ionflux_ledger::records::Records;
use ionflux_service::health::HealthBoard;
use ionflux_sources::clock::Clock;
use ionflux_sources::cursor::Cursors;
use ionflux_sources::doors::Doors;
use ionflux_sources::intake::Intake;
use ionflux_sources::poller::{Ending, Poller};
use ionflux_sources::subjects::Subjects;
use prometheus::Registry;

use crate::config::Config;
use crate::failure::Failure;
use crate::secrets::Secrets;

/// How long the end waits for requests of sources that are asked: as long as for those to us.
const END_MAX: Duration = Duration::from_secs(10);

/// What sources are connected to.
pub struct World {
    /// The way into the journal.
    pub intake: Intake,
    /// The parts of doors.
    pub doors: Doors,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    /// Metrics.
    pub registry: Registry,
    /// Health.
    pub board: Arc<HealthBoard>,
    /// How far sources that are asked were read.
    pub cursors: Cursors,
    /// Entities beside orders, as the ledger has them.
    pub records: Records,
    /// Credentials.
    pub secrets: Secrets,
    /// The keyed place of people's ids.
    pub subjects: Arc<Subjects>,
}

/// Sources at work.
#[derive(Default)]
pub struct Connected {
    /// Their doors.
    pub doors: Router,
    /// Those that are asked.
    pub pollers: Vec<Poller>,
}

/// Connects the source of one section, if it is there.
type Connect = fn(&Config, &World, &mut Connected) -> Result<(), Failure>;

const SOURCES: &[Connect] = &[
    shopify::connect,
    tiktok::connect,
    platform::connect,
    settings::connect,
    subjects::connect,
    kafka::connect,
];

/// Connects every source of a configuration.
///
/// # Errors
/// What is wrong with one of them, before anything is taken.
pub fn connect(config: &Config, world: &World) -> Result<Connected, Failure> {
    let mut connected = Connected::default();
    for source in SOURCES {
        source(config, world, &mut connected)?;
    }
    for metrics in connected.pollers.iter().flat_map(Poller::metrics) {
        if let Err(problem) = world.registry.register(metrics) {
            tracing::warn!("a source that is asked has no metrics of its own: {problem}");
        }
    }
    Ok(connected)
}

impl Connected {
    /// A further door.
    pub fn open(&mut self, door: Router) {
        self.doors = std::mem::take(&mut self.doors).merge(door);
    }

    /// A further source that is asked; it says on the board how it is.
    pub fn ask(&mut self, poller: Poller, board: &HealthBoard) {
        board.source(poller.health());
        self.pollers.push(poller);
    }

    /// Tells those that are asked to end.
    #[must_use]
    pub fn end(self) -> Ending {
        Ending::begin(self.pollers, END_MAX)
    }
}
