//! One task for each sink: asks the target, writes, backs off, reports health and stops in order.
//!
//! Invariant: a sink in trouble holds up neither the publisher nor another sink, and after any
//! failed or unanswered call the target is asked before anything is written.
//!
//! ```text
//!   publisher ── offer ──▶ mailbox (merged) ──▶ courier ──▶ resume, write ──▶ target
//!                                                  ◀── wrote · failed: back off, then resume
//! ```

use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ionflux_schemas::batch::Batch;
use ionflux_schemas::health::{Condition, Health, Standing};
use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::{Epoch, UtcMs};
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use crate::courier::{Courier, Plan};
use crate::error::SinkError;
use crate::mailbox::Mailbox;
use crate::metrics::{Measures, Metrics, Outcome};
use crate::retry::{Retry, RetryLimits};
use crate::sink::Sink;
use crate::waiting::Waiting;

/// What a driver needs besides its sink.
#[derive(Clone)]
pub struct Setting {
    /// The identity of the state folder.
    pub state: u128,
    /// The bounds of its patience.
    pub limits: Limits,
    /// Where it counts.
    pub metrics: Metrics,
    /// The clock of health reports.
    pub now: Arc<dyn Fn() -> UtcMs + Send + Sync>,
    /// Takes every change of health; must not block.
    pub report: Arc<dyn Fn(Health) + Send + Sync>,
    /// Gives the state folder another identity, once, and says it: a target holds another history.
    pub renew: Arc<dyn Fn() -> Result<u128, SinkError> + Send + Sync>,
}

/// The bounds of a driver's patience.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Between tries.
    pub retry: RetryLimits,
    /// How long a stop waits for what is still owed, in milliseconds.
    pub flush_ms: u64,
}

impl Default for Limits {
    /// A stop should fit an orchestrator's grace.
    fn default() -> Self {
        Self { retry: RetryLimits::default(), flush_ms: 10_000 }
    }
}

/// The publisher's end of a sink.
#[derive(Debug)]
pub struct Handle {
    name: Box<str>,
    mailbox: Arc<Mailbox>,
    health: Arc<Mutex<Health>>,
    measures: Measures,
    reached: watch::Receiver<Option<Epoch>>,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Starts the task of a sink on a runtime; it asks the target at once.
#[must_use]
pub fn start(sink: Box<dyn Sink>, setting: Setting, runtime: &runtime::Handle) -> Handle {
    let name: Box<str> = sink.name().into();
    let mailbox = Arc::new(Mailbox::default());
    let measures = setting.metrics.of(&name);
    let (reached_at, reached) = watch::channel(None);
    let (stopping, stop) = watch::channel(false);
    let doctor = Doctor::new(name.clone(), &setting, Arc::clone(&mailbox));
    let health = Arc::clone(&doctor.last);
    let driver = Driver {
        sink,
        courier: Courier::new(setting.state),
        mailbox: Arc::clone(&mailbox),
        retry: Retry::new(setting.limits.retry),
        measures: measures.clone(),
        doctor,
        reached: reached_at,
        stop,
        limits: setting.limits,
        renew: setting.renew,
    };
    let task = runtime.spawn(driver.run());
    Handle { name, mailbox, health, measures, reached, stopping, task }
}

impl Handle {
    /// The sink's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says what there is before the first offer; see [`Courier::begin`].
    pub fn begin(&self, snapshot: &Arc<Snapshot>) {
        self.mailbox.begin(snapshot);
        self.measures.progress(self.mailbox.newest(), *self.reached.borrow());
    }

    /// Offers the epochs of a batch; never waits for the target.
    ///
    /// # Panics
    /// When they do not follow what was offered before: a bug of the publisher.
    pub fn offer(&self, before: &Arc<Snapshot>, batch: &Batch, after: &Arc<Snapshot>) {
        self.mailbox.post(Waiting::new(before, batch, after));
        self.measures.progress(self.mailbox.newest(), *self.reached.borrow());
    }

    /// Says that everything the journal holds was offered; see [`Courier::caught_up`].
    pub fn caught_up(&self) {
        self.mailbox.caught_up();
    }

    /// Below which epoch the target holds everything, as it last said itself, and all changes of
    /// that. The channel closes when the task ends: stopped, or halted for good.
    #[must_use]
    pub fn reached(&self) -> watch::Receiver<Option<Epoch>> {
        self.reached.clone()
    }

    /// Says how the sink is, and how far its target, whenever it is asked.
    pub fn standing(&self) -> impl Fn() -> Standing + Send + Sync + use<> {
        let (health, mailbox) = (Arc::clone(&self.health), Arc::clone(&self.mailbox));
        let reached = self.reached.clone();
        move || Standing {
            health: locked(&health).clone(),
            epoch: *reached.borrow(),
            offered: mailbox.newest(),
        }
    }

    /// Lets the task bring what is owed, for a bounded time, and ends it; gives what the target
    /// holds then. What is left out comes after the next start, for the target knows its place.
    pub async fn stop(self) -> Option<Epoch> {
        self.stopping.send_replace(true);
        self.mailbox.wake();
        // A panic of the sink was reported as health; there is nothing to add to it here.
        let _ = self.task.await;
        *self.reached.borrow()
    }
}

struct Driver {
    sink: Box<dyn Sink>,
    courier: Courier,
    mailbox: Arc<Mailbox>,
    retry: Retry,
    measures: Measures,
    doctor: Doctor,
    reached: watch::Sender<Option<Epoch>>,
    stop: watch::Receiver<bool>,
    limits: Limits,
    renew: Arc<dyn Fn() -> Result<u128, SinkError> + Send + Sync>,
}

impl Driver {
    async fn run(mut self) {
        let mut stop = self.stop.clone();
        let flush = Duration::from_millis(self.limits.flush_ms);
        let overdue = async move {
            // An error says that the handle is gone, which ends the task as well.
            let _ = stop.wait_for(|stop| *stop).await;
            sleep(flush).await;
        };
        tokio::select! {
            () = self.work() => (),
            () = overdue => (),
        }
    }

