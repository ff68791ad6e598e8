//! Rows of a view through the Kafka sink, encoding and transaction included; beside a bare
//! idempotent producer that sends the same bytes, read back from the sink's topic.
//!
//! Invariant: both send as many records of the same keys, values and headers with the same batch
//! settings, in turn in one run; the run fails if the topic of either does not have them all.
//!
//! `IONFLUX_KAFKA=host:port cargo bench -p ionflux-sinks --features kafka --bench kafka --
//! [ROWS] [BATCHES] [ROUNDS] [json|avro]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use ionflux_sinks::error::SinkError;
use ionflux_sinks::kafka::{Access, Format, KafkaConfig, build};
use ionflux_sinks::registry::SchemaIds;
use ionflux_sinks::sink::{Mark, Outgoing, Sink};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

type Failure = Box<dyn std::error::Error>;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
const REPORTS: Duration = Duration::from_millis(1);
const PARTITIONS: i32 = 6;
const DAYS: usize = 365;

/// The days of shops, as they leave the program.
static REVENUE: View = View {
    name: "revenue_by_day",
    version: 1,
    schema: include_str!("../../schemas/avro/views/revenue_by_day.avsc"),
    width: 0,
    row: |_, key, _| row(key as usize, 0, euro()),
};

fn euro() -> Currency {
    Currency::parse("EUR").unwrap_or_else(|_| Currency::from_number(0))
}

/// The day of a shop as it is in a round.
fn row(at: usize, round: i64, euro: Currency) -> Row {
    let (shop, day) = (at / DAYS, at % DAYS);
    let mut values = vec![
        Value::text(format!("7d0c1c9e-64d4-4c55-9f0c-{:012}", shop / 4)),
        Value::text(format!("shop-{shop}.myshopify.com")),
        Value::Day(Day(19_000 + day as i32)),
        Value::text("EUR"),
        Value::text("web"),
    ];
    let sum = (at as i64 * 7_919) % 100_000 + round;
    values.extend([sum / 100, sum / 40, sum / 900].map(Value::Int));
    let amounts = (1..10).map(|part| i128::from(sum) * 37 / part);
    values.extend(amounts.map(|minor| Value::Money(Money::new(minor, euro))));
    Row(values)
}

/// A registry with one schema for each subject.
struct Ids;

impl SchemaIds for Ids {
    fn id(&self, subject: &str, _: &str) -> Result<u32, SinkError> {
        Ok(1 + u32::from(subject.ends_with("-value")))
    }
}

/// A record as it stands in a topic.
struct Sent {
    key: Vec<u8>,
    value: Vec<u8>,
    headers: OwnedHeaders,
}

struct Bench {
    brokers: String,
    prefix: String,
    rows: usize,
    batches: usize,
    runtime: Runtime,
    sink: Box<dyn Sink>,
    epoch: u64,
}

fn main() -> Result<(), Failure> {
    let mut given = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: usize| given.next().map_or(Ok(default), |text| text.parse());
    let (rows, batches, rounds) = (number(100_000)?, number(5)?, number(3)?);
    let avro = given.next().is_some_and(|format| format == "avro");
    let brokers = std::env::var("IONFLUX_KAFKA")
        .map_err(|_| "IONFLUX_KAFKA is not set: set -a; eval \"$(scripts/services up)\"")?;
    let prefix = format!("bench-{}.", uuid::Uuid::now_v7().simple());
    let config = KafkaConfig {
        brokers: brokers.clone(),
        topic_prefix: prefix.clone(),
        partitions: PARTITIONS,
        format: if avro { Format::Avro } else { Format::Json },
        ..KafkaConfig::default()
    };
    let access = Access { password: None, schema_ids: Some(Arc::new(Ids)) };
    let sink = build("kafka", &config, access, &[&REVENUE])?;
    let runtime = Runtime::new()?;
    let mut bench = Bench { brokers, prefix, rows, batches, runtime, sink, epoch: 0 };
    let done = bench.run(rounds);
    bench.clean()?;
    done
}

