//! Shops that each live their own life, and callers that send what happens to them.
//!
//! Invariant: the same fleet gives the same deliveries in the same order, and whoever waits for
//! them waits until the views show the last.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::time::UtcMs;
use ionflux_schemas::view::Value;
use ionflux_sources::simulator::Simulator;

use crate::instance::Instance;

type Failure = Box<dyn std::error::Error>;

/// Callers that each wait for their answer before they send again.
const CALLERS: usize = 16;
const SEED: u64 = 20_261_121;
const START: UtcMs = UtcMs(1_772_323_200_000);
/// How long the views may be behind what was acknowledged.
const COUNTED_MAX: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Simulated shops, in turn.
pub struct Fleet {
    shops: Vec<Simulator>,
    next: usize,
    ends: u64,
}

/// How fast deliveries are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// As fast as they are acknowledged.
    Fast,
    /// So many a second.
    Rate(usize),
}

impl Fleet {
    /// So many shops, each in a workspace of its own.
    #[must_use]
    pub fn new(shops: u64) -> Self {
        let shops = (0..shops).map(|nth| Simulator::new(SEED + nth, START)).collect();
        Self { shops, next: 0, ends: 0 }
    }

    fn take(&mut self) -> Option<Delivery> {
        let nth = self.next % self.shops.len();
        self.next += 1;
        Some(self.shops[nth].next()?.delivery(&format!("shop-{nth}")))
    }

    /// Sends so many deliveries.
    ///
    /// # Errors
    /// When one is refused.
    pub fn send(&mut self, instance: &Instance, count: usize, pace: Pace) -> Result<(), Failure> {
        let (begun, ready) = (Instant::now(), Mutex::new((&mut *self, 0)));
        thread::scope(|scope| {
            let call = || {
                while let Some((nth, mut delivery)) = taken(&ready, count) {
                    if let Pace::Rate(rate) = pace {
                        let due = begun + Duration::from_secs_f64(nth as f64 / rate as f64);
                        while let Some(early) = due.checked_duration_since(Instant::now()) {
                            thread::park_timeout(early);
                        }
                    }
                    delivery.received_at = instance.clock.now();
                    instance.inbox.deliver_blocking(delivery).map_err(|e| e.to_string())?;
                }
                Ok::<_, String>(())
            };
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
            callers
                .into_iter()
                .try_for_each(|caller| caller.join().map_err(|_| "a caller panicked".to_owned())?)
        })?;
        Ok(())
    }

    /// Waits until everything sent is counted: one more order, of a workspace that nobody has.
    ///
    /// # Errors
    /// When the views do not show it in time.
    pub fn counted(&mut self, instance: &Instance) -> Result<(), Failure> {
        self.ends += 1;
        let workspace = format!("end-{}", self.ends);
        let order = Simulator::new(SEED, START).find(|sent| sent.topic == "orders/create");
        let mut order = order.ok_or("the simulator made no order")?.delivery(&workspace);
        order.received_at = instance.clock.now();
        instance.inbox.deliver_blocking(order)?;
        let shown = || {
            let rows = instance.store.newest().rows("revenue_by_day").unwrap_or_default();
            rows.iter().any(|row| matches!(&row.0[0], Value::Text(text) if **text == *workspace))
        };
        let begun = Instant::now();
        while !shown() {
            if begun.elapsed() > COUNTED_MAX {
                return Err(format!("the views do not show {workspace}").into());
            }
            thread::park_timeout(LOOK_AGAIN);
        }
        Ok(())
    }
}

/// The next of so many deliveries, and which it is.
fn taken(ready: &Mutex<(&mut Fleet, usize)>, count: usize) -> Option<(usize, Delivery)> {
    let mut ready = ready.lock().unwrap_or_else(PoisonError::into_inner);
    let (fleet, sent) = &mut *ready;
    if *sent == count {
        return None;
    }
    *sent += 1;
    Some((*sent - 1, fleet.take()?))
}
