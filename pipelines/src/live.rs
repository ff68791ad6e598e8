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

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ionflux_ledger::Ledger;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::delivery::Position;
use ionflux_schemas::health::Condition;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_service::health::HealthBoard;
use ionflux_service::store::{Phase, Store};
use ionflux_sources::clock::Clock;
use ionflux_sources::inbox::Inbox;
use ionflux_sources::subjects::Subjects;

use crate::engine::Engine;
use crate::failure::Failure;
use crate::feed::{self, Feed};
use crate::forgetting::Forgetting;
use crate::keeper::Keeper;
use crate::meter::Meter;
use crate::outlets::Outlets;
use crate::runtime::threads::{DownTogether, Threads};
use crate::state::State;

/// How often the ledger is made to survive a power cut and the journal is trimmed behind it. What
/// is younger is read from the journal again.
const SYNC_MS: i64 = 2_000;
/// How often the views are kept for the next start: each time costs as much as they are large.
const KEEP_MS: i64 = 60_000;
/// How often the size of what is held is told to the metrics.
const TELL_MS: i64 = 10_000;
/// How long a stop may count on; what is left then is counted after the next start.
const STOP_MS: i64 = 5_000;
/// The longest wait for a delivery before the feed looks whether it should stop.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What a live instance is made of.
pub struct Parts {
    /// The state it keeps.
    pub state: Arc<State>,
    /// The journal's door, which also says what is durable.
    pub inbox: Inbox,
    /// What the journal was counted into.
    pub ledger: Ledger,
    /// What readers see.
    pub store: Arc<Store>,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    /// Metrics.
    pub meter: Meter,
    /// Health.
    pub board: Arc<HealthBoard>,
    /// Worker threads.
    pub workers: usize,
    /// The keyed place of people's ids; a simulated shop has none.
    pub subjects: Option<Arc<Subjects>>,
    /// Where views go beside the store.
    pub outlets: Outlets,
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
            let _down = DownTogether("the feed");
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
    world: World,
    feed: Feed<Threads>,
    keeper: Keeper,
    due: Due,
    synced: Epoch,
    kept: Epoch,
}

/// What surrounds the feed.
struct World {
    state: Arc<State>,
    inbox: Inbox,
    store: Arc<Store>,
    outlets: Arc<Outlets>,
    clock: Arc<dyn Clock>,
    meter: Meter,
    board: Arc<HealthBoard>,
}

/// When each of the rounds was made last.
struct Due {
    synced_at: UtcMs,
    kept_at: UtcMs,
    told_at: UtcMs,
}

impl Instance {
    fn open(parts: Parts) -> Result<Self, Failure> {
        let Parts { state, inbox, ledger, store, clock, meter, board, .. } = parts;
        let (workers, subjects, outlets) = (parts.workers, parts.subjects, Arc::new(parts.outlets));
        let now = clock.now();
        board.set("ledger", Condition::Starting, "hydrating", now);
        let journal = inbox.clone();
        board.need(move || journal.health());
        let (shown, told, time) = (Arc::clone(&store), meter.clone(), Arc::clone(&clock));
        let out = Arc::clone(&outlets);
        let publish = move |batch: Batch| {
            let before = shown.newest();
            shown.apply(&batch);
            out.offer(&before, &batch, &shown.newest());
            told.published(batch.upper, time.now());
        };
        let mut engine = Engine::new(ledger, Threads::start(workers, publish)?)?;
        engine.hydrate(|done, total| {
            store.set_hydration(done, total);
            meter.hydrated(done, total);
        })?;
        let reader = inbox.read(feed::reached(engine.ledger())?);
        let epoch = engine.epoch();
        let mut feed = Feed::new(engine, reader)?;
        if let Some(subjects) = subjects {
            let forgetting = Forgetting::new(subjects);
            board.ask(forgetting.health());
            feed = feed.forgetting(forgetting);
        }
        let keeper = Keeper::start(state.views_folder())?;
        let due = Due { synced_at: now, kept_at: now, told_at: UtcMs(0) };
        let world = World { state, inbox, store, outlets, clock, meter, board };
        // Kept views may be older than the ledger, or of other definitions.
        Ok(Self { world, feed, keeper, due, synced: epoch, kept: Epoch(0) })
    }

    fn follow(mut self, stop: &AtomicBool) -> Result<(), Failure> {
        let there = self.durable();
        let (mut caught_up, mut deadline) = (false, None);
        loop {
            // Asked before reading: what became durable before the stop is counted.
            let stopping = stop.load(Ordering::Relaxed);
            let durable = self.durable();
            while let Some(closed) = self.feed.step(durable)? {
                let now = self.world.clock.now();
                self.world.meter.counted(closed.epoch, now, closed.oldest);
                self.checkpoint(now)?;
                if stop.load(Ordering::Relaxed) {
                    // A long backlog waits in the journal for the next start.
                    let until = *deadline.get_or_insert(UtcMs(now.0 + STOP_MS));
                    if now >= until {
                        return self.end();
                    }
                }
            }
            self.checkpoint(self.world.clock.now())?;
            if !caught_up && self.feed.read() >= there {
                caught_up = true;
                self.reveal()?;
            }
            if stopping {
                return self.end();
            }
            self.world.inbox.wait_durable(durable, WAIT_MAX);
        }
    }

    fn end(mut self) -> Result<(), Failure> {
        self.feed.sync()?;
        self.feed.into_engine().finish()?;
        self.keeper.finish();
        let World { state, store, outlets, .. } = self.world;
        thread::scope(|scope| {
            // The dataflow has ended, and with it the publisher, who held the other end.
            if let Some(outlets) = Arc::into_inner(outlets) {
                scope.spawn(|| outlets.stop());
            }
            state.keep(&store.newest())
        })
    }

    fn durable(&self) -> Position {
        *self.world.inbox.durable().borrow()
    }

    /// Shows the views that were hidden while they were behind the kept ones.
    fn reveal(&mut self) -> Result<(), Failure> {
        self.feed.engine().settle()?;
        self.world.store.reveal();
        self.world.outlets.caught_up();
        self.world.store.set_phase(Phase::Live);
        self.world.board.set("ledger", Condition::Running, "", self.world.clock.now());
        Ok(())
    }

    /// Syncs, trims, keeps and tells, as often as it is due.
    fn checkpoint(&mut self, now: UtcMs) -> Result<(), Failure> {
        let epoch = self.feed.engine().epoch();
        if now.0 - self.due.synced_at.0 >= SYNC_MS && epoch > self.synced {
            let below = self.feed.sync()?;
            self.world.inbox.trim(below);
            (self.due.synced_at, self.synced) = (now, epoch);
        }
        self.feed.tend()?;
        if now.0 - self.due.kept_at.0 >= KEEP_MS && epoch > self.kept {
            let snapshot = self.world.store.newest();
            let upper = snapshot.upper;
            if self.keeper.offer(snapshot) {
                (self.due.kept_at, self.kept) = (now, upper);
            }
        }
        if now.0 - self.due.told_at.0 >= TELL_MS {
            let mut faults = 0;
            self.world.store.newest().for_each_key("faults", |_, _| faults += 1);
            self.world.meter.held(self.feed.engine().ledger().stats(), faults);
            self.due.told_at = now;
        }
        Ok(())
    }
}
