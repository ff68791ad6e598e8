//! Topics, messages, members and journals for the tests against a real broker.
//!
//! Invariant: every rig has topics, a group and a workspace of its own; every wait is bounded.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ionflux_schemas::delivery::{Delivery, Entry};
use ionflux_schemas::health::Health;
use ionflux_sources::clock::Wall;
use ionflux_sources::cursor::Cursors;
use ionflux_sources::inbox::Inbox;
use ionflux_sources::inbox::metrics::JournalMetrics;
use ionflux_sources::inbox::scribe::Scribe;
use ionflux_sources::intake::{Intake, Privacy};
use ionflux_sources::journal::folder::Folder;
use ionflux_sources::journal::{Journal, Limits};
use ionflux_sources::kafka::carrier::{Carrier, Options, World};
use ionflux_sources::kafka::catalog::{Step, Topic};
use ionflux_sources::kafka::connection::Connection;
use ionflux_sources::kafka::metrics::KafkaMetrics;
use ionflux_sources::kafka::provision::Admin;
use ionflux_sources::poller::Poller;
use ionflux_sources::registry::Registry;
use prometheus::Registry as Metrics;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The broker; without one the tests are skipped, loudly, and fail where they must run.
pub fn broker() -> Option<String> {
    let found = std::env::var("IONFLUX_KAFKA").ok().filter(|address| !address.is_empty());
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "IONFLUX_KAFKA is not set");
        eprintln!("SKIPPED: no Kafka; set -a; eval \"$(scripts/services up)\"; set +a");
    }
    found
}

/// The one shop of a rig's workspace.
pub const SHOP: &str = "acme.myshopify.com";

/// Waits until something holds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let (_keep, never) = mpsc::channel::<()>();
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        let _ = never.recv_timeout(Duration::from_millis(20));
    }
}

/// A topic, a partition and an offset.
pub type Place = (String, i32, i64);

/// A topic of one workspace.
pub struct Rig {
    brokers: String,
    id: String,
    topic: String,
    partitions: i32,
    producer: BaseProducer,
}

impl Rig {
    /// A fresh topic; none if there is no broker.
    pub fn new(partitions: i32) -> Option<Self> {
        let brokers = broker()?;
        let connection = plain(&brokers);
        Some(Self::on(brokers, partitions, |topic| {
            let step = Step::Create(topic.to_owned(), Topic { partitions, ..Topic::default() });
            Admin::new(&connection).unwrap().apply(&step).unwrap();
        }))
    }

    /// A fresh topic of the client library's own broker, which answers with errors when told to.
    pub fn of_errors(partitions: i32) -> (MockCluster<'static, DefaultProducerContext>, Self) {
        let cluster = MockCluster::new(1).unwrap();
        let rig = Self::on(cluster.bootstrap_servers(), partitions, |topic| {
            cluster.create_topic(topic, partitions, 1).unwrap();
        });
        (cluster, rig)
    }

    fn on(brokers: String, partitions: i32, create: impl FnOnce(&str)) -> Self {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let topic = format!("ionflux.shopify.workspace_{id}.events_raw");
        create(&topic);
        let producer = plain(&brokers).client().create().unwrap();
        Self { brokers, id, topic, partitions, producer }
    }

    /// The workspace that the topic's name says.
    pub fn workspace(&self) -> &str {
        &self.id
    }

    /// Sends numbered messages to all partitions in turn, and waits until they are there.
    pub fn produce(&self, numbers: Range<usize>, body: impl Fn(usize) -> Vec<u8>) {
        for number in numbers {
            let partition = i32::try_from(number).unwrap() % self.partitions;
            self.put(partition, Some(&body(number)));
        }
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Sends one message, or a tombstone.
    pub fn send(&self, partition: i32, body: Option<&[u8]>) {
        self.put(partition, body);
        self.producer.flush(PATIENCE).unwrap();
    }

    fn put(&self, partition: i32, body: Option<&[u8]>) {
        let record = BaseRecord::<str, [u8]>::to(&self.topic).partition(partition).key("k");
        let record = match body {
            Some(body) => record.payload(body),
            None => record,
        };
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.poll(Duration::ZERO);
    }

    /// Every place that has a message.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for partition in 0..self.partitions {
            let client = self.producer.client();
            let (low, high) = client.fetch_watermarks(&self.topic, partition, PATIENCE).unwrap();
            places.extend((low..high).map(|offset| (self.topic.clone(), partition, offset)));
        }
        places
    }

    /// How many messages the group has committed.
    pub fn committed(&self) -> usize {
        let mut config = plain(&self.brokers).client();
        let consumer: BaseConsumer = config.set("group.id", &self.id).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, self.partitions - 1);
        let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
        let offset = |offset| match offset {
            Offset::Offset(offset) => usize::try_from(offset).unwrap(),
            _ => 0,
        };
        committed.elements().iter().map(|element| offset(element.offset())).sum()
    }

    /// A member in a process of its own.
    pub fn child(&self, folder: &Path, number: usize) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_member_until_it_is_killed", "--nocapture"]);
        let told = format!("{} {} member-{number}", self.brokers, self.id);
        command.env("IONFLUX_TEST_MEMBER", told).env("IONFLUX_TEST_FOLDER", folder);
        Child(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }
}

