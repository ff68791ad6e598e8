//! A lake after any history, in any steps.
//!
//! Invariant: the same rows are the same files, whichever changes they came by and in whatever
//! order a batch has them.

#![allow(clippy::unwrap_used)]

mod lake_rig;

use ionflux_schemas::snapshot::Change;
use ionflux_sinks::history::{History, VIEWS};
use ionflux_sinks::memory::contents_of;
use ionflux_sinks::sink::{Mark, Outgoing};
use lake_rig::Lake;
use proptest::prelude::*;

const STATE: u128 = 3;

/// The changes of some epochs, as the courier would merge them, in a rotated order.
fn batch(history: &History, from: usize, to: usize, turn: usize) -> Outgoing {
    let (first, after) = (&history.states[from], &history.states[to]);
    let batches = history.batches[from..to].iter().cloned();
    let merged = batches.reduce(|one, next| one.merge(&next)).unwrap();
    let changes = |name| {
        let mut changes: Vec<Change> = first.changes(&merged, name);
        let turn = turn % changes.len().max(1);
        changes.rotate_left(turn);
        changes
    };
    let views = VIEWS.iter().map(|view| (*view, changes(view.name))).collect();
    let to = Mark { state: STATE, epoch: after.upper, as_of: after.as_of };
    Outgoing { from: Some(first.upper), to, views }
}

/// Everything at one epoch.
fn snapshot(history: &History, at: usize, state: u128) -> Outgoing {
    let state_at = &history.states[at];
    let new = |row| Change { old: None, new: Some(row) };
    let rows = |name| state_at.rows(name).unwrap().into_iter().map(new).collect();
    let views = VIEWS.iter().map(|view| (*view, rows(view.name))).collect();
    let to = Mark { state, epoch: state_at.upper, as_of: state_at.as_of };
    Outgoing { from: None, to, views }
}

async fn run(history: &History, steps: &[(usize, usize)]) {
    let lake = Lake::in_memory();
    let mut sink = lake.sink_of(&VIEWS);
    sink.write(&snapshot(history, 0, STATE)).await.unwrap();
    let (mut at, last) = (0, history.batches.len());
    for (step, turn) in steps.iter().copied().chain([(last, 0)]) {
        let next = last.min(at + step);
        if next > at {
            sink.write(&batch(history, at, next, turn)).await.unwrap();
            assert_eq!(lake.contents_of(&VIEWS).await, contents_of(&history.states[next]));
            at = next;
        }
    }
    // Another program's snapshot of the same finds every file as it would make it.
    lake.store.puts();
    lake.sink_of(&VIEWS).write(&snapshot(history, last, STATE + 1)).await.unwrap();
    let puts = lake.store.puts();
    assert!(puts.iter().all(|path| !path.ends_with(".parquet")), "{puts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_same_rows_are_the_same_files(
        edits in prop::collection::vec(prop::collection::vec((0..9_u8, -3..4_i64), 0..8), 1..8),
        steps in prop::collection::vec((1..4_usize, 0..9_usize), 0..8),
    ) {
        let history = History::new(&edits);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&history, &steps));
    }
}
