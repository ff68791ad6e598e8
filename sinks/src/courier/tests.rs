//! The courier against what targets say.

use super::*;
use crate::history::History;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::run::Run;
use ionflux_schemas::time::UtcMs;
use ionflux_schemas::view::{Row, Value};

const STATE: u128 = 1;

fn mark(epoch: u64) -> Option<Mark> {
    marked(STATE, epoch)
}

/// A mark of the sample's history.
fn marked(state: u128, epoch: u64) -> Option<Mark> {
    let as_of = UtcMs(epoch.saturating_sub(1) as i64 * 60_000);
    Some(Mark { state, epoch: Epoch(epoch), as_of })
}

fn offer(courier: &mut Courier, history: &History, epochs: std::ops::Range<usize>) {
    for at in epochs {
        let (before, batch, after) = history.epoch(at);
        courier.offer(before, batch, after);
    }
}

/// What leaves next, as `from-to`, with `all` for a snapshot.
fn next(courier: &mut Courier) -> String {
    courier.next().map_or("nothing".to_owned(), |batch| {
        let from = batch.from.map_or("all".to_owned(), |from| from.to_string());
        format!("{from}-{}", batch.to.epoch)
    })
}

/// A program that stands at epoch 2, offers up to 6 and hears what the target holds.
fn check(held: Option<Mark>, expected: &str) {
    let history = History::sample();
    for asked_first in [false, true] {
        let mut courier = Courier::new(STATE);
        assert!(courier.unsure());
        courier.begin(&history.states[2]);
        if asked_first {
            courier.resumed(held);
        }
        offer(&mut courier, &history, 2..6);
        if !asked_first {
            assert_eq!(next(&mut courier), "nothing", "the target has not been asked");
            courier.resumed(held);
        }
        assert_eq!(next(&mut courier), expected, "{held:?}");
    }
}

#[test]
fn changes_leave_only_for_a_target_that_stands_where_they_begin() {
    check(mark(2), "2-6");
    check(mark(1), "all-6");
    check(None, "all-6");
    check(marked(9, 2), "all-6");
    check(mark(6), "nothing");
    check(mark(8), "nothing");
}

#[test]
fn a_target_in_the_middle_of_what_merged_gets_a_snapshot() {
    let history = History::sample();
    let mut courier = Courier::new(STATE);
    courier.begin(&history.states[2]);
    offer(&mut courier, &history, 2..6);
    courier.resumed(mark(4));
    assert_eq!(next(&mut courier), "all-6");
}

#[test]
fn replayed_epochs_that_the_target_has_are_skipped_up_to_its_own() {
    let history = History::sample();
    let mut courier = Courier::new(STATE);
    courier.begin(&history.states[2]);
    courier.resumed(mark(4));
    offer(&mut courier, &history, 2..3);
    assert_eq!(next(&mut courier), "nothing");
    offer(&mut courier, &history, 3..6);
    assert!(courier.owing());
    assert_eq!(next(&mut courier), "4-6");
}

#[test]
fn a_target_beyond_all_history_gets_a_snapshot_of_the_renewed_state() {
    let history = History::sample();
    let mut courier = Courier::new(STATE);
    courier.begin(&history.states[2]);
    courier.resumed(mark(5));
    offer(&mut courier, &history, 2..4);
    assert!(!courier.strayed(), "the journal may still hold epoch 5");
    courier.caught_up();
    assert!(courier.strayed());
    courier.renew(9);
    assert!(!courier.strayed() && courier.owing());
    let batch = courier.next().unwrap();
    assert_eq!((batch.from, batch.to), (None, marked(9, 4).unwrap()));
}

