//! The dataflow on worker threads fed with epochs, and one thread that publishes them.
//!
//! ```text
//!             ┌─▶ worker 0 ─┐                      a few epochs in flight: a full channel
//! count(part)─┤             ├─▶ publisher ─▶ Batch   holds the sender back, and a slow
//!             └─▶ worker 1 ─┘                        publisher holds the workers back
//! ```

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use crossbeam_channel::{Sender, bounded};
use ionflux_operators::Time;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::fact::Differences;

use super::publisher::{self, Message};
use super::{Computation, Moment, RuntimeError, WORKERS_MAX, worker};

/// How many messages may wait for the publisher, per worker.
const UNPUBLISHED_EPOCHS_MAX: usize = 8;

/// A running dataflow.
pub struct Threads {
    workers: Vec<(Sender<Differences>, Thread)>,
    messages: Sender<Message>,
    next: Time,
    guards: Option<timely::communication::WorkerGuards<()>>,
    publisher: JoinHandle<()>,
    reached: Arc<Reached>,
}

/// How far the publisher has come, for whoever waits for it.
#[derive(Default)]
struct Reached {
    time: Mutex<Time>,
    moved: Condvar,
}

impl Reached {
    fn set(&self, time: Time) {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) = time;
        self.moved.notify_all();
    }

    fn get(&self) -> Time {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, time: Time) {
        let held = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = self.moved.wait_while(held, |held| *held < time);
        drop(reached.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Threads {
    /// Starts `workers` threads; `publish` is called with every batch, in order.
    ///
    /// # Errors
    /// [`RuntimeError::Workers`] or [`RuntimeError::Start`].
    pub fn start(
        workers: usize,
        publish: impl FnMut(Batch) + Send + 'static,
    ) -> Result<Self, RuntimeError> {
        if !(1..=WORKERS_MAX).contains(&workers) {
            return Err(RuntimeError::Workers(workers));
        }
        let (messages, received) = bounded(UNPUBLISHED_EPOCHS_MAX * (workers + 1));
        let (guards, feeds) = worker::start(workers, &messages)?;
        let reached = Arc::new(Reached::default());
        let tell = Arc::clone(&reached);
        let publisher = std::thread::Builder::new()
            .name("publisher".into())
            .spawn(move || {
                let _down = DownTogether("the publisher");
                publisher::run(&received, workers, publish, |time| tell.set(time));
            })
            .map_err(|problem| RuntimeError::Start(problem.to_string()))?;
        let threads = guards.guards().iter().map(|guard| guard.thread().clone());
        let workers = feeds.into_iter().zip(threads).collect();
        Ok(Self { workers, messages, next: 0, guards: Some(guards), publisher, reached })
    }

    /// How many parts were sent and are not published.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.next.saturating_sub(self.reached.get())
    }
}

impl Computation for Threads {
    fn count(&mut self, mut differences: Differences, moment: Moment) -> Result<(), RuntimeError> {
        let begun = Message::Begun { time: self.next, moment };
        self.messages.send(begun).map_err(|_| RuntimeError::Stopped)?;
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
        self.next += 1;
        Ok(())
    }

    fn settle(&mut self) -> Result<(), RuntimeError> {
        self.reached.wait_for(self.next);
        Ok(())
    }

    fn finish(mut self) -> Result<(), RuntimeError> {
        for (worker, thread) in self.workers.drain(..) {
            drop(worker);
            thread.unpark();
        }
        drop(self.messages);
        let joined = self.guards.take().map(timely::communication::WorkerGuards::join);
        let failed = joined.is_some_and(|results| results.iter().any(Result::is_err));
        if failed || self.publisher.join().is_err() {
            return Err(RuntimeError::Stopped);
        }
        Ok(())
    }
}

/// Ends the process when its thread panics: a dataflow without one of its threads would wait for
/// ever, and half-alive is worse than down. What was acknowledged is in the journal.
pub(crate) struct DownTogether(pub(crate) &'static str);

impl Drop for DownTogether {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("error: {} failed because of a bug; the state on disk is whole", self.0);
            std::process::exit(1);
        }
    }
}
