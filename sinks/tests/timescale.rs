//! The sink against the real PostgreSQL, whose address is in IONFLUX_POSTGRES (scripts/services):
//! the suite, cancellation at every point, two at once, and strangers.
//!
//! Invariant: at every moment the tables show the epoch of the mark, whole.

#![allow(clippy::unwrap_used)]

mod program;
mod proxy;
mod timescale_rig;

use std::sync::Arc;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value};
use ionflux_sinks::conformance::{SCENARIOS, check};
use ionflux_sinks::history::{COUNTS, History, SALES, VIEWS};
use ionflux_sinks::pump::Stepped;
use ionflux_sinks::sink::{Outgoing, Sink};
use ionflux_sinks::timescale::TimescaleConfig;
use program::{Program, batch, change, row, whole};
use timescale_rig::Database;

const STATE: u128 = 0xfedc_ba98_7654_3210_0123_4567_89ab_cdef;

#[tokio::test]
async fn the_suite_passes() {
    let Some(mut database) = Database::new().await else { return };
    let there = "SELECT count(*)::text FROM pg_available_extensions WHERE name = 'timescaledb'";
    if database.texts(there).await == ["0"] {
        eprintln!("SKIPPED: TimescaleDB is not installed: the suite runs on plain tables only");
    }
    for scenario in SCENARIOS {
        let checked = check(scenario, &mut database).await;
        checked.unwrap_or_else(|broken| panic!("{broken}: {:?}", broken.cause));
    }
    database.end().await;
}

#[tokio::test]
async fn given_up_at_any_point_a_write_happened_whole_or_not_at_all() {
    let Some(mut database) = Database::new().await else { return };
    let history = History::sample();
    let mut landed = 0;
    // Each round is another state, which begins with a snapshot over the tables of the last.
    for cut in 0..400 {
        let state = u128::from(cut) + 1;
        let mut program = Program::new(&history, state, database.sink_of(&VIEWS));
        program.offer(3);
        program.settle().await;
        program.offer(5);
        let stepped = program.pump.advance_within(cut).await;
        assert!(!matches!(stepped, Stepped::Halted(_) | Stepped::Failed(_)), "{stepped:?}");
        let mark = whole(&mut database, &history).await;
        assert_eq!(mark.state, state);
        landed += u32::from(mark.epoch == Epoch(5));
        program.offer(8);
        program.settle().await;
        assert_eq!(whole(&mut database, &history).await, history.mark(state, 8));
        if matches!(stepped, Stepped::Wrote(_)) {
            assert!(cut >= 5, "{cut} polls cut nothing");
            assert!(landed >= 1, "the last one landed");
            database.end().await;
            return;
        }
    }
    panic!("the write never ends");
}

#[tokio::test]
async fn given_up_at_any_point_the_first_question_can_be_asked_again() {
    let Some(mut database) = Database::new().await else { return };
    let history = History::sample();
    for cut in (0..3_000).step_by(7) {
        database.run("DROP SCHEMA IF EXISTS ionflux, ionflux_read CASCADE").await;
        let mut program = Program::new(&history, STATE, database.sink_of(&VIEWS));
        let stepped = program.pump.advance_within(cut).await;
        database.alone().await;
        program.offer(2);
        program.settle().await;
        assert_eq!(whole(&mut database, &history).await.epoch, Epoch(2));
        if matches!(stepped, Stepped::Resumed(_)) {
            assert!(cut > 20, "{cut} polls cut nothing");
            database.end().await;
            return;
        }
    }
    panic!("the question is never answered");
}

#[tokio::test]
async fn connections_cut_at_every_message_tear_nothing() {
    let Some(mut database) = Database::new().await else { return };
    let history = History::sample();
    for skipped in 0..60 {
        let state = u128::from(skipped) + 1;
        let mut program = Program::new(&history, state, database.sink_of(&VIEWS));
        program.offer(3);
        program.settle().await;
        program.offer(6);
        // The connection ends after so many messages of the client.
        database.proxy.refuse_after(skipped);
        let stepped = program.pump.advance_within(u32::MAX).await;
        let struck = database.proxy.done();
        database.proxy.calm();
        whole(&mut database, &history).await;
        program.settle().await;
        assert_eq!(whole(&mut database, &history).await, history.mark(state, 6));
        if !struck {
            assert!(matches!(stepped, Stepped::Wrote(_)), "{stepped:?}");
            assert!(skipped >= 5, "{skipped} messages are too few");
            database.end().await;
            return;
        }
    }
    panic!("the write never ends");
}

