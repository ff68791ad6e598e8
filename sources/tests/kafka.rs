//! The source against a real broker, whose address is in IONFLUX_KAFKA (scripts/services).
//!
//! Invariant: whatever members of a group do, every message is in some journal, and in none twice;
//! and in one only, unless a member was killed.

#![allow(clippy::unwrap_used)]

mod confluent;
mod kafka_rig;

use std::collections::BTreeSet;

use confluent::Server;
use ionflux_schemas::health::Condition;
use ionflux_schemas::line::Mechanism;
use ionflux_sources::kafka::catalog::{Step, Topic, Topics, plan, topics};
use ionflux_sources::kafka::connection::{Connection, Login};
use ionflux_sources::kafka::provision::Admin;
use ionflux_sources::registry::Registry;
use ionflux_sources::registry::wire::frame;
use kafka_rig::{Journaled, Rig, all_of, broker, wait_for};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;

#[test]
fn members_come_and_go_and_nothing_is_missed_or_taken_twice() {
    let Some(rig) = Rig::new(6) else { return };
    rig.produce(0..1_000, numbered);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = Journaled::start(&rig, folders[0].path(), None);
    wait_for("the first member has some", || one.count() >= 500);
    let other = Journaled::start(&rig, folders[1].path(), None);
    // Messages keep coming while partitions go over.
    let mut sent = 1_000;
    let mut more = || {
        rig.produce(sent..sent + 60, numbered);
        sent += 60;
    };
    wait_for("the second member has some", || {
        more();
        other.count() >= 100
    });
    one.finish();
    (0..20).for_each(|_| more());
    // The first comes back with its journal while the second works.
    let one = Journaled::start(&rig, folders[0].path(), None);
    wait_for("the first member has some again", || {
        more();
        one.count() >= 100
    });
    let expected = rig.places();
    wait_for("all are committed", || rig.committed() == expected.len());
    one.finish();
    other.finish();
    let places = all_of(folders.iter().map(tempfile::TempDir::path));
    assert_eq!(places.keys().cloned().collect::<Vec<_>>(), expected);
    assert!(places.values().all(|times| *times == 1), "taken twice though nobody was killed");
}

#[test]
fn killed_at_any_point_members_miss_nothing() {
    let Some(rig) = Rig::new(6) else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut members: Vec<_> = (0..2).map(|n| rig.child(folders[n].path(), n)).collect();
    let mut sent = 0;
    // How much a member has appended before it is killed: before, amid and after its cursors.
    for (round, bytes) in [2_000, 60_000, 1, 20_000, 7_000, 90_000].into_iter().enumerate() {
        let folder = folders[round % 2].path();
        let before = kafka_rig::journal_bytes(folder);
        wait_for("the member has appended some", || {
            rig.produce(sent..sent + 60, numbered);
            sent += 60;
            kafka_rig::journal_bytes(folder) >= before + bytes
        });
        members[round % 2].kill();
        rig.produce(sent..sent + 300, numbered);
        sent += 300;
        members[round % 2] = rig.child(folder, round % 2);
    }
    wait_for("all are committed", || rig.committed() == sent);
    members.iter_mut().for_each(kafka_rig::Child::kill);
    let places = all_of(folders.iter().map(tempfile::TempDir::path));
    assert_eq!(places.keys().cloned().collect::<Vec<_>>(), rig.places());
    // What one member had appended when it was killed and another went on with is in both journals.
    for folder in &folders {
        let own = all_of([folder.path()].into_iter());
        let again = own.values().filter(|times| **times > 1).count();
        assert_eq!(again, 0, "a journal has {again} messages twice");
    }
}

/// The other side of the test above: a member until it is killed. Alone it does nothing.
#[test]
fn a_member_until_it_is_killed() {
    kafka_rig::be_a_child();
}

const FAILS: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE;
const FORBIDDEN: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;

fn numbered(n: usize) -> Vec<u8> {
    format!("{{\"n\":{n}}}").into_bytes()
}

#[test]
fn a_commit_that_failed_is_made_again_though_nothing_comes() {
    let (broker, rig) = Rig::of_errors(2);
    broker.request_errors(RDKafkaApiKey::OffsetCommit, &[FAILS; 2]);
    rig.produce(0..100, numbered);
    let folder = tempfile::tempdir().unwrap();
    let member = Journaled::start(&rig, folder.path(), None);
    wait_for("all are committed", || rig.committed() == 100);
    assert_eq!(member.count(), 100);
    member.finish();
}

