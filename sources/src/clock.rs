//! The time: the only file of this crate that asks what time it is.
//!
//! Invariant: a clock never goes backwards and never stands still, whatever the machine's does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ionflux_schemas::time::UtcMs;

/// What says how late it is.
pub trait Clock: Send + Sync {
    /// The time now; never before what it said last.
    fn now(&self) -> UtcMs;
}

/// The machine's clock. While the machine's goes backwards, this one goes on at half its pace until
/// the other has caught up: what waits for the time to pass must not stand still.
#[derive(Debug)]
pub struct Wall {
    last: Mutex<(i64, Instant)>,
}

impl Default for Wall {
    fn default() -> Self {
        Self { last: Mutex::new((0, Instant::now())) }
    }
}

impl Wall {
    /// The time, if the machine says it is `machine_ms` and `elapsed_ms` have passed since it was
    /// `last_ms` here.
    fn after(last_ms: i64, elapsed_ms: i64, machine_ms: i64) -> i64 {
        machine_ms.max(last_ms.saturating_add(elapsed_ms / 2))
    }
}

impl Clock for Wall {
    fn now(&self) -> UtcMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let machine_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed_ms = i64::try_from(last.1.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now_ms = Self::after(last.0, elapsed_ms, machine_ms);
        if now_ms > last.0 {
            // Not at every question: what is left of a millisecond would be lost each time.
            *last = (now_ms, Instant::now());
        }
        UtcMs(now_ms)
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
        let first = wall.now();
        assert!(first > UtcMs(1_700_000_000_000) && wall.now() >= first);
        // An hour back: on at half the pace, until the machine's clock is there again.
        assert_eq!(Wall::after(3_600_000, 100, 0), 3_600_050);
        assert_eq!(Wall::after(3_600_000, 100, 3_600_020), 3_600_050);
        assert_eq!(Wall::after(3_600_000, 100, 3_700_000), 3_700_000);
        let stepped = Stepped::new(UtcMs(5));
        stepped.advance(7);
        stepped.advance(-3);
        assert_eq!(stepped.now(), UtcMs(12));
    }
}
