//! Carries messages to the journal, as a member of a consumer group.
//!
//! Invariant: a partition's cursor never passes a message that is not in the journal; what cannot
//! be carried now makes its own partition wait, and no other.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ionflux_schemas::delivery::Position;
use ionflux_schemas::health::{Condition, Health};
use ionflux_schemas::time::UtcMs;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::member::Member;
use super::message::{Framer, MESSAGE_BYTES_MAX, Message, Names};
use super::metrics::KafkaMetrics;
use super::progress::{Partition, Progress};
use super::tail::Tail;
use super::topics::Pattern;
use crate::clock::Clock;
use crate::cursor::Cursors;
use crate::inbox::Refused;
use crate::intake::Intake;
use crate::poller::{Poll, PollError, Stop};
use crate::registry::Registry;

/// What is carried at once.
const BATCH_MESSAGES_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 16 << 20;
/// How long a round waits for its first message.
const IDLE: Duration = Duration::from_millis(200);
/// How often the cursor is kept: what a crash makes us read again.
const KEEP_MS: i64 = 1_000;
/// The first and the longest time that a partition waits before it is tried again.
const WAIT_MS: i64 = 500;
const WAIT_MS_MAX: i64 = 60_000;
/// How long a broker may take to say which cluster it is of, and to move to an offset.
const CLUSTER_MAX: Duration = Duration::from_secs(1);
const SEEK_MAX: Duration = Duration::from_secs(5);

/// What is read, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster.
    pub connection: Connection,
    /// The consumer group.
    pub group: String,
    /// The name of this member, if it is to keep its partitions over a restart.
    pub instance: Option<String>,
    /// After how long without a sign a member is given up, in milliseconds.
    pub session_ms: u32,
    /// What is read.
    pub patterns: Vec<Pattern>,
    /// The workspaces whose topics are read; all if there are none.
    pub workspaces: Vec<String>,
    /// The shop of each workspace that has one only.
    pub shops: BTreeMap<String, String>,
}

/// What a carrier is connected to.
pub struct World {
    /// The way into the journal.
    pub intake: Intake,
    /// Where cursors are kept.
    pub cursors: Cursors,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: KafkaMetrics,
    /// Where schemas are asked for.
    pub registry: Option<Registry>,
}

/// What stays with a carrier of what it is connected to.
struct Ties {
    intake: Intake,
    clock: Arc<dyn Clock>,
    metrics: KafkaMetrics,
}

/// A partition that waits.
struct Waiting {
    offset: i64,
    until: UtcMs,
    reason: String,
}

/// Carries messages.
pub struct Carrier {
    consumer: BaseConsumer<Member>,
    options: Options,
    ties: Ties,
    framer: Framer,
    runtime: Runtime,
    joined: bool,
    waiting: BTreeMap<Partition, Waiting>,
    /// How often a partition had to wait since it last moved.
    failures: BTreeMap<Partition, u32>,
    kept_at: UtcMs,
    health: Arc<Mutex<Health>>,
}

