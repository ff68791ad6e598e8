//! `ionflux run`: take deliveries, count them, serve the views.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use clap::Args;
use ionflux_ledger::records::Records;
use ionflux_ledger::{BaseZone, Ledger};
use ionflux_operators::list;
use ionflux_schemas::delivery::Position;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_service::health::HealthBoard;
use ionflux_service::store::{Store, Stored};
use ionflux_sources::clock::{Clock, Wall};
use ionflux_sources::cursor::Cursors;
use ionflux_sources::doors::Doors;
use ionflux_sources::doors::limits::Limiter;
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::{Journal, Limits, Opened};
use ionflux_sources::subjects::Subjects;
use prometheus::Registry;

use crate::assemble::{self, Options};
use crate::config::Config;
use crate::connect::{self, Connected, World};
use crate::failure::Failure;
use crate::feed;
use crate::live::{Live, Parts};
use crate::meter::Meter;
use crate::secrets::Secrets;
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
        let tls = config.http.tls(|path| relative_to(&self.config, path))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let secrets_file = config.secrets_file.as_ref().map(|path| relative_to(&self.config, path));
        let secrets = Secrets::read(secrets_file.as_deref())?;
        let state = Arc::new(State::create(&relative_to(&self.config, &config.state_dir))?);
        let clock: Arc<dyn Clock> = Arc::new(Wall::default());
        let (registry, board) = (Registry::new(), Arc::new(HealthBoard::default()));
        let meter = Meter::new(&registry)?;
        let dictionary = Arc::new(Dictionary::new());
        let (base_zone, workers) = (BaseZone::Unknown, config.workers);
        let options = Options { state: None, base_zone, workers };
        let dictionary_of = Arc::clone(&dictionary);
        let (ledger, records) =
            assemble::ledger_with_records(Some(&state), dictionary_of, &options)?;
        let store = Arc::new(restored(&state, &ledger, &dictionary)?);
        let journal = journal(&state, &config, feed::reached(&ledger)?)?;
        let inbox = inbox(journal, &clock, &registry)?;

        let shops = ledger.shops();
        let (subjects, intake) = privacy(&state, &inbox, &clock)?;
        let people = (intake, Arc::clone(&subjects));
        let mut world = world(&state, people, (&clock, &board, &registry), (records, secrets))?;
        let limiter = Limiter::new(config.limits.rate(), Arc::clone(&clock));
        world.doors = world.doors.limited(limiter);
        let (doors, connected) = sources(&config, &world)?;
        let outlets = connect::sinks::start(&config, &world, &state)?;
        let (shown, told) = (Arc::clone(&store), Arc::clone(&board));
        let served = Served { store: shown, shops, board: told, registry, doors, tls };
        let service = Service::start(config.http.listen, served)?;
        let folder = state.folder().display().to_string();
        eprintln!("serving {folder} at {scheme}://{}  (Ctrl-C stops)", service.address);
        let subjects = Some(subjects);
        let parts = Parts {
            state,
            inbox: inbox.clone(),
            ledger,
            store,
            clock,
            meter,
            board,
            workers,
            subjects,
            outlets,
        };
        let waker = service.waker();
        let live = Live::start(parts, move || waker.notify_one())?;
        service.wait_for_stop()?;
        let ending = connected.end();
        service.drain();
        for name in ending.wait() {
            tracing::warn!("{name}: a request was under way and is not waited for");
        }
        inbox.close();
        live.finish()
    }
}

/// A store that serves the views as they were kept until newer ones are ready; only those whose
/// definition is still the same. Views that cannot be read are said to be rebuilt, not empty.
fn restored(
    state: &State,
    ledger: &Ledger,
    dictionary: &Arc<Dictionary>,
) -> Result<Store, Failure> {
    let empty = assemble::empty(dictionary);
    let epoch = ledger.epoch()?;
    let views = state.views_if_kept().unwrap_or_else(|failure| {
        // They only bridge the time until the ledger is read back.
        eprintln!("note: the kept views are not served: {}", failure.problem);
        None
    });
    let Some(views) = views else {
        let none = Stored { epoch, as_of: UtcMs(0), tables: Vec::new() };
        let fresh = epoch == Epoch(0);
        return Ok(if fresh { Store::hydrating(empty) } else { Store::restored(empty, none) });
    };
    let present: BTreeMap<&str, u32> =
        list::views().iter().map(|view| (view.name, view.version)).collect();
    let same = |name: &str, version: u32| present.get(name) == Some(&version);
    let tables = views.tables.into_iter().filter(|kept| same(&kept.name, kept.version));
    let tables = tables.map(|kept| (kept.name, kept.rows)).collect();
    Ok(Store::restored(empty, Stored { epoch: views.epoch, as_of: views.as_of, tables }))
}

