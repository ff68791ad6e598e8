//! The world of a simulation: what is sent, what goes wrong, and what must hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use ionflux::verify::recompute;
use ionflux_ledger::memory::{Memory as Entities, Operation};
use ionflux_ledger::{BaseZone, Ledger, Said};
use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::{Row, View};
use ionflux_sinks::memory::{Contents, Target, contents_of};
use ionflux_sinks::pump::Stepped as Pumped;
use ionflux_sources::clock::Stepped;
use ionflux_sources::journal::Limits;
use ionflux_sources::journal::memory::{Fault as FileFault, Memory as Files};
use ionflux_sources::list::read_delivery;
use ionflux_sources::simulator::Simulator;

use crate::dice::Dice;
use crate::program::{Lasting, Program};

/// 2026-03-01, when the made-up shop opens.
const START: UtcMs = UtcMs(1_772_323_200_000);
/// Deliveries of one simulation.
const DELIVERIES: usize = 40;
/// Rounds in which everything must come to rest once all is mended.
const ROUNDS_MAX: usize = 10_000;

/// What happened, to know that the trouble was real.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    acknowledged: usize,
    refused: usize,
    repeated: usize,
    broken: usize,
    crashes: usize,
    ledger_failures: usize,
    target_failures: usize,
    target_writes: usize,
    epochs: usize,
    checkpoints: usize,
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        let Self { acknowledged, refused, repeated, broken, crashes, .. } = other;
        self.acknowledged += acknowledged;
        self.refused += refused;
        self.repeated += repeated;
        self.broken += broken;
        self.crashes += crashes;
        self.ledger_failures += other.ledger_failures;
        self.target_failures += other.target_failures;
        self.target_writes += other.target_writes;
        self.epochs += other.epochs;
        self.checkpoints += other.checkpoints;
    }

    pub fn assert_every_kind(&self) {
        let Self { acknowledged, refused, repeated, broken, crashes, .. } = self;
        for seen in [acknowledged, refused, repeated, broken, crashes] {
            assert!(*seen > 0, "{self:?}");
        }
        for seen in [self.ledger_failures, self.target_failures, self.epochs, self.checkpoints] {
            assert!(seen > 0, "{self:?}");
        }
    }
}