#[test]
fn a_target_of_another_history_gets_a_snapshot_of_the_renewed_state() {
    let history = History::sample();
    // The same numbers at other times: where changes begin, where they end, and behind that.
    for (epoch, told_at) in [(2, 0), (2, 2), (4, 2), (4, 4)] {
        let held = mark(epoch).map(|mark| Mark { as_of: UtcMs(mark.as_of.0 + 1), ..mark });
        let mut courier = Courier::new(STATE);
        courier.begin(&history.states[2]);
        for at in 2..4 {
            if told_at == at {
                courier.resumed(held);
            }
            offer(&mut courier, &history, at..at + 1);
        }
        if !(2..4).contains(&told_at) {
            courier.resumed(held);
        }
        assert!(courier.strayed(), "{epoch}, told at {told_at}");
        assert_eq!(next(&mut courier), "nothing");
        courier.renew(9);
        assert!(!courier.strayed());
        offer(&mut courier, &history, 4..5);
        assert_eq!(next(&mut courier), "all-5");
    }
}

#[test]
fn a_lost_answer_costs_neither_a_snapshot_nor_a_change() {
    let history = History::sample();
    for (held, expected) in [(3, "3-5"), (2, "2-5"), (1, "all-5"), (5, "nothing")] {
        let mut courier = Courier::new(STATE);
        courier.resumed(mark(2));
        offer(&mut courier, &history, 2..3);
        assert_eq!(next(&mut courier), "2-3");
        assert_eq!(next(&mut courier), "nothing", "one at a time");
        offer(&mut courier, &history, 3..4);
        courier.failed();
        offer(&mut courier, &history, 4..5);
        assert!(courier.unsure());
        assert_eq!(next(&mut courier), "nothing", "only the target knows");
        assert_eq!(courier.reached(), Some(Epoch(2)));
        courier.resumed(mark(held));
        assert_eq!(next(&mut courier), expected, "the target holds {held}");
    }
}

#[test]
fn what_is_offered_while_a_write_is_under_way_follows_it() {
    let history = History::sample();
    for held in [None, mark(2)] {
        let mut courier = Courier::new(STATE);
        courier.begin(&history.states[2]);
        courier.resumed(held);
        offer(&mut courier, &history, 2..3);
        assert!(courier.next().is_some());
        offer(&mut courier, &history, 3..5);
        courier.wrote();
        assert_eq!(courier.reached(), Some(Epoch(3)));
        assert_eq!(next(&mut courier), "3-5");
    }
}

/// Shows tens only, so that a total may move without its row.
static TENS: View = View {
    name: "tens",
    version: 1,
    schema: r#"{"type": "record", "name": "tens", "doc": "Tens.", "ionflux.key": ["key"],
        "fields": [{"name": "key", "type": "long", "doc": "The key."},
            {"name": "tens", "type": "long", "doc": "The tens of the total."}]}"#,
    width: 1,
    row: |_, key, totals| Row(vec![Value::Int(key as i64), Value::Int((totals[0] / 10) as i64)]),
};

#[test]
fn rows_that_show_no_change_do_not_leave() {
    let batch = |epoch: u64, rows: [(u128, [i64; 1]); 2]| Batch {
        lower: Epoch(epoch),
        upper: Epoch(epoch + 1),
        as_of: UtcMs(0),
        deltas: vec![Run::from_sorted(rows.into_iter())],
    };
    let empty = Snapshot::empty(&[&TENS], Arc::new(Dictionary::new()));
    let before = Arc::new(empty.after(&batch(0, [(1, [31]), (2, [32])])));
    let batch = batch(1, [(1, [5]), (2, [8])]);
    let after = Arc::new(before.after(&batch));
    let mut courier = Courier::new(STATE);
    courier.begin(&before);
    courier.resumed(mark(1));
    courier.offer(&before, &batch, &after);
    let row = |tens| Some(Row(vec![Value::Int(2), Value::Int(tens)]));
    let left = courier.next().unwrap().views;
    assert_eq!(left, [(&TENS, vec![Change { old: row(3), new: row(4) }])]);
}

#[test]
#[should_panic(expected = "without a gap")]
fn a_gap_is_a_bug_of_the_publisher() {
    let history = History::sample();
    let mut courier = Courier::new(STATE);
    offer(&mut courier, &history, 0..1);
    offer(&mut courier, &history, 2..3);
}
