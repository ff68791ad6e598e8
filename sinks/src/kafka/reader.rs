//! What topics hold, read to their end.
//!
//! Invariant: only what was committed is seen, and all of it: a transaction that is still open
//! makes the reader wait, never miss what stands behind it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::error::{Heard, refused};
use crate::error::SinkError;

/// How long one request may take.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(20);
/// How long an open transaction is waited for.
const SETTLE_MAX: Duration = Duration::from_secs(20);
/// How long nothing may arrive while there is more.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What is waited between two questions.
const PAUSE: Duration = Duration::from_millis(5);
/// How often is listened for the reason of an error.
const HEARD_POLLS: u32 = 40;
/// How much of the end of a topic is looked through for a key, at first and later.
const TAILS: [i64; 3] = [512, 65_536, i64::MAX];

/// Reads what was committed.
pub(super) struct Reader {
    /// Sees the ends of partitions as they are.
    plain: BaseConsumer<Heard>,
    /// Sees only what was committed, and its ends.
    committed: BaseConsumer<Heard>,
    heard: Heard,
}

/// Where to begin in a partition of a topic.
struct Span<'a> {
    topic: &'a str,
    partition: i32,
    from: i64,
}

impl Reader {
    /// Connects; nothing is asked yet.
    pub(super) fn new(client: &ClientConfig, group: &str) -> Result<Self, SinkError> {
        let heard = Heard::default();
        let mut config = client.clone();
        config.set("group.id", group).set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false").set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "error").set("fetch.wait.max.ms", "20");
        config.set("fetch.queue.backoff.ms", "10");
        let mut made = |isolation: &str| {
            config.set("isolation.level", isolation);
            let made = BaseConsumer::from_config_and_context(&config, heard.clone());
            made.map_err(|error| heard.failed("connect", error))
        };
        let (plain, committed) = (made("read_uncommitted")?, made("read_committed")?);
        Ok(Self { plain, committed, heard })
    }

    fn metadata(&self) -> Result<Metadata, SinkError> {
        self.plain.fetch_metadata(None, REQUEST_MAX).map_err(|error| {
            // What is heard besides waits to be polled, such as a login that was refused.
            let _ = (0..HEARD_POLLS).find(|_| {
                let _ = self.plain.poll(PAUSE);
                self.heard.refused()
            });
            self.heard.failed("ask for topics", error)
        })
    }

    /// How many partitions each topic has.
    pub(super) fn topics(&self) -> Result<BTreeMap<String, i32>, SinkError> {
        let metadata = self.metadata()?;
        let partitions = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let topics = metadata.topics().iter();
        Ok(topics.map(|t| (t.name().to_owned(), partitions(t.partitions().len()))).collect())
    }

    /// Waits until the topics are known everywhere, with a leader for every partition.
    pub(super) fn await_topics(&self, names: &[&str]) -> Result<(), SinkError> {
        let begun = Instant::now();
        loop {
            let metadata = self.metadata()?;
            let led = |name: &&&str| {
                let topic = metadata.topics().iter().find(|topic| topic.name() == **name);
                topic.is_some_and(|topic| {
                    !topic.partitions().is_empty()
                        && topic.partitions().iter().all(|p| p.leader() >= 0)
                })
            };
            if names.iter().filter(led).count() == names.len() {
                return Ok(());
            }
            self.pause(begun, "make topics")?;
        }
    }

    fn pause(&self, begun: Instant, step: &str) -> Result<(), SinkError> {
        if begun.elapsed() > SETTLE_MAX {
            return Err(refused(step, Code::OperationTimedOut));
        }
        let _ = self.plain.poll(PAUSE);
        Ok(())
    }

