//! The dataflow at work: worker threads fed with epochs, and one thread that publishes them.
//!
//! ```text
//!             ┌─▶ worker 0 ─┐                      a few epochs in flight: a full channel
//! send(epoch)─┤             ├─▶ publisher ─▶ Batch   holds the sender back, and a slow
//!             └─▶ worker 1 ─┘                        publisher holds the workers back
//! ```
//!
//! Invariant: epochs are published in order, each once, and only when every worker has closed it.

mod publisher;
mod worker;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use crossbeam_channel::{Sender, bounded};
use ionflux_schemas::batch::Batch;
use ionflux_schemas::fact::{Differences, EPOCH_FACTS_MAX};
use ionflux_schemas::time::{Epoch, UtcMs};
use thiserror::Error;

use publisher::Message;

/// How many messages may wait for the publisher, per worker.
const UNPUBLISHED_EPOCHS_MAX: usize = 8;
/// The most workers a process may have.
pub const WORKERS_MAX: usize = 64;

/// Why the dataflow stopped.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The number of workers is outside 1 to [`WORKERS_MAX`].
    #[error("{0} workers were asked for; between 1 and {WORKERS_MAX} can run")]
    Workers(usize),
    /// The threads could not be started.
    #[error("the workers could not be started: {0}")]
    Start(String),
    /// A worker or the publisher panicked; its message is on standard error.
    #[error("the dataflow stopped because of a bug; its state on disk is whole")]
    Stopped,
}

/// A running dataflow.
pub struct Runtime {
    workers: Vec<(Sender<Differences>, Thread)>,
    ticks: Sender<Message>,
    next: Epoch,
    guards: Option<timely::communication::WorkerGuards<()>>,
    publisher: JoinHandle<()>,
    published: Arc<Published>,
}

/// How far the publisher has come, for whoever waits for it.
#[derive(Default)]
struct Published {
    upper: Mutex<Epoch>,
    moved: Condvar,
}

impl Published {
    fn set(&self, upper: Epoch) {
        *self.upper.lock().unwrap_or_else(PoisonError::into_inner) = upper;
        self.moved.notify_all();
    }

    fn wait_for(&self, upper: Epoch) {
        let held = self.upper.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = self.moved.wait_while(held, |held| *held < upper);
        drop(reached.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Runtime {
    /// Starts `workers` threads at epoch `first`; `publish` is called with every batch, in order.
    ///
    /// # Errors
    /// [`RuntimeError::Workers`] or [`RuntimeError::Start`].
    pub fn start(
        workers: usize,
        first: Epoch,
        mut publish: impl FnMut(Batch) + Send + 'static,
    ) -> Result<Self, RuntimeError> {
        if !(1..=WORKERS_MAX).contains(&workers) {
            return Err(RuntimeError::Workers(workers));
        }
        let (ticks, messages) = bounded(UNPUBLISHED_EPOCHS_MAX * (workers + 1));
        let (guards, feeds) = worker::start(workers, first, &ticks)?;
        let published = Arc::new(Published::default());
        let tell = Arc::clone(&published);
        let publisher = std::thread::Builder::new()
            .name("publisher".into())
            .spawn(move || {
                let _down = DownTogether("the publisher");
                publisher::run(&messages, workers, first, |batch| {
                    let upper = batch.upper;
                    publish(batch);
                    tell.set(upper);
                });
            })
            .map_err(|problem| RuntimeError::Start(problem.to_string()))?;
        let threads = guards.guards().iter().map(|guard| guard.thread().clone());
        let workers = feeds.into_iter().zip(threads).collect();
        Ok(Self { workers, ticks, next: first, guards: Some(guards), publisher, published })
    }

    /// Counts differences as one epoch, which ends at the shop clock `as_of`. Blocks while too many
    /// epochs are open.
    ///
    /// More facts than one epoch may hold become several, published as one.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    pub fn send(&mut self, mut differences: Differences, as_of: UtcMs) -> Result<(), RuntimeError> {
        let before = differences.facts.len().saturating_sub(EPOCH_FACTS_MAX);
        let facts = differences.facts.split_off(before);
        let faults = std::mem::take(&mut differences.faults);
        self.send_more(differences, as_of)?;
        self.send_part(Differences { facts, faults }, as_of, true)
    }

    /// Counts differences that are published only together with the next [`Runtime::send`].
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`].
    pub fn send_more(
        &mut self,
        mut differences: Differences,
        as_of: UtcMs,
    ) -> Result<(), RuntimeError> {
        while !differences.facts.is_empty() || !differences.faults.is_empty() {
            let rest = differences.facts.len().saturating_sub(EPOCH_FACTS_MAX);
            let facts = differences.facts.split_off(rest);
            let faults = std::mem::take(&mut differences.faults);
            self.send_part(Differences { facts, faults }, as_of, false)?;
        }
        Ok(())
    }

    /// Waits until everything that was sent is published.
    pub fn settle(&self) {
        self.published.wait_for(self.next);
    }

    fn send_part(
        &mut self,
        mut differences: Differences,
        as_of: UtcMs,
        whole: bool,
    ) -> Result<(), RuntimeError> {
        let epoch = self.next;
        let tick = Message::Tick { epoch, as_of, whole };
        self.ticks.send(tick).map_err(|_| RuntimeError::Stopped)?;
        for (nth, (worker, thread)) in self.workers.iter().enumerate().rev() {
            // Even parts, whatever they hold; the exchange sends each shop where it belongs.
            let facts = differences.facts.len() * nth / (nth + 1);
            let faults = differences.faults.len() * nth / (nth + 1);
            let part = Differences {
                facts: differences.facts.split_off(facts),
                faults: differences.faults.split_off(faults),
            };
            worker.send(part).map_err(|_| RuntimeError::Stopped)?;
            thread.unpark();
        }
        self.next = Epoch(epoch.0 + 1);
        Ok(())
    }

    /// The epoch that the next call of [`Runtime::send`] makes.
    #[must_use]
    pub fn next(&self) -> Epoch {
        self.next
    }

    /// Ends all input and waits until every epoch is published.
    ///
    /// # Errors
    /// [`RuntimeError::Stopped`] if a worker or the publisher failed.
    pub fn finish(mut self) -> Result<(), RuntimeError> {
        for (worker, thread) in self.workers.drain(..) {
            drop(worker);
            thread.unpark();
        }
        drop(self.ticks);
        let joined = self.guards.take().map(timely::communication::WorkerGuards::join);
        let failed = joined.is_some_and(|results| results.iter().any(Result::is_err));
        if failed || self.publisher.join().is_err() {
            return Err(RuntimeError::Stopped);
        }
        Ok(())
    }
}

/// Ends the process when its thread panics: a dataflow without one of its threads would wait for
/// ever, and half-alive is worse than down. What was acknowledged is in the ledger.
struct DownTogether(&'static str);

impl Drop for DownTogether {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("error: {} failed because of a bug; the state on disk is whole", self.0);
            std::process::exit(1);
        }
    }
}
