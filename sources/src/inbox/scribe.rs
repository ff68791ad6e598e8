//! Writing groups of deliveries, and the clock, into the journal; one step at a time.
//!
//! ```text
//! delivery … delivery | tick | delivery … | tick      a tick closes an epoch
//! ```
//!
//! Invariant: ticks only grow, also over restarts, and whatever is acknowledged was synced first.

use std::sync::Arc;
use std::time::Duration;

use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::health::{Condition, Health};
use ionflux_schemas::time::UtcMs;

use super::Refused;
use super::metrics::{JournalMetrics, gauge};
use crate::clock::Clock;
use crate::journal::error::JournalError;
use crate::journal::{Journal, Opened};

/// How long after the first delivery an epoch is closed: what a person sees as at once.
pub const TICK_MS: i64 = 50;
/// How many bytes of bodies an epoch may have: it is one commit and one batch downstream.
pub const EPOCH_BYTES_MAX: u64 = 8 << 20;
/// How often the clock ticks when nothing comes, so that views that depend on the time move on.
pub const IDLE_TICK_MS: i64 = 15_000;
/// How long to wait after a failure before the clock is tried again.
const RETRY_MS: i64 = 1_000;

/// The writer of the journal, without a thread or a queue of its own.
pub struct Scribe {
    journal: Journal,
    clock: Arc<dyn Clock>,
    metrics: JournalMetrics,
    last_tick: Option<UtcMs>,
    /// When the last tick was written, or the journal opened.
    ticked_at: UtcMs,
    /// When the first delivery since the last tick came.
    waiting_since: Option<UtcMs>,
    waiting_bytes: u64,
    /// Not to be tried before, after a failure.
    retry_at: Option<UtcMs>,
    /// Why the last trimming failed, if it did.
    untrimmed: String,
    health: Health,
}

impl Scribe {
    /// Writes to a journal that was just opened.
    pub fn new(
        journal: Journal,
        opened: &Opened,
        clock: Arc<dyn Clock>,
        metrics: JournalMetrics,
    ) -> Self {
        let now = clock.now();
        let health = Health {
            component: "journal".into(),
            state: Condition::Running,
            since: now,
            reason: "".into(),
        };
        metrics.bytes.set(gauge(journal.bytes()));
        metrics.end_position.set(gauge(journal.durable_end().0));
        Self {
            journal,
            clock,
            metrics,
            last_tick: opened.last_tick,
            ticked_at: now,
            waiting_since: opened.pending.then_some(now),
            waiting_bytes: 0,
            retry_at: None,
            untrimmed: String::new(),
            health,
        }
    }

    /// Writes a group, and a tick if one is due, with one sync, and gives the position of each
    /// delivery. An empty group only writes the tick, if due.
    ///
    /// # Errors
    /// Nothing of the group was acknowledged, and it may come again.
    pub fn commit(&mut self, deliveries: Vec<Delivery>) -> Result<Vec<Position>, Refused> {
        let now = self.clock.now();
        let bytes: u64 = deliveries.iter().map(|delivery| delivery.body.len() as u64).sum();
        let since = self.waiting_since.or((!deliveries.is_empty()).then_some(now));
        let full = self.waiting_bytes + bytes >= EPOCH_BYTES_MAX;
        let due = full || self.due_at(since) <= now;
        self.write(deliveries, (now, bytes), due)
    }

    /// Closes the open epoch, if there is one, before the journal is closed. The tick also bears
    /// witness that all before it was durable.
    ///
    /// # Errors
    /// As [`Scribe::commit`].
    pub fn finish(&mut self) -> Result<(), Refused> {
        let waiting = self.waiting_since.is_some();
        self.write(Vec::new(), (self.clock.now(), 0), waiting).map(|_| ())
    }