#[test]
fn partitions_are_given_up_with_all_that_was_read_committed() {
    let (broker, rig) = Rig::of_errors(2);
    // More than there are commits before the member leaves.
    broker.request_errors(RDKafkaApiKey::OffsetCommit, &[FAILS; 5]);
    rig.produce(0..100, numbered);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = Journaled::start(&rig, folders[0].path(), None);
    wait_for("all are taken", || one.count() == 100);
    one.finish();
    assert_eq!(rig.committed(), 100);
    let other = Journaled::start(&rig, folders[1].path(), None);
    rig.produce(100..110, numbered);
    wait_for("the rest is committed", || rig.committed() == 110);
    assert_eq!(other.count(), 10);
    other.finish();
    // The first comes back, and commits nothing that the other was beyond.
    let one = Journaled::start(&rig, folders[0].path(), None);
    rig.send(0, Some(&numbered(110)));
    wait_for("it has its partitions again", || one.count() == 1);
    one.finish();
    assert_eq!(rig.committed(), 111);
    let places = all_of(folders.iter().map(tempfile::TempDir::path));
    assert_eq!(places.keys().cloned().collect::<Vec<_>>(), rig.places());
    assert!(places.values().all(|times| *times == 1), "taken twice");
}

#[test]
fn an_instance_goes_on_where_its_journal_is_though_its_commits_were_lost() {
    let (broker, rig) = Rig::of_errors(2);
    broker.request_errors(RDKafkaApiKey::OffsetCommit, &[FORBIDDEN; 1_000]);
    rig.produce(0..100, numbered);
    let folder = tempfile::tempdir().unwrap();
    let member = Journaled::start(&rig, folder.path(), None);
    wait_for("all are taken", || member.count() == 100);
    member.finish();
    assert_eq!(rig.committed(), 0);
    broker.clear_request_errors(RDKafkaApiKey::OffsetCommit);
    let member = Journaled::start(&rig, folder.path(), None);
    wait_for("what was lost is committed", || rig.committed() == 100);
    rig.produce(100..110, numbered);
    wait_for("the rest is committed", || rig.committed() == 110);
    assert_eq!(member.count(), 10);
    member.finish();
    let places = all_of([folder.path()].into_iter());
    assert_eq!(places.keys().cloned().collect::<Vec<_>>(), rig.places());
    assert!(places.values().all(|times| *times == 1), "taken twice");
}

#[test]
fn poison_is_a_dead_letter_and_a_registry_that_is_away_is_waited_for() {
    let Some(rig) = Rig::new(1) else { return };
    let server = Server::start();
    let schema = json!({ "schema": "\"string\"" });
    server.held.lock().unwrap().schemas.insert(1, schema);
    server.held.lock().unwrap().away = 2;
    let bodies: [Option<Vec<u8>>; 6] = [
        Some(b"{\"n\":0}".to_vec()),
        Some(frame(1, b"\x02a")),
        None,
        Some(frame(99, b"\x02a")),
        Some(b"\x07poison".to_vec()),
        Some(frame(1, b"\x02b")),
    ];
    for body in &bodies {
        rig.send(0, body.as_deref());
    }
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new(&server.url(), None).unwrap();
    let member = Journaled::start(&rig, folder.path(), Some(registry));
    wait_for("it waits for the registry", || member.health().state == Condition::Stalled);
    assert!(member.health().reason.contains("schema registry"), "{}", member.health().reason);
    wait_for("all are taken", || member.count() == 5);
    wait_for("it is well", || member.health().state == Condition::Running);
    assert_eq!(member.metric("ionflux_kafka_dead_letters_total"), 1);
    assert_eq!(member.metric("ionflux_kafka_tombstones_total"), 1);
    wait_for("there is no lag", || member.metric("ionflux_kafka_lag") == 0);
    member.finish();
    let taken = kafka_rig::deliveries(folder.path());
    let offsets: Vec<&str> = taken.iter().map(|delivery| &*delivery.headers["offset"]).collect();
    assert_eq!(offsets, ["0", "1", "3", "4", "5"]);
    // What can be read is kept plain, without its schema; everything else as it came.
    let bytes: Vec<&[u8]> = taken.iter().map(|delivery| &*delivery.body).collect();
    let unknown = frame(99, b"\x02a");
    assert_eq!(bytes, [b"{\"n\":0}", &b"\"a\""[..], &unknown, b"\x07poison", b"\"b\""]);
    assert!(!taken[1].headers.contains_key("writer-schema"));
    assert!(taken[2].headers["trouble"].contains("99"), "{:?}", taken[2].headers);
    assert_eq!(&*taken[0].workspace, rig.workspace());
    assert_eq!(&*taken[0].headers["workspace-shop"], kafka_rig::SHOP);
}

