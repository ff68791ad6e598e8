//! Freshness: from an acknowledged delivery to views that show it, at a steady rate.
//!
//! The whole live instance on its own threads: inbox, journal on disk, decoder, ledger on disk,
//! dataflow, store. `cargo bench -p ionflux-benches --bench live -- [EVENTS_PER_S] [SECONDS]`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ionflux::assemble::{self, Options};
use ionflux::live::{Live, Parts};
use ionflux::meter::Meter;
use ionflux::outlets::Outlets;
use ionflux::state::State;
use ionflux_ledger::BaseZone;
use ionflux_schemas::delivery::{Delivery, Entry, Position};
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::time::UtcMs;
use ionflux_service::health::HealthBoard;
use ionflux_service::store::{Phase, Store};
use ionflux_sources::clock::{Clock, Wall};
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::simulator::Simulator;
use prometheus::Registry;

type Failure = Box<dyn std::error::Error>;

/// Callers that each wait for their answer before they send again.
const CALLERS: usize = 16;
const SEED: u64 = 20_261_121;
/// Seconds at the beginning that do not count.
const WARM_UP_S: usize = 3;

fn main() -> Result<(), Failure> {
    let numbers = std::env::args().skip(1).filter(|a| a != "--bench");
    let numbers = numbers.map(|text| text.parse()).collect::<Result<Vec<usize>, _>>()?;
    let (rate, seconds) = match numbers[..] {
        [] => (2_000, 30),
        [rate] => (rate, 30),
        [rate, seconds, ..] => (rate, seconds),
    };
    let folder = tempfile::tempdir()?;
    let bench = Bench::start(folder.path())?;
    let measured = bench.load(deliveries(rate * (seconds + WARM_UP_S)), rate)?;
    measured.print(rate, seconds);
    Ok(())
}

fn deliveries(count: usize) -> Vec<Delivery> {
    Simulator::new(SEED, UtcMs(1_772_323_200_000))
        .take(count)
        .map(|sent| sent.delivery("acme"))
        .collect()
}

struct Bench {
    inbox: Inbox,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    live: Live,
}

/// When a delivery was sent, acknowledged, and where the journal has it.
struct Answer {
    sent: Instant,
    acknowledged: Instant,
    position: Position,
}

struct Measured {
    answers: Vec<Answer>,
    /// The end of each epoch in the journal.
    ticks: Vec<Position>,
    /// When each epoch could be read.
    published: Vec<(u64, Instant)>,
    bytes: usize,
    started: Instant,
}

impl Bench {
    fn start(folder: &Path) -> Result<Self, Failure> {
        let said = |failure: ionflux::failure::Failure| failure.problem;
        let state = Arc::new(State::create(folder).map_err(said)?);
        let clock: Arc<dyn Clock> = Arc::new(Wall::default());
        let registry = Registry::new();
        let files = Box::new(Folder::open(&state.journal())?);
        let (journal, opened) = Journal::open(files, Limits::new(4 << 30))?;
        let metrics = JournalMetrics::new(&registry)?;
        let inbox = Inbox::open(Scribe::new(journal, &opened, Arc::clone(&clock), metrics))?;
        let dictionary = Arc::new(Dictionary::new());
        let store = Arc::new(Store::hydrating(assemble::empty(&dictionary)));
        let (base_zone, workers) = (BaseZone::Unknown, 1);
        let options = Options { state: None, base_zone, workers };
        let ledger = assemble::ledger(Some(&state), dictionary, &options).map_err(said)?;
        let parts = Parts {
            subjects: None,
            state,
            inbox: inbox.clone(),
            ledger,
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            meter: Meter::new(&registry).map_err(said)?,
            board: Arc::new(HealthBoard::default()),
            outlets: Outlets::default(),
            workers,
        };
        let live = Live::start(parts, || {}).map_err(said)?;
        Ok(Self { inbox, store, clock, live })
    }