    fn write(
        &mut self,
        deliveries: Vec<Delivery>,
        (now, bytes): (UtcMs, u64),
        ticks: bool,
    ) -> Result<Vec<Position>, Refused> {
        let count = deliveries.len();
        let mut entries: Vec<Entry> = deliveries.into_iter().map(Entry::Delivery).collect();
        // Two epochs never share an instant, also when the clock stands still or went back.
        let tick = self.last_tick.map_or(now, |last| now.max(UtcMs(last.0.saturating_add(1))));
        if ticks {
            entries.push(Entry::Tick(tick));
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let from = self.journal.durable_end();
        match self.append(&entries) {
            Ok(mut positions) => {
                positions.truncate(count);
                if ticks {
                    (self.last_tick, self.ticked_at) = (Some(tick), now);
                    (self.waiting_since, self.waiting_bytes) = (None, 0);
                } else {
                    self.waiting_since.get_or_insert(now);
                    self.waiting_bytes += bytes;
                }
                self.retry_at = None;
                self.report(now, Condition::Running, self.untrimmed.clone());
                self.metrics.appended_bytes.inc_by(self.journal.durable_end().0 - from.0);
                if count > 0 {
                    self.metrics.group_deliveries.observe(count as f64);
                }
                Ok(positions)
            }
            Err(error) => Err(self.refuse(now, count, &error)),
        }
    }

    fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, JournalError> {
        let appended = self.journal.append(entries)?;
        let timer = self.metrics.fsync_seconds.start_timer();
        let synced = self.journal.sync();
        timer.observe_duration();
        let durable = synced?;
        self.metrics.bytes.set(gauge(self.journal.bytes()));
        self.metrics.end_position.set(gauge(durable.0));
        Ok(appended.positions)
    }

    fn refuse(&mut self, now: UtcMs, count: usize, error: &JournalError) -> Refused {
        self.retry_at = Some(UtcMs(now.0.saturating_add(RETRY_MS)));
        let state = if self.journal.halted() { Condition::Halted } else { Condition::Stalled };
        self.report(now, state, format!("{error}; {}", error.hint()));
        let refused = match error {
            JournalError::Full { .. } => Refused::Full { retry_after_s: super::FULL_RETRY_S },
            JournalError::TooLarge { bytes, max_bytes } => {
                Refused::TooLarge { bytes: *bytes, max_bytes: *max_bytes }
            }
            _ => Refused::Failing,
        };
        self.metrics.refused.with_label_values(&[refused.label()]).inc_by(count as u64);
        refused
    }

    fn report(&mut self, now: UtcMs, state: Condition, reason: String) {
        if self.health.state != state {
            self.health.since = now;
        }
        if self.health.state != state || *self.health.reason != *reason {
            self.health.state = state;
            self.health.reason = reason.into();
        }
    }

    fn due_at(&self, waiting_since: Option<UtcMs>) -> UtcMs {
        let idle_at = self.ticked_at.0.saturating_add(IDLE_TICK_MS);
        let closing_at = waiting_since.map_or(i64::MAX, |since| since.0.saturating_add(TICK_MS));
        UtcMs(idle_at.min(closing_at))
    }

    /// How long whoever drives this may wait before the next commit, if nothing comes.
    pub fn next_tick_in(&self) -> Duration {
        let due_at = self.due_at(self.waiting_since).max(self.retry_at.unwrap_or(UtcMs(i64::MIN)));
        let wait_ms = due_at.0.saturating_sub(self.clock.now().0).max(0);
        Duration::from_millis(wait_ms.unsigned_abs())
    }

    /// Trims the oldest segment below a position, and says whether there may be another.
    ///
    /// # Errors
    /// Nothing was trimmed; it may be asked again.
    pub fn trim_one(&mut self, below: Position) -> Result<bool, JournalError> {
        let now = self.clock.now();
        // First of all, for on a full disk it is what makes room.
        let expired = self.journal.expire(now);
        let trimmed = self.journal.trim_one(below, now).map(|bytes| bytes.is_some());
        let trimmed = trimmed.and_then(|more| expired.map(|_| more));
        self.metrics.bytes.set(gauge(self.journal.bytes()));
        // A journal that is not trimmed still runs, but a person should know.
        self.untrimmed = match &trimmed {
            Ok(_) => String::new(),
            Err(error) => format!("trimming: {error}; {}", error.hint()),
        };
        if self.health.state == Condition::Running {
            self.report(now, Condition::Running, self.untrimmed.clone());
        }
        trimmed
    }

    /// Up to where everything is durable.
    pub fn durable_end(&self) -> Position {
        self.journal.durable_end()
    }

    /// The last tick there ever was.
    pub fn last_tick(&self) -> Option<UtcMs> {
        self.last_tick
    }

    /// The journal, for its numbers and its readers.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What the journal says of itself.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The measures it keeps.
    pub(super) fn metrics(&self) -> &JournalMetrics {
        &self.metrics
    }
}