    /// The first and the next offset of a partition, whatever is open in it.
    pub(super) fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), SinkError> {
        let (begun, step) = (Instant::now(), format!("look at {topic}"));
        loop {
            match self.plain.fetch_watermarks(topic, partition, REQUEST_MAX) {
                // A topic that was just made is known before its leader is.
                Err(error) if leaderless(&error) => self.pause(begun, &step)?,
                bounds => return bounds.map_err(|error| self.heard.failed(&step, error)),
            }
        }
    }

    /// The first and the next offset of a partition, once no transaction is open in it.
    fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64), SinkError> {
        let asked = |consumer: &BaseConsumer<Heard>| {
            let ends = consumer.fetch_watermarks(topic, partition, REQUEST_MAX);
            ends.map_err(|error| self.heard.failed(&format!("read {topic}"), error))
        };
        let begun = Instant::now();
        let (_, end) = asked(&self.plain)?;
        loop {
            let (low, stable) = asked(&self.committed)?;
            if stable >= end {
                return Ok((low, stable));
            }
            let step = format!("{topic}: a transaction of another producer stays open; read");
            self.pause(begun, &step)?;
        }
    }

    /// The newest value of a key in the one partition of a topic; `None` if there is none.
    pub(super) fn newest(&self, topic: &str, key: &[u8]) -> Result<Option<Vec<u8>>, SinkError> {
        let (low, end) = self.ends(topic, 0)?;
        for tail in TAILS {
            let from = end.saturating_sub(tail).max(low);
            let mut found = None;
            if from < end {
                let span = Span { topic, partition: 0, from };
                self.read(&[span], |message| {
                    if message.key() == Some(key) {
                        found = Some(message.payload().map(<[u8]>::to_vec));
                    }
                })?;
            }
            if found.is_some() || from == low {
                return Ok(found.flatten());
            }
        }
        Ok(None)
    }

    /// Everything that some topics hold, each with so many partitions, each of these in order.
    pub(super) fn all<'a>(
        &self,
        topics: impl Iterator<Item = (&'a str, i32)>,
        each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), SinkError> {
        let mut spans = Vec::new();
        for (topic, partitions) in topics {
            for partition in 0..partitions {
                let (from, end) = self.ends(topic, partition)?;
                if from < end {
                    spans.push(Span { topic, partition, from });
                }
            }
        }
        self.read(&spans, each)
    }

    fn read(
        &self,
        spans: &[Span<'_>],
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), SinkError> {
        // One topic after the other: the end of a partition is told without its topic.
        for spans in spans.chunk_by(|a, b| a.topic == b.topic) {
            let Some(topic) = spans.first().map(|span| span.topic) else { continue };
            let step = format!("read {topic}");
            let mut list = TopicPartitionList::new();
            for span in spans {
                let added =
                    list.add_partition_offset(topic, span.partition, Offset::Offset(span.from));
                added.map_err(|error| self.heard.failed(&step, error))?;
            }
            let assigned = self.committed.assign(&list);
            assigned.map_err(|error| self.heard.failed(&step, error))?;
            let mut ended: Vec<i32> = Vec::new();
            while ended.len() < spans.len() {
                match self.committed.poll(SILENCE_MAX) {
                    Some(Ok(message)) if message.topic() == topic => each(&message),
                    Some(Ok(_)) => {}
                    Some(Err(KafkaError::PartitionEOF(partition))) => {
                        if !ended.contains(&partition) {
                            ended.push(partition);
                        }
                    }
                    Some(Err(error)) if passes(&error) => {}
                    Some(Err(error)) => return Err(self.heard.failed(&step, error)),
                    None => return Err(refused(&step, Code::OperationTimedOut)),
                }
            }
            let left = self.committed.unassign();
            left.map_err(|error| self.heard.failed(&step, error))?;
        }
        Ok(())
    }
}

fn leaderless(error: &KafkaError) -> bool {
    let codes = [Code::NotLeaderForPartition, Code::LeaderNotAvailable, Code::UnknownPartition];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

/// Errors that the client gets over by itself.
fn passes(error: &KafkaError) -> bool {
    let passing = [Code::AllBrokersDown, Code::BrokerTransportFailure, Code::Resolve];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}
