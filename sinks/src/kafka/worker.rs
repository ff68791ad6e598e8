//! The thread of a session: one transactional producer, and all that waits for brokers.
//!
//! Invariant: whoever begins fences those before, so that what they left undone never lands later;
//! a thread that met an error, or was left alone in the middle, aborts and ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ionflux_schemas::key::content_hash;
use ionflux_schemas::time::UtcMs;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::{mpsc, oneshot};

use super::Settings;
use super::chunk::{Chunk, Piece};
use super::encode::{Encoder, Moment};
use super::error::{Heard, refused};
use super::mark;
use super::outputs::{self, Outputs};
use super::reader::Reader;
use super::topics::{Admin, Cleanup, Wanted, missing};
use crate::error::SinkError;
use crate::sink::Mark;

/// After this the broker aborts a transaction that nobody ends, so that readers go on. A snapshot
/// has to be sent within it.
const TRANSACTION_MS: &str = "300000";
/// How long the fencing of those before may take.
const FENCE_MAX: Duration = Duration::from_secs(30);
/// How long the records of a batch may take to arrive, and again its commit.
const COMMIT_MAX: Duration = Duration::from_secs(120);
const ABORT_MAX: Duration = Duration::from_secs(10);
/// How long the queue may be full without a record leaving it.
const FULL_POLLS_MAX: u32 = 600;
const FULL_POLL: Duration = Duration::from_millis(100);

/// What a session asks of its thread.
pub(super) enum Command {
    /// What the target holds.
    Ask(oneshot::Sender<Result<Option<Mark>, SinkError>>),
    /// A batch.
    Write(Job),
}

/// A batch that is on its way.
pub(super) struct Job {
    /// Whether it replaces everything.
    pub(super) whole: bool,
    pub(super) to: Mark,
    pub(super) as_of: UtcMs,
    pub(super) pieces: mpsc::Receiver<Piece>,
    pub(super) answer: oneshot::Sender<Result<(), SinkError>>,
}

/// How views are written, once the registry was asked.
pub(super) struct Pens {
    pub(super) encoders: Vec<Encoder>,
    pub(super) outputs: Option<Outputs>,
}

pub(super) struct Worker {
    settings: Arc<Settings>,
    pens: Arc<Pens>,
    reader: Reader,
    producer: BaseProducer<Heard>,
    heard: Heard,
    /// The mark as it was when the session began.
    found: Option<Mark>,
}

/// What a view's topic holds: the hash of every key's row, and whether the snapshot has the key.
type Held = HashMap<Box<[u8]>, (u128, bool)>;

impl Worker {
    /// Fences those before and looks at the topics.
    pub(super) fn open(settings: Arc<Settings>) -> Result<Self, SinkError> {
        let client = settings.client();
        let reader = Reader::new(&client, &settings.transactional_id())?;
        let wanted = settings.wanted();
        let present = reader.topics()?;
        let (there, absent): (Vec<&Wanted>, Vec<&Wanted>) =
            wanted.iter().partition(|topic| present.contains_key(&topic.name));
        if !absent.is_empty() && !settings.config.create_topics {
            return Err(missing(&absent));
        }
        let admin = Admin::new(&client)?;
        let marks = settings.marks();
        if present.get(&marks).is_some_and(|partitions| *partitions != 1) {
            let what = format!("Kafka: the topic {marks} has more than one partition");
            return Err(SinkError::permanent(format!("{what}: make it again with one")));
        }
        admin.check(&there)?;
        let (first, rest): (Vec<&Wanted>, Vec<&Wanted>) =
            absent.into_iter().partition(|topic| topic.marks);
        admin.make(&first, &reader)?;
        let (producer, heard) = settings.producer(&client)?;
        let begun = producer.init_transactions(FENCE_MAX);
        begun.map_err(|error| heard.failed("begin as the only producer", error))?;
        let pens = Arc::new(settings.pens()?);
        let mut worker = Self { settings, pens, reader, producer, heard, found: None };
        worker.found = worker.mark()?;
        if rest.iter().any(|topic| topic.cleanup == Cleanup::Compact) {
            worker.forget()?;
        }
        admin.make(&rest, &worker.reader)?;
        Ok(worker)
    }