    fn load(self, deliveries: Vec<Delivery>, rate: usize) -> Result<Measured, Failure> {
        let bytes = deliveries.iter().map(|d| d.body.len()).sum::<usize>() / deliveries.len();
        let ended = Arc::new(AtomicBool::new(false));
        let watcher = self.watch(Arc::clone(&ended));
        let follower = self.follow(Arc::clone(&ended))?;
        let started = Instant::now();
        let mut shares: Vec<Vec<(usize, Delivery)>> = (0..CALLERS).map(|_| Vec::new()).collect();
        for (nth, delivery) in deliveries.into_iter().enumerate() {
            shares[nth % CALLERS].push((nth, delivery));
        }
        let mut answers = Vec::new();
        thread::scope(|scope| {
            let callers: Vec<_> = shares
                .into_iter()
                .map(|share| scope.spawn(|| self.call(share, rate, started)))
                .collect();
            for caller in callers {
                match caller.join() {
                    Ok(Ok(some)) => answers.extend(some),
                    Ok(Err(refused)) => return Err(refused),
                    Err(_) => return Err("a caller panicked".to_owned()),
                }
            }
            Ok(())
        })?;
        let Self { inbox, live, .. } = self;
        inbox.close();
        live.finish().map_err(|failure| failure.problem)?;
        ended.store(true, Ordering::SeqCst);
        let published = watcher.join().map_err(|_| "the watcher panicked")?;
        let ticks = follower.join().map_err(|_| "the follower panicked")??;
        Ok(Measured { answers, ticks, published, bytes, started })
    }

    /// Sends each delivery when it is due.
    fn call(
        &self,
        share: Vec<(usize, Delivery)>,
        rate: usize,
        started: Instant,
    ) -> Result<Vec<Answer>, String> {
        let mut answers = Vec::with_capacity(share.len());
        for (nth, mut delivery) in share {
            let due = started + Duration::from_secs_f64(nth as f64 / rate as f64);
            while let Some(early) = due.checked_duration_since(Instant::now()) {
                thread::park_timeout(early);
            }
            delivery.received_at = self.clock.now();
            let sent = Instant::now();
            let position = self.inbox.deliver_blocking(delivery).map_err(|e| e.to_string())?;
            answers.push(Answer { sent, acknowledged: Instant::now(), position });
        }
        Ok(answers)
    }

    fn watch(&self, ended: Arc<AtomicBool>) -> thread::JoinHandle<Vec<(u64, Instant)>> {
        let store = Arc::clone(&self.store);
        thread::spawn(move || {
            let mut published = Vec::new();
            let mut last = 0;
            while !ended.load(Ordering::SeqCst) {
                let epoch = store.health().epoch;
                if epoch > last && store.health().phase == Phase::Live {
                    published.push((epoch, Instant::now()));
                    last = epoch;
                }
                thread::park_timeout(Duration::from_micros(500));
            }
            published
        })
    }

    /// Reads the journal as it grows, for the place of every tick.
    fn follow(
        &self,
        ended: Arc<AtomicBool>,
    ) -> Result<thread::JoinHandle<Result<Vec<Position>, String>>, Failure> {
        let mut reader = self.inbox.read(Position(0));
        let inbox = self.inbox.clone();
        Ok(thread::spawn(move || {
            let mut ticks = Vec::new();
            loop {
                let last = ended.load(Ordering::SeqCst);
                let durable = *inbox.durable().borrow();
                while let Some(record) = reader.next(durable).map_err(|e| e.to_string())? {
                    if matches!(record.entry, Entry::Tick(_)) {
                        ticks.push(record.end);
                    }
                }
                if last {
                    return Ok(ticks);
                }
                thread::park_timeout(Duration::from_millis(20));
            }
        }))
    }
}

impl Measured {
    fn print(&self, rate: usize, seconds: usize) {
        let warm = self.started + Duration::from_secs(WARM_UP_S as u64);
        let mut acknowledged = Vec::new();
        let mut fresh = Vec::new();
        for answer in self.answers.iter().filter(|answer| answer.sent >= warm) {
            acknowledged.push(answer.acknowledged - answer.sent);
            // The epoch is the first whose tick lies behind the delivery; epochs count from 1.
            let epoch = self.ticks.partition_point(|tick| *tick <= answer.position) as u64 + 1;
            let place = self.published.partition_point(|(upper, _)| *upper < epoch);
            if let Some((_, at)) = self.published.get(place) {
                fresh.push(at.saturating_duration_since(answer.acknowledged));
            }
        }
        println!(
            "{rate} events/s of {} bytes for {seconds} s: {} epochs, {} deliveries timed",
            self.bytes,
            self.ticks.len(),
            fresh.len()
        );
        for (what, times) in [
            ("sent to acknowledged", &mut acknowledged),
            ("acknowledged to view readable", &mut fresh),
        ] {
            times.sort();
            let at = |share: f64| {
                let place = ((times.len() as f64 * share) as usize).min(times.len().max(1) - 1);
                times.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
            };
            println!(
                "{what:<30} p50 {:>7.1} ms   p99 {:>7.1} ms   max {:>7.1} ms",
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
    }
}
