//! Between the publisher and a sink's task: what the task has not taken yet, merged.
//!
//! Invariant: posting never waits for the sink, and what lies here is bounded like all that waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ionflux_schemas::snapshot::Snapshot;
use ionflux_schemas::time::Epoch;
use tokio::sync::Notify;

use crate::courier::Courier;
use crate::waiting::Waiting;

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    posted: Notify,
}

#[derive(Debug, Default)]
struct Mail {
    begin: Option<Arc<Snapshot>>,
    waiting: Option<Waiting>,
    newest: Option<Epoch>,
    caught_up: bool,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn begin(&self, snapshot: &Arc<Snapshot>) {
        let mut mail = self.lock();
        mail.newest = Some(snapshot.upper);
        if !mail.closed {
            mail.begin = Some(Arc::clone(snapshot));
            mail.waiting = None;
        }
        self.posted.notify_one();
    }

    /// See [`Courier::caught_up`].
    pub(crate) fn caught_up(&self) {
        self.lock().caught_up = true;
        self.posted.notify_one();
    }

    /// # Panics
    /// When an epoch is missing between this and what was posted before.
    pub(crate) fn post(&self, next: Waiting) {
        let mut mail = self.lock();
        assert!(
            mail.newest.is_none_or(|newest| newest == next.lower()),
            "epochs must be offered without a gap"
        );
        mail.newest = Some(next.upper());
        if !mail.closed {
            match &mut mail.waiting {
                Some(waiting) => waiting.append(next),
                None => mail.waiting = Some(next),
            }
        }
        self.posted.notify_one();
    }

    /// Hands all over to the courier.
    pub(crate) fn empty_into(&self, courier: &mut Courier) {
        let (begin, waiting, caught_up) = {
            let mut mail = self.lock();
            (mail.begin.take(), mail.waiting.take(), mail.caught_up)
        };
        if let Some(snapshot) = begin {
            courier.begin(&snapshot);
        }
        if let Some(waiting) = waiting {
            courier.accept(waiting);
        }
        if caught_up {
            courier.caught_up();
        }
    }

    /// Up to where epochs were ever posted.
    pub(crate) fn newest(&self) -> Option<Epoch> {
        self.lock().newest
    }

    /// Forgets what lies here and takes no more: the sink is gone.
    pub(crate) fn close(&self) {
        let mut mail = self.lock();
        (mail.begin, mail.waiting, mail.closed) = (None, None, true);
    }

    /// Waits for something posted, or for [`Mailbox::wake`].
    pub(crate) async fn posted(&self) {
        self.posted.notified().await;
    }

    pub(crate) fn wake(&self) {
        self.posted.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;

    fn post(mailbox: &Mailbox, history: &History, at: usize) {
        let (before, batch, after) = history.epoch(at);
        mailbox.post(Waiting::new(before, batch, after));
    }

    #[test]
    fn a_beginning_replaces_what_was_posted_before_it() {
        let history = History::sample();
        let (mailbox, mut courier) = (Mailbox::default(), Courier::new(1));
        post(&mailbox, &history, 0);
        mailbox.begin(&history.states[5]);
        post(&mailbox, &history, 5);
        assert_eq!(mailbox.newest(), Some(Epoch(6)));
        mailbox.empty_into(&mut courier);
        courier.resumed(None);
        assert_eq!(courier.next().map(|batch| batch.to.epoch), Some(Epoch(6)));
    }

    #[test]
    fn a_closed_mailbox_keeps_nothing() {
        let history = History::sample();
        let (mailbox, mut courier) = (Mailbox::default(), Courier::new(1));
        mailbox.begin(&history.states[0]);
        mailbox.close();
        post(&mailbox, &history, 0);
        mailbox.empty_into(&mut courier);
        assert!(!courier.owing());
        assert_eq!(Arc::strong_count(history.last()), 1);
    }
}
