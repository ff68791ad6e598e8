//! What the sink tells of agents on the real Kafka (IONFLUX_KAFKA): once for whatever moved.
//!
//! Invariant: who reads the events knows of every row that came, changed or went, however it got
//! into the topics.

#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kafka_rig;
mod program;
mod proxy;

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::kafka::Envelope;
use ionflux_sinks::sink::{Outgoing, Sink};
use kafka_rig::{Cluster, Seen};
use program::{batch, change};
use serde_json::Value as Json;

const STATE: u128 = 5;

/// A view of an agent as it could be: badges that users have.
static BADGES: View = View {
    name: "user_badges",
    version: 1,
    schema: r#"{"type": "record", "name": "user_badges", "namespace": "ionflux.views.v1",
        "doc": "Badges.", "ionflux.key": ["workspace_id", "badge_id"], "fields": [
            {"name": "workspace_id", "type": "string", "doc": "The tenant."},
            {"name": "badge_id", "type": "string", "doc": "The badge."},
            {"name": "times", "type": "long", "doc": "How often."}]}"#,
    width: 1,
    row: |_, key, totals| {
        Row(vec![Value::text("w"), Value::text(key.to_string()), Value::Int(totals[0] as i64)])
    },
};

/// A view of an agent, with rows that share a shop.
static REVENUE: View = View {
    name: "revenue_by_day",
    version: 1,
    schema: r#"{"type": "record", "name": "revenue_by_day", "namespace": "ionflux.views.v1",
        "doc": "Revenue.", "ionflux.key": ["workspace_id", "shop_id", "day"], "fields": [
            {"name": "workspace_id", "type": "string", "doc": "The tenant."},
            {"name": "shop_id", "type": "string", "doc": "The shop."},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}, "doc": "The day."},
            {"name": "orders", "type": "long", "doc": "Orders."}]}"#,
    width: 1,
    row: |_, key, totals| {
        let day = Value::Day(Day(key as i32));
        Row(vec![Value::text("w"), Value::text("s"), day, Value::Int(totals[0] as i64)])
    },
};

fn badge(workspace: &str, badge: &str, times: i64) -> Option<Row> {
    Some(Row(vec![Value::text(workspace), Value::text(badge), Value::Int(times)]))
}

fn revenue(workspace: &str, day: i32) -> Change {
    let (workspace, shop) = (Value::text(workspace), Value::text("s"));
    change(None, Some(Row(vec![workspace, shop, Value::Day(Day(day)), Value::Int(1)])))
}

