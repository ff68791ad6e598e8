//! The suite every sink passes, over any target: in memory here, live where there is one.
//!
//! Invariant: after every effect the target shows the snapshot of its own mark, whole; at the end
//! of every scenario it shows the newest one.

use std::sync::Arc;

use ionflux_schemas::view::{Row, Value};
use thiserror::Error;

use crate::error::SinkError;
use crate::history::History;
use crate::memory::{Contents, contents_of};
use crate::pump::{Pump, Stepped};
use crate::sink::{BoxFuture, Mark, Sink};

/// A target to try a sink on.
pub trait Bench: Send {
    /// A fresh sink over the same target, as after a restart of the program.
    fn sink(&mut self) -> Box<dyn Sink>;

    /// The rows of the suite's views in the target, read without the sink; a view without rows is
    /// absent.
    fn contents(&mut self) -> BoxFuture<'_, Contents>;

    /// Makes trouble.
    fn disturb(&mut self, trouble: Trouble) -> BoxFuture<'_, ()>;
}

/// Trouble at a target. A bench that cannot make one of them does nothing, and the scenario holds
/// all the same; only [`Trouble::Wipe`] must work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The target is as if never used, and untroubled.
    Wipe,
    /// The next call fails before its effect.
    Refuse,
    /// The next write happens, and its answer is lost.
    LoseAnswer,
    /// The next write arrives damaged, which the target finds out.
    Corrupt,
    /// The target goes down and comes back with what it has; connections break.
    Restart,
    /// The next call takes its time before its effect and after it.
    Delay,
    /// The target gets [`stray`] in the view of counts, from a stranger.
    Stray,
}

/// A row that no history of the suite has.
#[must_use]
pub fn stray() -> Row {
    Row(vec![Value::text("stray"), Value::Int(1)])
}

/// What a sink is put through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// Epoch by epoch, without trouble.
    Plain,
    /// The program dies before, in and after every effect, and replays from behind.
    Crashes,
    /// Every write's answer is lost, then every call refused, then every write damaged.
    Faults,
    /// The target is asked twice, and told everything twice.
    Twice,
    /// The target restarts between epochs.
    Restarts,
    /// The sink is new, the state is old.
    NewSink,
    /// Many epochs merge while the target is slow.
    Slow,
    /// The target holds rows that should not be there.
    Strays,
    /// The target holds the epochs of another state.
    AnotherState,
    /// The target is behind what the program still has.
    Behind,
    /// The target is ahead of where the program replays from.
    Ahead,
}

/// Every scenario.
pub const SCENARIOS: [Scenario; 11] = [
    Scenario::Plain,
    Scenario::Crashes,
    Scenario::Faults,
    Scenario::Twice,
    Scenario::Restarts,
    Scenario::NewSink,
    Scenario::Slow,
    Scenario::Strays,
    Scenario::AnotherState,
    Scenario::Behind,
    Scenario::Ahead,
];

/// How a sink broke its promise.
#[derive(Debug, Error)]
#[error("{scenario:?}, {epochs} epochs offered: {what}")]
pub struct Broken {
    /// The scenario.
    pub scenario: Scenario,
    /// How many epochs had been offered.
    pub epochs: usize,
    /// What differs.
    pub what: String,
    /// What the sink said, if it refused.
    #[source]
    pub cause: Option<SinkError>,
}

const STATE: u128 = 7;
const OTHER_STATE: u128 = 8;
/// A target that fails this often in a row will not come back.
const STEPS_MAX: usize = 200;
/// Enough polls for any effect of a target that answers at all.
const PATIENT: u32 = u32::MAX;
/// Where a crash cuts an effect off: before its first poll, and after so many.
const CUTS: std::ops::Range<u32> = 0..8;

