//! `ionflux demo`: a simulated shop, first some weeks in a moment, then live, with the dashboard.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use ionflux_ledger::BaseZone;
use ionflux_schemas::delivery::Position;
use ionflux_schemas::time::UtcMs;
use ionflux_service::store::Phase;
use ionflux_sources::list::read_delivery;
use ionflux_sources::simulator::{Sent, Simulator};

use crate::assemble::{Books, Options};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::serve::{Served, Service};

/// Weeks of history: enough for a weekday to be compared with its like.
const HISTORY_DAYS: i64 = 42;
const DAY_MS: i64 = 86_400_000;
/// How often live events are counted.
const TICK: Duration = Duration::from_millis(50);

/// Watch a simulated shop, live, with the dashboard; needs nothing
///
/// Orders, refunds, edits, late and duplicate deliveries of one made-up Shopify shop go through
/// the same dataflow as real ones. After six weeks of history the shop's clock runs on faster than
/// ours: at the default rate one of its days takes about two minutes.
#[derive(Args, Debug)]
pub struct Demo {
    /// The port of the dashboard on this machine
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Events a second once it is live
    #[arg(long, value_name = "EVENTS_PER_S", default_value_t = 5.0, value_parser = rate)]
    pub rate: f64,
    /// The seed of the shop: the same seed, the same shop
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.01..=2000.0).contains(&rate) { Ok(rate) } else { Err("not in 0.01 to 2000".to_owned()) }
}

impl Demo {
    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// When the port is taken, or the temporary state cannot be kept.
    pub fn execute(&self) -> Result<(), Failure> {
        let mut books =
            Books::open(&Options { state: None, base_zone: BaseZone::Unknown, workers: 1 })?;
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let service = Service::start(address, Served::plain(books.store(), books.shops()))?;
        eprintln!("dashboard: http://{}  (Ctrl-C stops)", service.address);
        let stop = service.stop_flag();
        let stopped = || stop.load(Ordering::Relaxed);

        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let today = now.as_millis() as i64 / DAY_MS * DAY_MS;
        let start = UtcMs(today - HISTORY_DAYS * DAY_MS);
        let mut shop = Simulator::new(self.seed, start);
        books.store().set_phase(Phase::Replaying);
        history(&mut books, &mut shop, start, &stopped)?;
        books.store().set_phase(Phase::Live);
        if !stopped() {
            eprintln!("live at {} events a second", self.rate);
        }
        self.live(&mut books, &mut shop, &stopped)?;
        books.finish()?;
        Ok(())
    }

    fn live(
        &self,
        books: &mut Books,
        shop: &mut Simulator,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let ticks = crossbeam_channel::tick(TICK);
        let mut sent = 0_u64;
        while !stopped() && ticks.recv().is_ok() {
            let due = (started.elapsed().as_secs_f64() * self.rate) as u64;
            let mut clock = None;
            for delivery in shop.by_ref().take(due.saturating_sub(sent) as usize) {
                clock = Some(delivery.at);
                count(books, delivery)?;
                sent += 1;
            }
            if clock.is_some() {
                books.engine.close_epoch(clock)?;
            }
        }
        Ok(())
    }
}

/// Some weeks at once, a day an epoch, so that the page shows them pass by.
fn history(
    books: &mut Books,
    shop: &mut Simulator,
    start: UtcMs,
    stopped: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let mut progress = Progress::steps("days of history", HISTORY_DAYS as u64);
    let mut day = 0;
    for delivery in shop.by_ref() {
        let now = (delivery.at.0 - start.0) / DAY_MS;
        if now != day {
            books.engine.close_epoch(Some(delivery.at))?;
            progress.at(now as u64);
            day = now;
        }
        count(books, delivery)?;
        if day >= HISTORY_DAYS || stopped() {
            break;
        }
    }
    progress.done();
    books.engine.close_epoch(None)
}

/// A delivery goes through the reader of real ones.
fn count(books: &mut Books, sent: Sent) -> Result<(), Failure> {
    books.engine.add(read_delivery(&sent.delivery("demo"), Position(0)));
    if books.engine.full() { books.engine.close_epoch(None) } else { Ok(()) }
}
