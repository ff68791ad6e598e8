//! The sink against the real Kafka, whose address is in IONFLUX_KAFKA (scripts/services): the
//! suite, cancellation at every point, two at once, and strangers.
//!
//! Invariant: at every moment a reader of committed records sees the epoch of the mark, whole.

#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kafka_rig;
mod program;
mod proxy;

use std::collections::BTreeMap;

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::Epoch;
use ionflux_sinks::conformance::{SCENARIOS, check};
use ionflux_sinks::history::{COUNTS, History, SALES, VIEWS};
use ionflux_sinks::memory::contents_of;
use ionflux_sinks::pump::Stepped;
use ionflux_sinks::sink::{Mark, Outgoing};
use kafka_rig::{Cluster, PATIENCE};
use program::{AS_OF, Program, batch, change, row, whole};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

const STATE: u128 = 0xfedc_ba98_7654_3210_0123_4567_89ab_cdef;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes() {
    let Some(mut cluster) = Cluster::new().await else { return };
    for scenario in SCENARIOS {
        let checked = check(scenario, &mut cluster).await;
        checked.unwrap_or_else(|broken| panic!("{broken}: {:?}", broken.cause));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_at_any_point_a_write_happened_whole_or_not_at_all() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let history = History::sample();
    // Each round is another state, which begins with a snapshot over the topics of the last.
    for cut in 0..60 {
        let state = u128::from(cut) + 1;
        let mut program = Program::new(&history, state, cluster.sink_of(&VIEWS));
        program.offer(3);
        program.settle().await;
        program.offer(5);
        let stepped = program.pump.advance_within(cut).await;
        assert!(!matches!(stepped, Stepped::Halted(_) | Stepped::Failed(_)), "{stepped:?}");
        let mark = whole(&mut cluster, &history).await;
        assert_eq!(mark.state, state);
        program.offer(8);
        program.settle().await;
        assert_eq!(whole(&mut cluster, &history).await, history.mark(state, 8));
        if matches!(stepped, Stepped::Wrote(_)) {
            assert!(cut >= 1, "{cut} polls cut nothing");
            return;
        }
    }
    panic!("the write never ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_at_every_message_tear_nothing() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let history = History::sample();
    for skipped in 0..60 {
        let state = u128::from(skipped) + 1;
        let mut program = Program::new(&history, state, cluster.sink_of(&VIEWS));
        program.offer(3);
        program.settle().await;
        program.offer(6);
        // The connection ends after so many messages of the client.
        cluster.proxy.refuse_after(skipped);
        let stepped = program.pump.advance_within(u32::MAX).await;
        let struck = cluster.proxy.done();
        cluster.proxy.calm();
        whole(&mut cluster, &history).await;
        program.settle().await;
        assert_eq!(whole(&mut cluster, &history).await, history.mark(state, 6));
        if !struck {
            assert!(matches!(stepped, Stepped::Wrote(_)), "{stepped:?}");
            assert!(skipped >= 3, "{skipped} messages are too few");
            return;
        }
    }
    panic!("the write never ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_after_any_message_leaves_the_epoch_of_the_mark_to_the_heir() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let history = History::sample();
    for spared in 0..60 {
        let state = u128::from(spared) + 1;
        let mut program = Program::new(&history, state, cluster.sink_of(&VIEWS));
        program.offer(3);
        program.settle().await;
        program.offer(6);
        cluster.proxy.die_after(spared);
        let stepped = tokio::select! {
            stepped = program.pump.advance_within(u32::MAX) => Some(stepped),
            () = cluster.proxy.dead() => None,
        };
        // The dead may still try; the heir has a way of its own.
        let _dead = cluster.another_way().await;
        let mark = whole(&mut cluster, &history).await;
        assert_eq!(mark.state, state);
        let mut heir = Program::new(&history, state, cluster.sink_of(&VIEWS));
        heir.offer(8);
        heir.settle().await;
        assert_eq!(whole(&mut cluster, &history).await, history.mark(state, 8));
        if let Some(stepped) = stepped {
            assert!(matches!(stepped, Stepped::Wrote(_)), "{stepped:?}");
            assert!(spared >= 3, "{spared} messages are too few");
            return;
        }
    }
    panic!("the write never ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_commit_that_is_lost_loses_and_doubles_nothing() {
    let Some(cluster) = Cluster::new().await else { return };
    let history = History::sample();
    let mut program = Program::new(&history, STATE, cluster.sink_of(&VIEWS));
    program.offer(2);
    program.settle().await;
    for upper in 3..=8 {
        cluster.proxy.lose_answer(b"\0\x1a\0\x01\0\0");
        program.offer(upper);
        program.settle().await;
        assert!(cluster.proxy.done(), "no transaction was ended");
        assert_eq!(cluster.contents_of(&VIEWS), contents_of(&history.states[upper]));
    }
    let epochs = cluster.committed(&cluster.topic("marks"));
    let epochs: Vec<u64> = epochs.iter().map(|s| s.json()["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [2, 3, 4, 5, 6, 7, 8], "every epoch is committed once");
}

/// A batch of changes to the view of counts.
fn counts(from: Option<u64>, to: u64, changes: Vec<Change>) -> Outgoing {
    batch(STATE, from, to, vec![(&SALES, vec![]), (&COUNTS, changes)])
}

fn shown(cluster: &Cluster) -> BTreeMap<String, i64> {
    let held = cluster.folded(&cluster.topic("conformance_counts"));
    let row = |seen: &kafka_rig::Seen| {
        let row = seen.json();
        (row["workspace_id"].as_str().unwrap().to_owned(), row["units"].as_i64().unwrap())
    };
    held.values().map(row).collect()
}

fn rows<const N: usize>(rows: [(&str, i64); N]) -> BTreeMap<String, i64> {
    rows.into_iter().map(|(key, units)| (key.to_owned(), units)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_is_fenced_and_says_so() {
    let Some(cluster) = Cluster::new().await else { return };
    let (mut zombie, mut heir) = (cluster.sink_of(&VIEWS), cluster.sink_of(&VIEWS));
    zombie.write(&counts(None, 1, vec![change(None, row("a", 1))])).await.unwrap();
    let held = Some(Mark { state: STATE, epoch: Epoch(1), as_of: AS_OF });
    assert_eq!(zombie.resume().await.unwrap(), held);
    assert_eq!(heir.resume().await.unwrap(), held);
    let late = counts(Some(1), 2, vec![change(row("a", 1), row("a", 66))]);
    let error = zombie.write(&late).await.unwrap_err();
    assert!(error.passing() && error.to_string().contains("took over"), "{error}");
    heir.write(&counts(Some(1), 3, vec![change(row("a", 1), row("a", 3))])).await.unwrap();
    // Asked again the zombie knows where the target is, and has nothing to bring from there.
    assert_eq!(
        zombie.resume().await.unwrap(),
        Some(Mark { state: STATE, epoch: Epoch(3), as_of: AS_OF })
    );
    zombie.write(&late).await.unwrap();
    let gap = zombie.write(&counts(Some(2), 4, vec![])).await.unwrap_err();
    assert!(gap.passing() && gap.to_string().contains("begins at 2"), "{gap}");
    assert_eq!(shown(&cluster), rows([("a", 3)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_transaction_is_never_visible_and_is_aborted_by_the_next() {
    let Some(cluster) = Cluster::new().await else { return };
    let mut sink = cluster.sink_of(&VIEWS);
    sink.write(&counts(None, 1, vec![change(None, row("a", 1))])).await.unwrap();
    // A program that died in the middle, at its broker: a producer of the name, with no end.
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.brokers);
    config.set("transactional.id", format!("{}kafka", cluster.config.topic_prefix));
    let dead: BaseProducer = config.create().unwrap();
    dead.init_transactions(PATIENCE).unwrap();
    dead.begin_transaction().unwrap();
    let topic = cluster.topic("conformance_counts");
    let torn = BaseRecord::<str, str>::to(&topic).key(r#"["a"]"#).payload("torn");
    dead.send(torn).map_err(|(error, _)| error).unwrap();
    dead.flush(PATIENCE).unwrap();
    let visible = cluster.visible(&topic);
    assert_eq!(visible.len(), 1, "{visible:?}");
    let mut next = cluster.sink_of(&VIEWS);
    assert_eq!(next.resume().await.unwrap().map(|mark| mark.epoch), Some(Epoch(1)));
    next.write(&counts(Some(1), 2, vec![change(row("a", 1), row("a", 2))])).await.unwrap();
    assert!(dead.commit_transaction(PATIENCE).is_err(), "the dead commits");
    assert_eq!(shown(&cluster), rows([("a", 2)]));
    assert_eq!(cluster.committed(&topic).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_batch_given_up_in_the_middle_leaves_nothing() {
    let Some(cluster) = Cluster::new().await else { return };
    let key = |at: i64| format!("w{at:06}");
    let all = |units: i64| (0..40_000).map(move |at| change(None, row(&key(at), units))).collect();
    let mut sink = cluster.sink_of(&VIEWS);
    sink.write(&counts(None, 1, all(1))).await.unwrap();
    let next = (0..40_000).map(|at| change(row(&key(at), 1), row(&key(at), 2))).collect();
    let next = counts(Some(1), 2, next);
    let mut given_up = 0;
    for polls in 1..12 {
        let mut write = sink.write(&next);
        let mut left = polls;
        let done = std::future::poll_fn(|context| {
            left -= 1;
            match write.as_mut().poll(context) {
                std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
                std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        });
        let done = done.await;
        drop(write);
        given_up += u32::from(done.is_none());
        let mark = sink.resume().await.unwrap().unwrap();
        let held = cluster.folded(&cluster.topic("conformance_counts"));
        let units = if mark.epoch == Epoch(2) { 2 } else { 1 };
        assert_eq!(held.len(), 40_000);
        assert!(held.values().all(|seen| seen.json()["units"] == units), "at {mark:?}");
        if mark.epoch == Epoch(2) {
            break;
        }
    }
    assert!(given_up > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_rows_are_removed_by_a_snapshot_that_touches_nothing_else() {
    let Some(cluster) = Cluster::new().await else { return };
    let mut sink = cluster.sink_of(&VIEWS);
    let first = ["a", "b", "c"].map(|key| change(None, row(key, 1))).to_vec();
    sink.write(&counts(None, 1, first)).await.unwrap();
    let topic = cluster.topic("conformance_counts");
    cluster.put(&topic, r#"["b"]"#, Some(r#"{"workspace_id":"b","units":99}"#));
    cluster.put(&topic, r#"["c"]"#, None);
    cluster.put(&topic, "nonsense", Some("nonsense"));
    let before = cluster.committed(&topic).len();
    let snapshot = ["a", "b", "c"].map(|key| change(None, row(key, 1))).to_vec();
    sink.write(&counts(None, 2, snapshot)).await.unwrap();
    assert_eq!(shown(&cluster), rows([("a", 1), ("b", 1), ("c", 1)]));
    // b and c are written, nonsense goes, a stays as it was.
    assert_eq!(cluster.committed(&topic).len(), before + 3);
}
