//! The sinks of a configuration, at work: every published batch to each of them.
//!
//! ```text
//! publisher ─batch─▶ store
//!                └─▶ outlets ─offer─▶ one task per sink ─▶ target
//! ```
//!
//! Invariant: offering never waits for a target, and the identity that targets are told is that of
//! the state whose epochs they are.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use ionflux_schemas::batch::Batch;
use ionflux_schemas::health::{Condition, Health};
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::Epoch;
use ionflux_service::health::HealthBoard;
use ionflux_sinks::driver::{self, Handle, Limits, Setting};
use ionflux_sinks::error::SinkError;
use ionflux_sinks::metrics::Metrics;
use ionflux_sinks::sink::Sink;
use ionflux_sources::clock::Clock;
use prometheus::Registry;
use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;
use crate::state::State;

/// Threads for all sinks together: they wait more than they work.
const THREADS: usize = 2;

/// Sinks at work; none by default.
#[derive(Default)]
pub struct Outlets {
    runtime: Option<Runtime>,
    handles: Vec<Handle>,
}

/// What sinks are connected to.
pub struct Surroundings<'a> {
    /// Whose epochs they get.
    pub state: &'a Arc<State>,
    /// Our clock.
    pub clock: &'a Arc<dyn Clock>,
    /// Metrics.
    pub registry: &'a Registry,
    /// Health.
    pub board: &'a Arc<HealthBoard>,
}

impl Outlets {
    /// Starts a task for each sink; they ask their targets at once.
    ///
    /// # Errors
    /// When the state's identity cannot be read, or no threads can be had.
    pub fn start(sinks: Vec<Box<dyn Sink>>, around: &Surroundings<'_>) -> Result<Self, Failure> {
        if sinks.is_empty() {
            return Ok(Self::default());
        }
        let hint = "check the limits of this account";
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("sinks")
            .enable_all()
            .build()
            .map_err(|cause| Failure::world(format!("no thread: {cause}"), hint))?;
        let setting = setting(around)?;
        let start = |sink| {
            let handle = driver::start(sink, setting.clone(), runtime.handle());
            around.board.sink(handle.standing());
            handle
        };
        let handles = sinks.into_iter().map(start).collect();
        Ok(Self { runtime: Some(runtime), handles })
    }

    /// Hands a batch to every sink, with the snapshots before and after it.
    pub fn offer(&self, before: &Arc<Snapshot>, batch: &Batch, after: &Arc<Snapshot>) {
        for sink in &self.handles {
            // What comes first is all there is: sinks that have it already skip it by its epoch.
            if before.upper == Epoch(0) {
                sink.begin(after);
            } else {
                sink.offer(before, batch, after);
            }
        }
    }

    /// Says that everything the journal held at the start was offered.
    pub fn caught_up(&self) {
        self.handles.iter().for_each(Handle::caught_up);
    }

    /// Lets sinks bring what they owe, for a bounded time, and ends them.
    pub fn stop(self) {
        let Some(runtime) = self.runtime else { return };
        let stopping = self.handles.into_iter().map(|sink| runtime.spawn(sink.stop()));
        let stopping: Vec<_> = stopping.collect();
        for sink in stopping {
            // A task that panicked has said so on the board.
            let _ended = runtime.block_on(sink);
        }
        runtime.shutdown_background();
    }
}

fn setting(around: &Surroundings<'_>) -> Result<Setting, Failure> {
    let state = around.state.identity()?;
    let bug = |cause| Failure::world(cause, "please report this");
    let metrics = Metrics::register(around.registry).map_err(bug)?;
    let clock = Arc::clone(around.clock);
    let (folder, renewed) = (Arc::clone(around.state), Mutex::new(None));
    let renew = move || {
        let mut renewed = renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = *renewed {
            return Ok(state);
        }
        let failed = |failure: Failure| SinkError::transient(failure.problem);
        let state = folder.renew_identity().map_err(failed)?;
        tracing::warn!(
            "a target holds another history than this state: every sink gets a snapshot of it"
        );
        *renewed = Some(state);
        Ok(state)
    };
    let mut limits = Limits::default();
    // A fleet that lost one target together does not come back in step.
    limits.retry.seed = RandomState::new().hash_one(state);
    Ok(Setting {
        state,
        limits,
        metrics,
        now: Arc::new(move || clock.now()),
        report: Arc::new(|health: Health| match health.state {
            Condition::Starting | Condition::Running => {
                tracing::info!("sink {}: {}", health.component, health.state.name());
            }
            state => {
                tracing::warn!("sink {}: {}: {}", health.component, state.name(), health.reason)
            }
        }),
        renew: Arc::new(renew),
    })
}
