//! Pollers: sources that are asked in rounds, each on a thread of its own.
//!
//! ```text
//! round ─▶ wait `every` ─▶ round ...          a round that fails ─▶ wait 1 s, 2 s, 4 s ... 5 min
//! ```
//!
//! Invariant: a poller never holds up another or the journal, ends within one request of being
//! told to, and is always able to say how it is.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ionflux_schemas::health::{Condition, Health};
use thiserror::Error;

use crate::clock::Clock;

/// The longest wait after a round that failed.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Why a round failed. Neither names a credential.
#[derive(Debug, Error)]
pub enum PollError {
    /// It may go well the next time.
    #[error("{0}")]
    Transient(String),
    /// It never will until a person acts.
    #[error("{0}")]
    Permanent(String),
}

/// What is asked in rounds.
pub trait Poll: Send {
    /// One round; looks at `stop` between requests and ends early when it is set.
    ///
    /// # Errors
    /// [`PollError`].
    fn poll(&mut self, stop: &Stop) -> Result<(), PollError>;
}

/// A wish to stop, which also wakes whoever waits.
#[derive(Clone, Default, Debug)]
pub struct Stop(Arc<(Mutex<Wishes>, Condvar)>);

#[derive(Default, Debug)]
struct Wishes {
    stop: bool,
    wake: bool,
}

/// Ends the pause between two rounds. Clones wake the same.
#[derive(Clone, Debug)]
pub struct Waker(Stop);

impl Waker {
    /// Has the next round begin now; after the one that is under way, if one is. The pause after a
    /// round that failed is not cut short.
    pub fn wake(&self) {
        self.0.wishes().wake = true;
        self.0.0.1.notify_all();
    }
}

impl Stop {
    /// Whether it was set.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.wishes().stop
    }

    /// Sets it.
    pub fn ask(&self) {
        self.wishes().stop = true;
        self.0.1.notify_all();
    }

    /// Waits until it is set or the time is up; says whether it is set.
    #[must_use]
    pub fn wait(&self, at_most: Duration) -> bool {
        let waited = self.0.1.wait_timeout_while(self.wishes(), at_most, |wishes| !wishes.stop);
        waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }

    /// The same, and ends when woken.
    fn pause(&self, at_most: Duration) -> bool {
        let waiting = |wishes: &mut Wishes| !wishes.stop && !wishes.wake;
        let waited = self.0.1.wait_timeout_while(self.wishes(), at_most, waiting);
        let mut wishes = waited.unwrap_or_else(PoisonError::into_inner).0;
        wishes.wake = false;
        wishes.stop
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A poller at work.
pub struct Poller {
    stop: Stop,
    health: Arc<Mutex<Health>>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Starts asking, at once and then every so often.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub fn start(
        name: &str,
        every: Duration,
        clock: Arc<dyn Clock>,
        mut source: Box<dyn Poll>,
    ) -> io::Result<Self> {
        let stop = Stop::default();
        let (component, state) = (name.into(), Condition::Starting);
        let (since, reason) = (clock.now(), Box::default());
        let health = Arc::new(Mutex::new(Health { component, state, since, reason }));
        let (asked, told) = (stop.clone(), Arc::clone(&health));
        let work = move || {
            let mut failures: u32 = 0;
            while !asked.asked() {
                let round = source.poll(&asked);
                let (state, reason) = match &round {
                    Ok(()) => (Condition::Running, String::new()),
                    Err(PollError::Transient(reason)) => (Condition::Stalled, reason.clone()),
                    Err(PollError::Permanent(reason)) => (Condition::Halted, reason.clone()),
                };
                tell(&told, state, &reason, &*clock);
                failures = if round.is_ok() { 0 } else { failures.saturating_add(1) };
                let stopped = match round {
                    Ok(()) => asked.pause(every),
                    Err(PollError::Transient(_)) => asked.wait(backoff(failures)),
                    Err(PollError::Permanent(_)) => asked.wait(BACKOFF_MAX),
                };
                if stopped {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name(name.chars().take(15).collect()).spawn(work)?;
        Ok(Self { stop, health, thread: Some(thread) })
    }

    /// What answers how it is, at any time.
    pub fn health(&self) -> impl Fn() -> Health + Send + Sync + 'static {
        let health = Arc::clone(&self.health);
        move || health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What begins its next round early.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(self.stop.clone())
    }

    /// Tells it to end, and waits until it has.
    pub fn finish(mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            // A panic was printed where it happened, and its source is not asked any more.
            let _ = thread.join();
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.ask();
    }
}

fn tell(health: &Mutex<Health>, state: Condition, reason: &str, clock: &dyn Clock) {
    let mut health = health.lock().unwrap_or_else(PoisonError::into_inner);
    if health.state != state {
        (health.state, health.since) = (state, clock.now());
    }
    health.reason = reason.into();
}

fn backoff(failures: u32) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(1 << failures.saturating_sub(1).min(9));
    doubled.min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;
    use std::sync::mpsc;

    struct Told(mpsc::Sender<()>, Vec<Result<(), PollError>>);

    impl Poll for Told {
        fn poll(&mut self, stop: &Stop) -> Result<(), PollError> {
            let round = self.1.pop();
            if round.is_none() {
                stop.ask();
            }
            let _ = self.0.send(());
            round.unwrap_or(Ok(()))
        }
    }

    #[test]
    fn a_poller_says_how_it_is_and_stops() {
        let (sender, rounds) = mpsc::channel();
        let source = Told(sender, vec![Ok(()), Ok(())]);
        let clock = Arc::new(Wall::default());
        let poller = Poller::start("shop", Duration::ZERO, clock, Box::new(source)).unwrap();
        let health = poller.health();
        assert_eq!(rounds.iter().take(3).count(), 3);
        poller.finish();
        assert_eq!((&*health().component, health().state), ("shop", Condition::Running));
    }

    #[test]
    fn a_poller_is_woken() {
        let (sender, rounds) = mpsc::channel();
        let source = Told(sender, vec![Ok(()), Ok(())]);
        let clock = Arc::new(Wall::default());
        let (day, source) = (Duration::from_secs(86_400), Box::new(source));
        let poller = Poller::start("shop", day, clock, source).unwrap();
        let waker = poller.waker();
        for _ in 0..3 {
            rounds.recv().unwrap();
            waker.wake();
        }
        poller.finish();
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let seconds = [1, 2, 9, 10, 40].map(|failures| backoff(failures).as_secs());
        assert_eq!(seconds, [1, 2, 256, 300, 300]);
    }
}
