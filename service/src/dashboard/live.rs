//! The dashboard as it changes: computed once per choice and epoch, however many pages are open.
//!
//! Invariant: a page gets at most four messages a second, always the latest, and computing them
//! takes at most a fifth of one core's time per choice, so that the publisher is never held up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ionflux_schemas::time::UtcMs;
use serde::Serialize;
use tokio::sync::watch;

use super::{Calendars, Choice, Dashboard, build};
use crate::problem::Problem;
use crate::sse::{Gone, Outlet};
use crate::store::{Hydration, Phase, Signal, Store};
use crate::stream::closed;

/// The shortest time between two messages: quick to the eye, easy on the page.
const PACE: Duration = Duration::from_millis(250);
/// After a computation this many times its duration is rest.
const REST: u32 = 4;
/// The most choices whose latest dashboard is kept; beyond it all are computed anew.
const CHOICES_MAX: usize = 64;

type Slot = Arc<tokio::sync::Mutex<Option<Latest>>>;

/// The latest dashboard of each choice.
pub(crate) struct Dashboards {
    store: Arc<Store>,
    calendars: Calendars,
    slots: Mutex<HashMap<Choice, Slot>>,
}

/// A dashboard with what it was made of.
#[derive(Clone)]
struct Latest {
    told: Told,
    dashboard: Arc<Dashboard>,
}

/// A dashboard that may be older than the epoch it is shown at, since nothing changed in between.
#[derive(Serialize)]
pub(crate) struct Message<'a> {
    phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    hydration: Option<Progress>,
    #[serde(flatten)]
    dashboard: &'a Dashboard,
}

/// An epoch that changed nothing but the clock.
#[derive(Serialize)]
struct Clock {
    epoch: u64,
    as_of: String,
    phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    hydration: Option<Progress>,
}

/// How far hydration is, as the page shows it.
#[derive(Serialize)]
struct Progress {
    done: u64,
    total: u64,
    percent: u8,
}

/// What a page was told last: if it is the same again, only the clock has moved.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    /// Rows kept by an earlier process are never taken for those that replace them.
    stored: bool,
    /// The epoch of the last change.
    changed: u64,
    hour: i64,
}

impl Progress {
    fn of(hydration: Hydration) -> Self {
        let Hydration { done, total } = hydration;
        Self { done, total, percent: hydration.percent() }
    }
}

impl Dashboards {
    pub fn new(store: Arc<Store>, calendars: Calendars) -> Self {
        Self { store, calendars, slots: Mutex::new(HashMap::new()) }
    }

    /// The dashboard of a choice at the newest epoch, as JSON.
    pub async fn json(&self, choice: &Choice) -> Result<(u64, String), Problem> {
        let signal = self.store.signal();
        let (dashboard, _) = self.latest(choice).await?;
        Ok((dashboard.epoch, message(signal, &dashboard)))
    }

    async fn latest(&self, choice: &Choice) -> Result<(Arc<Dashboard>, Told), Problem> {
        let slot = self.slot(choice);
        // Whoever comes second waits for the first one's answer rather than compute it again.
        let mut slot = slot.lock().await;
        let tables = self.store.published().tables;
        let (stored, changed) = (tables.stored, tables.changed.0);
        let told = Told { stored, changed, hour: hour(tables.as_of) };
        if let Some(latest) = slot.as_mut().filter(|latest| latest.told == told) {
            let same = &latest.dashboard;
            if same.epoch != tables.epoch.0 {
                let (epoch, as_of) = (tables.epoch.0, tables.as_of.to_string());
                latest.dashboard = Arc::new(Dashboard { epoch, as_of, ..(**same).clone() });
            }
            return Ok((Arc::clone(&latest.dashboard), told));
        }
        let dashboard = Arc::new(build(&tables, &self.calendars, choice).await?);
        *slot = Some(Latest { told, dashboard: Arc::clone(&dashboard) });
        Ok((dashboard, told))
    }

    fn slot(&self, choice: &Choice) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= CHOICES_MAX && !slots.contains_key(choice) {
            slots.clear();
        }
        Arc::clone(slots.entry(choice.clone()).or_default())
    }

    /// Feeds one page until it goes or the store closes.
    pub async fn feed(self: Arc<Self>, choice: Choice, first: First, outlet: Outlet) {
        let closed = closed(self.store.watch());
        tokio::select! {
            _ = self.follow(&choice, first, &outlet) => {}
            () = outlet.gone() => {}
            () = closed => {}
        }
    }

    /// The first message, so that a choice which does not exist is refused before it streams.
    pub async fn first(&self, choice: &Choice) -> Result<First, Problem> {
        // Watched from before it is made, so that what changes meanwhile wakes the stream.
        let signal = self.store.watch();
        let now = *signal.borrow();
        let (dashboard, told) = self.latest(choice).await?;
        Ok(First { message: message(now, &dashboard), told, signal })
    }

    async fn follow(&self, choice: &Choice, first: First, outlet: &Outlet) -> Result<(), Gone> {
        let First { message: opening, told: mut last, mut signal } = first;
        outlet.send("dashboard", opening).await?;
        let mut rest = PACE;
        loop {
            tokio::time::sleep(rest).await;
            if signal.changed().await.is_err() {
                return Ok(());
            }
            let now = *signal.borrow_and_update();
            let began = Instant::now();
            let (dashboard, told) = match self.latest(choice).await {
                Ok(latest) => latest,
                Err(problem) => return outlet.send("problem", problem.json()).await,
            };
            rest = PACE.max(began.elapsed() * REST);
            if told == last {
                let (epoch, as_of) = (dashboard.epoch, dashboard.as_of.clone());
                let (phase, hydration) = (now.phase, now.hydration.map(Progress::of));
                let clock = Clock { epoch, as_of, phase, hydration };
                outlet.send("clock", serde_json::to_string(&clock).unwrap_or_default()).await?;
            } else {
                outlet.send("dashboard", message(now, &dashboard)).await?;
            }
            last = told;
        }
    }
}

/// A dashboard under a signal from before it was made: figures of before a reveal are never shown
/// under a phase of after it.
fn message(signal: Signal, dashboard: &Dashboard) -> String {
    let (phase, hydration) = (signal.phase, signal.hydration.map(Progress::of));
    serde_json::to_string(&Message { phase, hydration, dashboard }).unwrap_or_default()
}

/// The first message of a stream.
pub(crate) struct First {
    message: String,
    told: Told,
    signal: watch::Receiver<Signal>,
}

/// Quarters of an hour: the shop's day and clock hour can change only between two of them.
fn hour(at: UtcMs) -> i64 {
    at.0.div_euclid(900_000)
}
