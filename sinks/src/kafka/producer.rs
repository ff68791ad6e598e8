//! One transactional producer: records of one transaction after the other, and their fate.
//!
//! Invariant: a commit that returns is a commit that the brokers made; whoever begins as the only
//! producer of a name has fenced those before.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::Settings;
use super::error::{Heard, refused};
use crate::error::SinkError;

/// How records are put together on their way, by the client's names.
pub const BATCHING: [(&str, &str); 5] = [
    ("compression.type", "lz4"),
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "65536"),
];
/// How long the fencing of those before may take.
const FENCE_MAX: Duration = Duration::from_secs(30);
/// How long the records of a batch may take to arrive, and again its commit.
const COMMIT_MAX: Duration = Duration::from_secs(120);
const ABORT_MAX: Duration = Duration::from_secs(10);
/// How long the queue may be full without a record leaving it.
const FULL_MAX: Duration = Duration::from_secs(60);
/// One try of an abort, which goes on where the one before it was.
const ABORT_STEP: Duration = Duration::from_millis(50);
/// How long to leave the client alone until there may be reports. Its own waits for them last as
/// long as they may, however soon reports come.
const REPORTS: Duration = Duration::from_millis(1);

/// Where a record goes.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
}

pub(super) struct Transactional {
    producer: BaseProducer<Heard>,
    heard: Heard,
}

impl Settings {
    /// The producer of this sink's name; any other of that name is fenced.
    pub(super) fn producer(&self, client: &ClientConfig) -> Result<Transactional, SinkError> {
        let heard = Heard::default();
        let mut config = client.clone();
        config.set("transactional.id", self.transactional_id()).set("acks", "all");
        // After this the broker aborts a transaction that nobody ends, so that readers go on.
        let timeout_ms = (u64::from(self.config.answer_s) * 1_000).to_string();
        config.set("enable.idempotence", "true").set("transaction.timeout.ms", timeout_ms);
        for (name, value) in BATCHING {
            config.set(name, value);
        }
        config.set("retry.backoff.ms", "50");
        let producer = BaseProducer::from_config_and_context(&config, heard.clone());
        let producer = producer.map_err(|error| heard.failed("connect", error))?;
        let begun = producer.init_transactions(FENCE_MAX);
        begun.map_err(|error| heard.failed("begin as the only producer", error))?;
        Ok(Transactional { producer, heard })
    }
}

impl Transactional {
    pub(super) fn begin(&self) -> Result<(), SinkError> {
        let begun = self.producer.begin_transaction();
        begun.map_err(|error| self.heard.failed("begin a transaction", error))
    }

    /// Queues one record, and waits while the queue is full.
    pub(super) fn put(
        &self,
        place: Place<'_>,
        (key, value): (&[u8], Option<&[u8]>),
        headers: Option<&OwnedHeaders>,
    ) -> Result<(), SinkError> {
        let record = BaseRecord::<[u8], [u8]>::to(place.topic);
        let mut record = record.partition(place.partition).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        if let Some(headers) = headers {
            record = record.headers(headers.clone());
        }
        let mut full = None;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), again)) => record = again,
                Err((error, _)) => {
                    return Err(self.heard.failed(&format!("send to {}", place.topic), error));
                }
            }
            if full.get_or_insert_with(Instant::now).elapsed() > FULL_MAX {
                return Err(refused(&format!("send to {}", place.topic), Code::QueueFull));
            }
            self.wait();
        }
    }

    /// Takes the reports that are there; says whether there were any.
    pub(super) fn serve(&self) -> bool {
        let before = self.producer.in_flight_count();
        let mut left = before;
        loop {
            self.producer.poll(Duration::ZERO);
            match self.producer.in_flight_count() {
                fewer if fewer < left => left = fewer,
                _ => return left < before,
            }
        }
    }

    /// Takes reports, and waits a moment where there are none.
    fn wait(&self) {
        if !self.serve() {
            thread::park_timeout(REPORTS);
        }
    }

    /// Makes all records visible at once.
    pub(super) fn commit(&self) -> Result<(), SinkError> {
        let begun = Instant::now();
        while self.producer.in_flight_count() > 0 && begun.elapsed() < COMMIT_MAX {
            self.wait();
        }
        if let Err(error) = self.producer.flush(Duration::ZERO) {
            self.abort();
            return Err(self.heard.failed("send records", error));
        }
        let committed = self.producer.commit_transaction(COMMIT_MAX);
        committed.map_err(|error| {
            // A record that did not arrive makes the commit fail; its reason is the client's.
            if matches!(&error, KafkaError::Transaction(said) if said.txn_requires_abort()) {
                self.abort();
            }
            self.heard.failed("commit", error)
        })
    }

    /// Makes none visible, if the brokers can be asked in time: readers need not wait then until
    /// the next session fences this one.
    pub(super) fn abort(&self) {
        let begun = Instant::now();
        while begun.elapsed() < ABORT_MAX {
            // An abort waits for reports of what was sent, which nobody else takes.
            match self.producer.abort_transaction(ABORT_STEP) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() => self.wait(),
                _ => return,
            }
        }
    }
}
