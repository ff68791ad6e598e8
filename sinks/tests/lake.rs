//! The lake on a disk and in memory: the suite, faults between every two effects, a crash at every
//! await, and two writers at once.
//!
//! Invariant: at every moment the newest whole manifest shows the epoch of its mark, whole.

#![allow(clippy::unwrap_used)]

mod lake_rig;
mod program;

use std::sync::Arc;

use ionflux_schemas::time::Epoch;
use ionflux_sinks::conformance::{SCENARIOS, check};
use ionflux_sinks::history::{History, VIEWS};
use ionflux_sinks::pump::Stepped;
use ionflux_sinks::sink::Sink;
use lake_rig::Lake;
use lake_rig::store::{Strike, When};
use program::{Program, whole};

const STATE: u128 = 0xfedc_ba98_7654_3210_0123_4567_89ab_cdef;

async fn suite(mut lake: Lake) {
    for scenario in SCENARIOS {
        let checked = check(scenario, &mut lake).await;
        checked.unwrap_or_else(|broken| panic!("{broken}: {:?}", broken.cause));
    }
}

#[tokio::test]
async fn the_suite_passes_in_memory() {
    suite(Lake::in_memory()).await;
}

#[tokio::test]
async fn the_suite_passes_on_a_troubled_disk() {
    suite(Lake::on_disk(false)).await;
}

#[tokio::test]
async fn the_suite_passes_on_a_disk_by_its_address() {
    suite(Lake::on_disk(true)).await;
}

#[tokio::test]
async fn given_up_at_any_point_a_write_happened_whole_or_not_at_all() {
    let (mut lake, history) = (Lake::in_memory(), History::sample());
    let mut landed = 0;
    // Each round is another state, which begins with a snapshot over what the last one left.
    for cut in 0..400 {
        // What a round leaves is old in the next.
        lake.store.at(u64::from(cut) * 7_200_000);
        let state = u128::from(cut) + 1;
        let mut program = Program::new(&history, state, lake.sink_of(&VIEWS));
        program.offer(3);
        program.settle().await;
        program.offer(5);
        lake.store.slow(1);
        let stepped = program.pump.advance_within(cut).await;
        lake.store.slow(0);
        assert!(!matches!(stepped, Stepped::Halted(_) | Stepped::Failed(_)), "{stepped:?}");
        let mark = whole(&mut lake, &history).await;
        assert_eq!(mark.state, state);
        landed += u32::from(mark.epoch == Epoch(5));
        program.offer(8);
        program.settle().await;
        assert_eq!(whole(&mut lake, &history).await, history.mark(state, 8));
        if matches!(stepped, Stepped::Wrote(_)) {
            assert!(cut >= 10, "{cut} polls cut nothing");
            assert!(landed >= 2, "the manifest landed before the answer");
            return;
        }
    }
    panic!("the write never ends");
}

#[tokio::test]
async fn on_a_disk_a_write_that_is_given_up_may_land_late_and_tears_nothing() {
    let (mut lake, history) = (Lake::on_disk(true), History::sample());
    for cut in 0..200 {
        let state = u128::from(cut) + 1;
        let mut program = Program::new(&history, state, lake.sink_of(&VIEWS));
        program.offer(3);
        program.settle().await;
        program.offer(5);
        let stepped = program.pump.advance_within(cut).await;
        assert!(!matches!(stepped, Stepped::Halted(_) | Stepped::Failed(_)), "{stepped:?}");
        // The next program does not know what is still under way.
        let mut next = Program::new(&history, state, lake.sink_of(&VIEWS));
        next.offer(8);
        next.settle().await;
        assert_eq!(whole(&mut lake, &history).await, history.mark(state, 8));
        if matches!(stepped, Stepped::Wrote(_)) {
            assert!(cut >= 5, "{cut} polls cut nothing");
            return;
        }
    }
    panic!("the write never ends");
}

