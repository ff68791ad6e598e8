//! `ionflux topics` against the real Kafka (IONFLUX_KAFKA): what it plans, makes, and leaves.
//!
//! Invariant: every test has topics of its own, and deletes none: others read the same cluster.

use std::time::{Duration, Instant};

use ionflux_operators::list;
use ionflux_sources::kafka::catalog::Topics;
use ionflux_sources::kafka::connection::Connection;
use ionflux_sources::kafka::provision::Admin;

use crate::bench::Bench;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, and what topics of one test are called at the beginning.
struct Cluster {
    brokers: String,
    prefix: String,
    bench: Bench,
}

impl Cluster {
    /// `None`, said loudly, where there is none.
    fn new() -> Option<Self> {
        let found = std::env::var("IONFLUX_KAFKA").ok().filter(|address| !address.is_empty());
        if found.is_none() {
            eprintln!("SKIPPED: IONFLUX_KAFKA is unset, no topics were planned and made");
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "scripts/services must run under CI=true");
        }
        let prefix = format!("ionflux.test-{}.", uuid::Uuid::now_v7().simple());
        Some(Self { brokers: found?, prefix, bench: Bench::new() })
    }

    /// Writes a configuration with a sink whose topics have so many partitions.
    fn configure(&self, more: &str, partitions: usize) {
        let Self { brokers, prefix, bench } = self;
        let sink = format!(
            "[sinks.kafka]\nbrokers = \"{brokers}\"\ntopic_prefix = \"{prefix}\"\n\
             partitions = {partitions}\n"
        );
        bench.write("ionflux.toml", format!("{more}{sink}"));
    }

    /// What a command says, without the topics of others.
    fn says(&self, command: &str) -> Vec<String> {
        let said = self.bench.good(&format!("topics {command} --config ionflux.toml"));
        let lines =
            said.lines().filter(|line| !line.starts_with('?') || line.contains(&self.prefix));
        lines.map(str::to_owned).collect()
    }

    /// The topics that are there, by what follows the beginning of their names.
    fn topics(&self) -> Topics {
        let brokers = self.brokers.clone();
        let connection = Connection { brokers, tls: false, ca_file: None, login: None };
        let topics = Admin::new(&connection).unwrap().topics().unwrap_or_default();
        let ours = topics.into_iter();
        let ours = ours
            .filter_map(|(name, topic)| Some((name.strip_prefix(&self.prefix)?.to_owned(), topic)));
        ours.collect()
    }

    /// Waits until the topic has so many partitions: a broker hears of a change a little later
    /// than whoever made it.
    fn heard(&self, count: usize, partitions: i32) {
        let begun = Instant::now();
        loop {
            let topics = self.topics();
            let wide = topics.get("revenue_by_day").is_some_and(|t| t.partitions == partitions);
            if topics.len() == count && wide {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{count} with {partitions}: {topics:?}");
        }
    }

    /// Lines of a plan that makes all topics of the sink.
    fn missing(&self, partitions: usize) -> Vec<String> {
        let view = |name: &str| format!("{name}  partitions={partitions} cleanup.policy=compact");
        let mut lines: Vec<String> = list::views().iter().map(|view_| view(view_.name)).collect();
        lines.push("marks  partitions=1 cleanup.policy=compact segment.bytes=1048576".to_owned());
        lines.sort();
        lines.into_iter().map(|line| format!("+ {}{line}", self.prefix)).collect()
    }
}

#[test]
fn topics_of_a_sink_alone_are_planned_made_and_then_there() {
    let Some(cluster) = Cluster::new() else { return };
    cluster.configure("", 2);
    let missing = cluster.missing(2);
    let count = missing.len();
    let planned = cluster.says("plan");
    assert_eq!(planned[..count], missing);
    assert_eq!(planned[count..], [format!("{count} to do; `ionflux topics apply` does it")]);
    assert!(cluster.topics().is_empty(), "a plan makes nothing");
    let applied = cluster.says("apply");
    assert_eq!(applied[..count], missing);
    assert_eq!(applied[count], format!("{count} done; {count} topics are as they should be"));
    cluster.heard(count, 2);
    assert_eq!(cluster.topics()["marks"].partitions, 1);
    assert_eq!(cluster.says("plan"), ["nothing to do"]);
    assert_eq!(cluster.says("apply"), [format!("0 done; {count} topics are as they should be")]);

    cluster.configure("", 3);
    let grown = cluster.says("apply");
    let line = format!("~ {}revenue_by_day  partitions: 2 -> 3", cluster.prefix);
    assert!(grown.contains(&line) && grown.len() == count, "the marks stay: {grown:?}");
    cluster.heard(count, 3);
    assert_eq!(cluster.says("plan"), ["nothing to do"]);
    // Nothing ever gets fewer partitions, and what cannot be done is not to do.
    cluster.configure("", 2);
    let wide = cluster.says("plan");
    assert!(wide[..count - 1].iter().all(|line| line.starts_with("! ")), "{wide:?}");
    assert_eq!(wide[count - 1..], ["nothing to do"]);
    let other = "topics plan --config ionflux.toml --file other.toml";
    cluster.bench.refused(other, 2, &["there is no section [kafka]"]);
}

#[test]
fn topics_of_a_catalogue_and_of_a_sink_on_its_cluster_know_one_another() {
    let Some(cluster) = Cluster::new() else { return };
    let Cluster { brokers, prefix, bench } = &cluster;
    let kafka = format!("[kafka]\nbrokers = \"{brokers}\"\nworkspaces = [\"acme\"]\n");
    cluster.configure(&kafka, 2);
    let entry = |name: &str| format!("[[topic]]\nname = \"{prefix}{name}\"\npartitions = 1\n");
    let of =
        [entry("{workspace}.events"), entry("all.events")].map(|e| e + "cleanup = \"delete\"\n");
    bench.write("catalogue.toml", of.concat());
    let event = |name: &str| format!("+ {prefix}{name}  partitions=1 cleanup.policy=delete");
    let catalogued = [event("acme.events"), event("all.events")];
    let (missing, file) = (cluster.missing(2), "--file catalogue.toml");
    let count = missing.len();
    let titled = |first: &str, second: &str| {
        let mut lines = vec!["[kafka]".to_owned()];
        lines.extend(catalogued.clone());
        lines.extend([first.to_owned(), "[sinks.kafka]".to_owned()]);
        lines.extend(missing.clone());
        lines.push(second.to_owned());
        lines
    };
    let to_do = |count: usize| format!("{count} to do; `ionflux topics apply` does it");
    let done =
        |count: usize, all: usize| format!("{count} done; {all} topics are as they should be");
    assert_eq!(cluster.says(&format!("plan {file}")), titled(&to_do(2), &to_do(count)));
    assert!(cluster.topics().is_empty(), "a plan makes nothing");
    let applied = cluster.says(&format!("apply {file}"));
    assert_eq!(applied, titled(&done(2, 2), &done(count, count)));
    cluster.heard(count + 2, 2);
    // Neither takes the topics of the other for strangers.
    let nothing = ["[kafka]", "nothing to do", "[sinks.kafka]", "nothing to do"];
    assert_eq!(cluster.says(&format!("plan {file}")), nothing);
    let again = ["[kafka]", &done(0, 2), "[sinks.kafka]", &done(0, count)];
    assert_eq!(cluster.says(&format!("apply {file}")), again);
}
