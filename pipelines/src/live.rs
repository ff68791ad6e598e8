//! A live instance: the journal's tail into the views for as long as the process runs.
//!
//! ```text
//! doors ─▶ inbox ─▶ journal ─▶ feed ─▶ engine ─▶ store ─▶ readers
//!                                 └─ every few seconds: sync the ledger, trim the journal,
//!                                    keep the views for the next start
//! ```
//!
//! Invariant: the journal takes deliveries from the first moment to the last; readers see the
//! views that were kept until those of the ledger and the whole journal are ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ionflux_ledger::BaseZone;
use ionflux_ledger::shop::Shops;
use ionflux_schemas::delivery::Position;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::health::Condition;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_service::health::HealthBoard;
use ionflux_service::store::{Phase, Store};
use ionflux_sources::clock::Clock;
use ionflux_sources::inbox::Inbox;

use crate::assemble::{self, Options};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::feed::{self, Feed};
use crate::keeper::Keeper;
use crate::meter::Meter;
use crate::runtime::threads::Threads;
use crate::state::State;

/// How often the ledger is made to survive a power cut and the journal is trimmed behind it. What
/// is younger is read from the journal again.
const SYNC_MS: i64 = 2_000;
/// How often the views are kept for the next start: each time costs as much as they are large.
const KEEP_MS: i64 = 60_000;
/// The longest wait for a delivery before the feed looks whether it should stop.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What a live instance is made of.
pub struct Parts {
    /// The state it keeps.
    pub state: Arc<State>,
    /// The journal's door, which also says what is durable.
    pub inbox: Inbox,
    /// What readers see.
    pub store: Arc<Store>,
    /// The names behind the store's numbers.
    pub dictionary: Arc<Dictionary>,
    /// Where the shops will be, for the dashboard.
    pub shops: Arc<OnceLock<Arc<Shops>>>,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    /// Metrics.
    pub meter: Meter,
    /// Health.
    pub board: Arc<HealthBoard>,
    /// Worker threads.
    pub workers: usize,
}

/// A live instance at work on its own thread.
pub struct Live {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Live {
    /// Starts: hydrates, catches up with the journal, and follows it. `ended` is called when it
    /// ends, which it does by itself only when it failed.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(parts: Parts, ended: impl FnOnce() + Send + 'static) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let work = move || {
            let result = Instance::open(parts).and_then(|instance| instance.follow(&asked));
            ended();
            result
        };
        let thread = thread::Builder::new().name("feed".into()).spawn(work);
        let hint = "check the limits of this account";
        let thread = thread.map_err(|e| Failure::world(format!("no thread: {e}"), hint))?;
        Ok(Self { stop, thread })
    }

    /// Counts everything that is durable now, keeps it, and ends.
    ///
    /// # Errors
    /// What the instance failed with.
    pub fn finish(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| {
            let hint = "please report what is printed above";
            Err(Failure::world("the feed stopped because of a bug", hint))
        })
    }
}

/// A hydrated instance.
struct Instance {
    parts: Parts,
    feed: Feed<Threads>,
    keeper: Keeper,
    synced_at: UtcMs,
    kept_at: UtcMs,
    synced: Epoch,
    kept: Epoch,
}

impl Instance {
    fn open(parts: Parts) -> Result<Self, Failure> {
        let now = parts.clock.now();
        parts.board.set("ledger", Condition::Starting, "hydrating", now);
        let (base_zone, workers) = (BaseZone::Unknown, parts.workers);
        let options = Options { state: None, base_zone, workers };
        let dictionary = Arc::clone(&parts.dictionary);
        let ledger = assemble::ledger(Some(&parts.state), dictionary, &options)?;
        // Set once: this is the only instance of these parts.
        let _first = parts.shops.set(ledger.shops());
        let (store, meter) = (Arc::clone(&parts.store), parts.meter.clone());
        let clock = Arc::clone(&parts.clock);
        let publish = move |batch: ionflux_schemas::batch::Batch| {
            store.apply(&batch);
            meter.published(batch.upper, clock.now());
        };
        let mut engine = Engine::new(ledger, Threads::start(workers, publish)?)?;
        engine.hydrate(|done, total| {
            parts.store.set_hydration(done, total);
            parts.meter.hydrated(done, total);
        })?;
        let reader = parts.inbox.read(feed::reached(&engine)?);
        let epoch = engine.epoch();
        let feed = Feed::new(engine, reader)?;
        let keeper = Keeper::start(parts.state.views_folder())?;
        let (synced_at, kept_at) = (now, now);
        // Kept views may be older than the ledger, or of other definitions.
        Ok(Self { parts, feed, keeper, synced_at, kept_at, synced: epoch, kept: Epoch(0) })
    }

    fn follow(mut self, stop: &AtomicBool) -> Result<(), Failure> {
        let there = self.durable();
        let mut caught_up = false;
        loop {
            // Asked before reading: what became durable before the stop is counted.
            let stopping = stop.load(Ordering::Relaxed);
            let durable = self.durable();
            while let Some(closed) = self.feed.step(durable)? {
                let now = self.parts.clock.now();
                self.parts.meter.counted(closed.epoch, now, closed.oldest);
                self.checkpoint(now)?;
            }
            self.checkpoint(self.parts.clock.now())?;
            self.parts.board.put(self.parts.inbox.health());
            if !caught_up && self.feed.read() >= there {
                caught_up = true;
                self.reveal()?;
            }
            if stopping {
                break;
            }
            self.parts.inbox.wait_durable(durable, WAIT_MAX);
        }
        self.feed.into_engine().finish()?;
        self.keeper.finish();
        self.parts.state.keep(&self.parts.store.newest())
    }

    fn durable(&self) -> Position {
        *self.parts.inbox.durable().borrow()
    }

    /// Shows the views that were hidden while they were behind the kept ones.
    fn reveal(&mut self) -> Result<(), Failure> {
        self.feed.engine().settle()?;
        if !self.parts.store.reveal() {
            let problem = "the kept views are of a later epoch than ledger and journal give: was \
                           an older state folder put back? They are shown until it is reached";
            tracing::error!("{problem}");
        }
        self.parts.store.set_phase(Phase::Live);
        self.parts.board.set("ledger", Condition::Running, "", self.parts.clock.now());
        Ok(())
    }

    /// Syncs, trims and keeps, as often as it is due.
    fn checkpoint(&mut self, now: UtcMs) -> Result<(), Failure> {
        let epoch = self.feed.engine().epoch();
        if now.0 - self.synced_at.0 >= SYNC_MS && epoch > self.synced {
            let below = self.feed.sync()?;
            self.parts.inbox.trim(below);
            (self.synced_at, self.synced) = (now, epoch);
            let stats = self.feed.engine().ledger().stats();
            let mut faults = 0;
            self.parts.store.newest().for_each_key("faults", |_, _| faults += 1);
            self.parts.meter.held(stats, faults);
        }
        if now.0 - self.kept_at.0 >= KEEP_MS && epoch > self.kept {
            let snapshot = self.parts.store.newest();
            let upper = snapshot.upper;
            if self.keeper.offer(snapshot) {
                (self.kept_at, self.kept) = (now, upper);
            }
        }
        Ok(())
    }
}
