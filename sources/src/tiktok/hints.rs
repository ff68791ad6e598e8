//! Hints: orders that a webhook says have changed, on their way to whoever asks for them.
//!
//! Invariant: bounded and of no consequence: a hint that is lost, to a full queue or a restart, is
//! made good by the next sweep.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ionflux_schemas::key::Id;

use crate::poller::Waker;

/// The most orders that wait to be asked for.
pub const HINTS_MAX: usize = 10_000;

/// What changed of an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Change {
    /// The order itself.
    Order,
    /// A return or a cancellation of it, and so the order.
    Reversal,
}

/// An order that changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// The shop's id.
    pub shop: Id,
    /// The order's id.
    pub order: Id,
    /// What changed of it.
    pub change: Change,
}

/// The hints of one shop. Clones are the same.
#[derive(Clone, Default)]
pub struct Hints {
    waiting: Arc<Mutex<BTreeMap<Id, Change>>>,
    waker: Arc<OnceLock<Waker>>,
}

impl Hints {
    /// Who is woken by a hint; said once.
    pub fn wake(&self, waker: Waker) {
        let _ = self.waker.set(waker);
    }

    /// A further hint, and says whether there was room.
    pub fn push(&self, hint: Hint) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= HINTS_MAX && !waiting.contains_key(&hint.order) {
            return false;
        }
        let change = waiting.entry(hint.order).or_insert(hint.change);
        *change = hint.change.max(*change);
        drop(waiting);
        self.wake_if_any();
        true
    }

    /// Wakes who asks for orders, if any wait.
    pub fn wake_if_any(&self) {
        let waiting = !self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if let Some(waker) = self.waker.get().filter(|_| waiting) {
            waker.wake();
        }
    }

    /// Takes at most so many hints.
    #[must_use]
    pub fn take(&self, at_most: usize) -> Vec<(Id, Change)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| waiting.pop_first()).take(at_most).collect()
    }

    /// Puts hints back that came to nothing; those that say more stay.
    pub fn put_back(&self, hints: Vec<(Id, Change)>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (order, change) in hints {
            let held = waiting.entry(order).or_insert(change);
            *held = change.max(*held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(order: usize, change: Change) -> Hint {
        Hint { shop: "s".into(), order: order.to_string().into(), change }
    }

    #[test]
    fn hints_are_bounded_and_the_larger_one_stays() {
        let hints = Hints::default();
        assert!(hints.push(hint(1, Change::Reversal)) && hints.push(hint(1, Change::Order)));
        assert_eq!(hints.take(9), [("1".into(), Change::Reversal)]);
        hints.put_back(vec![("1".into(), Change::Order)]);
        assert!((2..=HINTS_MAX).all(|order| hints.push(hint(order, Change::Order))));
        assert!(!hints.push(hint(0, Change::Order)) && hints.push(hint(1, Change::Order)));
        assert_eq!(hints.take(usize::MAX).len(), HINTS_MAX);
    }
}
