//! What a poller counts of its rounds.
//!
//! Invariant: a series is named by a source of the configuration, and is there before the first
//! round ends.

use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, Opts};

use crate::clock::Clock;

/// What a poller counts.
#[derive(Clone)]
pub(super) struct Tally {
    good: IntCounter,
    failed: IntCounter,
    last_good_s: IntGauge,
}

impl Tally {
    /// Nothing yet, of a source of a name.
    pub fn new(name: &str) -> Result<Self, prometheus::Error> {
        let rounds = |outcome| {
            let help = "Rounds of sources that are asked, by how they ended";
            let options = Opts::new("ionflux_poller_rounds_total", help);
            let options = options.const_label("source", name).const_label("outcome", outcome);
            IntCounter::with_opts(options)
        };
        let help = "When the last good round of a source ended, in seconds since 1970";
        let last_good = Opts::new("ionflux_poller_last_good_round_seconds", help);
        let last_good = last_good.const_label("source", name);
        let last_good_s = IntGauge::with_opts(last_good)?;
        Ok(Self { good: rounds("good")?, failed: rounds("failed")?, last_good_s })
    }

    /// Counts a round.
    pub fn count(&self, good: bool, clock: &dyn Clock) {
        if good {
            self.good.inc();
            self.last_good_s.set(clock.now().0 / 1_000);
        } else {
            self.failed.inc();
        }
    }

    /// The metrics, to be registered.
    pub fn metrics(&self) -> [Box<dyn Collector>; 3] {
        let Self { good, failed, last_good_s } = self.clone();
        [Box::new(good), Box::new(failed), Box::new(last_good_s)]
    }
}
