//! The harness: the agents' whole dataflow on one worker thread, fed and read by its caller.
//!
//! Invariant: the same graph runs in tests, in benches and in the product.

use std::time::Duration;

use differential_dataflow::AsCollection;
use ionflux_schemas::fact::{Differences, Fact};
use ionflux_schemas::run::Run;
use timely::dataflow::InputHandle;
use timely::dataflow::operators::Input;
use timely::worker::Worker;

use crate::Time;
use crate::agent::{Inputs, Outputs};
use crate::list;
use crate::publish::Outbox;

/// Facts that travel together: some 70 KB, which the allocator gives again and again, while an
/// epoch in one piece is mapped and unmapped each time.
const CONTAINER_FACTS: usize = 1024;

type Handle<D> =
    InputHandle<Time, timely::container::CapacityContainerBuilder<Vec<(D, Time, i64)>>>;

/// One worker's inputs and its outbox.
pub struct Dataflow {
    facts: Handle<Fact>,
    faults: Handle<u32>,
    outbox: Outbox,
    /// The first epoch that may still be sent.
    now: Time,
    /// The first epoch that was not taken yet.
    taken: Time,
}

impl Dataflow {
    /// Builds every agent of the list on this worker, with `first` as the first epoch.
    pub fn build(worker: &mut Worker, first: Time) -> Self {
        let outbox = Outbox::new(&list::views());
        let (mut facts, mut faults) = worker.dataflow(|scope| {
            let (facts, facts_in) = scope.new_input::<Vec<_>>();
            let (faults, faults_in) = scope.new_input::<Vec<_>>();
            let inputs = Inputs::new(facts_in.as_collection(), faults_in.as_collection());
            for agent in list::agents() {
                agent.build(&inputs, &mut Outputs::new(&outbox));
            }
            (facts, faults)
        });
        facts.advance_to(first);
        faults.advance_to(first);
        Self { facts, faults, outbox, now: first, taken: first }
    }

    /// Adds this worker's part of the current epoch.
    pub fn send(&mut self, differences: &mut Differences) {
        let now = self.now;
        for part in differences.facts.chunks(CONTAINER_FACTS) {
            let with_time = part.iter().map(|(fact, difference)| (*fact, now, *difference));
            self.facts.send_batch(&mut with_time.collect());
        }
        differences.facts.clear();
        let mut faults = differences.faults.drain(..).map(|(f, diff)| (f, now, diff)).collect();
        self.faults.send_batch(&mut faults);
    }

    /// Ends the epochs below `upper` on this worker.
    pub fn advance(&mut self, upper: Time) {
        self.now = upper;
        self.facts.advance_to(upper);
        self.faults.advance_to(upper);
        self.facts.flush();
        self.faults.flush();
    }

    /// How many epochs this worker has sent and the dataflow has not closed.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.now - self.outbox.frontier().unwrap_or(self.now).min(self.now)
    }

    /// Takes the epochs that closed since the last call, each with this worker's deltas.
    pub fn closed(&mut self) -> Vec<(Time, Vec<Run>)> {
        let frontier = self.outbox.frontier().unwrap_or(self.now).min(self.now);
        let epochs = (self.taken..frontier).map(|epoch| (epoch, self.outbox.take(epoch))).collect();
        self.taken = self.taken.max(frontier);
        epochs
    }
}

/// Runs epochs through the dataflow on a number of workers, each worker feeding its part, and
/// gives back every epoch's deltas over all workers. For tests and benches.
///
/// # Panics
/// When the workers cannot be started.
#[must_use]
pub fn run(epochs: &[Differences], workers: usize) -> Vec<Vec<Run>> {
    let epochs = epochs.to_vec();
    let config = timely::Config::process(workers);
    let guards = timely::execute(config, move |worker| {
        let mut dataflow = Dataflow::build(worker, 0);
        let (index, peers) = (worker.index(), worker.peers());
        let mut closed = Vec::new();
        for (epoch, all) in epochs.iter().enumerate() {
            let facts = all.facts.iter().copied().skip(index).step_by(peers).collect();
            let faults = all.faults.iter().copied().skip(index).step_by(peers).collect();
            dataflow.send(&mut Differences { facts, faults });
            dataflow.advance(epoch as Time + 1);
            while dataflow.open() > 2 {
                worker.step_or_park(Some(Duration::from_millis(1)));
            }
            closed.extend(dataflow.closed());
        }
        while dataflow.open() > 0 {
            worker.step_or_park(Some(Duration::from_millis(1)));
        }
        closed.extend(dataflow.closed());
        closed
    });
    let guards = match guards {
        Ok(guards) => guards,
        Err(problem) => panic!("timely workers did not start: {problem}"),
    };
    let mut merged: Vec<Vec<Run>> = Vec::new();
    for closed in guards.join() {
        let closed = match closed {
            Ok(closed) => closed,
            Err(problem) => panic!("a timely worker failed: {problem}"),
        };
        for (epoch, deltas) in closed {
            match merged.get_mut(epoch as usize) {
                None => merged.push(deltas),
                Some(held) => {
                    held.iter_mut().zip(&deltas).for_each(|(a, b)| *a = a.merge(b));
                }
            }
        }
    }
    merged
}
