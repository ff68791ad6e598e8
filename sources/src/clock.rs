//! The time: the only file of this crate that asks what time it is.
//!
//! Invariant: a clock never goes backwards, whatever the machine's does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ionflux_schemas::time::UtcMs;

/// What says how late it is.
pub trait Clock: Send + Sync {
    /// The time now; never before what it said last.
    fn now(&self) -> UtcMs;
}

/// The machine's clock, held where it is while the machine's goes backwards.
#[derive(Debug, Default)]
pub struct Wall(AtomicI64);

impl Clock for Wall {
    fn now(&self) -> UtcMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        UtcMs(self.0.fetch_max(now_ms, Ordering::SeqCst).max(now_ms))
    }
}

/// A clock that moves when told to: for tests and simulations.
#[derive(Debug, Default)]
pub struct Stepped(AtomicI64);

impl Stepped {
    /// A clock that shows `now` until it is moved.
    pub fn new(now: UtcMs) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves it ahead. Milliseconds below zero move nothing.
    pub fn advance(&self, by_ms: i64) {
        self.0.fetch_add(by_ms.max(0), Ordering::SeqCst);
    }
}

impl Clock for Stepped {
    fn now(&self) -> UtcMs {
        UtcMs(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Stepped, UtcMs, Wall};

    #[test]
    fn a_clock_never_goes_backwards() {
        let wall = Wall::default();
        let far = UtcMs(i64::MAX - 1);
        assert!(wall.now() > UtcMs(1_700_000_000_000));
        wall.0.store(far.0, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(wall.now(), far);
        let stepped = Stepped::new(UtcMs(5));
        stepped.advance(7);
        stepped.advance(-3);
        assert_eq!(stepped.now(), UtcMs(12));
    }
}
