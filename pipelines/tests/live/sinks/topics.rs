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
/// Where the events of agents go, whatever the prefix.
pub const OUTPUTS: &str = "ionflux.agent.outputs";

pub struct Topics {
    /// Keeps the proxy at work.
    _runtime: Runtime,
    server: String,
    prefix: String,
    pub proxy: Proxy,
    /// Whether epochs are counted anew at some point, as by a state that was put back.
    pub anew: bool,
    /// Where the events of others end, by partition.
    others: BTreeMap<i32, i64>,
}

/// Partition and key.
pub type Key = (i32, Vec<u8>);
/// The epoch of a record, and its value.
pub type Said = (Option<u64>, Option<Vec<u8>>);
/// What keys have last.
type Held = BTreeMap<Key, Said>;

impl Topics {
    pub fn new(server: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let proxy = runtime.block_on(Proxy::disguising(server.parse().unwrap()));
        let prefix = format!("live-{}.", uuid::Uuid::now_v7().simple());
        let (server, others) = (server.into(), BTreeMap::new());
        let mut made = Self { _runtime: runtime, server, prefix, proxy, anew: false, others };
        made.others = made.ends(&made.reader("read_uncommitted"), OUTPUTS);
        made
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
        let row = |(_, value): Said| {
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
        for (key, now) in self.committed(&self.topic(name)) {
            let before = held.insert(key, now.clone());
            if let Some((earlier, value)) = before {
                let (epoch, any) = (now.0, self.anew || name == "marks");
                assert!(earlier < epoch || any, "{name}: {earlier:?} and {epoch:?}");
                assert!(value != now.1, "{name}: the same twice");
            }
        }
        held
    }

    /// What a topic of ours is called.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Every committed record of a topic; of the events, since ours begin.
    pub fn committed(&self, topic: &str) -> Vec<(Key, Said)> {
        let from = (topic == OUTPUTS).then_some(&self.others);
        let committed = self.reader("read_committed");
        let mut list = TopicPartitionList::new();
        let (begun, all) = (Instant::now(), self.ends(&self.reader("read_uncommitted"), topic));
        while self.ends(&committed, topic).iter().any(|(partition, end)| *end < all[partition]) {
            assert!(begun.elapsed() < PATIENCE, "{topic} has an open transaction");
        }
        for partition in all.into_keys() {
            let from = from.and_then(|others| others.get(&partition));
            let offset = from.map_or(Offset::Beginning, |end| Offset::Offset(*end));
            list.add_partition_offset(topic, partition, offset).unwrap();
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
                    seen.push(((message.partition(), key), (epoch, value)));
                }
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{topic}: {error}"),
            }
        }
        seen
    }

    fn reader(&self, isolation: &str) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.server).set("group.id", &self.prefix);
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config.set("isolation.level", isolation).create().unwrap()
    }

    /// Where partitions end to a reader.
    fn ends(&self, reader: &BaseConsumer, topic: &str) -> BTreeMap<i32, i64> {
        let metadata = reader.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let end = |id| (id, reader.fetch_watermarks(topic, id, PATIENCE).unwrap().1);
        metadata.topics()[0].partitions().iter().map(|partition| end(partition.id())).collect()
    }
}
