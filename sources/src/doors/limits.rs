//! How much each sender may send: a bucket for each name, filled by the clock.
//!
//! Invariant: the same times and the same takings give the same answers; the table of names is
//! bounded, and what falls out of it is whoever was heard of least recently.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;

use super::refusal;
use crate::clock::Clock;

/// How many names are kept apart at once; those of tokens and workspaces are far fewer.
pub const NAMES_MAX: usize = 4_096;
/// What one event weighs in a bucket, so that a millisecond fills whole numbers.
const EVENT: i64 = 1_000;

/// How much may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Events each second, in the long run.
    pub per_s: u32,
    /// Events at once after a silence.
    pub burst: u32,
}

/// A bucket for each name.
pub struct Limiter {
    rate: Rate,
    clock: Arc<dyn Clock>,
    buckets: Mutex<BTreeMap<Id, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// What is in it; below zero after a batch that was larger than the burst.
    level: i64,
    at: UtcMs,
}

impl Limiter {
    /// Full buckets for everyone; a rate of 0 is taken as 1.
    pub fn new(rate: Rate, clock: Arc<dyn Clock>) -> Self {
        let rate = Rate { per_s: rate.per_s.max(1), burst: rate.burst.max(1) };
        Self { rate, clock, buckets: Mutex::default() }
    }

    /// Whether at least one event of a name would be let in now; nothing is taken.
    ///
    /// # Errors
    /// After how many seconds it would be.
    pub fn ready(&self, name: &str) -> Result<(), u32> {
        self.asked(name, 1, false)
    }

    /// Takes some events of a name out of its bucket. A batch larger than the burst is let in when
    /// the bucket is full, and what comes after it waits the longer.
    ///
    /// # Errors
    /// After how many seconds to come again; nothing was taken.
    pub fn take(&self, name: &str, events: usize) -> Result<(), u32> {
        self.asked(name, events, true)
    }

    fn asked(&self, name: &str, events: usize, taken: bool) -> Result<(), u32> {
        let (per_s, full) = (i64::from(self.rate.per_s), i64::from(self.rate.burst) * EVENT);
        let weight = i64::try_from(events).unwrap_or(i64::MAX).saturating_mul(EVENT);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let filled = |bucket: &Bucket| {
            let passed_ms = now.0.saturating_sub(bucket.at.0).max(0);
            bucket.level.saturating_add(passed_ms.saturating_mul(per_s)).min(full)
        };
        let level = buckets.get(name).map_or(full, &filled);
        let needed = weight.min(full);
        if level < needed {
            let each_s = per_s * EVENT;
            let seconds = (needed - level + each_s - 1) / each_s;
            return Err(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        if taken {
            if buckets.len() >= NAMES_MAX && !buckets.contains_key(name) {
                // A full bucket says no more than none.
                buckets.retain(|_, bucket| filled(bucket) < full);
                let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.at);
                if let Some(oldest) = oldest.map(|(name, _)| name.clone())
                    && buckets.len() >= NAMES_MAX
                {
                    buckets.remove(&oldest);
                }
            }
            buckets.insert(name.into(), Bucket { level: level.saturating_sub(weight), at: now });
        }
        Ok(())
    }
}

/// The answer to whoever sends more than it may.
#[must_use]
pub fn slow_down(seconds: u32) -> Response {
    let detail = format!("more than may be sent: come again in {seconds} s");
    let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, &detail);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stepped;

    fn limiter(per_s: u32, burst: u32) -> (Limiter, Arc<Stepped>) {
        let clock = Arc::new(Stepped::new(UtcMs(1_000)));
        (Limiter::new(Rate { per_s, burst }, clock.clone()), clock)
    }

    #[test]
    fn a_burst_is_let_in_and_then_the_rate() {
        let (limiter, clock) = limiter(2, 3);
        for _ in 0..3 {
            assert_eq!(limiter.take("a", 1), Ok(()));
        }
        assert_eq!((limiter.ready("a"), limiter.take("a", 1)), (Err(1), Err(1)));
        assert_eq!(limiter.take("b", 1), Ok(()), "another name has its own");
        clock.advance(499);
        assert_eq!(limiter.take("a", 1), Err(1));
        clock.advance(1);
        assert_eq!((limiter.ready("a"), limiter.take("a", 1)), (Ok(()), Ok(())));
        assert_eq!(limiter.take("a", 1), Err(1));
        clock.advance(i64::MAX / 2);
        assert_eq!((limiter.take("a", 3), limiter.take("a", 1)), (Ok(()), Err(1)));
    }

    #[test]
    fn a_batch_beyond_the_burst_is_owed() {
        let (limiter, clock) = limiter(10, 10);
        assert_eq!(limiter.take("a", 40), Ok(()));
        assert_eq!(limiter.take("a", 1), Err(4));
        clock.advance(3_100);
        assert_eq!((limiter.take("a", 1), limiter.take("a", 1)), (Ok(()), Err(1)));
        assert_eq!(limiter.take("b", 1), Ok(()));
        assert_eq!(limiter.take("b", 40), Err(1), "only a full bucket takes it");
    }

    #[test]
    fn the_table_is_bounded() {
        let (limiter, clock) = limiter(1, 1);
        for name in 0..NAMES_MAX {
            assert_eq!(limiter.take(&name.to_string(), 9), Ok(()));
            clock.advance(1);
        }
        assert_eq!(limiter.take("new", 1), Ok(()));
        assert_eq!(limiter.buckets.lock().unwrap().len(), NAMES_MAX);
        assert!(limiter.take("1", 1).is_err(), "those heard of lately are still held");
        assert_eq!(limiter.take("0", 1), Ok(()), "the oldest was let go");
        clock.advance(50_000);
        assert_eq!(limiter.take("newer", 1), Ok(()));
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1, "full buckets are let go first");
    }
}
