//! The sink before the real Kafka (IONFLUX_KAFKA, IONFLUX_KAFKA_SECURE): topics that are missing or
//! others than they should be, TLS and passwords.
//!
//! Invariant: what no later try gets over is told as such, with what to do.

#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kafka_rig;
mod proxy;

use ionflux_schemas::line::{Mechanism, Protocol};
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value};
use ionflux_sinks::history::{COUNTS, VIEWS};
use ionflux_sinks::kafka::{Access, KafkaConfig, build};
use ionflux_sinks::sink::{Mark, Outgoing};
use kafka_rig::{Cluster, address};

/// The clock at every epoch of these tests.
const AS_OF: UtcMs = UtcMs(0);

fn counts(from: Option<u64>, to: u64) -> Outgoing {
    let new = Some(Row(vec![Value::text("a"), Value::Int(1)]));
    let to = Mark { state: 5, epoch: Epoch(to), as_of: AS_OF };
    let views = vec![(&COUNTS, vec![Change { old: None, new }])];
    Outgoing { from: from.map(Epoch), to, views }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_must_not_be_made_are_named() {
    let Some(mut cluster) = Cluster::new().await else { return };
    cluster.config.create_topics = false;
    let error = cluster.sink_of(&[&COUNTS]).resume().await.unwrap_err();
    let (view, marks) = (cluster.topic("conformance_counts"), cluster.topic("marks"));
    let what = format!(
        "Kafka: no topic {view}, {marks}: make it by ionflux topics apply, or set create_topics"
    );
    assert!(!error.passing() && error.to_string() == what, "{error}");
    let compact = [("cleanup.policy", "compact")];
    cluster.make(&view, &compact).await;
    cluster.make(&marks, &compact).await;
    assert_eq!(cluster.sink_of(&[&COUNTS]).resume().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_that_would_be_forgotten_are_refused_and_rows_are_not() {
    let Some(cluster) = Cluster::new().await else { return };
    let (view, marks) = (cluster.topic("conformance_counts"), cluster.topic("marks"));
    cluster.make(&view, &[("cleanup.policy", "delete")]).await;
    cluster.sink_of(&[&COUNTS]).write(&counts(None, 1)).await.unwrap();
    cluster.delete(&marks).await;
    cluster.make(&marks, &[("cleanup.policy", "delete")]).await;
    let error = cluster.sink_of(&[&COUNTS]).resume().await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("cleanup.policy=delete"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_again_is_due_a_snapshot() {
    let Some(cluster) = Cluster::new().await else { return };
    cluster.sink_of(&[&COUNTS]).write(&counts(None, 4)).await.unwrap();
    // So is a view that was not there before.
    assert_eq!(cluster.sink_of(&VIEWS).resume().await.unwrap(), None);
    cluster.sink_of(&[&COUNTS]).write(&counts(None, 4)).await.unwrap();
    assert!(cluster.sink_of(&[&COUNTS]).resume().await.unwrap().is_some());
    cluster.delete(&cluster.topic("conformance_counts")).await;
    assert_eq!(cluster.sink_of(&[&COUNTS]).resume().await.unwrap(), None);
    cluster.sink_of(&[&COUNTS]).write(&counts(None, 4)).await.unwrap();
    assert_eq!(cluster.folded(&cluster.topic("conformance_counts")).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_move_whole_when_a_topic_gets_more_partitions() {
    let Some(cluster) = Cluster::new().await else { return };
    let rows = |units: i64| -> Vec<Change> {
        let row = |at: i64| Row(vec![Value::text(format!("w{at}")), Value::Int(units)]);
        (0..50).map(|at| Change { old: None, new: Some(row(at)) }).collect()
    };
    let whole = |to: u64, changes| Outgoing { views: vec![(&COUNTS, changes)], ..counts(None, to) };
    let topic = cluster.topic("conformance_counts");
    let mut sink = cluster.sink_of(&[&COUNTS]);
    sink.write(&whole(1, rows(1))).await.unwrap();
    cluster.grow(&topic, 5).await;
    // The session that is under way keeps keys where they are; the next one begins anew.
    sink.write(&whole(2, rows(2))).await.unwrap();
    assert!(cluster.folded(&topic).values().all(|seen| seen.partition < 2));
    let mut next = cluster.sink_of(&[&COUNTS]);
    assert_eq!(next.resume().await.unwrap(), None);
    next.write(&whole(3, rows(3))).await.unwrap();
    let held = cluster.folded(&topic);
    assert_eq!(held.len(), 50);
    assert!(held.values().all(|seen| seen.json()["units"] == 3));
    assert!(held.values().any(|seen| seen.partition > 1), "nothing moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_place_of_a_mark_is_refused() {
    let Some(cluster) = Cluster::new().await else { return };
    cluster.sink_of(&[&COUNTS]).write(&counts(None, 1)).await.unwrap();
    cluster.put(&cluster.topic("marks"), "kafka", Some("a stranger was here"));
    let error = cluster.sink_of(&[&COUNTS]).resume().await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("another topic_prefix"), "{error}");
    assert!(!error.to_string().contains("stranger"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_passwords_are_spoken() {
    let (Some(cluster), Some(secure), Some(ca)) =
        (Cluster::new().await, address("IONFLUX_KAFKA_SECURE"), address("IONFLUX_KAFKA_CA"))
    else {
        return;
    };
    let config = KafkaConfig {
        brokers: secure,
        security_protocol: Protocol::SaslSsl,
        ca_file: Some(ca.into()),
        sasl_mechanism: Some(Mechanism::Scram512),
        user: Some("ionflux".into()),
        password_variable: Some("PASSWORD".into()),
        ..cluster.config.clone()
    };
    let access = |password: &str| Access { password: Some(password.into()), schema_ids: None };
    assert!(build("kafka", &config, Access::default(), &[&COUNTS]).is_err());
    let mut sink = build("kafka", &config, access("ionflux-test"), &[&COUNTS]).unwrap();
    sink.write(&counts(None, 1)).await.unwrap();
    assert_eq!(cluster.folded(&cluster.topic("conformance_counts")).len(), 1);
    let mut sink = build("kafka", &config, access("hunter2"), &[&COUNTS]).unwrap();
    let error = sink.resume().await.unwrap_err();
    assert!(!error.passing() && error.to_string().contains("login is refused"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}