/// A write that is given up when it was polled so many times.
async fn given_up(sink: &mut dyn Sink, batch: &Outgoing, polls: u32) {
    let (mut left, mut write) = (polls, sink.write(batch));
    std::future::poll_fn(|context| {
        left -= 1;
        if write.as_mut().poll(context).is_ready() || left == 0 {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
}

/// The events of a workspace in the order of the topic.
fn events(cluster: &Cluster, workspace: &str) -> Vec<Json> {
    let seen = cluster.visible("ionflux.agent.outputs");
    seen.iter().filter(|seen| seen.key == workspace.as_bytes()).map(Seen::json).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_found_is_told_once_for_every_epoch() {
    let Some(mut cluster) = Cluster::new().await else { return };
    cluster.config.outputs = true;
    // The topic of events is shared: a workspace of its own tells them apart.
    let workspace = cluster.topic("w");
    let workspace = workspace.as_str();
    let views: [&View; 2] = [&BADGES, &REVENUE];
    let mut sink = cluster.sink_of(&views);
    let first = vec![(&BADGES, vec![change(None, badge(workspace, "old", 1))]), (&REVENUE, vec![])];
    sink.write(&batch(STATE, None, 1, first)).await.unwrap();
    assert_eq!(events(&cluster, workspace), [] as [Json; 0], "a snapshot tells nothing");
    let badges = vec![
        change(None, badge(workspace, "new", 1)),
        change(badge(workspace, "old", 1), badge(workspace, "old", 2)),
    ];
    let days = vec![revenue(workspace, 1), revenue(workspace, 2)];
    let next = batch(STATE, Some(1), 2, vec![(&BADGES, badges), (&REVENUE, days)]);
    // Given up between sending and committing, at whatever point, until it is through.
    for polls in 1..8 {
        given_up(&mut *sink, &next, polls).await;
        sink.resume().await.unwrap();
    }
    sink.write(&next).await.unwrap();
    sink.write(&next).await.unwrap();
    let told = events(&cluster, workspace);
    let count = |kind: &str| told.iter().filter(|event| event["event_type"] == kind).count();
    assert_eq!(count("ionflux.agent.badgemotivator.badge_unlocked"), 1);
    assert_eq!(count("ionflux.agent.revenuetracker.dashboard_updated"), 1, "once for a shop");
    assert_eq!(count("ionflux.agent.run.completed"), 2, "one for each agent");
    assert_eq!(told.len(), 4);
    let ids: BTreeMap<&str, ()> =
        told.iter().map(|event| (event["event_id"].as_str().unwrap(), ())).collect();
    assert_eq!(ids.len(), 4, "no two have the same id");
    let unlocked =
        told.iter().find(|event| event["payload_json"]["badge_id"] == "new").expect("no badge");
    assert_eq!(unlocked["event_timestamp"], "2023-11-14T22:13:20.123Z");
    assert_eq!(unlocked["workspace_id"], workspace);
    assert_eq!(unlocked["payload_schema_version"], "v1.0");
    let name = format!(
        "{STATE:032x} 2 user_badges {workspace} [\"{workspace}\",\"new\"] \
         ionflux.agent.badgemotivator.badge_unlocked"
    );
    let ours = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, b"ionflux.agent.outputs");
    let id = uuid::Uuid::new_v5(&ours, name.as_bytes()).to_string();
    assert_eq!(unlocked["event_id"], id);
}

/// Badges with how often they were got, and days with their orders, by shop.
#[derive(Clone, Default)]
struct Rows {
    badges: BTreeMap<&'static str, i64>,
    days: BTreeMap<(&'static str, i32), i64>,
}

fn rows(badges: &[(&'static str, i64)], days: &[((&'static str, i32), i64)]) -> Rows {
    Rows { badges: badges.iter().copied().collect(), days: days.iter().copied().collect() }
}

impl Rows {
    fn badge(&self, workspace: &str, name: &str) -> Option<Row> {
        self.badges.get(name).and_then(|times| badge(workspace, name, *times))
    }

    fn day(&self, workspace: &str, (shop, day): (&str, i32)) -> Option<Row> {
        let orders = self.days.iter().find(|(at, _)| **at == (shop, day)).map(|(_, n)| *n)?;
        let (workspace, shop) = (Value::text(workspace), Value::text(shop));
        Some(Row(vec![workspace, shop, Value::Day(Day(day)), Value::Int(orders)]))
    }

    /// What changes from these rows to others, in a workspace.
    fn to(&self, next: &Self, workspace: &str) -> Vec<(&'static View, Vec<Change>)> {
        let names: BTreeSet<_> = self.badges.keys().chain(next.badges.keys()).collect();
        let badge = |name: &&str| change(self.badge(workspace, name), next.badge(workspace, name));
        let days: BTreeSet<_> = self.days.keys().chain(next.days.keys()).collect();
        let day = |at: &(&str, i32)| change(self.day(workspace, *at), next.day(workspace, *at));
        let differ = |change: &Change| change.old != change.new;
        let badges = names.into_iter().map(badge).filter(differ).collect();
        let days = days.into_iter().map(day).filter(differ).collect();
        vec![(&BADGES, badges), (&REVENUE, days)]
    }
}

/// What the rows become: at epoch 1, which is the first snapshot, at 2, and at 4.
fn history() -> [Rows; 3] {
    let first = rows(&[("old", 1)], &[(("a", 1), 1), (("b", 1), 1), (("c", 1), 1)]);
    let second = rows(&[("old", 1), ("told", 1)], &[(("a", 1), 2), (("b", 1), 1), (("c", 1), 1)]);
    // Of shop b a row goes, of shop c none moves, shop d is new.
    let days = [(("a", 1), 2), (("a", 2), 1), (("c", 1), 1), (("d", 9), 1)];
    [first, second, rows(&[("old", 2), ("told", 1), ("new", 1), ("newer", 1)], &days)]
}

const AGENTS: [&View; 2] = [&BADGES, &REVENUE];

fn snapshot(to: u64, rows: &Rows, workspace: &str) -> Outgoing {
    batch(STATE, None, to, Rows::default().to(rows, workspace))
}

/// A workspace of topics of its own, told of up to epoch 2.
async fn begun(cluster: &Cluster) -> (Box<dyn Sink>, String) {
    let ([first, second, _], workspace) = (history(), cluster.topic("w"));
    let mut sink = cluster.sink_of(&AGENTS);
    sink.write(&snapshot(1, &first, &workspace)).await.unwrap();
    assert_eq!(events(cluster, &workspace), [] as [Json; 0], "the first snapshot is silent");
    sink.write(&batch(STATE, Some(1), 2, first.to(&second, &workspace))).await.unwrap();
    (sink, workspace)
}

/// What events say, but for ids and the name of the workspace; none says the same twice.
fn told(cluster: &Cluster, workspace: &str, skipped: usize) -> BTreeSet<String> {
    let events = events(cluster, workspace);
    let said = |event: &Json| {
        let mut payload = event["payload_json"].clone();
        if let Some(fields) = payload.as_object_mut() {
            fields.remove("run_id");
        }
        let said = format!("{} {} {payload}", event["event_type"], event["workspace_id"]);
        said.replace(workspace, "w")
    };
    let ids: BTreeSet<String> = events.iter().map(|e| e["event_id"].to_string()).collect();
    assert_eq!(ids.len(), events.len(), "no two have the same id");
    let all: Vec<String> = events.iter().map(said).collect();
    let set: BTreeSet<String> = all[skipped..].iter().cloned().collect();
    assert_eq!(set.len(), all.len() - skipped, "{all:?}");
    set
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_a_crash_kept_back_are_told_by_the_snapshot_that_makes_up_for_them() {
    for (envelope, state) in
        [(Envelope::Upsert, STATE), (Envelope::Debezium, STATE), (Envelope::Upsert, STATE + 1)]
    {
        let [_, second, third] = history();
        let Some(mut calm) = Cluster::new().await else { return };
        (calm.config.outputs, calm.config.envelope) = (true, envelope);
        let (mut sink, workspace) = begun(&calm).await;
        let count = events(&calm, &workspace).len();
        sink.write(&batch(STATE, Some(2), 4, second.to(&third, &workspace))).await.unwrap();
        let expected = told(&calm, &workspace, count);
        // Two badges and the shops a, b and d, beside a run of each agent.
        assert_eq!(expected.len(), 7, "{expected:?}");

        let Some(mut cluster) = Cluster::new().await else { return };
        (cluster.config.outputs, cluster.config.envelope) = (true, envelope);
        let (sink, workspace) = begun(&cluster).await;
        assert_eq!(events(&cluster, &workspace).len(), count);
        drop(sink);
        let mut heir = cluster.sink_of(&AGENTS);
        assert_eq!(heir.resume().await.unwrap().map(|mark| mark.epoch), Some(Epoch(2)));
        let mut whole = snapshot(4, &third, &workspace);
        whole.to.state = state;
        heir.write(&whole).await.unwrap();
        assert_eq!(told(&cluster, &workspace, count), expected, "{envelope:?}");
        // The same rows again, at the same epoch or another one, are no news.
        let told = events(&cluster, &workspace);
        heir.write(&whole).await.unwrap();
        whole.to.epoch = Epoch(5);
        heir.write(&whole).await.unwrap();
        assert_eq!(events(&cluster, &workspace), told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_answer_is_lost_or_that_is_given_up_tells_nothing_twice() {
    let [_, second, third] = history();
    let Some(mut cluster) = Cluster::new().await else { return };
    cluster.config.outputs = true;
    let (mut sink, workspace) = begun(&cluster).await;
    let count = events(&cluster, &workspace).len();
    // The request that ends a transaction: 26, of version 1. At another epoch it is due again.
    for epoch in [4, 5] {
        let whole = snapshot(epoch, &third, &workspace);
        cluster.proxy.lose_answer(b"\0\x1a\0\x01\0\0");
        let _ = sink.write(&whole).await;
        assert!(cluster.proxy.done(), "no transaction was ended");
        assert_eq!(sink.resume().await.unwrap(), Some(whole.to));
        sink.write(&whole).await.unwrap();
        assert_eq!(told(&cluster, &workspace, count).len(), 7);
    }
    let back = snapshot(6, &second, &workspace);
    for polls in 1..12 {
        given_up(&mut *sink, &back, polls).await;
        sink.resume().await.unwrap();
    }
    sink.write(&back).await.unwrap();
    // The shops a, b and d, and the runs.
    assert_eq!(told(&cluster, &workspace, count + 7).len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_over_another_layout_is_silent_as_the_first() {
    let [_, _, third] = history();
    let Some(mut cluster) = Cluster::new().await else { return };
    cluster.config.outputs = true;
    let (_, workspace) = begun(&cluster).await;
    let told = events(&cluster, &workspace);
    cluster.config.envelope = Envelope::Debezium;
    let mut sink = cluster.sink_of(&AGENTS);
    assert_eq!(sink.resume().await.unwrap(), None);
    sink.write(&snapshot(4, &third, &workspace)).await.unwrap();
    assert_eq!(events(&cluster, &workspace), told);
    // From there on it is comparable.
    sink.write(&snapshot(5, &rows(&[("last", 1)], &[]), &workspace)).await.unwrap();
    assert!(events(&cluster, &workspace).len() > told.len());
}
