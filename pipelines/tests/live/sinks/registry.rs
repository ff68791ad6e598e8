//! A sink in Avro on the real Kafka, and the registry that it asks over HTTP for the ids of its
//! schemas: one that takes them, one that was prepared, one that refuses, one that is away.
//!
//! Invariant: every record stands behind an id of the registry, under the subject of its topic.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{MutexGuard, PoisonError};

use ionflux::config::Config;
use ionflux_operators::list;
use ionflux_sinks::registry::Subject;
use serde_json::{Value as Json, json};

use super::topics::Topics;
use super::{SERVERS, server};
use crate::confluent::{Held, Server};
use crate::instance::{Instance, Load, SECRET_VARIABLE};

/// How often a sink is asked how it is before that counts as a failure.
const QUESTIONS_MAX: usize = 100_000;
const DELIVERIES: usize = 40;
const REVENUE: &str = "revenue_by_day";

/// A sink, its topics and its registry.
struct Bus {
    folder: tempfile::TempDir,
    topics: Topics,
    registry: Server,
    config: String,
    _alone: MutexGuard<'static, ()>,
}

impl Bus {
    fn new(options: &str) -> Option<Self> {
        let alone = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        let (topics, registry) = (Topics::new(&server("IONFLUX_KAFKA")?), Server::start());
        let config = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[shopify.secret_variables]\n\
             acme = [\"{SECRET_VARIABLE}\"]\n[registry]\nurl = \"{}\"\n{}format = \"avro\"\n\
             {options}",
            registry.url(),
            topics.section(),
        );
        let folder = tempfile::tempdir().unwrap();
        Some(Self { folder, topics, registry, config, _alone: alone })
    }

    fn start(&self) -> Instance {
        Instance::configured(self.folder.path(), &self.config).listening()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.registry.held.lock().unwrap()
    }

    /// What the sink needs.
    fn needed(&self) -> Vec<Subject> {
        let sinks = Config::parse(&self.config).unwrap().sinks;
        sinks.subjects(&list::views()).unwrap()
    }

    /// What the registry has of each subject: of every one, one schema.
    fn subjects(&self) -> BTreeMap<String, String> {
        let held = self.held();
        let definition = |id: &u32| held.schemas[id]["schema"].as_str().unwrap().to_owned();
        let of = |(name, ids): (&String, &Vec<u32>)| match ids[..] {
            [id] => (name.clone(), definition(&id)),
            _ => panic!("{name}: {ids:?}"),
        };
        held.subjects.iter().map(of).collect()
    }

    /// The records of a view's topic stand behind the ids of its subjects.
    fn check(&self) {
        let topic = self.topics.topic(REVENUE);
        let id = |part: &str| self.held().subjects[&format!("{topic}-{part}")][0];
        let framed = |bytes: &[u8], id: u32| bytes[0] == 0 && bytes[1..5] == id.to_be_bytes();
        let (of_key, of_value) = (id("key"), id("value"));
        let records = self.topics.committed(&topic);
        assert!(!records.is_empty());
        for ((_, key), (_, value)) in records {
            assert!(framed(&key, of_key), "{key:?}");
            assert!(value.is_none_or(|value| framed(&value, of_value)));
        }
    }
}

/// Waits until the sink says that it is so; gives why.
fn until(instance: &Instance, state: &str) -> String {
    let mut last = Json::Null;
    for _ in 0..QUESTIONS_MAX {
        let (status, text) = instance.get("/v1/views/sinks");
        assert_eq!(status, 200);
        let told: Json = serde_json::from_str(&text).unwrap();
        last = told["rows"][0].clone();
        if last["state"] == state {
            return last["reason"].as_str().unwrap().to_owned();
        }
    }
    panic!("never {state}: {last}");
}

fn take(instance: &Instance, seed: u64) {
    instance.send_until(&Load::new(seed, DELIVERIES), 2, DELIVERIES);
    instance.ready();
}

fn register(config: &Path) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/avro");
    let command = ["schemas", "register", "--folder", folder, "--config"];
    let output =
        Command::new(env!("CARGO_BIN_EXE_ionflux")).args(command).arg(config).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_registry_gets_what_the_sink_writes_and_gives_its_ids() {
    for options in ["outputs = true\n", "envelope = \"debezium\"\n"] {
        let Some(bus) = Bus::new(options) else { return };
        let instance = bus.start();
        take(&instance, 1);
        instance.delivered();
        instance.terminate();
        let needed = bus.needed().into_iter().map(|subject| (subject.name, subject.definition));
        assert_eq!(bus.subjects(), needed.collect());
        bus.check();
    }
}

/// Whoever runs the program need not have the right to write there.
#[test]
fn a_registry_that_takes_nothing_can_be_prepared() {
    let Some(bus) = Bus::new("outputs = true\n") else { return };
    let config = bus.folder.path().join("prepared.toml");
    std::fs::write(&config, &bus.config).unwrap();
    register(&config);
    bus.held().read_only = true;
    let prepared = bus.subjects();
    let instance = bus.start();
    take(&instance, 2);
    instance.delivered();
    instance.terminate();
    assert_eq!(bus.subjects(), prepared);
    bus.check();
}

#[test]
fn a_registry_that_refuses_a_subject_halts_the_sink_and_nothing_else() {
    let Some(bus) = Bus::new("") else { return };
    let subject = format!("{}-value", bus.topics.topic(REVENUE));
    bus.held().schemas.insert(99, json!({ "schema": "\"string\"" }));
    bus.held().subjects.insert(subject.clone(), vec![99]);
    let instance = bus.start();
    let reason = until(&instance, "halted");
    for part in [&*subject, "409", "incompatible", "`ionflux schemas register`"] {
        assert!(reason.contains(part), "no {part}: {reason}");
    }
    take(&instance, 3);
    let (status, health) = instance.get("/readyz");
    assert!(status == 200 && health.contains(&subject), "{health}");
    instance.terminate();
    bus.held().subjects.remove(&subject);
    let instance = bus.start();
    instance.delivered();
    instance.terminate();
    bus.check();
}

#[test]
fn a_registry_that_is_away_is_asked_again() {
    let Some(bus) = Bus::new("") else { return };
    bus.held().away = u32::MAX;
    let instance = bus.start();
    take(&instance, 4);
    let reason = until(&instance, "stalled");
    assert!(reason.contains("schema registry") && reason.contains("503"), "{reason}");
    bus.held().away = 0;
    instance.delivered();
    instance.terminate();
    bus.check();
}
