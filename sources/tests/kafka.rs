//! The source against a real broker, whose address is in IONFLUX_KAFKA (scripts/services).
//!
//! Invariant: whatever members of a group do, every message is in some journal, and in none twice;
//! and in one only, unless a member was killed.

#![allow(clippy::unwrap_used)]

mod confluent;
mod kafka_rig;

use confluent::Server;
use ionflux_schemas::health::Condition;
use ionflux_sources::kafka::catalog::{Step, Topic, Topics, plan, topics};
use ionflux_sources::kafka::connection::{Connection, Login, Mechanism};
use ionflux_sources::kafka::provision::Admin;
use ionflux_sources::registry::Registry;
use ionflux_sources::registry::wire::frame;
use kafka_rig::{Journaled, Rig, all_of, broker, wait_for};
use serde_json::json;

#[test]
fn members_come_and_go_and_nothing_is_missed_or_taken_twice() {
    let Some(rig) = Rig::new(6) else { return };
    let body = |n| format!("{{\"n\":{n}}}").into_bytes();
    rig.produce(0..1_000, body);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = Journaled::start(&rig, folders[0].path(), None);
    wait_for("the first member has some", || one.count() >= 500);
    let other = Journaled::start(&rig, folders[1].path(), None);
    // Messages keep coming while partitions go over.
    let mut sent = 1_000;
    let mut more = || {
        rig.produce(sent..sent + 60, body);
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
    let body = |n| format!("{{\"n\":{n}}}").into_bytes();
    let mut sent = 0;
    // How much a member has appended before it is killed: before, amid and after its cursors.
    for (round, bytes) in [2_000, 60_000, 1, 20_000, 7_000, 90_000].into_iter().enumerate() {
        let folder = folders[round % 2].path();
        let before = kafka_rig::journal_bytes(folder);
        wait_for("the member has appended some", || {
            rig.produce(sent..sent + 60, body);
            sent += 60;
            kafka_rig::journal_bytes(folder) >= before + bytes
        });
        members[round % 2].kill();
        rig.produce(sent..sent + 300, body);
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
    let bytes: Vec<&[u8]> = taken.iter().map(|delivery| &*delivery.body).collect();
    assert_eq!(bytes, bodies.iter().flatten().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(&*taken[1].headers["writer-schema"], "\"string\"");
    assert!(taken[2].headers["trouble"].contains("99"), "{:?}", taken[2].headers);
    assert_eq!(&*taken[0].workspace, rig.workspace());
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
    let apply = |wanted: &Topics, delete| {
        let steps = plan(wanted, &present(), delete);
        steps.iter().for_each(|step| admin.apply(step).unwrap());
        steps
    };
    let settled = |wanted: &Topics, delete| {
        wait_for("nothing is left to do", || {
            !plan(wanted, &present(), delete).iter().any(Step::acts)
        });
    };
    let wanted = catalogue(2, 1_000_000);
    assert_eq!(apply(&wanted, false).len(), 3);
    settled(&wanted, false);

    // A setting that is not in the catalogue stays.
    let (name, mut foreign) = (format!("{mark}.a"), present()[&format!("{mark}.a")].clone());
    foreign.settings.insert("max.message.bytes".into(), "2000000".into());
    let Topic { settings, .. } = foreign;
    let set = Step::Set { topic: name.clone(), changes: Vec::new(), settings };
    admin.apply(&set).unwrap();
    let wanted = catalogue(4, 2_000_000);
    wait_for("it is set", || present()[&name].settings.len() == 3);
    let steps = apply(&wanted, false);
    let shown: Vec<String> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(shown[0], format!("~ {mark}.a  partitions: 2 -> 4"));
    assert_eq!(shown[1], format!("~ {mark}.a  retention.ms: 1000000 -> 2000000"));
    settled(&wanted, false);
    assert_eq!(present()[&name].settings["max.message.bytes"], "2000000");

    // Never fewer partitions; deleted only when told to.
    let narrow = catalogue(1, 2_000_000);
    assert!(!apply(&narrow, false).iter().any(Step::acts));
    assert_eq!(present()[&name].partitions, 4);
    let none = Topics::new();
    assert!(apply(&none, false).iter().all(|step| matches!(step, Step::Unknown(_))));
    assert_eq!(present().len(), 3);
    assert_eq!(apply(&none, true).len(), 3);
    wait_for("they are gone", || present().is_empty());
}
