//! A member of a consumer group: what it is given and what is taken from it.
//!
//! Invariant: a partition begins at its cursor, and is given up with its cursor kept and committed;
//! what was not committed is committed again until it is.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ionflux_schemas::delivery::Position;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::metrics::KafkaMetrics;
use super::progress::{Partition, Progress};
use super::tail::Tail;
use crate::cursor::{CURSOR_BYTES_MAX, Cursors};

/// How long the group's offsets may take to come when partitions are given.
const COMMITTED_MAX: Duration = Duration::from_secs(10);
/// For how long a commit is tried again before partitions are given up, and the pause between.
/// How long one may take is the client's own timeout of a request.
const HANDOVER_MAX: Duration = Duration::from_secs(10);
const HANDOVER_PAUSE: Duration = Duration::from_millis(100);

/// What the member knows.
#[derive(Default)]
struct Known {
    /// The name of the cursor, once the cluster is known.
    cursor: String,
    progress: Progress,
    /// What the journal holds behind the cursor.
    tail: Tail,
    /// What moved since the cursor was kept, and since it was committed.
    unkept: bool,
    uncommitted: BTreeSet<Partition>,
    assigned: BTreeSet<Partition>,
    /// What was taken away since somebody last asked.
    revoked: Vec<Partition>,
    trouble: Option<String>,
}

impl Known {
    fn reached(&mut self, partition: Partition, next: i64) {
        self.unkept = true;
        self.uncommitted.insert(partition.clone());
        self.progress.reached(partition, next);
    }

    /// What is to be committed of some partitions.
    fn offsets(&self, partitions: &BTreeSet<Partition>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let Some(next) = self.progress.next(partition) else { continue };
            let mut element = list.add_partition(&partition.0, partition.1);
            element.set_metadata(&self.progress.owner);
            // No offset that was reached is negative, and no other is none.
            let _ = element.set_offset(Offset::Offset(next));
        }
        list
    }
}

/// A member of a group.
pub struct Member {
    cursors: Cursors,
    metrics: KafkaMetrics,
    known: Mutex<Known>,
}

impl Member {
    pub fn new(cursors: Cursors, metrics: KafkaMetrics) -> Self {
        Self { cursors, metrics, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the cursor of a group, or begins one; `tail` says what the journal holds behind it.
    pub fn open(
        &self,
        cursor: String,
        fresh: impl FnOnce() -> io::Result<Progress>,
        tail: impl FnOnce(Position) -> Tail,
    ) -> io::Result<()> {
        let progress = match self.cursors.get(&cursor)? {
            Some(kept) => Progress::parse(&kept).map_err(io::Error::other)?,
            None => {
                let fresh = fresh()?;
                // From the first message on it is known where the journal's own begin.
                self.cursors.set(&cursor, &fresh.cursor())?;
                fresh
            }
        };
        let tail = tail(progress.journal);
        let mut known = self.known();
        (known.cursor, known.progress, known.tail) = (cursor, progress, tail);
        Ok(())
    }

    /// What was taken away since this was last asked.
    pub fn revoked(&self) -> Vec<Partition> {
        std::mem::take(&mut self.known().revoked)
    }

    /// Everything of a partition before an offset is in the journal, the last of it at a position.
    pub fn reached(&self, partition: Partition, next: i64, journal: Position) {
        let mut known = self.known();
        known.progress.journal = known.progress.journal.max(journal);
        known.reached(partition, next);
    }

    /// What is wrong with the connection, as far as it is known.
    pub fn trouble(&self) -> Option<String> {
        self.known().trouble.clone()
    }

    /// Says that the connection works, or what is wrong with it.
    pub fn told(&self, trouble: Option<String>) {
        self.known().trouble = trouble;
    }

    /// Keeps the cursor, and tells the group, for whoever has the partitions next.
    pub fn keep(&self, consumer: &BaseConsumer<Self>) -> io::Result<()> {
        let mut known = self.known();
        let kept = self.keep_cursor(&mut known);
        let moved = std::mem::take(&mut known.uncommitted);
        let list = known.offsets(&moved);
        drop(known);
        // One that fails is told in the client's log, and seen in its statistics.
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "offsets were not committed");
        }
        kept
    }

    fn keep_cursor(&self, known: &mut Known) -> io::Result<()> {
        if !known.unkept {
            return Ok(());
        }
        let text = known.progress.cursor();
        if text.len() as u64 > CURSOR_BYTES_MAX {
            return Err(io::Error::other("too many partitions for one cursor"));
        }
        self.cursors.set(&known.cursor, &text)?;
        known.unkept = false;
        Ok(())
    }