    pub(super) fn pens(&self) -> Arc<Pens> {
        Arc::clone(&self.pens)
    }

    pub(super) fn found(&self) -> Option<Mark> {
        self.found
    }

    /// Serves the session until it is gone, or something fails.
    pub(super) fn serve(self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            let failed = match command {
                Command::Ask(answer) => {
                    let mark = self.mark();
                    let failed = mark.is_err();
                    failed | answer.send(mark).is_err()
                }
                Command::Write(mut job) => {
                    let written = self.write(&mut job);
                    let failed = written.is_err();
                    failed | job.answer.send(written).is_err()
                }
            };
            if failed {
                return;
            }
        }
    }

    /// The mark in the topic.
    fn mark(&self) -> Result<Option<Mark>, SinkError> {
        let (topic, name) = (self.settings.marks(), self.settings.name.as_bytes());
        let newest = self.reader.newest(&topic, name)?;
        newest.map_or(Ok(None), |value| mark::read(&value, &self.settings.layout))
    }

    /// Takes the mark away, for there are topics that are about to be made.
    fn forget(&mut self) -> Result<(), SinkError> {
        let name = self.settings.name.as_bytes();
        if self.reader.newest(&self.settings.marks(), name)?.is_some() {
            self.begin()?;
            self.put(&self.settings.marks(), (name, None), None)?;
            self.commit()?;
        }
        self.found = None;
        Ok(())
    }

    fn write(&self, job: &mut Job) -> Result<(), SinkError> {
        let held = if job.whole { self.held()? } else { Vec::new() };
        self.begin()?;
        let written = self.records(job, held);
        if written.is_err() {
            // The next session fences this one; until then readers need not wait.
            let _ = self.producer.abort_transaction(ABORT_MAX);
            return written;
        }
        self.commit()
    }

    fn records(&self, job: &mut Job, mut held: Vec<Held>) -> Result<(), SinkError> {
        let headers = self.headers(job);
        loop {
            match job.pieces.blocking_recv() {
                Some(Piece::Records(chunk)) => self.chunk(&chunk, &headers, &mut held)?,
                Some(Piece::End) => break,
                None => return Err(SinkError::transient("Kafka: the batch was given up")),
            }
        }
        let moment = Moment { epoch: job.to.epoch, as_of: job.as_of };
        for (at, held) in held.iter().enumerate() {
            let encoder = &self.pens.encoders[at];
            let farewell = encoder.farewell(moment)?;
            for (key, _) in held.iter().filter(|(_, (_, kept))| !kept) {
                if let Some(value) = &farewell {
                    self.put(&encoder.topic, (key, Some(value)), Some(&headers[at]))?;
                }
                self.put(&encoder.topic, (key, None), Some(&headers[at]))?;
            }
        }
        let mark = mark::written(&job.to, job.as_of, &self.settings.layout);
        self.put(&self.settings.marks(), (self.settings.name.as_bytes(), Some(&mark)), None)
    }

    /// The headers of each topic's records.
    fn headers(&self, job: &Job) -> Vec<OwnedHeaders> {
        let (epoch, as_of) = (job.to.epoch.to_string(), job.as_of.to_string());
        let of = |version: Option<u32>| {
            let version = version.map(|version| version.to_string());
            let headers = OwnedHeaders::new_with_capacity(3);
            let headers = headers.insert(Header { key: "ionflux-epoch", value: Some(&epoch) });
            let headers = match &version {
                Some(v) => headers.insert(Header { key: "ionflux-view-version", value: Some(v) }),
                None => headers,
            };
            headers.insert(Header { key: "ionflux-as-of", value: Some(&as_of) })
        };
        let views = self.pens.encoders.iter().map(|encoder| of(Some(encoder.view.version)));
        views.chain([of(None)]).collect()
    }

    fn chunk(
        &self,
        chunk: &Chunk,
        headers: &[OwnedHeaders],
        held: &mut [Held],
    ) -> Result<(), SinkError> {
        for record in &chunk.records {
            let key = &chunk.bytes[record.key.clone()];
            if let Some(held) = held.get_mut(record.topic) {
                let hash = content_hash(&chunk.bytes[record.row.clone()]);
                if let Some((found, kept)) = held.get_mut(key) {
                    *kept = true;
                    if *found == hash {
                        continue;
                    }
                }
            }
            let topic = self.pens.encoders.get(record.topic);
            let topic = topic.map_or(outputs::TOPIC, |encoder| encoder.topic.as_str());
            let value = record.value.clone().map(|value| &chunk.bytes[value]);
            self.put(topic, (key, value), headers.get(record.topic))?;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// What the topics of the views hold.
    fn held(&self) -> Result<Vec<Held>, SinkError> {
        let encoders = &self.pens.encoders;
        let places: BTreeMap<&str, usize> =
            encoders.iter().enumerate().map(|(at, e)| (e.topic.as_str(), at)).collect();
        let topics: Vec<&str> = encoders.iter().map(|e| e.topic.as_str()).collect();
        let mut held: Vec<Held> = encoders.iter().map(|_| Held::new()).collect();
        self.reader.all(&topics, |message| {
            let (Some(at), Some(key)) = (places.get(message.topic()), message.key()) else {
                return;
            };
            match message.payload() {
                // A row that is not as it would be written has no hash of any row.
                Some(value) => {
                    let row = encoders[*at].row_of(value);
                    let hash = row.map_or(0, |row| content_hash(&row));
                    held[*at].insert(key.into(), (hash, false));
                }
                None => {
                    held[*at].remove(key);
                }
            }
        })?;
        Ok(held)
    }

    fn begin(&self) -> Result<(), SinkError> {
        let begun = self.producer.begin_transaction();
        begun.map_err(|error| self.heard.failed("begin a transaction", error))
    }

    fn commit(&self) -> Result<(), SinkError> {
        let sent = self.producer.flush(COMMIT_MAX);
        sent.map_err(|error| self.heard.failed("send records", error))?;
        let committed = self.producer.commit_transaction(COMMIT_MAX);
        committed.map_err(|error| {
            // A record that did not arrive makes the commit fail; its reason is the client's.
            if matches!(&error, KafkaError::Transaction(said) if said.txn_requires_abort()) {
                let _ = self.producer.abort_transaction(ABORT_MAX);
            }
            self.heard.failed("commit", error)
        })
    }

    /// Queues one record, and waits while the queue is full.
    fn put(
        &self,
        topic: &str,
        (key, value): (&[u8], Option<&[u8]>),
        headers: Option<&OwnedHeaders>,
    ) -> Result<(), SinkError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        if let Some(headers) = headers {
            record = record.headers(headers.clone());
        }
        for _ in 0..FULL_POLLS_MAX {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), again)) => record = again,
                Err((error, _)) => {
                    return Err(self.heard.failed(&format!("send to {topic}"), error));
                }
            }
            self.producer.poll(FULL_POLL);
        }
        Err(refused(&format!("send to {topic}"), Code::QueueFull))
    }
}

