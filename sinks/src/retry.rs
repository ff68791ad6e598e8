//! When to try again: exponential back-off with jitter, and a circuit breaker.
//!
//! Invariant: the delays follow from the seed and from what happened; no clock is asked.
//!
//! ```text
//!   closed ── failures_max in a row ──▶ open: only `resume`, at the longest delay
//!     ▲                                   │ it answers
//!     └──── a write is confirmed ──── half open: one write; if it fails, open at once
//! ```

use std::time::Duration;

use crate::random::Random;

/// How patient a driver is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryLimits {
    /// The delay after the first failure, in milliseconds, before jitter.
    pub first_ms: u64,
    /// The upper bound of every delay, in milliseconds.
    pub longest_ms: u64,
    /// After how many failures in a row the circuit opens.
    pub failures_max: u32,
    /// What jitter is drawn from, so that a fleet does not return in step.
    pub seed: u64,
}

impl Default for RetryLimits {
    fn default() -> Self {
        Self { first_ms: 100, longest_ms: 30_000, failures_max: 5, seed: 0 }
    }
}

/// The state of the circuit to a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Circuit {
    /// Writes flow.
    Closed,
    /// Nothing is sent but the question what the target holds.
    Open,
    /// The target answered that question and is tried with one write.
    HalfOpen,
}

/// When one sink tries again.
#[derive(Debug)]
pub struct Retry {
    limits: RetryLimits,
    random: Random,
    failures: u32,
    circuit: Circuit,
}

impl Retry {
    /// Before any failure.
    #[must_use]
    pub fn new(limits: RetryLimits) -> Self {
        let random = Random::new(limits.seed);
        Self { limits, random, failures: 0, circuit: Circuit::Closed }
    }

    /// How the circuit is.
    #[must_use]
    pub fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// Notes a failure; gives how long to wait before the next call: between half the delay and
    /// all of it.
    pub fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.limits.failures_max {
            self.circuit = Circuit::Open;
        }
        let RetryLimits { first_ms, longest_ms, .. } = self.limits;
        let delay_ms = match self.circuit {
            Circuit::Closed => {
                let doubled = 1_u64.checked_shl(self.failures - 1).unwrap_or(u64::MAX);
                first_ms.saturating_mul(doubled).min(longest_ms)
            }
            Circuit::Open | Circuit::HalfOpen => longest_ms,
        };
        let half_ms = delay_ms / 2;
        Duration::from_millis(half_ms + self.random.below(delay_ms - half_ms + 1))
    }

    /// Notes that the target said what it holds.
    pub fn answered(&mut self) {
        if self.circuit == Circuit::Open {
            self.circuit = Circuit::HalfOpen;
        }
    }

    /// Notes that the target is up to date: a write was confirmed, or none is needed.
    pub fn worked(&mut self) {
        (self.failures, self.circuit) = (0, Circuit::Closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: RetryLimits =
        RetryLimits { first_ms: 100, longest_ms: 2000, failures_max: 4, seed: 9 };

    fn delays(retry: &mut Retry, failures: usize) -> Vec<u128> {
        (0..failures).map(|_| retry.failed().as_millis()).collect()
    }

    #[test]
    fn delays_double_up_to_the_bound_and_the_same_seed_gives_the_same() {
        let mut retry = Retry::new(LIMITS);
        let got = delays(&mut retry, 8);
        let tops = [100, 200, 400, 2000, 2000, 2000, 2000, 2000];
        for (delay, top) in got.iter().zip(tops) {
            assert!((top / 2..=top).contains(delay), "{delay} is not in {top}/2 to {top}");
        }
        assert_eq!(got, delays(&mut Retry::new(LIMITS), 8));
        assert_ne!(got, delays(&mut Retry::new(RetryLimits { seed: 10, ..LIMITS }), 8));
    }

    #[test]
    fn an_open_circuit_closes_only_after_a_write() {
        let mut retry = Retry::new(LIMITS);
        delays(&mut retry, 3);
        retry.answered();
        assert_eq!(retry.circuit(), Circuit::Closed);
        retry.failed();
        assert_eq!(retry.circuit(), Circuit::Open);
        retry.answered();
        assert_eq!(retry.circuit(), Circuit::HalfOpen);
        retry.failed();
        assert_eq!(retry.circuit(), Circuit::Open, "one failure is enough");
        retry.answered();
        retry.worked();
        assert_eq!(retry.circuit(), Circuit::Closed);
        assert!(retry.failed().as_millis() <= 100);
    }

    proptest! {
        #[test]
        fn no_delay_passes_the_bound(
            first_ms in any::<u64>(),
            longest_ms in 0..u64::MAX,
            failures_max in any::<u32>(),
            seed in any::<u64>(),
        ) {
            let mut retry =
                Retry::new(RetryLimits { first_ms, longest_ms, failures_max, seed });
            for _ in 0..80 {
                prop_assert!(retry.failed() <= Duration::from_millis(longest_ms));
            }
        }
    }
}
