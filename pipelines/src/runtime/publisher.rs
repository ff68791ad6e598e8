//! The publisher: the workers' parts of an epoch as one batch for all views.

use std::collections::BTreeMap;

use crossbeam_channel::Receiver;
use ionflux_operators::Time;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::run::Run;
use ionflux_schemas::time::{Epoch, UtcMs};

use super::Moment;
use super::gathered::Gathered;

/// What the publisher is told.
pub(super) enum Message {
    /// A part was begun, at a time of the dataflow, and where it stands.
    Begun { time: Time, moment: Moment },
    /// One worker closed a part.
    Closed { time: Time, deltas: Vec<Run> },
}

/// One part on its way.
#[derive(Default)]
struct Open {
    moment: Option<Moment>,
    closed: usize,
    deltas: Vec<Run>,
}

/// Publishes every epoch that all workers have closed; merges those that are ready together.
/// `reached` is told the time below which everything is closed and, as far as it ended an epoch,
/// published.
pub(super) fn run(
    messages: &Receiver<Message>,
    workers: usize,
    mut publish: impl FnMut(Batch),
    mut reached: impl FnMut(Time),
) {
    let mut open: BTreeMap<Time, Open> = BTreeMap::new();
    let mut next = 0;
    let none = Moment { as_of: UtcMs(0), upper: None };
    let mut gathered = Gathered::new(Epoch(0), none);
    while let Ok(message) = messages.recv() {
        take(&mut open, message);
        messages.try_iter().for_each(|message| take(&mut open, message));
        while let Some(entry) = open.first_entry().filter(|entry| entry.get().closed == workers) {
            assert_eq!(*entry.key(), next, "parts close in order");
            let held = entry.remove();
            gathered.add(held.deltas, held.moment.unwrap_or(none));
            next += 1;
        }
        if let Some(batch) = gathered.batch() {
            publish(batch);
        }
        reached(next);
    }
}

fn take(open: &mut BTreeMap<Time, Open>, message: Message) {
    match message {
        Message::Begun { time, moment } => open.entry(time).or_default().moment = Some(moment),
        Message::Closed { time, deltas } => {
            let held = open.entry(time).or_default();
            held.closed += 1;
            if held.deltas.is_empty() {
                held.deltas = deltas;
            } else {
                held.deltas.iter_mut().zip(&deltas).for_each(|(a, b)| *a = a.merge(b));
            }
        }
    }
}