    /// Commits all that was read of every partition and waits until it is: who has them next
    /// begins there. Earlier commits may have failed, or be under way.
    fn hand_over(&self, consumer: &BaseConsumer<Self>) -> KafkaResult<()> {
        let known = self.known();
        let list = known.offsets(&known.assigned);
        drop(known);
        let begun = Instant::now();
        while list.count() > 0 {
            let Err(error) = consumer.commit(&list, CommitMode::Sync) else { break };
            if lasting(&error) || begun.elapsed() >= HANDOVER_MAX {
                return Err(error);
            }
            std::thread::park_timeout(HANDOVER_PAUSE);
        }
        Ok(())
    }

    /// Sets where the partitions of a list begin. Without what the group committed, which another
    /// member may have, the client asks for it until it knows; but what has a cursor begins there.
    fn begin(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &mut TopicPartitionList,
    ) -> KafkaResult<()> {
        let committed = consumer.committed_offsets(list.clone(), COMMITTED_MAX);
        let mut known = self.known();
        for element in committed.as_ref().unwrap_or(list).clone().elements() {
            let partition = (element.topic().to_owned(), element.partition());
            let last = match element.offset() {
                Offset::Offset(offset) if committed.is_ok() => Some((offset, element.metadata())),
                _ => None,
            };
            let unread = if committed.is_ok() { Offset::Beginning } else { Offset::Stored };
            let start = known.progress.start(&partition, last);
            // A partition without a cursor that was begun is held from its first message on.
            let next = known.tail.skip(&partition, start.unwrap_or(0));
            let offset = match next > start.unwrap_or(0) || start.is_some() {
                true => Offset::Offset(next),
                false => unread,
            };
            // What another has read counts as read here too: ours is committed whole.
            if offset == Offset::Offset(next) && known.progress.next(&partition) != Some(next) {
                known.reached(partition.clone(), next);
            }
            list.set_partition_offset(&partition.0, partition.1, offset)?;
            known.assigned.insert(partition);
        }
        Ok(())
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let begun = self.begin(consumer, list);
        let assigned = begun.and_then(|()| match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            _ => consumer.assign(list),
        });
        if let Err(error) = assigned {
            self.told(Some(format!("partitions could not be taken: {error}")));
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let kept = self.keep_cursor(&mut self.known());
        if let Err(error) = kept {
            self.told(Some(format!("the cursor could not be kept: {error}")));
        }
        if !consumer.assignment_lost()
            && let Err(error) = self.hand_over(consumer)
        {
            self.told(Some(format!("offsets could not be committed: {error}")));
        }
        let given_up = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        };
        if let Err(error) = given_up {
            self.told(Some(format!("partitions could not be given up: {error}")));
        }
        let mut known = self.known();
        for element in list.elements() {
            let partition = (element.topic().to_owned(), element.partition());
            // It may never have been told of.
            let number = partition.1.to_string();
            let labels = [partition.0.as_str(), &number];
            let _ = self.metrics.lag.remove_label_values(&labels);
            known.assigned.remove(&partition);
            known.uncommitted.remove(&partition);
            known.revoked.push(partition);
        }
    }
}

/// Whether a commit will not go better however often it is tried: the group has given the member
/// up, or it has no right to.
fn lasting(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode::{
        FencedInstanceId, GroupAuthorizationFailed, IllegalGeneration, UnknownMemberId,
    };
    let lasting = [FencedInstanceId, GroupAuthorizationFailed, IllegalGeneration, UnknownMemberId];
    error.rdkafka_error_code().is_some_and(|code| lasting.contains(&code))
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, message);
            }
            _ => tracing::warn!(facility, message),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told(Some(format!("{error}: {reason}")));
    }

    fn stats(&self, statistics: Statistics) {
        let mut known = self.known();
        if statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP") {
            known.trouble = None;
        }
        let mut uncommitted = Vec::new();
        for partition in &known.assigned {
            let (topic, number) = partition;
            let told = statistics.topics.get(topic).and_then(|t| t.partitions.get(number));
            let Some(told) = told else { continue };
            let next = known.progress.next(partition);
            // The result of no commit is told but here: one that failed, or that was lost with an
            // earlier member of this journal, is made up for even if nothing new ever comes.
            if next.is_some_and(|next| next != told.committed_offset) {
                uncommitted.push(partition.clone());
            }
            if told.hi_offset < 0 {
                continue;
            }
            let next = next.unwrap_or(told.lo_offset.max(0));
            let lag = self.metrics.lag.with_label_values(&[topic, number.to_string().as_str()]);
            lag.set((told.hi_offset - next).max(0));
        }
        known.uncommitted.extend(uncommitted);
    }
}
