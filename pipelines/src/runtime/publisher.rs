//! The publisher: the workers' parts of an epoch as one batch for all views.

use std::collections::BTreeMap;

use crossbeam_channel::Receiver;
use ionflux_schemas::batch::Batch;
use ionflux_schemas::run::Run;
use ionflux_schemas::time::{Epoch, UtcMs};

/// What the publisher is told.
pub(super) enum Message {
    /// An epoch was begun, and the shop clock at its end. One that is not whole is published only
    /// together with the next.
    Tick { epoch: Epoch, as_of: UtcMs, whole: bool },
    /// One worker closed an epoch.
    Closed { epoch: Epoch, deltas: Vec<Run> },
}

/// One epoch on its way.
#[derive(Default)]
struct Open {
    as_of: UtcMs,
    whole: bool,
    parts: usize,
    deltas: Vec<Run>,
}

/// Publishes every epoch that all workers have closed; merges those that are ready together.
pub(super) fn run(
    messages: &Receiver<Message>,
    workers: usize,
    first: Epoch,
    mut publish: impl FnMut(Batch),
) {
    let mut open: BTreeMap<Epoch, Open> = BTreeMap::new();
    let mut next = first;
    let mut ready: Option<Batch> = None;
    let mut whole = true;
    while let Ok(message) = messages.recv() {
        take(&mut open, message);
        messages.try_iter().for_each(|message| take(&mut open, message));
        while let Some(entry) = open.first_entry().filter(|entry| entry.get().parts == workers) {
            assert_eq!(*entry.key(), next, "epochs close in order");
            let held = entry.remove();
            whole = held.whole;
            let upper = Epoch(next.0 + 1);
            let batch = Batch { lower: next, upper, as_of: held.as_of, deltas: held.deltas };
            ready = Some(match ready {
                None => batch,
                Some(before) => before.merge(&batch),
            });
            next = upper;
        }
        if let Some(batch) = ready.take_if(|_| whole) {
            publish(batch);
        }
    }
}

fn take(open: &mut BTreeMap<Epoch, Open>, message: Message) {
    match message {
        Message::Tick { epoch, as_of, whole } => {
            let held = open.entry(epoch).or_default();
            (held.as_of, held.whole) = (as_of, whole);
        }
        Message::Closed { epoch, deltas } => {
            let held = open.entry(epoch).or_default();
            held.parts += 1;
            if held.deltas.is_empty() {
                held.deltas = deltas;
            } else {
                held.deltas.iter_mut().zip(&deltas).for_each(|(a, b)| *a = a.merge(b));
            }
        }
    }
}