#[tokio::test]
async fn two_at_once_do_not_tear_an_epoch() {
    let Some(mut database) = Database::new().await else { return };
    let edits: Vec<Vec<(u8, i64)>> = (0..40)
        .map(|epoch| (0..7).map(|key| (key, i64::from(key) - epoch % 5)).collect())
        .collect();
    let history = Arc::new(History::new(&edits));
    let run = |sink: Box<dyn Sink>, step: usize| {
        let history = Arc::clone(&history);
        tokio::spawn(async move {
            let mut program = Program::new(&history, STATE, sink);
            for upper in (1..=40).step_by(step) {
                program.offer(upper);
                program.settle().await;
            }
            program.offer(40);
            program.settle().await;
        })
    };
    let (one, other) = (run(database.sink_of(&VIEWS), 1), run(database.sink_of(&VIEWS), 3));
    one.await.unwrap();
    other.await.unwrap();
    assert_eq!(whole(&mut database, &history).await, history.mark(STATE, 40));
    database.end().await;
}

/// A batch of changes to the view of counts.
fn counts(from: Option<u64>, to: u64, changes: Vec<Change>) -> Outgoing {
    batch(STATE, from, to, vec![(&SALES, vec![]), (&COUNTS, changes)])
}

#[tokio::test]
async fn strangers_rows_and_deletions_are_written_over() {
    let Some(mut database) = Database::new().await else { return };
    let mut sink = database.sink_of(&VIEWS);
    sink.resume().await.unwrap();
    let first = ["a", "b", "c"].map(|key| change(None, row(key, 1))).to_vec();
    sink.write(&counts(None, 1, first)).await.unwrap();
    let all = "SELECT workspace_id, units::text FROM ionflux.conformance_counts ORDER BY 1";
    // A row that the next epoch changes is gone; one that it brings is there; one changed.
    database.run("DELETE FROM ionflux.conformance_counts WHERE workspace_id = 'a'").await;
    database.run("INSERT INTO ionflux.conformance_counts VALUES ('d', 99)").await;
    database.run("UPDATE ionflux.conformance_counts SET units = 99 WHERE workspace_id = 'b'").await;
    let next = vec![
        change(row("a", 1), row("a", 2)),
        change(row("c", 1), None),
        change(None, row("d", 4)),
    ];
    sink.write(&counts(Some(1), 2, next)).await.unwrap();
    assert_eq!(database.texts(all).await, ["a 2", "b 99", "d 4"]);
    // A snapshot sets everything right and touches nothing that is.
    let places = "SELECT ctid::text, xmin::text FROM ionflux.conformance_counts \
                  WHERE workspace_id <> 'b' ORDER BY workspace_id";
    let before = database.texts(places).await;
    let whole = [("a", 2), ("b", 1), ("d", 4)].map(|(key, units)| change(None, row(key, units)));
    sink.write(&counts(None, 3, whole.to_vec())).await.unwrap();
    assert_eq!(database.texts(all).await, ["a 2", "b 1", "d 4"]);
    assert_eq!(database.texts(places).await, before);
    let as_of = "SELECT (as_of = '2023-11-14 22:13:20.123+00')::text FROM ionflux.sink_mark";
    assert_eq!(database.texts(as_of).await, ["true"]);
    database.end().await;
}

#[tokio::test]
async fn many_changed_rows_and_strangers_among_them_end_as_they_should() {
    let Some(mut database) = Database::new().await else { return };
    let mut sink = database.sink_of(&VIEWS);
    let key = |at: i64| format!("w{at:05}");
    let first = (0..6_000).map(|at| change(None, row(&key(at), at))).collect();
    sink.write(&counts(None, 1, first)).await.unwrap();
    let count = "SELECT count(*)::text, sum(units)::text FROM ionflux.conformance_counts";
    let next = |from: i64| {
        let changed = (0..5_000).map(|at| change(row(&key(at), from), row(&key(at), from + 1)));
        let gone = (5_000..5_500).map(|at| change(row(&key(at), at), None));
        let new = (6_000..6_100).map(|at| change(None, row(&key(at), 1)));
        changed.chain(gone).chain(new).collect::<Vec<_>>()
    };
    sink.write(&counts(Some(1), 2, next(0))).await.unwrap();
    let units: i64 = 5_000 + (5_500..6_000).sum::<i64>() + 100;
    assert_eq!(database.texts(count).await, [format!("5600 {units}")]);
    // A row that comes is there already, and one that changes is not.
    let strange = "INSERT INTO ionflux.conformance_counts VALUES ('w05250', 9); \
                   DELETE FROM ionflux.conformance_counts WHERE workspace_id = 'w00001'";
    database.run(strange).await;
    let mut last: Vec<Change> = next(1).into_iter().take(5_000).collect();
    last.extend((5_000..5_500).map(|at| change(None, row(&key(at), 1))));
    sink.write(&counts(Some(2), 3, last)).await.unwrap();
    assert_eq!(database.texts(count).await, [format!("6100 {}", units + 5_500)]);
    database.end().await;
}