fn plain(brokers: &str) -> Connection {
    Connection { brokers: brokers.to_owned(), tls: false, ca_file: None, login: None }
}

/// A member in a process of its own, which never outlives the test.
pub struct Child(std::process::Child);

impl Child {
    /// Ends it without a warning.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Is a member, if this process was started as one.
pub fn be_a_child() {
    let Ok(told) = std::env::var("IONFLUX_TEST_MEMBER") else { return };
    let [brokers, id, instance] = told.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    let folder = std::env::var("IONFLUX_TEST_FOLDER").unwrap();
    let member = Journaled::open(
        options(plain(brokers), id, Some(instance.to_owned())),
        Path::new(&folder),
        None,
    );
    // Whoever started it kills it; should that fail, it ends by itself.
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(2 * PATIENCE);
    member.finish();
}

fn options(connection: Connection, id: &str, instance: Option<String>) -> Options {
    let patterns = vec!["ionflux.shopify.workspace_{workspace}.events_raw".parse().unwrap()];
    let (group, workspaces) = (id.to_owned(), vec![id.to_owned()]);
    let shops = BTreeMap::from([(id.to_owned(), SHOP.to_owned())]);
    Options { connection, group, instance, session_ms: 6_000, patterns, workspaces, shops }
}

/// A member with its journal.
pub struct Journaled {
    inbox: Inbox,
    poller: Poller,
    health: Box<dyn Fn() -> Health>,
    metrics: Metrics,
}

impl Journaled {
    /// A member of the rig's group.
    pub fn start(rig: &Rig, folder: &Path, registry: Option<Registry>) -> Self {
        Self::connect(rig, folder, plain(&rig.brokers), registry)
    }

    /// The same on another connection.
    pub fn connect(
        rig: &Rig,
        folder: &Path,
        connection: Connection,
        registry: Option<Registry>,
    ) -> Self {
        Self::open(options(connection, &rig.id, None), folder, registry)
    }

    fn open(options: Options, folder: &Path, registry: Option<Registry>) -> Self {
        let (metrics, clock) = (Metrics::new(), Arc::new(Wall::default()));
        let (journal, opened) = open(folder);
        let counted = JournalMetrics::new(&metrics).unwrap();
        let inbox = Inbox::open(Scribe::new(journal, &opened, clock.clone(), counted)).unwrap();
        let world = World {
            intake: Intake::new(inbox.clone(), Privacy::Untouched),
            cursors: Cursors::open(&folder.join("cursors")).unwrap(),
            clock: clock.clone(),
            metrics: KafkaMetrics::new(&metrics).unwrap(),
            registry,
        };
        let carrier = Carrier::new(options, world).unwrap();
        let health = Box::new(carrier.health());
        let poller = Poller::start("kafka", Duration::ZERO, clock, Box::new(carrier)).unwrap();
        Self { inbox, poller, health, metrics }
    }

    /// How many messages it took since it started.
    pub fn count(&self) -> u64 {
        let tombstones = self.metric("ionflux_kafka_tombstones_total");
        self.metric("ionflux_kafka_messages_total").saturating_sub(tombstones)
    }

    /// The sum of a metric.
    pub fn metric(&self, name: &str) -> u64 {
        let families = self.metrics.gather();
        let family = families.iter().filter(|family| family.name() == name);
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        family.flat_map(|family| family.get_metric()).map(|metric| value(metric) as u64).sum()
    }

    /// How it says it is.
    pub fn health(&self) -> Health {
        (self.health)()
    }

    /// Leaves the group and closes the journal.
    pub fn finish(self) {
        self.poller.finish();
        self.inbox.close();
    }
}

fn open(folder: &Path) -> (Journal, ionflux_sources::journal::Opened) {
    let storage = Folder::open(&folder.join("journal")).unwrap();
    Journal::open(Box::new(storage), Limits::new(1 << 30)).unwrap()
}

/// The deliveries of a journal that nobody has open.
pub fn deliveries(folder: &Path) -> Vec<Delivery> {
    let (journal, _) = open(folder);
    let mut reader = journal.read(journal.first());
    let mut found = Vec::new();
    while let Some(record) = reader.next(journal.durable_end()).unwrap() {
        if let Entry::Delivery(delivery) = record.entry {
            found.push(delivery);
        }
    }
    found
}

/// How long the journal is that a member is writing.
pub fn journal_bytes(folder: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(folder.join("journal")) else { return 0 };
    // A file may be gone by the time it is looked at.
    files.map(|file| file.unwrap().metadata().map_or(0, |found| found.len())).sum()
}

/// Every place that stands in some journals, and how often.
pub fn all_of<'a>(folders: impl Iterator<Item = &'a Path>) -> BTreeMap<Place, usize> {
    let mut places = BTreeMap::new();
    for delivery in folders.flat_map(deliveries) {
        let header = |name: &str| delivery.headers[name].to_string();
        let number = |name| header(name).parse::<i64>().unwrap();
        let place = (header("topic"), number("partition") as i32, number("offset"));
        *places.entry(place).or_default() += 1;
    }
    places
}