    async fn work(&mut self) {
        loop {
            self.mailbox.empty_into(&mut self.courier);
            if self.stopping() && !self.courier.owing() {
                return;
            }
            let mut wrote = false;
            let done = if self.courier.unsure() {
                self.resume().await
            } else if self.courier.strayed() {
                (self.renew)().map(|state| self.courier.renew(state))
            } else if let Some(plan) = self.courier.plan() {
                wrote = true;
                self.write(plan).await
            } else {
                self.retry.worked();
                self.doctor.say(Condition::Running, "");
                self.mailbox.posted().await;
                continue;
            };
            self.publish();
            match done {
                Ok(()) if wrote => self.rest().await,
                Ok(()) => {}
                Err(error) if error.passing() => {
                    self.doctor.say(Condition::Stalled, &whole(&error));
                    sleep(self.retry.failed()).await;
                }
                Err(error) => {
                    self.doctor.say(Condition::Halted, &whole(&error));
                    return;
                }
            }
        }
    }

    /// Leaves the target alone for as long as the sink says, unless the program ends.
    async fn rest(&mut self) {
        let rest = self.sink.rest();
        if !rest.is_zero() {
            // An error says that the handle is gone, which ends the task as well.
            let _ = timeout(rest, self.stop.wait_for(|stop| *stop)).await;
        }
    }

    fn stopping(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }

    async fn resume(&mut self) -> Result<(), SinkError> {
        let limit = self.sink.answer_within();
        let answer = timeout(limit, self.sink.resume()).await;
        let mark = answer.unwrap_or_else(|_| Err(unanswered(&*self.sink, "resume")))?;
        self.courier.resumed(mark);
        self.retry.answered();
        Ok(())
    }

    async fn write(&mut self, plan: Plan) -> Result<(), SinkError> {
        // Making the rows of a whole snapshot is work, not waiting: off the runtime's threads.
        let batch = spawn_blocking(move || plan.outgoing()).await;
        let batch = batch.map_err(|error| {
            SinkError::permanent(format!("{}: no rows were made", self.sink.name()))
                .caused_by(error)
        })?;
        let begun = Instant::now();
        let limit = self.sink.answer_within();
        let answer = timeout(limit, self.sink.write(&batch)).await;
        let outcome = match &answer {
            Ok(Ok(())) => Outcome::Written,
            Ok(Err(error)) if error.passing() => Outcome::Transient,
            Ok(Err(_)) => Outcome::Permanent,
            Err(_) => Outcome::Unanswered,
        };
        self.measures.write(outcome, begun.elapsed(), batch.rows());
        let done = answer.unwrap_or_else(|_| Err(unanswered(&*self.sink, "write")));
        if done.is_ok() {
            self.courier.wrote();
            self.retry.worked();
            self.doctor.say(Condition::Running, "");
        } else {
            self.courier.failed();
        }
        done
    }

    /// Tells whoever watches how far the target is.
    fn publish(&self) {
        let reached = self.courier.reached();
        self.measures.progress(self.mailbox.newest(), reached);
        self.reached.send_if_modified(|told| std::mem::replace(told, reached) != reached);
    }
}

/// What went wrong, and what that came from.
fn whole(error: &SinkError) -> String {
    let (mut said, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

fn unanswered(sink: &dyn Sink, call: &str) -> SinkError {
    SinkError::transient(format!("{}: the target did not answer a {call} in time", sink.name()))
}

/// Says how a sink is, when it changes, and closes its mailbox at the end.
struct Doctor {
    last: Arc<Mutex<Health>>,
    now: Arc<dyn Fn() -> UtcMs + Send + Sync>,
    report: Arc<dyn Fn(Health) + Send + Sync>,
    mailbox: Arc<Mailbox>,
}

fn locked(health: &Mutex<Health>) -> MutexGuard<'_, Health> {
    health.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Doctor {
    fn new(component: Box<str>, setting: &Setting, mailbox: Arc<Mailbox>) -> Self {
        let since = (setting.now)();
        let last = Health { component, state: Condition::Starting, since, reason: "".into() };
        let (now, report) = (Arc::clone(&setting.now), Arc::clone(&setting.report));
        report(last.clone());
        Self { last: Arc::new(Mutex::new(last)), now, report, mailbox }
    }

    fn say(&self, state: Condition, reason: &str) {
        let changed = {
            let mut last = locked(&self.last);
            if last.state == state && *last.reason == *reason {
                return;
            }
            if last.state != state {
                (last.state, last.since) = (state, (self.now)());
            }
            last.reason = reason.into();
            last.clone()
        };
        (self.report)(changed);
    }
}

impl Drop for Doctor {
    fn drop(&mut self) {
        self.mailbox.close();
        if std::thread::panicking() {
            self.say(Condition::Halted, "the sink broke: see the log for its panic");
        }
    }
}
