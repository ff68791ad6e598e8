//! Publishing: the closed epochs of every view on one worker, ready to leave the dataflow.
//!
//! ```text
//! view rows ──▶ run per (epoch, view) ──▶ outbox ──take(frontier)──▶ whoever publishes
//! ```
//!
//! Invariant: an epoch leaves the outbox once, whole, and only after the dataflow has closed it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ionflux_schemas::run::Run;
use ionflux_schemas::view::View;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::probe::{Handle, Probe};

use crate::key::Key;
use crate::sums::Sums;
use crate::totals::consolidate;
use crate::{Rows, Time};

/// What one worker has to say about its views, by epoch.
#[derive(Clone)]
pub struct Outbox {
    views: Rc<[&'static View]>,
    epochs: Rc<RefCell<BTreeMap<Time, Vec<Run>>>>,
    probe: Handle<Time>,
}

impl Outbox {
    /// An empty outbox for views in this order.
    #[must_use]
    pub fn new(views: &[&'static View]) -> Self {
        Self { views: views.into(), epochs: Rc::default(), probe: Handle::new() }
    }

    /// Follows a collection as a view's contents.
    pub(crate) fn publish<const N: usize>(
        &self,
        view: &'static View,
        rows: Rows<'_, Key, Sums<N>>,
    ) {
        let place = self.views.iter().position(|known| *known == view);
        let Some(place) = place else { panic!("{view:?} is not in the list of views") };
        let (views, epochs) = (Rc::clone(&self.views), Rc::clone(&self.epochs));
        rows.inner
            .unary::<timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _>(
                Pipeline,
                view.name,
                move |_, _| {
                    move |input, _| {
                        input.for_each(|_, updates| {
                            for (time, run) in runs(std::mem::take(updates)) {
                                let mut epochs = epochs.borrow_mut();
                                let deltas = epochs.entry(time).or_insert_with(|| empty(&views));
                                deltas[place] = deltas[place].merge(&run);
                            }
                        });
                    }
                },
            )
            .probe_with(&self.probe);
    }

    /// How far every worker has come: epochs below this are closed. `None` when all input is done.
    #[must_use]
    pub fn frontier(&self) -> Option<Time> {
        self.probe.with_frontier(|frontier| frontier.first().copied())
    }

    /// Takes the deltas of a closed epoch, one for each view; empty runs where nothing changed.
    #[must_use]
    pub fn take(&self, epoch: Time) -> Vec<Run> {
        self.epochs.borrow_mut().remove(&epoch).unwrap_or_else(|| empty(&self.views))
    }
}

fn empty(views: &[&'static View]) -> Vec<Run> {
    views.iter().map(|view| Run::empty(view.width)).collect()
}

/// The updates as sorted runs, one for each time among them.
fn runs<const N: usize>(updates: Vec<(Key, Time, Sums<N>)>) -> Vec<(Time, Run)> {
    let mut times: BTreeMap<Time, Vec<(Key, Sums<N>)>> = BTreeMap::new();
    for (key, time, sums) in updates {
        times.entry(time).or_default().push((key, sums));
    }
    let run = |mut rows: Vec<(Key, Sums<N>)>| {
        if !rows.is_sorted_by(|a, b| a.0 < b.0) {
            consolidate(&mut rows);
        }
        Run::from_sorted(rows.into_iter().map(|(key, sums)| (key, sums.0)))
    };
    times.into_iter().map(|(time, rows)| (time, run(rows))).collect()
}
