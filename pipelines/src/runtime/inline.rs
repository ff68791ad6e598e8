//! The dataflow on the caller's own thread: nothing happens between two calls.
//!
//! Invariant: what was counted is published when the call returns, if its epoch has ended.

use ionflux_operators::harness::Dataflow;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::fact::Differences;
use ionflux_schemas::time::{Epoch, UtcMs};
use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::worker::Worker;

use super::gathered::Gathered;
use super::{Computation, Moment, RuntimeError};

/// A dataflow without threads.
pub struct Inline {
    worker: Worker,
    dataflow: Dataflow,
    next: u64,
    gathered: Gathered,
    publish: Box<dyn FnMut(Batch) + Send>,
}

impl Inline {
    /// A dataflow on this thread; `publish` is called with every batch, in order.
    pub fn start(publish: impl FnMut(Batch) + Send + 'static) -> Self {
        let thread = timely::communication::allocator::thread::Thread::default();
        let mut worker = Worker::new(WorkerConfig::default(), Allocator::Thread(thread), None);
        let dataflow = Dataflow::build(&mut worker, 0);
        let none = Moment { as_of: UtcMs(0), upper: None };
        let gathered = Gathered::new(Epoch(0), none);
        Self { worker, dataflow, next: 0, gathered, publish: Box::new(publish) }
    }
}

impl Computation for Inline {
    fn count(&mut self, mut differences: Differences, moment: Moment) -> Result<(), RuntimeError> {
        self.dataflow.send(&mut differences);
        self.next += 1;
        self.dataflow.advance(self.next);
        while self.dataflow.open() > 0 {
            self.worker.step();
        }
        for (_, deltas) in self.dataflow.closed() {
            self.gathered.add(deltas, moment);
        }
        if let Some(batch) = self.gathered.batch() {
            (self.publish)(batch);
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), RuntimeError> {
        Ok(())
    }

    fn finish(self) -> Result<(), RuntimeError> {
        Ok(())
    }
}
