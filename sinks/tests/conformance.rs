//! The suite over the in-memory sink; faults and crashes at random; and that the sink itself finds
//! what does not fit.
//!
//! Invariant: at every moment the target shows the epoch of its mark, whole.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use ionflux_schemas::snapshot::{Change, Snapshot};
use ionflux_schemas::time::Epoch;
use ionflux_sinks::conformance::{Bench, SCENARIOS, Trouble, check, stray};
use ionflux_sinks::courier::Courier;
use ionflux_sinks::error::SinkError;
use ionflux_sinks::history::{COUNTS, History};
use ionflux_sinks::list::Sinks;
use ionflux_sinks::memory::{Contents, Fault, Target, contents_of};
use ionflux_sinks::pump::{Pump, Stepped, ready};
use ionflux_sinks::sink::{BoxFuture, Mark, Outgoing, Sink};
use proptest::prelude::*;

const STATE: u128 = 3;

struct InMemory(Target);

impl Bench for InMemory {
    fn sink(&mut self) -> Box<dyn Sink> {
        Box::new(self.0.sink("memory"))
    }

    fn contents(&mut self) -> BoxFuture<'_, Contents> {
        let contents = self.0.contents();
        Box::pin(async { contents })
    }

    fn disturb(&mut self, trouble: Trouble) -> BoxFuture<'_, ()> {
        match trouble {
            Trouble::Wipe => self.0.wipe(),
            Trouble::Refuse => self.0.inject(Fault::Refuse),
            Trouble::LoseAnswer => self.0.inject(Fault::LoseAnswer),
            Trouble::Corrupt => self.0.inject(Fault::Corrupt),
            Trouble::Restart => self.0.inject(Fault::Unreachable { calls: 3 }),
            Trouble::Delay => self.0.inject(Fault::Delay { before: 2, after: 2 }),
            Trouble::Stray => self.0.put(&COUNTS, stray()),
        }
        Box::pin(async {})
    }
}

#[test]
fn the_in_memory_sink_conforms() {
    for scenario in SCENARIOS {
        let mut bench = InMemory(Target::new());
        let checked = ready(check(scenario, &mut bench)).expect("the suite waits for nobody");
        checked.unwrap_or_else(|broken| panic!("{broken}: {:?}", broken.cause));
    }
}

/// A refused section says which there are.
#[test]
fn every_listed_sink_has_the_suite_over_its_target() {
    let refused = serde_json::from_str::<Sinks>(r#"{"nobody": {}}"#).unwrap_err().to_string();
    let listed: Vec<&str> = refused.split('`').skip(3).step_by(2).collect();
    assert!(listed.contains(&"timescale"), "{refused}");
    for sink in listed {
        let file = format!("{}/tests/{sink}.rs", env!("CARGO_MANIFEST_DIR"));
        let tests = std::fs::read_to_string(&file).unwrap_or_default();
        let runs = ["SCENARIOS", "check(scenario", "fn the_suite_passes"];
        assert!(runs.iter().all(|part| tests.contains(part)), "{file} does not run the suite");
    }
}

#[derive(Clone, Debug)]
enum Act {
    Offer,
    Step,
    CutOff(u32),
    Crash { back: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Offer),
        6 => Just(Act::Step),
        1 => (0..8_u32).prop_map(Act::CutOff),
        1 => (0..6_usize).prop_map(|back| Act::Crash { back }),
    ];
    prop::collection::vec(act, 0..120)
}

struct Program<'a> {
    history: &'a History,
    target: &'a Target,
    pump: Pump,
    offered: usize,
}

impl<'a> Program<'a> {
    fn start(history: &'a History, target: &'a Target, commit: usize) -> Self {
        let mut pump = Pump::new(STATE, Box::new(target.sink("memory")));
        pump.courier.begin(&history.states[commit]);
        Self { history, target, pump, offered: commit }
    }

    fn offer(&mut self) -> bool {
        let more = self.offered < self.history.batches.len();
        if more {
            let (before, batch, after) = self.history.epoch(self.offered);
            self.pump.courier.offer(before, batch, after);
            self.offered += 1;
        }
        more
    }

    fn step(&mut self, polls: u32) -> Stepped {
        let stepped = self.pump.step_within(polls);
        assert!(!matches!(stepped, Stepped::Halted(_)), "{stepped:?}");
        self.whole();
        stepped
    }