pub struct World {
    dice: Dice,
    lasting: Lasting,
    /// `None` while the power is off.
    program: Option<Program>,
    waiting: Vec<Delivery>,
    acknowledged: Vec<Delivery>,
    seen: Seen,
    /// For the message when nothing helps.
    last_failure: String,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut seen = Seen::default();
        let mut waiting: Vec<_> = Simulator::new(dice.seed(), START)
            .take(DELIVERIES)
            .map(|sent| sent.delivery("acme"))
            .collect();
        for delivery in &mut waiting {
            if dice.happens(5) {
                let middle = delivery.body.len() / 2;
                let mut body = std::mem::take(&mut delivery.body).into_vec();
                body[middle] = if dice.happens(50) { b'"' } else { 0xff };
                delivery.body = body.into();
                seen.broken += 1;
            }
        }
        let lasting = Lasting {
            files: Files::new(dice.seed()),
            entities: Entities::default(),
            targets: (0..1 + dice.roll(2)).map(|_| Target::new()).collect(),
            clock: Arc::new(Stepped::new(START)),
            limits: Limits { segment_bytes: 4_000, ..Limits::new(400_000) },
        };
        let program = Program::open(&lasting, 1).ok();
        Self {
            dice,
            lasting,
            program,
            waiting,
            acknowledged: Vec::new(),
            seen,
            last_failure: String::new(),
        }
    }

    /// One thing happens.
    pub fn step(&mut self) {
        self.lasting.clock.advance(self.dice.roll(200) as i64);
        if self.program.is_none() {
            return self.power_on();
        }
        match self.dice.roll(100) {
            0..25 => self.send(),
            25..50 => self.count(),
            50..80 => self.pump(),
            80..85 => self.checkpoint(),
            85..92 => self.trouble(),
            92..96 => self.mend(),
            _ => self.crash(),
        }
    }

    /// Some deliveries arrive together: any of those that wait, or one that was there before.
    fn send(&mut self) {
        let Some(program) = &mut self.program else { return };
        let count = 1 + self.dice.roll(4).min(self.waiting.len());
        let mut group = Vec::new();
        for _ in 0..count {
            if !self.waiting.is_empty() && !self.dice.happens(10) {
                let place = self.dice.roll(self.waiting.len());
                group.push(self.waiting.swap_remove(place));
            } else if !self.acknowledged.is_empty() {
                let place = self.dice.roll(self.acknowledged.len());
                group.push(self.acknowledged[place].clone());
                self.seen.repeated += 1;
            }
        }
        let sent = group.clone();
        let kept = program.scribe.commit(group).is_ok();
        if !kept {
            self.seen.refused += 1;
            // The sender tries again later; what it had acknowledged before stays so.
            let fresh = sent.into_iter().filter(|one| !self.acknowledged.contains(one));
            self.waiting.extend(fresh);
        } else if self.dice.happens(5) {
            // The answer is lost on its way: kept, and sent again.
            self.waiting.extend(sent);
        } else {
            self.seen.acknowledged += sent.len();
            self.acknowledged.extend(sent);
        }
    }

    fn count(&mut self) {
        let Some(program) = &mut self.program else { return };
        // A clock tick by itself is written with nothing beside it.
        let _refused = program.scribe.commit(Vec::new());
        match program.count() {
            Ok(counted) => self.seen.epochs += usize::from(counted),
            // The process ends when its ledger or its journal fails.
            Err(_) => {
                self.seen.ledger_failures += 1;
                self.power_off();
            }
        }
    }

    fn pump(&mut self) {
        let Some(program) = &mut self.program else { return };
        let nth = self.dice.roll(program.pumps.len());
        let polls = if self.dice.happens(10) { 1 + self.dice.roll(4) as u32 } else { 1_000 };
        match program.pumps[nth].step_within(polls) {
            Pumped::Halted(error) => panic!("target {nth}: {error}"),
            Pumped::Failed(_) | Pumped::CutOff => self.seen.target_failures += 1,
            Pumped::Wrote(_) => self.seen.target_writes += 1,
            Pumped::Idle | Pumped::Resumed(_) => {}
        }
    }

    fn checkpoint(&mut self) {
        let Some(program) = &mut self.program else { return };
        match program.checkpoint() {
            Ok(_) => self.seen.checkpoints += 1,
            Err(_) => self.power_off(),
        }
    }

    fn trouble(&mut self) {
        let files = &self.lasting.files;
        match self.dice.roll(12) {
            0 => files.fail_next(FileFault::TornWrite),
            1 => files.fail_next(FileFault::WriteError),
            2 => files.fail_next(FileFault::SyncError),
            3 => files.limit(Some(self.dice.roll(100_000) as u64)),
            4 => self.lasting.entities.fail(Operation::Commit, self.dice.roll(3) as u64),
            5 => self.lasting.entities.fail(Operation::Sync, 0),
            6 => self.lasting.entities.fail(Operation::Get, self.dice.roll(20) as u64),
            _ => {
                let nth = self.dice.roll(self.lasting.targets.len());
                let seed = self.dice.seed();
                self.lasting.targets[nth].trouble(seed, 300);
            }
        }
    }

    fn mend(&mut self) {
        self.lasting.files.mend();
        self.lasting.files.limit(None);
        self.lasting.targets.iter().for_each(|target| target.trouble(0, 0));
    }

    /// The power goes: what was not synced is lost, but for any beginning of it.
    fn crash(&mut self) {
        self.seen.crashes += 1;
        self.power_off();
        self.lasting.files.crash();
        let kept = self.dice.roll(self.lasting.entities.unsynced() + 1);
        self.lasting.entities.crash(kept);
        if self.dice.happens(30) {
            self.at_rest();
        }
    }

    fn power_off(&mut self) {
        self.program = None;
    }

    fn power_on(&mut self) {
        let workers = 1 + self.dice.roll(3);
        match Program::open(&self.lasting, workers) {
            Ok(program) => self.program = Some(program),
            Err(failure) => self.last_failure = failure.problem,
        }
    }

    /// Mends everything, lets it come to rest, and checks what must hold then.
    fn at_rest(&mut self) {
        self.mend();
        // A failure that waits for its turn strikes here, and then there is none left.
        for _ in 0..ROUNDS_MAX {
            if self.program.is_none() {
                self.power_on();
            }
            if self.rest().is_some() {
                self.check();
                return;
            }
        }
        panic!("it never came to rest: {}", self.last_failure);
    }

    /// Drives everything to its end; `None` if something failed on the way.
    fn rest(&mut self) -> Option<()> {
        let program = self.program.as_mut()?;
        for _ in 0..ROUNDS_MAX {
            self.lasting.clock.advance(20_000);
            let ticked = program.scribe.commit(Vec::new()).is_ok();
            let mut moved = false;
            loop {
                match program.count() {
                    Ok(true) => moved = true,
                    Ok(false) => break,
                    Err(failure) => {
                        self.last_failure = failure.problem;
                        self.program = None;
                        return None;
                    }
                }
            }
            for pump in &mut program.pumps {
                loop {
                    match pump.step() {
                        Pumped::Idle => break,
                        Pumped::Halted(error) => panic!("a target refuses: {error}"),
                        _ => moved = true,
                    }
                }
            }
            let all = program.feed.read() >= program.scribe.durable_end();
            if all && ticked && (!moved || program.pumps.iter().all(|p| !p.courier.owing())) {
                return Some(());
            }
        }
        None
    }

    /// Views = plain loops over the ledger = what every target shows.
    fn check(&mut self) {
        let Some(program) = &mut self.program else { return };
        let dictionary = Arc::clone(&program.dictionary);
        let expected = recompute(program.feed.engine().ledger(), &dictionary).unwrap();
        let expected = contents(&expected);
        let snapshot = program.store.newest();
        same("views and plain loops", &contents_of(&snapshot), &expected);
        for (nth, target) in self.lasting.targets.iter().enumerate() {
            same(&format!("target {nth} and plain loops"), &target.contents(), &expected);
            let mark = target.mark();
            assert_eq!(mark.map_or(Epoch(0), |mark| mark.epoch), snapshot.upper, "target {nth}");
        }
    }

    /// Everything is sent and comes to rest; gives what happened.
    pub fn end(mut self) -> Seen {
        for _ in 0..ROUNDS_MAX {
            self.mend();
            if self.program.is_none() {
                self.power_on();
                continue;
            }
            self.at_rest();
            if self.waiting.is_empty() {
                break;
            }
            // Room is made for what is still to come.
            self.checkpoint();
            self.send();
        }
        assert!(self.waiting.is_empty(), "deliveries are refused for ever");
        self.at_rest();
        let expected = counted_alone(&self.acknowledged);
        let Some(program) = &self.program else { panic!("no program") };
        let found = contents_of(&program.store.newest());
        same("what was counted and what was acknowledged", &found, &expected);
        self.seen
    }
}

