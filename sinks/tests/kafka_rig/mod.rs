//! Topics of its own for a test, on the real broker, behind a proxy that makes trouble.
//!
//! Invariant: a test sees no topic of another; what topics hold is read without the sink, as any
//! reader of committed records would.

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ionflux_schemas::avro::{ColumnKind, Schema};
use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::time::{UtcMs, Zone};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::conformance::{Bench, Trouble};
use ionflux_sinks::history::VIEWS;
use ionflux_sinks::kafka::{Access, KafkaConfig, build};
use ionflux_sinks::memory::Contents;
use ionflux_sinks::sink::{BoxFuture, Sink};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value as Json;

use crate::proxy::Proxy;

/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A record as a reader sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub partition: i32,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    /// The key and the value as texts.
    pub fn texts(&self) -> (String, Option<String>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&self.key), self.value.as_deref().map(text))
    }

    /// The value as JSON.
    pub fn json(&self) -> Json {
        serde_json::from_slice(self.value.as_deref().unwrap()).unwrap()
    }
}

/// Topics behind a prefix and ways to them.
pub struct Cluster {
    pub brokers: String,
    pub proxy: Proxy,
    pub config: KafkaConfig,
    pub access: Access,
    base: String,
    round: u32,
    plain: BaseConsumer,
    committed: BaseConsumer,
    pub admin: AdminClient<DefaultClientContext>,
}

/// An address of the environment; without it tests are skipped, loudly, and fail where they must
/// run.
pub fn address(name: &str) -> Option<String> {
    let found = std::env::var(name).ok().filter(|address| !address.is_empty());
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is not set");
        eprintln!("SKIPPED: no Kafka; set -a; eval \"$(scripts/services up)\"; set +a");
    }
    found
}

impl Cluster {
    /// A prefix that nobody else has; `None` where there is no broker.
    pub async fn new() -> Option<Self> {
        let brokers = address("IONFLUX_KAFKA")?;
        let proxy = Proxy::disguising(brokers.parse().unwrap()).await;
        let base = format!("test-{}", uuid::Uuid::now_v7().simple());
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &brokers);
        let admin = client.create().unwrap();
        client.set("group.id", &base).set("enable.partition.eof", "true");
        client.set("enable.auto.commit", "false").set("fetch.wait.max.ms", "20");
        let plain = client.set("isolation.level", "read_uncommitted").create().unwrap();
        let committed = client.set("isolation.level", "read_committed").create().unwrap();
        let (config, access) = (KafkaConfig::default(), Access::default());
        let mut made =
            Self { brokers, proxy, config, access, base, round: 0, plain, committed, admin };
        made.config.partitions = 2;
        made.config.brokers = made.proxy.address().to_string();
        made.config.topic_prefix = made.prefix();
        Some(made)
    }

    /// Another way to the same broker, for sinks from now on; gives the one before.
    pub async fn another_way(&mut self) -> Proxy {
        let proxy = Proxy::disguising(self.brokers.parse().unwrap()).await;
        self.config.brokers = proxy.address().to_string();
        std::mem::replace(&mut self.proxy, proxy)
    }

    fn prefix(&self) -> String {
        format!("{}.{}.", self.base, self.round)
    }

    /// The topic of a view, or of the marks.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.config.topic_prefix)
    }

    /// A sink of some views.
    pub fn sink_of(&self, views: &[&'static View]) -> Box<dyn Sink> {
        build("kafka", &self.config, self.access.clone(), views).unwrap()
    }

    /// A producer without transactions, past the proxy.
    pub fn stranger(&self) -> BaseProducer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("partitioner", "murmur2_random");
        config.create().unwrap()
    }

    /// Puts a record into a topic, as a stranger.
    pub fn put(&self, topic: &str, key: &str, value: Option<&str>) {
        let producer = self.stranger();
        let mut record = BaseRecord::<str, str>::to(topic).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    /// Makes a topic.
    pub async fn make(&self, topic: &str, settings: &[(&str, &str)]) {
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let made = self.admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
    }

    /// Deletes a topic and waits until it is gone.
    pub async fn delete(&self, topic: &str) {
        self.admin.delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
        let begun = Instant::now();
        while self.partitions(topic) > 0 {
            assert!(begun.elapsed() < PATIENCE, "{topic} stays");
        }
    }

    fn partitions(&self, topic: &str) -> i32 {
        let metadata = self.plain.fetch_metadata(None, PATIENCE).unwrap();
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        found.map_or(0, |topic| i32::try_from(topic.partitions().len()).unwrap())
    }

    /// The committed records of a topic, each partition in order, up to what is there now.
    pub fn committed(&self, topic: &str) -> Vec<Seen> {
        self.read(topic, true)
    }

    /// The committed records of a topic, with transactions that are open not waited for.
    pub fn visible(&self, topic: &str) -> Vec<Seen> {
        self.read(topic, false)
    }

    fn read(&self, topic: &str, settled: bool) -> Vec<Seen> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions(topic) {
            let ends = |consumer: &BaseConsumer| {
                consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap()
            };
            let (begun, (_, end)) = (Instant::now(), ends(&self.plain));
            while settled && ends(&self.committed).1 < end {
                assert!(begun.elapsed() < PATIENCE, "{topic} has an open transaction");
            }
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        self.committed.assign(&list).unwrap();
        let (mut seen, mut open) = (Vec::new(), list.count());
        while open > 0 {
            match self.committed.poll(PATIENCE).expect("the broker is silent") {
                Ok(message) => {
                    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
                        let value = String::from_utf8(header.value.unwrap().to_vec()).unwrap();
                        (header.key.to_owned(), value)
                    };
                    let headers = message.headers().map(|all| all.iter().map(header).collect());
                    seen.push(Seen {
                        partition: message.partition(),
                        key: message.key().unwrap().to_vec(),
                        value: message.payload().map(<[u8]>::to_vec),
                        headers: headers.unwrap_or_default(),
                    });
                }
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{topic}: {error}"),
            }
        }
        self.committed.unassign().unwrap();
        seen
    }

    /// The newest record of every key that has a value; every key is on one partition.
    pub fn folded(&self, topic: &str) -> BTreeMap<Vec<u8>, Seen> {
        let mut held = BTreeMap::new();
        for seen in self.committed(topic) {
            let place = (seen.partition, seen.key.clone());
            match seen.value {
                Some(_) => held.insert(place, seen),
                None => held.remove(&place),
            };
        }
        let mut folded = BTreeMap::new();
        for ((_, key), seen) in held {
            assert!(folded.insert(key, seen).is_none(), "a key is on two partitions");
        }
        folded
    }

    /// Gives a topic more partitions, and waits until they are there.
    pub async fn grow(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        self.admin.create_partitions([&more], &AdminOptions::new()).await.unwrap();
        let begun = Instant::now();
        while usize::try_from(self.partitions(topic)).unwrap() < partitions {
            assert!(begun.elapsed() < PATIENCE, "{topic} does not grow");
        }
    }

    /// The rows of some views that have any.
    pub fn contents_of(&self, views: &[&'static View]) -> Contents {
        let mut contents = Contents::new();
        for view in views {
            let schema = view.parsed();
            for (key, seen) in self.folded(&self.topic(view.name)) {
                let row = row_of(&schema, &seen.json());
                let values: Vec<Value> = schema.key.iter().map(|p| row.0[*p].clone()).collect();
                let shown: Vec<Json> = serde_json::from_slice(&key).unwrap();
                let texts: Vec<&str> = shown.iter().map(|value| value.as_str().unwrap()).collect();
                assert_eq!(texts, values.iter().map(ToString::to_string).collect::<Vec<_>>());
                contents.entry(view.name).or_default().insert(values, row);
            }
        }
        contents
    }

    async fn wipe(&mut self) {
        self.proxy.calm();
        let topics: Vec<String> =
            ["marks", VIEWS[0].name, VIEWS[1].name].map(|name| self.topic(name)).to_vec();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        // Those that were never made cannot go.
        self.admin.delete_topics(&topics, &AdminOptions::new()).await.unwrap();
        self.round += 1;
        self.config.topic_prefix = self.prefix();
    }
}