impl Carrier {
    /// A carrier that has not asked anybody anything yet.
    ///
    /// # Errors
    /// When the options are not those of a client, such as a file of certificates that is none.
    pub fn new(options: Options, world: World) -> Result<Self, String> {
        let mut config = options.connection.client();
        config.set("group.id", &options.group);
        if let Some(instance) = &options.instance {
            config.set("group.instance.id", instance);
        }
        config.set("session.timeout.ms", options.session_ms.to_string());
        config.set("heartbeat.interval.ms", (options.session_ms / 5).to_string());
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "earliest").set("isolation.level", "read_committed");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("fetch.message.max.bytes", MESSAGE_BYTES_MAX.to_string());
        config.set("queued.max.messages.kbytes", "65536").set("statistics.interval.ms", "2000");
        config.set("topic.metadata.refresh.interval.ms", "10000");
        config.set("allow.auto.create.topics", "false");
        let World { intake, cursors, clock, metrics, registry } = world;
        let member = Member::new(cursors, metrics.clone());
        let consumer = BaseConsumer::from_config_and_context(&config, member);
        let consumer = consumer.map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (component, since) = ("kafka".into(), clock.now());
        let health = Health { component, state: Condition::Starting, since, reason: "".into() };
        let names = Names { patterns: options.patterns.clone(), shops: options.shops.clone() };
        let framer = Framer::new(names, registry, Arc::clone(&clock), metrics.clone());
        Ok(Self {
            consumer,
            options,
            ties: Ties { intake, clock, metrics },
            framer,
            runtime,
            joined: false,
            waiting: BTreeMap::new(),
            failures: BTreeMap::new(),
            kept_at: since,
            health: Arc::new(Mutex::new(health)),
        })
    }

    /// What answers how it is, at any time.
    pub fn health(&self) -> impl Fn() -> Health + Send + Sync + 'static {
        let health = Arc::clone(&self.health);
        move || health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Joins the group once it is known which cluster this is; says whether it has.
    fn join(&mut self) -> Result<bool, String> {
        if self.joined {
            return Ok(true);
        }
        let Some(cluster) = self.consumer.client().fetch_cluster_id(CLUSTER_MAX) else {
            let _ = self.consumer.poll(Duration::ZERO);
            return Ok(false);
        };
        let cursor = format!("kafka/{cluster}/{}", self.options.group);
        let intake = &self.ties.intake;
        let fresh = || Ok(Progress::new(owner()?, intake.durable_end()));
        let opened = self.consumer.context().open(cursor, fresh, |from| {
            Tail::of(&cluster, from, intake.durable_end(), |from| intake.read(from))
        });
        opened.map_err(|error| format!("the cursor: {error}"))?;
        self.framer.joined(&cluster);
        let Options { patterns, workspaces, .. } = &self.options;
        let names = patterns.iter().flat_map(|pattern| pattern.subscriptions(workspaces));
        let names: Vec<String> = names.collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.consumer.subscribe(&names).map_err(|error| error.to_string())?;
        self.joined = true;
        Ok(true)
    }

    /// Lets partitions go on that have waited.
    fn retry(&mut self) {
        let now = self.ties.clock.now();
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.until <= now);
        let due: Vec<Partition> = due.map(|(partition, _)| partition.clone()).collect();
        for partition in due {
            let Some(waiting) = self.waiting.get(&partition) else { continue };
            let (topic, number) = &partition;
            let sought = Offset::Offset(waiting.offset);
            let sought = self.consumer.seek(topic, *number, sought, SEEK_MAX);
            if sought.and_then(|()| self.consumer.resume(&only(&partition))).is_ok() {
                self.waiting.remove(&partition);
            } else {
                let (offset, reason) = (waiting.offset, waiting.reason.clone());
                self.wait(&partition, offset, reason);
            }
        }
    }

    /// Makes a partition wait at an offset.
    fn wait(&mut self, partition: &Partition, offset: i64, reason: String) {
        let failures = self.failures.entry(partition.clone()).or_default();
        let pause = WAIT_MS.saturating_mul(1 << (*failures).min(20)).min(WAIT_MS_MAX);
        *failures = failures.saturating_add(1);
        let until = UtcMs(self.ties.clock.now().0 + pause);
        if let Err(error) = self.consumer.pause(&only(partition)) {
            tracing::warn!(%error, "a partition could not be paused");
        }
        self.waiting.insert(partition.clone(), Waiting { offset, until, reason });
    }

    /// What came of partitions that do not wait.
    fn gather(&mut self) -> BTreeMap<Partition, Vec<Message>> {
        let mut batch: BTreeMap<Partition, Vec<Message>> = BTreeMap::new();
        let (mut messages, mut bytes, mut patience) = (0, 0, IDLE);
        while messages < BATCH_MESSAGES_MAX && bytes < BATCH_BYTES_MAX {
            let polled = self.consumer.poll(patience);
            // What was taken away is another's now, and is not in our journal: it reads it.
            for partition in self.consumer.context().revoked() {
                batch.remove(&partition);
                self.waiting.remove(&partition);
                self.failures.remove(&partition);
            }
            match polled {
                None => break,
                Some(Err(error)) => {
                    self.consumer.context().told(Some(error.to_string()));
                    break;
                }
                Some(Ok(message)) => {
                    let partition = (message.topic().to_owned(), message.partition());
                    (messages, bytes) = (messages + 1, bytes + message.payload_len());
                    if !self.waiting.contains_key(&partition) {
                        batch.entry(partition).or_default().push(Message::taken(&message));
                    }
                }
            }
            patience = Duration::ZERO;
        }
        batch
    }

    /// Brings messages into the journal, all at once, and moves the cursors behind them.
    fn carry(&mut self, batch: BTreeMap<Partition, Vec<Message>>) {
        self.framer.begin();
        let mut carried: JoinSet<(usize, usize, Kept)> = JoinSet::new();
        let mut lanes = Vec::new();
        for (partition, messages) in batch {
            let mut lane = Lane { partition, places: Vec::new(), stopped: None };
            for message in messages {
                let offset = message.offset;
                match self.framer.delivery(&lane.partition, message) {
                    Ok(Some(delivery)) => {
                        let (intake, at) = (self.ties.intake.clone(), lane.places.len());
                        let number = lanes.len();
                        let carrying =
                            async move { (number, at, intake.deliver(delivery).await.map(Some)) };
                        carried.spawn_on(carrying, self.runtime.handle());
                        lane.places.push((offset, Err(Refused::Closed)));
                    }
                    Ok(None) => lane.places.push((offset, Ok(None))),
                    Err(reason) => {
                        lane.stopped = Some((offset, reason));
                        break;
                    }
                }
            }
            lanes.push(lane);
        }
        self.runtime.block_on(async {
            while let Some(done) = carried.join_next().await {
                // A delivery whose outcome is not known counts as not kept, and is read again.
                let Ok((lane, at, outcome)) = done else { continue };
                lanes[lane].places[at].1 = outcome;
            }
        });
        lanes.into_iter().for_each(|lane| self.settle(lane));
    }

    /// Moves the cursor of a partition behind what was carried of it.
    fn settle(&mut self, lane: Lane) {
        let Lane { partition, places, mut stopped } = lane;
        let refused = places.iter().find_map(|(offset, outcome)| {
            let refused = outcome.err()?;
            Some((*offset, refused.to_string()))
        });
        if refused.is_some() {
            stopped = refused;
        }
        let kept = places.iter().take_while(|(_, outcome)| outcome.is_ok());
        let (mut count, mut last, mut journal) = (0, None, Position(0));
        for (offset, outcome) in kept {
            (count, last) = (count + 1, Some(*offset));
            journal = journal.max(outcome.ok().flatten().unwrap_or_default());
        }
        if let Some(last) = last {
            self.ties.metrics.messages.with_label_values(&[&partition.0]).inc_by(count);
            self.consumer.context().reached(partition.clone(), last + 1, journal);
            self.failures.remove(&partition);
        }
        if let Some((offset, reason)) = stopped {
            self.wait(&partition, offset, reason);
        }
    }

    /// Keeps the cursor when it is time to.
    fn keep(&mut self) -> Result<(), String> {
        let now = self.ties.clock.now();
        if now.0 - self.kept_at.0 < KEEP_MS {
            return Ok(());
        }
        self.kept_at = now;
        let kept = self.consumer.context().keep(&self.consumer);
        kept.map_err(|error| format!("the cursor could not be kept: {error}"))
    }

    fn tell(&self, failed: Option<String>) {
        let waits = self.waiting.iter().next().map(|((topic, number), waiting)| {
            let (offset, reason) = (waiting.offset, &waiting.reason);
            format!(
                "{} partitions wait; {topic}/{number} at {offset}: {reason}",
                self.waiting.len()
            )
        });
        let trouble = failed.or_else(|| self.consumer.context().trouble()).or(waits);
        let (state, reason) = match trouble {
            Some(reason) => (Condition::Stalled, reason),
            None if self.joined => (Condition::Running, String::new()),
            None => (Condition::Starting, "no broker has answered yet".to_owned()),
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.state != state {
            (health.state, health.since) = (state, self.ties.clock.now());
        }
        health.reason = reason.into();
    }

    fn round(&mut self) -> Result<(), String> {
        if !self.join()? {
            return Ok(());
        }
        self.retry();
        let batch = self.gather();
        if !batch.is_empty() {
            self.consumer.context().told(None);
            self.carry(batch);
        }
        self.keep()
    }
}

/// Where the journal has a message, if it says something; or why it has not.
type Kept = Result<Option<Position>, Refused>;

/// What was carried of a partition: each offset and whether it is in the journal, and where it had
/// to stop.
struct Lane {
    partition: Partition,
    places: Vec<(i64, Kept)>,
    stopped: Option<(i64, String)>,
}

impl Poll for Carrier {
    fn poll(&mut self, _: &Stop) -> Result<(), PollError> {
        // A round waits for no longer than IDLE when nothing comes. Its health is its own: nothing
        // that fails here makes the whole member pause, which would lose it its partitions.
        let round = self.round();
        self.tell(round.err());
        Ok(())
    }
}

/// A name for a journal that no other has.
fn owner() -> io::Result<String> {
    let mut bytes = [0; 16];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_| io::Error::other("no randomness"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn only(partition: &Partition) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&partition.0, partition.1);
    list
}