impl Settings {
    /// A producer of this sink's name, and what it hears.
    fn producer(
        &self,
        client: &rdkafka::ClientConfig,
    ) -> Result<(BaseProducer<Heard>, Heard), SinkError> {
        let heard = Heard::default();
        let mut config = client.clone();
        config.set("transactional.id", self.transactional_id()).set("acks", "all");
        config.set("enable.idempotence", "true").set("transaction.timeout.ms", TRANSACTION_MS);
        // That of Java's clients, so that who repartitions elsewhere finds keys where they were.
        config.set("partitioner", "murmur2_random").set("compression.type", "lz4");
        config.set("linger.ms", "5").set("batch.size", "1000000");
        config.set("queue.buffering.max.messages", "200000");
        config.set("queue.buffering.max.kbytes", "65536").set("retry.backoff.ms", "50");
        let producer = BaseProducer::from_config_and_context(&config, heard.clone());
        Ok((producer.map_err(|error| heard.failed("connect", error))?, heard))
    }

    fn pens(&self) -> Result<Pens, SinkError> {
        let ids = self.access.schema_ids.as_deref();
        let encoders = self.views.iter().map(|view| Encoder::new(view, &self.config, ids));
        let encoders = encoders.collect::<Result<_, _>>()?;
        Ok(Pens { encoders, outputs: Outputs::new(&self.config, ids)? })
    }
}