/// The journal of a state, which must not end before what the ledger has counted of it: what came
/// next would stand at places that count as counted, and be acknowledged and lost.
fn journal(
    state: &State,
    config: &Config,
    reached: Position,
) -> Result<(Journal, Opened), Failure> {
    let days = config.journal.keep_days;
    let keep_ms = (days > 0).then(|| i64::from(days) * 86_400_000);
    let limits = Limits { keep_ms, ..Limits::new(config.journal.max_mb << 20) };
    let hint = "check the disk and the folder's permissions";
    let failed = |cause| Failure::world(format!("the journal cannot be opened: {cause}"), hint);
    let folder = Folder::open(&state.journal()).map_err(failed)?;
    let (mut journal, opened) = Journal::open(Box::new(folder), limits)?;
    if opened.cut_bytes > 0 {
        eprintln!("note: cut {} bytes of an unfinished write off the journal", opened.cut_bytes);
    }
    let end = journal.durable_end();
    if reached > end && journal.begin_at(reached) {
        eprintln!(
            "note: the journal is gone and begins anew at {reached}, behind what the ledger has \
             counted; deliveries that were not counted yet went with it"
        );
    } else if reached > end {
        let problem =
            format!("the journal ends at {end}, and the ledger has counted it up to {reached}");
        let hint = "a part of the journal is lost: put a whole copy of the state folder back, or \
                    move its journal away to begin a new one behind what is counted";
        return Err(Failure::world(problem, hint));
    }
    Ok((journal, opened))
}

/// The journal's door.
fn inbox(
    (journal, opened): (Journal, Opened),
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> Result<Inbox, Failure> {
    let bug = |cause| Failure::world(cause, "please report this");
    let metrics = JournalMetrics::new(registry).map_err(bug)?;
    let scribe = Scribe::new(journal, &opened, Arc::clone(clock), metrics);
    let hint = "check the limits of this account";
    Inbox::open(scribe).map_err(|cause| Failure::world(format!("no thread: {cause}"), hint))
}

/// The keyed place of a state, and the way in that goes past it. What was asked before the last
/// end, and may never have come as far as the journal, is brought in again.
fn privacy(
    state: &State,
    inbox: &Inbox,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Subjects>, Intake), Failure> {
    let subjects = Arc::new(Subjects::open(&state.subjects(), Arc::clone(clock))?);
    let intake = Intake::new(inbox.clone(), Privacy::Minimised(Arc::clone(&subjects)));
    for request in subjects.all_pending()? {
        let hint = "see the health of the journal";
        intake.ask_again(&request).map_err(|refused| Failure::world(refused, hint))?;
    }
    Ok((subjects, intake))
}

/// What sources are connected to.
fn world(
    state: &State,
    (intake, subjects): (Intake, Arc<Subjects>),
    (clock, board, registry): (&Arc<dyn Clock>, &Arc<HealthBoard>, &Registry),
    (records, secrets): (Records, Secrets),
) -> Result<World, Failure> {
    let bug = |cause| Failure::world(cause, "please report this");
    let doors = Doors::new(intake.clone(), Arc::clone(clock), registry).map_err(bug)?;
    let folder = state.cursors();
    let cursors = Cursors::open(&folder).map_err(|cause| {
        let hint = "check the disk and the folder's permissions";
        Failure::world(format!("{}: {cause}", folder.display()), hint)
    })?;
    let (clock, board, registry) = (Arc::clone(clock), Arc::clone(board), registry.clone());
    Ok(World { intake, doors, clock, registry, board, cursors, records, secrets, subjects })
}

/// The sources of the configuration, at work.
fn sources(config: &Config, world: &World) -> Result<(Router, Connected), Failure> {
    let mut connected = connect::connect(config, world)?;
    Ok((std::mem::take(&mut connected.doors), connected))
}

/// Paths in a configuration are relative to the file that holds them.
fn relative_to(config: &Path, path: &Path) -> PathBuf {
    config.parent().map_or_else(|| path.into(), |folder| folder.join(path))
}
