//! Topics of its own on the real broker, behind a proxy, read as any reader of committed records
//! would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ionflux_schemas::view::View;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value as Json;
use tokio::runtime::Runtime;

use crate::proxy::Proxy;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Topics {
    /// Keeps the proxy at work.
    _runtime: Runtime,
    server: String,
    prefix: String,
    pub proxy: Proxy,
    /// Whether epochs are counted anew at some point, as by a state that was put back.
    pub anew: bool,
}

/// Partition and key.
type Key = (i32, Vec<u8>);
/// The epoch of a record, and its value.
type Said = (u64, Option<Vec<u8>>);
/// What keys have last.
type Held = BTreeMap<Key, Said>;

impl Topics {
    pub fn new(server: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let proxy = runtime.block_on(Proxy::disguising(server.parse().unwrap()));
        let prefix = format!("live-{}.", uuid::Uuid::now_v7().simple());
        Self { _runtime: runtime, server: server.into(), prefix, proxy, anew: false }
    }

    /// The section of the configuration.
    pub fn section(&self) -> String {
        let (brokers, prefix) = (self.proxy.address(), &self.prefix);
        format!(
            "[sinks.kafka]\nbrokers = \"{brokers}\"\ntopic_prefix = \"{prefix}\"\npartitions = 2\n"
        )
    }

    /// The mark of the sink.
    pub fn epoch(&self) -> u64 {
        let marks = self.folded("marks");
        assert_eq!(marks.len(), 1);
        let (_, value) = marks.into_values().next().unwrap();
        let mark: Json = serde_json::from_slice(&value.unwrap()).unwrap();
        mark["epoch"].as_u64().unwrap()
    }

    /// The rows of a view's topic, as the program shows them.
    pub fn rows(&self, view: &View) -> Vec<Vec<String>> {
        let row = |(_, value): (u64, Option<Vec<u8>>)| {
            let object: Json = serde_json::from_slice(&value?).unwrap();
            let schema = view.parsed();
            let cell = |name: &str| match &object[name] {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some(schema.columns.iter().map(|column| cell(&column.name)).collect())
        };
        self.folded(view.name).into_values().filter_map(row).collect()
    }

    /// What every key has last, to a reader who goes from the first record to the last. No key
    /// gets the same value twice, nor an epoch that is not after the one before, unless epochs are
    /// counted anew.
    fn folded(&self, name: &str) -> Held {
        let mut held = Held::new();
        let topic = self.topic(name);
        for (key, now) in self.committed(&topic) {
            let before = held.insert(key, now.clone());
            if let Some((earlier, value)) = before {
                let (epoch, any) = (now.0, self.anew || name == "marks");
                assert!(earlier < epoch || any, "{topic}: {earlier} and {epoch}");
                assert!(value != now.1, "{topic}: the same twice");
            }
        }
        held
    }

    /// What a topic of ours is called.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The committed records of a topic, with their keys.
    pub fn committed(&self, topic: &str) -> Vec<(Key, Said)> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.server).set("group.id", &self.prefix);
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        let plain: BaseConsumer =
            config.clone().set("isolation.level", "read_uncommitted").create().unwrap();
        let committed: BaseConsumer =
            config.set("isolation.level", "read_committed").create().unwrap();
        let metadata = plain.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            let ends = |consumer: &BaseConsumer| {
                consumer.fetch_watermarks(topic, partition.id(), PATIENCE).unwrap().1
            };
            let (begun, end) = (Instant::now(), ends(&plain));
            while ends(&committed) < end {
                assert!(begun.elapsed() < PATIENCE, "{topic} has an open transaction");
            }
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        committed.assign(&list).unwrap();
        let (mut seen, mut open) = (Vec::new(), list.count());
        while open > 0 {
            match committed.poll(PATIENCE).unwrap() {
                Ok(message) => {
                    let of = |header: rdkafka::message::Header<'_, &[u8]>| {
                        let text = std::str::from_utf8(header.value?).ok()?;
                        text.parse().ok().filter(|_| header.key == "ionflux-epoch")
                    };
                    let epoch = message.headers().and_then(|all| all.iter().find_map(of));
                    let value = message.payload().map(<[u8]>::to_vec);
                    let key = message.key().unwrap().to_vec();
                    seen.push(((message.partition(), key), (epoch.unwrap_or(0), value)));
                }
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{topic}: {error}"),
            }
        }
        seen
    }
}
