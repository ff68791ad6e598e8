//! Agents: what they are given, and what they give.
//!
//! Invariant: everything of one shop is on one worker from the inputs on, so that no agent needs
//! an exchange of its own.

use ionflux_schemas::fact::Fact;
use ionflux_schemas::view::View;
use timely::dataflow::operators::Exchange;

use differential_dataflow::AsCollection;

use crate::Rows;
use crate::key::Key;
use crate::publish::Outbox;
use crate::sums::Sums;

/// What every agent may read.
pub struct Inputs<'s> {
    /// The ledger's differences, each shop on one worker.
    pub facts: Rows<'s, Fact>,
    /// Faults by number, with how often they are held: 1 when present.
    pub faults: Rows<'s, u32>,
}

impl<'s> Inputs<'s> {
    /// Routes the ledger's differences to the worker that owns their shop: the one exchange.
    #[must_use]
    pub fn new(facts: Rows<'s, Fact>, faults: Rows<'s, u32>) -> Self {
        let facts = facts.inner.exchange(|(fact, _, _)| u64::from(fact.shop)).as_collection();
        let faults = faults.inner.exchange(|(fault, _, _)| u64::from(*fault)).as_collection();
        Self { facts, faults }
    }
}

/// Where an agent's views go.
pub struct Outputs<'a> {
    outbox: &'a Outbox,
}

impl<'a> Outputs<'a> {
    /// Outputs into the outbox of this worker.
    #[must_use]
    pub fn new(outbox: &'a Outbox) -> Self {
        Self { outbox }
    }

    /// Publishes a collection as a view: each key's totals, at each epoch.
    pub fn view<const N: usize>(&mut self, view: &'static View, rows: Rows<'_, Key, Sums<N>>) {
        assert_eq!(view.width, N, "{view:?} is published with another width than it declares");
        self.outbox.publish(view, rows);
    }
}

/// One agent: a pure function from facts to views.
pub trait Agent: Send + Sync {
    /// The views it keeps.
    fn views(&self) -> Vec<&'static View>;

    /// Builds its part of the dataflow, publishing each of its views once.
    fn build<'s>(&self, inputs: &Inputs<'s>, outputs: &mut Outputs<'_>);
}