#[tokio::test]
async fn keys_of_any_length_and_letters_come_change_and_go() {
    let Some(mut database) = Database::new().await else { return };
    // Digits of a hash do not compress, so that no index could take them whole.
    let digits = |seed: u128| {
        let words = (0..400).map(|at: u128| {
            let text = (seed << 64 | at).to_string();
            format!("{:032x}", ionflux_schemas::key::content_hash(text.as_bytes()))
        });
        words.collect::<String>()
    };
    let nuls = "\0\u{2400}".repeat(4_000);
    let keys =
        ["".to_owned(), "a\0b".into(), "a\u{2400}0b".into(), digits(1), digits(2), nuls + "x"];
    let mut sink = database.sink_of(&VIEWS);
    let first = keys.iter().map(|key| change(None, row(key, 1))).collect();
    sink.write(&counts(None, 1, first)).await.unwrap();
    let count = "SELECT count(*)::text, sum(units)::text FROM ionflux.conformance_counts";
    assert_eq!(database.texts(count).await, ["6 6"]);
    let next = keys.iter().map(|key| change(row(key, 1), row(key, 2))).collect();
    sink.write(&counts(Some(1), 2, next)).await.unwrap();
    assert_eq!(database.texts(count).await, ["6 12"]);
    let whole = keys.iter().map(|key| change(None, row(key, 2))).collect();
    sink.write(&counts(None, 3, whole)).await.unwrap();
    assert_eq!(database.texts(count).await, ["6 12"]);
    let last = keys[1..].iter().map(|key| change(row(key, 2), None)).collect();
    sink.write(&counts(Some(3), 4, last)).await.unwrap();
    assert_eq!(database.texts(count).await, ["1 2"]);
    database.end().await;
}

#[tokio::test]
async fn amounts_arrive_to_the_last_digit() {
    let Some(mut database) = Database::new().await else { return };
    let mut seed = 1_u128;
    let mut amount = |at: i32| {
        seed = seed.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
        let sign = if at % 2 == 0 { 1 } else { -1 };
        let minor = sign * (seed >> 1) as i128 / 10_i128.pow(4 + at as u32 % 34);
        Money::new(minor, Currency::parse(["EUR", "JPY", "KWD", "CLF"][at as usize % 4]).unwrap())
    };
    let amounts: Vec<Money> = (0..800).map(&mut amount).collect();
    let rows = (0..).zip(&amounts).map(|(at, money)| {
        let (day, at) = (Value::Day(Day(at)), Value::Instant(UtcMs(0)));
        let row = vec![Value::text("w"), day, Value::Money(*money), Value::Null, at];
        Change { old: None, new: Some(Row(row)) }
    });
    let batch = Outgoing { views: vec![(&SALES, rows.collect())], ..counts(None, 1, vec![]) };
    database.sink_of(&VIEWS).write(&batch).await.unwrap();
    let held = "SELECT net::text FROM ionflux.conformance_sales ORDER BY day";
    let expected = amounts.iter().map(|money| {
        let text = money.to_string();
        let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let zeros = "0".repeat(4 - decimals);
        if decimals == 0 { format!("{text}.{zeros}") } else { format!("{text}{zeros}") }
    });
    let expected: Vec<String> = expected.collect();
    assert_eq!(database.texts(held).await, expected);
    let huge = Value::Money(Money::new(i128::MAX, Currency::parse("EUR").unwrap()));
    let row =
        vec![Value::text("w"), Value::Day(Day(0)), huge, Value::Null, Value::Instant(UtcMs(0))];
    let change = Change { old: None, new: Some(Row(row)) };
    let batch = Outgoing { views: vec![(&SALES, vec![change])], ..counts(None, 2, vec![]) };
    let error = database.sink_of(&VIEWS).write(&batch).await.unwrap_err();
    let what =
        "PostgreSQL: the view conformance_sales: a value of the column net has over 38 digits";
    assert!(!error.passing() && error.to_string() == what, "{error}");
    database.end().await;
}

#[tokio::test]
async fn a_reader_is_not_blocked_and_sees_one_epoch() {
    let Some(mut database) = Database::new().await else { return };
    let history = History::sample();
    // What goes to the columnstore goes out of sight of transactions that see what was before.
    let rows = TimescaleConfig { columnstore_after_days: 0, ..TimescaleConfig::default() };
    let mut program = Program::new(&history, STATE, database.sink_with(&rows, &VIEWS));
    program.offer(4);
    program.settle().await;
    database.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL lock_timeout TO '1ms'").await;
    let before = database.contents_of(&VIEWS).await;
    program.offer(6);
    program.settle().await;
    // Another state brings a snapshot over the same tables.
    let mut other = Program::new(&history, STATE + 1, database.sink_with(&rows, &VIEWS));
    other.offer(8);
    other.settle().await;
    assert_eq!(database.contents_of(&VIEWS).await, before);
    database.run("COMMIT").await;
    assert_eq!(whole(&mut database, &history).await.epoch, Epoch(8));
    database.end().await;
}