/// Puts a sink through one scenario, on a target that is wiped first.
///
/// # Errors
/// [`Broken`], with the first promise that did not hold.
pub async fn check(scenario: Scenario, bench: &mut dyn Bench) -> Result<(), Broken> {
    bench.disturb(Trouble::Wipe).await;
    let mut trial = Trial::new(scenario, bench);
    match scenario {
        Scenario::Plain => trial.finish().await,
        Scenario::Crashes => crashes(&mut trial).await,
        Scenario::Faults => faults(&mut trial).await,
        Scenario::Twice => twice(&mut trial).await,
        Scenario::Restarts => {
            trial.finish_with(&[Trouble::Restart]).await?;
            trial.crash(0);
            trial.finish_with(&[Trouble::Restart]).await
        }
        Scenario::NewSink => {
            trial.crash(trial.history.batches.len());
            trial.finish().await
        }
        Scenario::Slow => slow(&mut trial).await,
        Scenario::Strays => {
            trial.bench.disturb(Trouble::Stray).await;
            trial.finish().await
        }
        Scenario::AnotherState => another_state(&mut trial).await,
        Scenario::Behind => {
            trial.offer_up_to(2);
            trial.settle().await?;
            trial.crash(5);
            trial.finish().await
        }
        Scenario::Ahead => {
            trial.offer_up_to(6);
            trial.settle().await?;
            trial.crash(2);
            trial.settle().await?;
            trial.finish().await
        }
    }
}

async fn crashes(trial: &mut Trial<'_>) -> Result<(), Broken> {
    for effects in 0..2 {
        for cut in CUTS {
            trial.bench.disturb(Trouble::Wipe).await;
            trial.crash(0);
            while trial.offer() {
                trial.bench.disturb(Trouble::Delay).await;
                for _ in 0..effects {
                    trial.step(PATIENT).await?;
                }
                trial.bench.disturb(Trouble::Delay).await;
                trial.step(cut).await?;
                let offered = trial.offered;
                trial.crash(offered - 1);
                trial.offer_up_to(offered);
            }
            trial.finish().await?;
        }
    }
    Ok(())
}

async fn faults(trial: &mut Trial<'_>) -> Result<(), Broken> {
    let kinds = [Trouble::LoseAnswer, Trouble::Refuse, Trouble::Corrupt];
    for kind in kinds {
        trial.bench.disturb(Trouble::Wipe).await;
        trial.crash(0);
        trial.finish_with(&[kind]).await?;
    }
    trial.bench.disturb(Trouble::Wipe).await;
    trial.crash(0);
    trial.finish_with(&kinds).await
}

async fn twice(trial: &mut Trial<'_>) -> Result<(), Broken> {
    while trial.offer() {
        for _ in 0..2 {
            let mark = trial.pump.sink.resume().await;
            let mark = mark.map_err(|error| trial.refused(error))?;
            trial.pump.courier.resumed(mark);
        }
        let Some(batch) = trial.pump.courier.next() else {
            return Err(trial.broken("an offered epoch is not written"));
        };
        for _ in 0..2 {
            let written = trial.pump.sink.write(&batch).await;
            written.map_err(|error| trial.refused(error))?;
            trial.whole().await?;
        }
        trial.pump.courier.wrote();
        trial.settle().await?;
    }
    trial.finish().await
}

async fn slow(trial: &mut Trial<'_>) -> Result<(), Broken> {
    trial.settle().await?;
    for upper in [3, 4, 7] {
        trial.bench.disturb(Trouble::Delay).await;
        trial.offer_up_to(upper);
        let before = trial.pump.courier.reached();
        let batch = trial.pump.courier.next();
        if batch.is_none_or(|batch| batch.from.is_none() || batch.from != before) {
            return Err(trial.broken("merged epochs do not leave as changes"));
        }
        trial.pump.courier.failed();
        trial.settle().await?;
    }
    trial.finish().await
}

async fn another_state(trial: &mut Trial<'_>) -> Result<(), Broken> {
    let others = History::new(&[vec![(1, 1), (9, 9), (11, 11)], vec![(12, 12)]]);
    let ours = std::mem::replace(&mut trial.history, Arc::new(others));
    trial.state = OTHER_STATE;
    trial.crash(0);
    trial.finish().await?;
    // The other state stands at epoch 2; so will ours, with other rows.
    trial.history = ours;
    trial.state = STATE;
    trial.crash(2);
    trial.settle().await?;
    trial.finish().await
}