#[tokio::test]
async fn a_fault_at_every_call_tears_nothing() {
    for (mut lake, strike) in [
        (Lake::in_memory(), Strike::Before),
        (Lake::in_memory(), Strike::After),
        (Lake::in_memory(), Strike::Torn),
        (Lake::in_memory(), Strike::Rival),
        (Lake::on_disk(false), Strike::Before),
        (Lake::on_disk(false), Strike::After),
    ] {
        let history = History::sample();
        for calls in 0..300 {
            lake.store.at(u64::from(calls) * 7_200_000);
            let state = u128::from(calls) + 1;
            let mut program = Program::new(&history, state, lake.sink_of(&VIEWS));
            program.offer(3);
            program.settle().await;
            program.offer(6);
            lake.store.strike(When::Call(calls), strike);
            let stepped = program.pump.advance_within(u32::MAX).await;
            let struck = lake.store.done();
            lake.store.calm();
            whole(&mut lake, &history).await;
            program.settle().await;
            assert_eq!(whole(&mut lake, &history).await, history.mark(state, 6));
            program.offer(8);
            program.settle().await;
            assert_eq!(whole(&mut lake, &history).await, history.mark(state, 8));
            if !struck {
                assert!(matches!(stepped, Stepped::Wrote(_)), "{stepped:?}");
                assert!(calls >= 10, "{calls} calls are too few");
                break;
            }
            assert!(calls < 299, "the write never ends");
        }
    }
}

#[tokio::test]
async fn a_fault_at_every_call_of_a_question_is_a_failed_question() {
    let (lake, history) = (Lake::in_memory(), History::sample());
    let mut program = Program::new(&history, STATE, lake.sink_of(&VIEWS));
    program.offer(3);
    program.settle().await;
    for calls in 0..100 {
        lake.store.strike(When::Call(calls), Strike::Before);
        let asked = lake.sink_of(&VIEWS).resume().await;
        if !lake.store.done() {
            assert!(calls >= 4, "{calls} calls are too few");
            return;
        }
        assert!(asked.is_err_and(|error| error.passing()));
    }
    panic!("the question is never answered");
}

#[tokio::test]
async fn another_manifest_that_comes_first_wins() {
    let (mut lake, history) = (Lake::in_memory(), History::sample());
    let mut program = Program::new(&history, STATE, lake.sink_of(&VIEWS));
    program.offer(3);
    program.settle().await;
    program.offer(4);
    lake.store.strike(When::Manifest, Strike::Rival);
    let stepped = program.pump.advance_within(u32::MAX).await;
    let Stepped::Failed(error) = stepped else { panic!("{stepped:?}") };
    assert!(error.to_string().contains("another manifest"), "{error}");
    assert_eq!(whole(&mut lake, &history).await.epoch, Epoch(3));
    program.settle().await;
    assert_eq!(whole(&mut lake, &history).await.epoch, Epoch(4));
}

#[tokio::test]
async fn two_at_once_do_not_tear_an_epoch() {
    let edits: Vec<Vec<(u8, i64)>> = (0..30)
        .map(|epoch| (0..7).map(|key| (key, i64::from(key) - epoch % 5)).collect())
        .collect();
    let history = Arc::new(History::new(&edits));
    for mut lake in [Lake::in_memory(), Lake::on_disk(true)] {
        lake.store.slow(1);
        let run = |sink: Box<dyn Sink>, step: usize| {
            let history = Arc::clone(&history);
            tokio::spawn(async move {
                let mut program = Program::new(&history, STATE, sink);
                for upper in (1..=30).step_by(step) {
                    program.offer(upper);
                    program.settle().await;
                }
                program.offer(30);
                program.settle().await;
            })
        };
        let (one, other) = (run(lake.sink_of(&VIEWS), 1), run(lake.sink_of(&VIEWS), 3));
        one.await.unwrap();
        other.await.unwrap();
        assert_eq!(whole(&mut lake, &history).await, history.mark(STATE, 30));
    }
}
