//! Pacing: a shop's bucket of points, and who waits for it to fill.
//!
//! ```text
//! available ─ cost of a query ─▶ less;   every second: + restore rate, up to the maximum
//! ```
//!
//! Invariant: once the shop has said how its bucket stands, nothing is asked that it has no points
//! for; whoever waits ends when told to.

use std::time::Duration;

use ionflux_schemas::time::UtcMs;

use crate::poller::Stop;

/// Who waits; in tests, waiting moves the clock instead.
pub trait Patience: Send + Sync {
    /// Waits until told to stop or the time is up; says whether to stop.
    fn wait(&self, stop: &Stop, at_most: Duration) -> bool;
}

/// Waits for real.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patient;

impl Patience for Patient {
    fn wait(&self, stop: &Stop, at_most: Duration) -> bool {
        stop.wait(at_most)
    }
}

/// How a bucket stands, as the shop says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level {
    /// Points that can be spent now.
    pub available: u64,
    /// Points of a full bucket.
    pub maximum: u64,
    /// Points that come back every second.
    pub restored_per_s: u64,
}

/// A shop's bucket, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    told: Option<(Level, UtcMs)>,
}

impl Bucket {
    /// The shop has said how its bucket stands.
    pub fn told(&mut self, level: Level, at: UtcMs) {
        self.told = Some((level, at));
    }

    /// How long until a query of a cost can be asked. One that costs more than a full bucket holds
    /// waits for a full one: the shop takes it then, or says that it never will.
    #[must_use]
    pub fn wait_for(&self, cost: u64, now: UtcMs) -> Duration {
        let Some((level, at)) = self.told else { return Duration::ZERO };
        let rate = level.restored_per_s.max(1);
        let wanted = cost.min(level.maximum.max(1));
        let missing = wanted.saturating_sub(level.available);
        let needed_ms = missing.saturating_mul(1000).div_ceil(rate);
        let passed_ms = u64::try_from(now.0.saturating_sub(at.0)).unwrap_or_default();
        Duration::from_millis(needed_ms.saturating_sub(passed_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_waits_until_its_points_are_there() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.wait_for(500, UtcMs(0)), Duration::ZERO);
        let level = Level { available: 150, maximum: 1000, restored_per_s: 100 };
        bucket.told(level, UtcMs(5_000));
        let wait = |cost, now| bucket.wait_for(cost, UtcMs(now)).as_millis();
        assert_eq!(wait(150, 5_000), 0);
        assert_eq!(wait(151, 5_000), 10);
        assert_eq!(wait(500, 5_000), 3_500);
        assert_eq!(wait(500, 7_000), 1_500);
        assert_eq!(wait(500, 99_000), 0);
        assert_eq!(wait(9_999, 5_000), 8_500);
        // A clock that was set back gives no points.
        assert_eq!(wait(500, 0), 3_500);
    }
}
