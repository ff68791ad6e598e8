//! One timely worker: take an epoch, advance, step, hand over what closed; park when idle.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use ionflux_operators::harness::Dataflow;
use ionflux_schemas::fact::Differences;
use timely::worker::Worker;

use super::RuntimeError;
use super::publisher::Message;
use super::threads::DownTogether;

/// Where a worker gets its part of each epoch.
type Feed = Receiver<Differences>;

/// How many epochs may wait for each worker. One keeps a worker busy while the next is made.
const WAITING_EPOCHS_MAX: usize = 1;
/// How many epochs a worker lets be open before it takes another; more only costs memory.
const OPEN_EPOCHS_MAX: u64 = 3;
/// The longest sleep of an idle worker; whoever has work for it wakes it earlier.
const PARK_MAX: Duration = Duration::from_millis(100);

/// Starts the workers; gives their guards and where to send each its part of an epoch.
pub(super) fn start(
    workers: usize,
    closed: &Sender<Message>,
) -> Result<(timely::communication::WorkerGuards<()>, Vec<Sender<Differences>>), RuntimeError> {
    let feed = |_| {
        let (sender, feed) = bounded(WAITING_EPOCHS_MAX);
        (sender, Some(feed))
    };
    let (senders, feeds): (Vec<_>, Vec<_>) = (0..workers).map(feed).unzip();
    let (feeds, closed) = (Arc::new(Mutex::new(feeds)), closed.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let _down = DownTogether("a worker");
        // Taken out, so that the sender notices when this worker is gone.
        let mut feeds = feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(feed) = feeds[worker.index()].take() else { return };
        drop(feeds);
        let dataflow = Dataflow::build(worker, 0);
        work(worker, dataflow, &feed, &closed);
    });
    Ok((guards.map_err(RuntimeError::Start)?, senders))
}

fn work(worker: &mut Worker, mut dataflow: Dataflow, feed: &Feed, closed: &Sender<Message>) {
    let mut next = 0;
    let mut ended = false;
    loop {
        if !ended && dataflow.open() < OPEN_EPOCHS_MAX {
            match feed.try_recv() {
                Ok(mut part) => {
                    dataflow.send(&mut part);
                    next += 1;
                    dataflow.advance(next);
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => ended = true,
            }
        }
        for (time, deltas) in dataflow.closed() {
            let message = Message::Closed { time, deltas };
            if closed.send(message).is_err() {
                // The publisher is gone, so is the reason to work.
                return;
            }
        }
        if ended && dataflow.open() == 0 {
            return;
        }
        let waiting = !feed.is_empty() && dataflow.open() < OPEN_EPOCHS_MAX;
        worker.step_or_park((!waiting).then_some(PARK_MAX).or(Some(Duration::ZERO)));
    }
}
