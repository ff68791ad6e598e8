//! `ionflux run`: serve a state.

use std::path::{Path, PathBuf};

use clap::Args;

use ionflux_ledger::BaseZone;
use ionflux_service::store::Phase;

use crate::config::Config;
use crate::engine::{Engine, Options};
use crate::failure::Failure;
use crate::serve::Service;

/// Serve a state folder: dashboard, REST, SQL and live stream
#[derive(Args, Debug)]
pub struct Run {
    /// The configuration; config/reference.toml shows every option
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

impl Run {
    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// When the configuration is wrong, the state cannot be opened, or the port is taken.
    pub fn execute(&self) -> Result<(), Failure> {
        let config = Config::read(&self.config)?;
        let folder = relative_to(&self.config, &config.state_dir);
        let workers = config.workers;
        let engine =
            Engine::open(&Options { state: Some(&folder), base_zone: BaseZone::Unknown, workers })?;
        engine.store().set_phase(Phase::Complete);
        let service = Service::start(config.http.listen, engine.store(), engine.shops())?;
        eprintln!("serving {} at http://{}  (Ctrl-C stops)", folder.display(), service.address);
        service.wait_for_stop()?;
        engine.finish()?;
        Ok(())
    }
}

/// Paths in a configuration are relative to the file that holds them.
fn relative_to(config: &Path, path: &Path) -> PathBuf {
    config.parent().map_or_else(|| path.into(), |folder| folder.join(path))
}
