//! What readers of a real PostgreSQL see while a release that changes a view comes in.
//!
//! Invariant: they see the tables of before with the mark of before, unblocked, until those of the
//! new program are whole.

#![allow(clippy::unwrap_used)]

mod program;
mod proxy;
mod timescale_rig;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::history::{COUNTS, SALES};
use ionflux_sinks::sink::{Mark, Outgoing};
use program::COUNTS_2;
use timescale_rig::Database;

const MARK: Mark = Mark { state: 5, epoch: Epoch(7), as_of: UtcMs(0) };
const NEXT: Mark = Mark { epoch: Epoch(9), ..MARK };

fn snapshot(to: Mark, views: Vec<(&'static View, Vec<Row>)>) -> Outgoing {
    let change = |row| Change { old: None, new: Some(row) };
    let changes = |rows: Vec<Row>| rows.into_iter().map(change).collect();
    let views = views.into_iter().map(|(view, rows)| (view, changes(rows))).collect();
    Outgoing { from: None, to, views }
}

fn count(units: i64) -> Row {
    Row(vec![Value::text("a"), Value::Int(units)])
}

fn count_2(units: i64) -> Row {
    Row(vec![Value::text("a"), Value::Int(units), Value::Int(1)])
}

fn sale(orders: i64) -> Row {
    let net = Value::Money(Money::new(0, Currency::parse("EUR").unwrap()));
    let at = Value::Instant(UtcMs(0));
    Row(vec![Value::text("a"), Value::Day(Day(0)), net, Value::Int(orders), at])
}

/// The rows of both tables and the mark, as one statement sees them.
const SHOWN: &str = "SELECT (SELECT string_agg(units::text, ' ') FROM ionflux.conformance_counts), \
     (SELECT string_agg(orders::text, ' ') FROM ionflux.conformance_sales), \
     (SELECT epoch::text FROM ionflux.sink_mark)";
/// How many connections of this database wait for another.
const WAITING: &str = "SELECT count(*)::text FROM pg_locks AS l JOIN pg_stat_activity AS a \
     USING (pid) WHERE NOT l.granted AND a.datname = current_database()";

#[tokio::test]
async fn readers_see_what_was_until_the_new_tables_are_full() {
    let Some(mut database) = Database::new().await else { return };
    let mut before = database.sink_of(&[&COUNTS, &SALES]);
    let rows = vec![(&COUNTS, vec![count(1)]), (&SALES, vec![sale(1)])];
    before.write(&snapshot(MARK, rows)).await.unwrap();
    assert_eq!(database.texts(SHOWN).await, ["1 1 7"]);
    let mut sink = database.sink_of(&[&COUNTS_2, &SALES]);
    assert_eq!(sink.resume().await.unwrap(), None, "a snapshot has to follow");
    assert_eq!(database.texts(SHOWN).await, ["1 1 7"], "and until then all is as it was");
    // The table that stays cannot be written for now, so that the snapshot stops in its middle.
    let mut stranger = database.login("ionflux").await;
    timescale_rig::run(&mut stranger, "BEGIN; LOCK ionflux.conformance_sales IN SHARE MODE").await;
    let rows = vec![(&COUNTS_2, vec![count_2(2)]), (&SALES, vec![sale(2)])];
    let writing = tokio::spawn(async move { sink.write(&snapshot(NEXT, rows)).await });
    database.run("SET lock_timeout TO '1ms'").await;
    while database.texts(WAITING).await == ["0"] {
        assert!(!writing.is_finished(), "the snapshot does not stop");
    }
    assert_eq!(database.texts(SHOWN).await, ["1 1 7"], "nobody waits, and nothing is empty");
    timescale_rig::run(&mut stranger, "COMMIT").await;
    writing.await.unwrap().unwrap();
    assert_eq!(database.texts(SHOWN).await, ["2 2 9"]);
    database.end().await;
}

#[tokio::test]
async fn two_programs_that_start_at_once_make_the_tables_once() {
    let Some(mut database) = Database::new().await else { return };
    for views in [[&COUNTS, &SALES], [&COUNTS_2, &SALES]] {
        let mut sinks = [database.sink_of(&views), database.sink_of(&views)];
        for sink in &mut sinks {
            assert_eq!(sink.resume().await.unwrap(), None);
        }
        let writing = sinks.map(|mut sink| {
            tokio::spawn(async move {
                let wrote = sink.write(&snapshot(MARK, Vec::new())).await;
                (wrote, sink.resume().await)
            })
        });
        let mut made = 0;
        for one in writing {
            let (wrote, held) = one.await.unwrap();
            made += usize::from(wrote.is_ok());
            assert!(wrote.as_ref().err().is_none_or(|error| error.passing()), "{wrote:?}");
            assert_eq!(held.unwrap(), Some(MARK));
        }
        assert_eq!(made, 1);
    }
    let beside = "SELECT count(*)::text FROM pg_class WHERE relname LIKE '%~%'";
    assert_eq!(database.texts(beside).await, ["0"]);
    database.end().await;
}