/// A row from an object of JSON.
pub fn row_of(schema: &Schema, object: &Json) -> Row {
    assert_eq!(object.as_object().unwrap().len(), schema.columns.len());
    let values = schema.columns.iter().map(|column| {
        let held = &object[column.name.as_str()];
        match (held, column.kind) {
            (Json::Null, _) => Value::Null,
            (Json::Number(number), ColumnKind::Int) => Value::Int(number.as_i64().unwrap()),
            (Json::String(text), ColumnKind::Text) => Value::text(text.as_str()),
            (Json::String(text), ColumnKind::Day) => Value::Day(text.parse().unwrap()),
            (Json::String(text), ColumnKind::Instant) => {
                Value::Instant(UtcMs::parse(text, &Zone::UTC).unwrap())
            }
            (Json::String(text), ColumnKind::Money) => {
                Value::Money(Money::parse(text, Currency::parse("EUR").unwrap()).unwrap())
            }
            (held, kind) => panic!("{held} is no {kind:?}"),
        }
    });
    Row(values.collect())
}

impl Bench for Cluster {
    fn sink(&mut self) -> Box<dyn Sink> {
        self.sink_of(&VIEWS)
    }

    fn contents(&mut self) -> BoxFuture<'_, Contents> {
        let contents = self.contents_of(&VIEWS);
        Box::pin(async { contents })
    }

    fn disturb(&mut self, trouble: Trouble) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match trouble {
                Trouble::Wipe => self.wipe().await,
                Trouble::Refuse => self.proxy.refuse(1),
                // The request that ends a transaction: 26, of version 1.
                Trouble::LoseAnswer => self.proxy.lose_answer(b"\0\x1a\0\x01\0\0"),
                // Records have checksums: none arrive damaged.
                Trouble::Corrupt => {}
                Trouble::Restart => {
                    self.proxy.cut();
                    self.proxy.refuse(3);
                }
                Trouble::Delay => self.proxy.slow(50),
                Trouble::Stray => {
                    self.sink_of(&VIEWS).resume().await.unwrap();
                    let row = r#"{"workspace_id":"stray","units":1}"#;
                    self.put(&self.topic("conformance_counts"), r#"["stray"]"#, Some(row));
                }
            }
        })
    }
}