#[test]
fn tls_and_every_login_work_and_a_wrong_one_is_told() {
    let Some(_) = broker() else { return };
    let brokers = std::env::var("IONFLUX_KAFKA_SECURE").unwrap();
    let ca_file = Some(std::env::var("IONFLUX_KAFKA_CA").unwrap().into());
    let connection = |mechanism, password: &str| {
        let login = Login { mechanism, user: "ionflux".into(), password: password.into() };
        let (brokers, ca_file) = (brokers.clone(), ca_file.clone());
        Connection { brokers, tls: true, ca_file, login: Some(login) }
    };
    for mechanism in [Mechanism::Plain, Mechanism::Scram256, Mechanism::Scram512] {
        let admin = Admin::new(&connection(mechanism, "ionflux-test")).unwrap();
        admin.topics().unwrap_or_else(|error| panic!("{mechanism:?}: {error}"));
    }
    let Some(rig) = Rig::new(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let wrong = connection(Mechanism::Scram256, "wr0ng");
    let member = Journaled::connect(&rig, folder.path(), wrong, None);
    wait_for("it says so", || member.health().state == Condition::Stalled);
    let reason = member.health().reason;
    assert!(reason.contains("uthentication") && !reason.contains("wr0ng"), "{reason}");
    member.finish();
    rig.send(0, Some(b"{}"));
    let right = connection(Mechanism::Scram512, "ionflux-test");
    let member = Journaled::connect(&rig, folder.path(), right, None);
    wait_for("it is taken", || member.count() == 1);
    member.finish();
}

#[test]
fn topics_become_what_the_catalogue_says() {
    let Some(brokers) = broker() else { return };
    let (tls, ca_file, login) = (false, None, None);
    let admin = Admin::new(&Connection { brokers, tls, ca_file, login }).unwrap();
    let mark = format!("ionflux.test.{}", uuid::Uuid::now_v7().simple());
    let catalogue = |partitions: u32, retention: u64| {
        let text = format!(
            "[[topic]]\nname = \"{mark}.{{workspace}}\"\npartitions = {partitions}\n\
             cleanup = \"delete\"\nretention_ms = {retention}\n\
             [[topic]]\nname = \"{mark}-log\"\npartitions = 1\ncleanup = \"compact\""
        );
        topics(&text, &["a".into(), "b".into()]).unwrap()
    };
    // Others use the broker at the same time.
    let present = || -> Topics {
        let all = admin.topics().unwrap().into_iter();
        all.filter(|(name, _)| name.starts_with(&mark)).collect()
    };
    let apply = |wanted: &Topics, delete: &BTreeSet<String>| {
        let steps = plan(wanted, &present(), delete);
        steps.iter().for_each(|step| admin.apply(step).unwrap());
        steps
    };
    let kept = BTreeSet::new();
    let settled = |wanted: &Topics| {
        wait_for("nothing is left to do", || {
            !plan(wanted, &present(), &kept).iter().any(Step::acts)
        });
    };
    let wanted = catalogue(2, 1_000_000);
    assert_eq!(apply(&wanted, &kept).len(), 3);
    settled(&wanted);

    // A setting that is not in the catalogue stays.
    let (name, mut foreign) = (format!("{mark}.a"), present()[&format!("{mark}.a")].clone());
    foreign.settings.insert("max.message.bytes".into(), "2000000".into());
    let Topic { settings, .. } = foreign;
    let set = Step::Set { topic: name.clone(), changes: Vec::new(), settings };
    admin.apply(&set).unwrap();
    let wanted = catalogue(4, 2_000_000);
    wait_for("it is set", || present()[&name].settings.len() == 3);
    let steps = apply(&wanted, &kept);
    let shown: Vec<String> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(shown[0], format!("~ {mark}.a  partitions: 2 -> 4"));
    assert_eq!(shown[1], format!("~ {mark}.a  retention.ms: 1000000 -> 2000000"));
    settled(&wanted);
    assert_eq!(present()[&name].settings["max.message.bytes"], "2000000");

    // Never fewer partitions; deleted only what is named.
    let narrow = catalogue(1, 2_000_000);
    assert!(!apply(&narrow, &kept).iter().any(Step::acts));
    assert_eq!(present()[&name].partitions, 4);
    let none = Topics::new();
    assert!(apply(&none, &kept).iter().all(|step| matches!(step, Step::Unknown(_))));
    assert_eq!(present().len(), 3);
    assert_eq!(apply(&none, &present().into_keys().collect()).len(), 3);
    wait_for("they are gone", || present().is_empty());
}
