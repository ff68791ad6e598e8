//! `ionflux run`: take deliveries, count them, serve the views.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use clap::Args;
use ionflux_operators::list;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_service::health::HealthBoard;
use ionflux_service::store::{Store, Stored};
use ionflux_sources::clock::{Clock, Wall};
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::shopify::signature::Secrets;
use ionflux_sources::webhook::{self, Doors};
use prometheus::Registry;

use crate::assemble;
use crate::config::Config;
use crate::failure::Failure;
use crate::live::{Live, Parts};
use crate::meter::Meter;
use crate::serve::{Served, Service};
use crate::state::State;

/// Take webhooks, keep every view live and exact, and serve them
///
/// Dashboard, REST, SQL, live stream, /readyz and /metrics are at the address of the configuration.
/// A webhook is answered with 200 only when it is on disk. After a restart the views that were kept
/// are served until the ledger is read back and the journal's tail is counted.
#[derive(Args, Debug)]
pub struct Run {
    /// The configuration; config/reference.toml shows every option
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

impl Run {
    /// Runs until it is asked to stop; then counts and keeps everything that was acknowledged.
    ///
    /// # Errors
    /// When the configuration is wrong, the state cannot be opened, or the port is taken.
    pub fn execute(&self) -> Result<(), Failure> {
        let config = Config::read(&self.config)?;
        let secrets = config.shopify.as_ref().map(|shopify| shopify.secrets()).transpose()?;
        let state = Arc::new(State::create(&relative_to(&self.config, &config.state_dir))?);
        let clock: Arc<dyn Clock> = Arc::new(Wall::default());
        let (registry, board) = (Registry::new(), Arc::new(HealthBoard::default()));
        let meter = Meter::new(&registry)?;
        let dictionary = Arc::new(Dictionary::new());
        let store = Arc::new(restored(&state, &dictionary));
        let inbox = inbox(&state, &config, &clock, &registry)?;

        let shops = Arc::default();
        let doors = doors(&inbox, &clock, secrets.unwrap_or_default());
        let served = Served {
            store: Arc::clone(&store),
            shops: Arc::clone(&shops),
            board: Arc::clone(&board),
            registry,
            doors,
        };
        let service = Service::start(config.http.listen, served)?;
        let folder = state.folder().display().to_string();
        eprintln!("serving {folder} at http://{}  (Ctrl-C stops)", service.address);
        let parts = Parts {
            state,
            inbox: inbox.clone(),
            store,
            dictionary,
            shops,
            clock,
            meter,
            board,
            workers: config.workers,
        };
        let waker = service.waker();
        let live = Live::start(parts, move || waker.notify_one())?;
        service.wait_for_stop()?;
        inbox.close();
        live.finish()
    }
}

/// A store that serves the views as they were kept until newer ones are ready; only those whose
/// definition is still the same.
fn restored(state: &State, dictionary: &Arc<Dictionary>) -> Store {
    let empty = assemble::empty(dictionary);
    let views = match state.views_if_kept() {
        Ok(Some(views)) => views,
        Ok(None) => return Store::hydrating(empty),
        Err(failure) => {
            // They only bridge the time until the ledger is read back.
            eprintln!("note: the kept views are not served: {}", failure.problem);
            return Store::hydrating(empty);
        }
    };
    let present: BTreeMap<&str, u32> =
        list::views().iter().map(|view| (view.name, view.version)).collect();
    let same = |name: &str, version: u32| present.get(name) == Some(&version);
    let tables = views.tables.into_iter().filter(|kept| same(&kept.name, kept.version));
    let tables = tables.map(|kept| (kept.name, kept.rows)).collect();
    Store::restored(empty, Stored { epoch: views.epoch, as_of: views.as_of, tables })
}

/// The journal of a state and its door.
fn inbox(
    state: &State,
    config: &Config,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> Result<Inbox, Failure> {
    let days = config.journal.keep_days;
    let keep_ms = (days > 0).then(|| i64::from(days) * 86_400_000);
    let limits = Limits { keep_ms, ..Limits::new(config.journal.max_mb << 20) };
    let hint = "check the disk and the folder's permissions";
    let failed = |cause| Failure::world(format!("the journal cannot be opened: {cause}"), hint);
    let folder = Folder::open(&state.journal()).map_err(failed)?;
    let (journal, opened) = Journal::open(Box::new(folder), limits)?;
    if opened.cut_bytes > 0 {
        let cut = opened.cut_bytes;
        eprintln!("note: cut {cut} bytes of an unfinished, unacknowledged write off the journal");
    }
    let metrics = JournalMetrics::new(registry).map_err(|e| Failure::world(e, "report this"))?;
    let scribe = Scribe::new(journal, &opened, Arc::clone(clock), metrics);
    Inbox::open(scribe).map_err(failed)
}

fn doors(inbox: &Inbox, clock: &Arc<dyn Clock>, secrets: BTreeMap<String, Vec<String>>) -> Router {
    let secrets = secrets.into_iter().map(|(name, secrets)| (name, Secrets::new(secrets)));
    webhook::router(Doors {
        inbox: inbox.clone(),
        clock: Arc::clone(clock),
        shopify: Arc::new(secrets.collect()),
    })
}

/// Paths in a configuration are relative to the file that holds them.
fn relative_to(config: &Path, path: &Path) -> PathBuf {
    config.parent().map_or_else(|| path.into(), |folder| folder.join(path))
}