    fn whole(&self) {
        if let Some(mark) = self.target.mark() {
            let state = &self.history.states[mark.epoch.0 as usize];
            assert_eq!(self.target.contents(), contents_of(state), "at {mark:?}");
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Offer => {
                self.offer();
            }
            Act::Step => {
                self.step(1000);
            }
            Act::CutOff(polls) => {
                self.step(*polls);
            }
            Act::Crash { back } => {
                let commit = self.offered.saturating_sub(*back);
                *self = Self::start(self.history, self.target, commit);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_fault_and_no_crash_shows(
        edits in prop::collection::vec(
            prop::collection::vec((0..9_u8, -3..4_i64), 0..6), 1..25),
        acts in acts(),
        seed in any::<u64>(),
        permille in 0..600_u64,
    ) {
        let history = History::new(&edits);
        let target = Target::new();
        target.trouble(seed, permille);
        let mut program = Program::start(&history, &target, 0);
        acts.iter().for_each(|act| program.act(act));
        target.trouble(0, 0);
        while program.offer() {}
        let rest = (0..10).find(|_| matches!(program.step(1000), Stepped::Idle));
        prop_assert!(rest.is_some(), "an untroubled target is soon up to date");
        let upper = history.last().upper;
        prop_assert_eq!(target.mark(), Some(history.mark(STATE, edits.len())));
        prop_assert_eq!(target.contents(), contents_of(history.last()));
        prop_assert_eq!(program.pump.courier.reached(), Some(upper));
    }
}

fn outgoing(history: &History, held: usize, upper: usize) -> Outgoing {
    let mut courier = Courier::new(STATE);
    courier.resumed(Some(history.mark(STATE, held)));
    for at in held..upper {
        let (before, batch, after) = history.epoch(at);
        courier.offer(before, batch, after);
    }
    courier.next().unwrap()
}

fn refused(spoil: impl FnOnce(&mut Outgoing)) -> String {
    let history = History::sample();
    let target = Target::new();
    let mut sink = target.sink("memory");
    let mut write = |batch: &Outgoing| ready(sink.write(batch)).unwrap();
    let mut courier = Courier::new(STATE);
    courier.resumed(None);
    courier.begin(&history.states[1]);
    write(&courier.next().unwrap()).unwrap();
    let mut batch = outgoing(&history, 1, 2);
    spoil(&mut batch);
    let error = write(&batch).unwrap_err();
    assert!(matches!(error, SinkError::Permanent { .. }), "{error}");
    assert_eq!(target.contents(), contents_of(&history.states[1]), "nothing is half applied");
    assert_eq!(target.mark().unwrap().epoch, Epoch(1));
    error.to_string()
}

fn sales(batch: &mut Outgoing) -> &mut Vec<Change> {
    &mut batch.views[0].1
}

#[test]
fn the_in_memory_sink_finds_what_does_not_fit() {
    let gap = refused(|batch| batch.from = Some(Epoch(0)));
    assert_eq!(gap, "a batch begins at 0, the target holds 1");
    let missing = refused(|batch| {
        let new = sales(batch)[1].new.clone();
        sales(batch)[0].old = new;
    });
    assert_eq!(missing, "conformance_sales [w1, 1970-01-05]: a row goes that is not held");
    let over = refused(|batch| sales(batch)[0].new = sales(batch)[0].old.take());
    assert_eq!(over, "conformance_sales [w1, 1970-01-02]: a row comes where one is");
    let twice = refused(|batch| {
        let change = sales(batch)[0].clone();
        sales(batch).push(change);
    });
    assert_eq!(twice, "conformance_sales [w1, 1970-01-02]: a row goes twice");
    let other = refused(|batch| sales(batch)[0].old.as_mut().unwrap().0.truncate(4));
    assert!(other.contains("a row goes as"), "{other}");
}

#[test]
fn a_new_sink_gets_one_snapshot_and_then_changes() {
    let history = History::sample();
    let target = Target::new();
    let mut pump = Pump::new(STATE, Box::new(target.sink("memory")));
    let begin: &Arc<Snapshot> = &history.states[4];
    pump.courier.begin(begin);
    assert!(matches!(pump.step(), Stepped::Resumed(None)));
    assert!(matches!(pump.step(), Stepped::Wrote(Mark { epoch: Epoch(4), .. })));
    let (before, batch, after) = history.epoch(4);
    pump.courier.offer(before, batch, after);
    let batch = pump.courier.next().unwrap();
    assert_eq!(batch.from, Some(Epoch(4)));
    assert_eq!(target.writes(), 1);
}

#[test]
fn a_lost_answer_strikes_a_write_after_its_effect_and_damage_before_it() {
    for (fault, writes) in [(Fault::LoseAnswer, 1), (Fault::Corrupt, 0)] {
        let history = History::sample();
        let target = Target::new();
        let mut pump = Pump::new(STATE, Box::new(target.sink("memory")));
        pump.courier.begin(&history.states[3]);
        target.inject(fault);
        assert!(matches!(pump.step(), Stepped::Resumed(None)));
        assert!(matches!(pump.step(), Stepped::Failed(_)));
        assert_eq!(target.writes(), writes);
        assert_eq!(pump.courier.reached(), None);
        assert!(matches!(pump.step(), Stepped::Resumed(_)));
        pump.step();
        assert_eq!(target.writes(), 1);
        assert_eq!(target.contents(), contents_of(&history.states[3]));
    }
}

/// A sink with a defect, over the in-memory target.
#[derive(Clone, Copy, Debug)]
enum Defect {
    LosesAChange,
    LosesRemovals,
    AnswersBeforeItWrites,
    TakesAnyStateForItsOwn,
    ForgetsItsMark,
    CallsAllFailuresFinal,
}

const DEFECTS: [Defect; 6] = [
    Defect::LosesAChange,
    Defect::LosesRemovals,
    Defect::AnswersBeforeItWrites,
    Defect::TakesAnyStateForItsOwn,
    Defect::ForgetsItsMark,
    Defect::CallsAllFailuresFinal,
];

struct Sloppy {
    defect: Defect,
    sink: Box<dyn Sink>,
    unwritten: Option<Outgoing>,
}

impl Sink for Sloppy {
    fn name(&self) -> &str {
        "sloppy"
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<Option<Mark>, SinkError>> {
        Box::pin(async {
            let mark = self.sink.resume().await?;
            Ok(match self.defect {
                Defect::TakesAnyStateForItsOwn => mark.map(|mark| Mark { state: 7, ..mark }),
                Defect::ForgetsItsMark => None,
                _ => mark,
            })
        })
    }

    fn write<'a>(&'a mut self, batch: &'a Outgoing) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(async {
            let mut batch = batch.clone();
            match self.defect {
                Defect::LosesAChange => batch.views.iter_mut().for_each(|(_, changes)| {
                    changes.pop();
                }),
                Defect::LosesRemovals => batch
                    .views
                    .iter_mut()
                    .for_each(|(_, changes)| changes.retain(|change| change.new.is_some())),
                Defect::AnswersBeforeItWrites => {
                    if let Some(late) = self.unwritten.replace(batch) {
                        self.sink.write(&late).await?;
                    }
                    return Ok(());
                }
                _ => {}
            }
            let done = self.sink.write(&batch).await;
            match self.defect {
                Defect::CallsAllFailuresFinal => {
                    done.map_err(|error| SinkError::permanent("gave up").caused_by(error))
                }
                _ => done,
            }
        })
    }
}

struct Defective(InMemory, Defect);

impl Bench for Defective {
    fn sink(&mut self) -> Box<dyn Sink> {
        Box::new(Sloppy { defect: self.1, sink: self.0.sink(), unwritten: None })
    }

    fn contents(&mut self) -> BoxFuture<'_, Contents> {
        self.0.contents()
    }

    fn disturb(&mut self, trouble: Trouble) -> BoxFuture<'_, ()> {
        self.0.disturb(trouble)
    }
}

#[test]
fn the_suite_finds_every_defect() {
    for defect in DEFECTS {
        let found = SCENARIOS.iter().filter(|scenario| {
            let mut bench = Defective(InMemory(Target::new()), defect);
            ready(check(**scenario, &mut bench)).expect("the suite waits for nobody").is_err()
        });
        assert!(found.count() > 0, "{defect:?} passes");
    }
}