impl Bench {
    fn run(&mut self, rounds: usize) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let bare = format!("{}bare", self.prefix);
        let topic = NewTopic::new(&bare, PARTITIONS, TopicReplication::Fixed(-1));
        let topic = topic.set("cleanup.policy", "compact");
        self.runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
        // The first round is not timed; it also tells what bytes there are to send.
        self.sunk()?;
        let view = format!("{}revenue_by_day", self.prefix);
        let sent = self.newest(&view)?;
        let bytes: usize = sent.iter().map(|one| one.key.len() + one.value.len()).sum();
        let producer: BaseProducer = self.settings().create()?;
        let total = self.rows * self.batches;
        self.produced(&producer, &bare, &sent)?;
        println!(
            "{rounds} rounds of {} batches of {} rows, {} bytes a row, in turn",
            self.batches,
            self.rows,
            bytes / self.rows.max(1)
        );
        println!("         bare rows/s  sink rows/s   ratio");
        let mut ratios = Vec::new();
        for round in 1..=rounds {
            let rate = |took: Duration| total as f64 / took.as_secs_f64();
            let bare_rate = rate(self.produced(&producer, &bare, &sent)?);
            let sink_rate = rate(self.sunk()?);
            ratios.push(sink_rate / bare_rate);
            println!("round {round:2} {bare_rate:12.0} {sink_rate:12.0} {:7.3}", ratios[round - 1]);
        }
        ratios.sort_by(f64::total_cmp);
        println!("median ratio {:.3}", ratios.get(rounds / 2).copied().unwrap_or_default());
        let all = total * (rounds + 1);
        for topic in [&bare, &view] {
            let mut found = 0;
            self.read(topic, |_| {
                found += 1;
                Ok(())
            })?;
            if found != all {
                return Err(format!("{topic} has {found} records, not {all}").into());
            }
        }
        Ok(())
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// The batch settings of the sink, without transactions.
    fn settings(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("acks", "all");
        config.set("partitioner", "murmur2_random");
        for (name, value) in ionflux_sinks::kafka::BATCHING {
            config.set(name, value);
        }
        config
    }

    /// One round of the sink: every batch updates all rows; making the batches is not timed.
    fn sunk(&mut self) -> Result<Duration, Failure> {
        let (euro, mut took) = (euro(), Duration::ZERO);
        for _ in 0..self.batches {
            let (from, round) = (self.epoch, self.epoch as i64);
            let change = |at: usize| Change {
                old: (from > 0).then(|| row(at, round - 1, euro)),
                new: Some(row(at, round, euro)),
            };
            let batch = Outgoing {
                from: (from > 0).then_some(Epoch(from)),
                to: Mark { state: 1, epoch: Epoch(from + 1), as_of: UtcMs(1_700_000_000_123) },
                views: vec![(&REVENUE, (0..self.rows).map(change).collect())],
            };
            let begun = Instant::now();
            self.runtime.block_on(self.sink.write(&batch))?;
            took += begun.elapsed();
            self.epoch += 1;
        }
        Ok(took)
    }

    /// One round of the bare producer.
    fn produced(
        &self,
        producer: &BaseProducer,
        topic: &str,
        sent: &[Sent],
    ) -> Result<Duration, Failure> {
        let begun = Instant::now();
        for _ in 0..self.batches {
            for (at, one) in sent.iter().enumerate() {
                let record = BaseRecord::<[u8], [u8]>::to(topic).key(&one.key).payload(&one.value);
                let mut record = record.headers(one.headers.clone());
                while let Err((error, again)) = producer.send(record) {
                    if error != KafkaError::MessageProduction(Code::QueueFull) {
                        return Err(error.into());
                    }
                    record = again;
                    wait(producer);
                }
                if at % 1_000 == 0 {
                    producer.poll(Duration::ZERO);
                }
            }
            // As the sink does it: the client's own flush sits out whole tenths of a second.
            while producer.in_flight_count() > 0 {
                wait(producer);
            }
            producer.flush(PATIENCE)?;
        }
        Ok(begun.elapsed())
    }

    /// The newest record of every key, in the order they were sent in.
    fn newest(&self, topic: &str) -> Result<Vec<Sent>, Failure> {
        let mut newest = BTreeMap::new();
        self.read(topic, |message| {
            let one = copied(message)?;
            let place = (message.timestamp().to_millis(), message.partition(), message.offset());
            newest.insert(one.key.clone(), (place, one));
            Ok(())
        })?;
        let mut sent: Vec<_> = newest.into_values().collect();
        sent.sort_by_key(|(place, _)| *place);
        Ok(sent.into_iter().map(|(_, one)| one).collect())
    }

    /// Reads all committed records of a topic.
    fn read(
        &self,
        topic: &str,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut config = self.client();
        config.set("group.id", &self.prefix).set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let mut open = PARTITIONS;
        while open > 0 {
            match consumer.poll(PATIENCE).ok_or("the broker is silent")? {
                Ok(message) => each(&message)?,
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn clean(&self) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let topics =
            ["bare", "marks", "revenue_by_day"].map(|name| format!("{}{name}", self.prefix));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.runtime.block_on(admin.delete_topics(&topics, &AdminOptions::new()))?;
        Ok(())
    }
}

/// Takes reports, and waits a moment where there are none.
fn wait(producer: &BaseProducer) {
    let before = producer.in_flight_count();
    producer.poll(Duration::ZERO);
    if producer.in_flight_count() == before {
        std::thread::park_timeout(REPORTS);
    }
}

fn copied(message: &BorrowedMessage<'_>) -> Result<Sent, Failure> {
    let (Some(key), Some(value)) = (message.key(), message.payload()) else {
        return Err("a record without a key or a value".into());
    };
    let headers = message.headers().ok_or("a record without headers")?.detach();
    Ok(Sent { key: key.to_vec(), value: value.to_vec(), headers })
}