/// One program over one target.
struct Trial<'a> {
    scenario: Scenario,
    bench: &'a mut dyn Bench,
    history: Arc<History>,
    state: u128,
    pump: Pump,
    offered: usize,
}

impl<'a> Trial<'a> {
    fn new(scenario: Scenario, bench: &'a mut dyn Bench) -> Self {
        let history = Arc::new(History::sample());
        let pump = Pump::new(STATE, bench.sink());
        let mut trial = Self { scenario, bench, history, state: STATE, pump, offered: 0 };
        trial.crash(0);
        trial
    }

    /// The program starts again at a commit of its own, with a fresh sink.
    fn crash(&mut self, commit: usize) {
        self.pump = Pump::new(self.state, self.bench.sink());
        self.pump.courier.begin(&self.history.states[commit]);
        self.offered = commit;
    }

    /// Offers the next epoch; false when there is none.
    fn offer(&mut self) -> bool {
        let more = self.offered < self.history.batches.len();
        if more {
            let (before, batch, after) = self.history.epoch(self.offered);
            self.pump.courier.offer(before, batch, after);
            self.offered += 1;
        }
        more
    }

    fn offer_up_to(&mut self, upper: usize) {
        while self.offered < upper && self.offer() {}
    }

    async fn finish(&mut self) -> Result<(), Broken> {
        self.finish_with(&[]).await
    }

    /// Brings what is left, epoch by epoch, with trouble before each.
    async fn finish_with(&mut self, troubles: &[Trouble]) -> Result<(), Broken> {
        while self.offer() {
            for trouble in troubles {
                self.bench.disturb(*trouble).await;
            }
            self.settle().await?;
        }
        self.settle().await?;
        let mark = self.whole().await?;
        let upper = self.history.states[self.offered].upper;
        let as_of = self.history.states[self.offered].as_of;
        if mark != Some(Mark { state: self.state, epoch: upper, as_of }) {
            return Err(self.broken(format!("the mark {mark:?} is not the upper {upper}")));
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Broken> {
        for _ in 0..STEPS_MAX {
            if let Stepped::Idle = self.step(PATIENT).await? {
                return Ok(());
            }
        }
        Err(self.broken("the sink does not come to rest"))
    }

    async fn step(&mut self, polls: u32) -> Result<Stepped, Broken> {
        match self.pump.advance_within(polls).await {
            Stepped::Halted(error) => Err(self.refused(error)),
            wrote @ Stepped::Wrote(_) => {
                self.whole().await?;
                Ok(wrote)
            }
            other => Ok(other),
        }
    }

    /// Whether the target shows the epoch of its own mark, and nothing else.
    async fn whole(&mut self) -> Result<Option<Mark>, Broken> {
        let mut said = Err(SinkError::transient("the target was never asked"));
        for _ in 0..STEPS_MAX {
            said = self.bench.sink().resume().await;
            if said.as_ref().err().is_none_or(|error| !error.passing()) {
                break;
            }
        }
        let mark = said.map_err(|error| self.refused(error))?;
        let Some(ours) = mark.filter(|mark| mark.state == self.state) else { return Ok(mark) };
        let Some(state) = self.history.states.iter().find(|state| state.upper == ours.epoch) else {
            return Err(self.broken(format!("the target says {ours:?}, an epoch nobody offered")));
        };
        let (expected, shown) = (contents_of(state), self.bench.contents().await);
        if expected != shown {
            return Err(self.broken(format!("expected {expected:#?}, the target has {shown:#?}")));
        }
        Ok(mark)
    }

    fn refused(&self, error: SinkError) -> Broken {
        Broken { cause: Some(error), ..self.broken("the sink refuses") }
    }

    fn broken(&self, what: impl Into<String>) -> Broken {
        let (scenario, epochs) = (self.scenario, self.offered);
        Broken { scenario, epochs, what: what.into(), cause: None }
    }
}