/// Fails with the rows that differ, not with all of them.
fn same(what: &str, found: &Contents, expected: &Contents) {
    let rows = |contents: &Contents| {
        let of_view =
            contents.iter().flat_map(|(view, rows)| rows.values().map(move |r| (view, r)));
        of_view.map(|(view, row)| format!("{view} {:?}", row.0)).collect::<BTreeSet<_>>()
    };
    let (found, expected) = (rows(found), rows(expected));
    let more: Vec<_> = found.difference(&expected).take(5).collect();
    let less: Vec<_> = expected.difference(&found).take(5).collect();
    assert!(more.is_empty() && less.is_empty(), "{what} differ:\n{more:#?}\ninstead of {less:#?}");
}

/// What deliveries give by themselves: one epoch in a ledger of its own, and plain loops.
fn counted_alone(deliveries: &[Delivery]) -> Contents {
    let dictionary = Arc::new(Dictionary::new());
    let entities = Box::new(Entities::default());
    let mut ledger = Ledger::open(entities, Arc::clone(&dictionary), BaseZone::Unknown, 1).unwrap();
    let mut said = Said::default();
    for delivery in deliveries {
        let decoded = read_delivery(delivery, Position(0));
        let letter = decoded.letter.as_ref().map(Letter::id);
        said.envelopes.extend(decoded.envelopes);
        said.faults.extend(decoded.faults.into_iter().map(|fault| (fault, letter)));
        said.letters.extend(decoded.letter);
    }
    ledger.commit(Epoch(1), said).unwrap();
    contents(&recompute(&ledger, &dictionary).unwrap())
}

fn contents(views: &[(&'static View, Vec<Row>)]) -> Contents {
    let mut contents = Contents::new();
    for (view, rows) in views.iter().filter(|(_, rows)| !rows.is_empty()) {
        let key = &view.parsed().key;
        let by_key = |row: &Row| key.iter().map(|place| row.0[*place].clone()).collect();
        let rows = rows.iter().map(|row| (by_key(row), row.clone())).collect();
        contents.insert(view.name, rows);
    }
    contents
}
