//! Pollers: sources that are asked in rounds, each on a thread of its own.
//!
//! ```text
//! round ─▶ wait `every` ─▶ round ...          a round that fails ─▶ wait 1 s, 2 s, 4 s ... 5 min
//! ```
//!
//! Invariant: a poller never holds up another or the journal, ends within one request of being
//! told to, and is always able to say how it is. The end of the program waits for none too long.

mod tally;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, after, bounded, select};
use ionflux_schemas::health::{Condition, Health};
use prometheus::core::Collector;
use thiserror::Error;

use self::tally::Tally;
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
    tally: Tally,
    thread: Option<JoinHandle<()>>,
    /// Nothing comes of it; it is closed once the thread has ended.
    ended: Receiver<()>,
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
        let tally = Tally::new(name).map_err(io::Error::other)?;
        let (alive, ended) = bounded(0);
        let (asked, told, counts) = (stop.clone(), Arc::clone(&health), tally.clone());
        let work = move || {
            let mut failures: u32 = 0;
            while !asked.asked() {
                let round = source.poll(&asked);
                let (state, reason) = match &round {
                    Ok(()) => (Condition::Running, String::new()),
                    Err(PollError::Transient(reason)) => (Condition::Stalled, reason.clone()),
                    Err(PollError::Permanent(reason)) => (Condition::Halted, reason.clone()),
                };
                counts.count(round.is_ok(), &*clock);
                tell(&told, state, &reason, &*clock);
                failures = if round.is_ok() { 0 } else { failures.saturating_add(1) };
                let stopped = match round {
                    Ok(()) => asked.pause(every),
                    Err(PollError::Transient(_)) => asked.wait(backoff(failures)),
                    Err(PollError::Permanent(_)) => asked.wait(BACKOFF_MAX),
                };
                if stopped {
                    break;
                }
            }
            // What it holds is given back before it counts as ended.
            drop(source);
            drop::<crossbeam_channel::Sender<()>>(alive);
        };
        let thread = thread::Builder::new().name(name.chars().take(15).collect()).spawn(work)?;
        Ok(Self { stop, health, tally, thread: Some(thread), ended })
    }

    /// What answers how it is, at any time.
    pub fn health(&self) -> impl Fn() -> Health + Send + Sync + 'static {
        let health = Arc::clone(&self.health);
        move || health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it counts, to be registered.
    #[must_use]
    pub fn metrics(&self) -> [Box<dyn Collector>; 3] {
        self.tally.metrics()
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

/// Pollers that were told to end, and the time they have.
pub struct Ending {
    pollers: Vec<Poller>,
    over: Receiver<Instant>,
}

impl Ending {
    /// Tells pollers to end; the time they have runs from now on.
    #[must_use]
    pub fn begin(pollers: Vec<Poller>, at_most: Duration) -> Self {
        pollers.iter().for_each(|poller| poller.stop.ask());
        Self { pollers, over: after(at_most) }
    }

    /// Waits until all have ended or their time is over, and gives the names of those that have
    /// not ended: a request of theirs is under way, and ends with the program. What they had not
    /// delivered they ask for again at the next start.
    #[must_use]
    pub fn wait(self) -> Vec<Box<str>> {
        let (mut in_time, mut late) = (true, Vec::new());
        for poller in &self.pollers {
            if in_time {
                select! {
                    recv(poller.ended) -> _ => {}
                    recv(self.over) -> _ => in_time = false,
                }
            }
            if poller.ended.try_recv() != Err(TryRecvError::Disconnected) {
                late.push(poller.health()().component);
            }
        }
        late
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.ask();
    }
}

/// Keeps how a poller is, and logs a change; gives whether it is one.
fn tell(health: &Mutex<Health>, state: Condition, reason: &str, clock: &dyn Clock) -> bool {
    let mut health = health.lock().unwrap_or_else(PoisonError::into_inner);
    let before = health.state;
    let changed = before != state;
    if changed {
        (health.state, health.since) = (state, clock.now());
        let name = &health.component;
        match state {
            Condition::Stalled => tracing::warn!("{name}: asked in vain, and again: {reason}"),
            Condition::Halted => tracing::error!("{name}: a person must act: {reason}"),
            _ if before == Condition::Starting => tracing::info!("{name}: runs"),
            // As loud as what it ends.
            _ => tracing::warn!("{name}: runs again"),
        }
    }
    health.reason = reason.into();
    changed
}

fn backoff(failures: u32) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(1 << failures.saturating_sub(1).min(9));
    doubled.min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Stepped, Wall};
    use ionflux_schemas::time::UtcMs;
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
    fn a_change_is_told_once() {
        let (clock, component) = (Wall::default(), "shop".into());
        let (since, reason) = (clock.now(), Box::default());
        let health = Mutex::new(Health { component, state: Condition::Starting, since, reason });
        let states = [Condition::Running, Condition::Stalled, Condition::Halted];
        for state in states.into_iter().chain([Condition::Running]) {
            let told = [(); 3].map(|()| tell(&health, state, "why", &clock));
            assert_eq!(told, [true, false, false], "{state:?}");
        }
    }

    #[test]
    fn rounds_are_counted() {
        let (sender, rounds) = mpsc::channel();
        let source = Told(sender, vec![Ok(()), Ok(())]);
        let clock = Arc::new(Stepped::new(UtcMs(7_999)));
        let poller = Poller::start("shop", Duration::ZERO, clock, Box::new(source)).unwrap();
        let registry = prometheus::Registry::new();
        poller.metrics().into_iter().for_each(|each| registry.register(each).unwrap());
        assert_eq!(rounds.iter().take(3).count(), 3);
        poller.finish();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "ionflux_poller_rounds_total{outcome=\"good\",source=\"shop\"} 3",
            "ionflux_poller_rounds_total{outcome=\"failed\",source=\"shop\"} 0",
            "ionflux_poller_last_good_round_seconds{source=\"shop\"} 7",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}: {text}");
        }
    }

    /// One request that ends only when the test says so.
    struct Stuck(mpsc::Sender<()>, mpsc::Receiver<()>);

    impl Poll for Stuck {
        fn poll(&mut self, _: &Stop) -> Result<(), PollError> {
            let _ = self.0.send(());
            let _ = self.1.recv();
            Ok(())
        }
    }

    #[test]
    fn an_end_does_not_wait_for_a_request_for_ever() {
        let (begun, begins) = mpsc::channel();
        let start = |name: &str| {
            let (answer, answered) = mpsc::channel();
            let source = Box::new(Stuck(begun.clone(), answered));
            let clock = Arc::new(Wall::default());
            let poller = Poller::start(name, Duration::ZERO, clock, source).unwrap();
            begins.recv().unwrap();
            (poller, answer)
        };
        let [(stuck, answer), (one, of_one), (two, of_two)] = ["stuck", "one", "two"].map(start);
        drop((of_one, of_two));
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
        assert!(Ending::begin(vec![one], long).wait().is_empty());
        let health = two.health();
        let late = Ending::begin(vec![stuck, two], short).wait();
        assert_eq!((&*late[0], &*health().component), ("stuck", "two"));
        drop(answer);
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let seconds = [1, 2, 9, 10, 40].map(|failures| backoff(failures).as_secs());
        assert_eq!(seconds, [1, 2, 256, 300, 300]);
    }
}
