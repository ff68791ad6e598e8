//! The thread that writes: gathers what waits, commits it, answers.
//!
//! Invariant: it never waits while something is in the queue, and it answers everything it took,
//! or drops the answer, which the caller sees as closed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use ionflux_schemas::delivery::{Delivery, Position};

use super::scribe::Scribe;
use super::{Answer, Message, Shared, weight_bytes};

/// How many bytes share a sync at most: large enough for the disk's best, small enough that the
/// first of a group does not wait long for the last.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// How many deliveries share a sync at most.
const GROUP_DELIVERIES_MAX: usize = 4_096;

pub(super) struct Writer {
    scribe: Scribe,
    queue: Receiver<Message>,
    shared: Arc<Shared>,
    deliveries: Vec<Delivery>,
    answers: Vec<Answer>,
    group_bytes: usize,
    /// There may be more to trim.
    trims: bool,
}

impl Writer {
    pub(super) fn new(scribe: Scribe, queue: Receiver<Message>, shared: Arc<Shared>) -> Self {
        Self {
            scribe,
            queue,
            shared,
            deliveries: Vec::new(),
            answers: Vec::new(),
            group_bytes: 0,
            trims: false,
        }
    }

    pub(super) fn run(mut self) {
        // Also when this thread panics nobody may go on waiting.
        let _closes = Closes(Arc::clone(&self.shared));
        let mut connected = true;
        while connected && !self.shared.closed.load(Ordering::SeqCst) {
            connected = self.wait();
            self.gather();
            self.commit();
            self.trim();
        }
        loop {
            self.gather();
            if self.deliveries.is_empty() {
                break;
            }
            self.commit();
        }
        // A failure is in the health and takes nothing from anybody: the epoch closes when the
        // journal is opened again.
        let _ = self.scribe.finish();
        self.publish();
    }

    /// Waits for the first delivery of a group, or until a tick is due. False once no door is left.
    fn wait(&mut self) -> bool {
        let wait = if self.trims { Duration::ZERO } else { self.scribe.next_tick_in() };
        match self.queue.recv_timeout(wait) {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn take(&mut self, message: Message) {
        if let Message::Deliver(delivery, answer) = message {
            let weight = weight_bytes(&delivery);
            self.shared.queued_bytes.fetch_sub(weight, Ordering::SeqCst);
            self.group_bytes += weight;
            self.deliveries.push(delivery);
            self.answers.push(answer);
        }
    }

    fn gather(&mut self) {
        while self.group_bytes < GROUP_BYTES_MAX && self.deliveries.len() < GROUP_DELIVERIES_MAX {
            match self.queue.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => return,
            }
        }
    }

    fn commit(&mut self) {
        let deliveries = std::mem::take(&mut self.deliveries);
        self.group_bytes = 0;
        let committed = self.scribe.commit(deliveries);
        // Before the answers: who has a position can read it.
        self.publish();
        let answers = self.answers.drain(..);
        // Whoever no longer waits for the answer may come again: it is kept all the same.
        match committed {
            Ok(positions) => answers.zip(positions).for_each(|(answer, position)| {
                let _ = answer.send(Ok(position));
            }),
            Err(refused) => answers.for_each(|answer| {
                let _ = answer.send(Err(refused));
            }),
        }
    }

    fn publish(&self) {
        let mut health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *health != *self.scribe.health() {
            health.clone_from(self.scribe.health());
        }
        drop(health);
        self.shared.announce(self.scribe.durable_end());
    }

    /// One segment at a time, so that deliveries do not wait for many.
    fn trim(&mut self) {
        self.trims |= self.shared.trim_asked.swap(false, Ordering::SeqCst);
        if self.trims {
            let below = Position(self.shared.trim_below.load(Ordering::SeqCst));
            // After a failure the next request tries again.
            self.trims = matches!(self.scribe.trim_one(below), Ok(true));
            self.publish();
        }
    }
}

/// Closes the door when dropped.
struct Closes(Arc<Shared>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::SeqCst);
        let durable = *self.0.durable.borrow();
        self.0.announce(durable);
    }
}
