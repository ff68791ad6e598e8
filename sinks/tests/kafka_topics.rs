//! What the sink writes into the topics of the real Kafka (IONFLUX_KAFKA): formats and envelopes.
//!
//! Invariant: what a reader decodes is the row, to the last digit.

#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kafka_rig;
mod program;
mod proxy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use ionflux_schemas::currency::Currency;
use ionflux_schemas::money::Money;
use ionflux_schemas::snapshot::Change;
use ionflux_schemas::time::{Day, Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value};
use ionflux_sinks::error::SinkError;
use ionflux_sinks::history::{COUNTS, SALES, VIEWS};
use ionflux_sinks::kafka::{Envelope, Format};
use ionflux_sinks::registry::SchemaIds;
use ionflux_sinks::sink::Outgoing;
use kafka_rig::{Cluster, Seen};
use program::{batch, change, row};
use serde_json::{Value as Json, json};

const STATE: u128 = 5;

fn counts(from: Option<u64>, to: u64, changes: Vec<Change>) -> Outgoing {
    batch(STATE, from, to, vec![(&COUNTS, changes)])
}

/// A sale of a workspace on a day.
fn sale(day: i32, minor: i128, orders: Value) -> Option<Row> {
    let euro = Value::Money(Money::new(minor, Currency::parse("EUR").unwrap()));
    let at = Value::Instant(UtcMs(1_500));
    Some(Row(vec![Value::text("w"), Value::Day(Day(day)), euro, orders, at]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_leave_as_json_with_headers_and_go_as_tombstones() {
    let Some(cluster) = Cluster::new().await else { return };
    let mut sink = cluster.sink_of(&VIEWS);
    sink.write(&counts(None, 1, vec![change(None, row("a", 1))])).await.unwrap();
    // A row goes and another of its key comes, in whatever order the batch has them.
    let next =
        vec![change(None, row("a", 7)), change(row("a", 1), None), change(None, row("b", 2))];
    sink.write(&counts(Some(1), 2, next)).await.unwrap();
    sink.write(&counts(Some(2), 3, vec![change(row("b", 2), None)])).await.unwrap();
    let seen = cluster.committed(&cluster.topic("conformance_counts"));
    let of = |key: &str| {
        let texts = seen.iter().map(Seen::texts).filter(|(found, _)| found == key);
        texts.map(|(_, value)| value.unwrap_or("gone".into())).collect::<Vec<_>>()
    };
    let row = |key: &str, units: i64| format!(r#"{{"workspace_id":"{key}","units":{units}}}"#);
    assert_eq!(of(r#"["a"]"#), [row("a", 1), "gone".into(), row("a", 7)]);
    assert_eq!(of(r#"["b"]"#), [row("b", 2), "gone".into()]);
    let headers = |epoch: &str| {
        let all = [
            ("ionflux-as-of", "2023-11-14T22:13:20.123Z"),
            ("ionflux-epoch", epoch),
            ("ionflux-view-version", "1"),
        ];
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    };
    let last: Vec<_> = seen.iter().filter(|seen| seen.key == br#"["b"]"#).collect();
    assert_eq!(last[0].headers, headers("2"));
    assert_eq!(last[1].headers, headers("3"));
    let marks = cluster.committed(&cluster.topic("marks"));
    assert_eq!(marks.last().unwrap().json()["as_of_ms"], 1_700_000_000_123_i64);
}

/// Changes that follow what is no more would leave a gap that nothing tells of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_made_anew_gets_a_snapshot() {
    let Some(mut cluster) = Cluster::new().await else { return };
    cluster.config.partitions = 1;
    let topic = cluster.topic("conformance_counts");
    let rows = ["a", "b"].map(|key| change(None, row(key, 1)));
    let mut sink = cluster.sink_of(&[&COUNTS]);
    sink.write(&counts(None, 1, rows.to_vec())).await.unwrap();
    sink.write(&counts(Some(1), 2, vec![change(row("a", 1), row("a", 2))])).await.unwrap();
    cluster.delete(&topic).await;
    cluster.make(&topic, &[("cleanup.policy", "compact")]).await;
    assert_eq!(sink.resume().await.unwrap(), None, "the mark is of another topic");
    let all = [("a", 2), ("b", 1)].map(|(key, units)| change(None, row(key, units)));
    sink.write(&counts(None, 3, all.to_vec())).await.unwrap();
    assert_eq!(cluster.folded(&topic).len(), 2);
    assert_eq!(sink.resume().await.unwrap().map(|mark| mark.epoch), Some(Epoch(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_leave_as_debezium_tells_them() {
    let Some(mut cluster) = Cluster::new().await else { return };
    cluster.config.envelope = Envelope::Debezium;
    let mut sink = cluster.sink_of(&[&COUNTS]);
    sink.write(&counts(None, 1, vec![change(None, row("a", 1))])).await.unwrap();
    sink.write(&counts(Some(1), 2, vec![change(row("a", 1), row("a", 2))])).await.unwrap();
    // A snapshot of what is there says nothing.
    sink.write(&counts(None, 3, vec![change(None, row("a", 2))])).await.unwrap();
    sink.write(&counts(Some(3), 4, vec![change(row("a", 2), None)])).await.unwrap();
    sink.write(&counts(Some(4), 5, vec![change(None, row("a", 5))])).await.unwrap();
    // What a snapshot does not have goes, and nobody knows any more as what.
    sink.write(&counts(None, 6, vec![])).await.unwrap();
    let seen = cluster.committed(&cluster.topic("conformance_counts"));
    let told: Vec<Json> =
        seen.iter().map(|seen| seen.value.as_ref().map_or(Json::Null, |_| seen.json())).collect();
    let row = |units: i64| json!({"workspace_id": "a", "units": units});
    let change = |epoch: u64, op: &str, before: Json, after: Json| {
        json!({"before": before, "after": after, "op": op, "ts_ms": 1_700_000_000_123_i64,
            "source": {"epoch": epoch, "view": "conformance_counts"}})
    };
    let expected = [
        change(1, "r", Json::Null, row(1)),
        change(2, "u", row(1), row(2)),
        change(4, "d", row(2), Json::Null),
        Json::Null,
        change(5, "c", Json::Null, row(5)),
        change(6, "d", Json::Null, Json::Null),
        Json::Null,
    ];
    assert_eq!(told, expected);
}

/// A registry that forgets when it is dropped: schemas by id, ids by subject.
#[derive(Default)]
struct Ids(Mutex<Vec<(String, String)>>);

impl SchemaIds for Ids {
    fn id(&self, subject: &str, schema: &str) -> Result<u32, SinkError> {
        let mut held = self.0.lock().unwrap();
        let asked = (subject.to_owned(), schema.to_owned());
        let place = held.iter().position(|one| *one == asked).unwrap_or_else(|| {
            held.push(asked);
            held.len() - 1
        });
        Ok(u32::try_from(place).unwrap() + 70_000)
    }
}

impl Ids {
    /// What a framed datum says, and under which subject its schema is.
    fn read(&self, bytes: &[u8]) -> (String, BTreeMap<String, Avro>) {
        assert_eq!(bytes[0], 0);
        let id = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
        let (subject, schema) = self.0.lock().unwrap()[id as usize - 70_000].clone();
        let schema = apache_avro::Schema::parse_str(&schema).unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let mut datum = &bytes[5..];
        let value = reader.read_value(&mut datum).unwrap();
        assert!(value.validate(&schema) && datum.is_empty());
        let Avro::Record(fields) = value else { panic!("{value:?}") };
        (subject, fields.into_iter().collect())
    }
}

fn amount(value: &Avro) -> Vec<u8> {
    let Avro::Decimal(decimal) = value else { panic!("{value:?}") };
    decimal.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_leave_as_avro_behind_the_ids_of_their_schemas() {
    let Some(mut cluster) = Cluster::new().await else { return };
    let ids = Arc::new(Ids::default());
    cluster.config.format = Format::Avro;
    cluster.access.schema_ids = Some(ids.clone());
    let mut sink = cluster.sink_of(&[&SALES]);
    let first = [sale(1, -1, Value::Null), sale(2, 128, Value::Int(-5))];
    let first = first.map(|row| change(None, row)).to_vec();
    sink.write(&batch(STATE, None, 1, vec![(&SALES, first.clone())])).await.unwrap();
    let (topic, seen) = (cluster.topic("conformance_sales"), |cluster: &Cluster| {
        cluster.folded(&cluster.topic("conformance_sales"))
    });
    let held: Vec<Seen> = seen(&cluster).into_values().collect();
    for (seen, (day, net)) in held.iter().zip([(1, vec![0x9c]), (2, vec![0x32, 0x00])]) {
        let (subject, key) = ids.read(&seen.key);
        assert_eq!(subject, format!("{topic}-key"));
        assert_eq!(key["day"], Avro::Date(day));
        assert_eq!(key.keys().collect::<Vec<_>>(), ["day", "workspace_id"]);
        let (subject, row) = ids.read(seen.value.as_ref().unwrap());
        assert_eq!(subject, format!("{topic}-value"));
        // In ten-thousandths: -100 and 12,800.
        assert_eq!(amount(&row["net"]), net);
        assert_eq!(row["last_at"], Avro::TimestampMillis(1_500));
    }
    // The same snapshot changes nothing, and another one what differs.
    sink.write(&batch(STATE, None, 2, vec![(&SALES, first)])).await.unwrap();
    assert_eq!(cluster.committed(&topic).len(), 2);
    let next = vec![change(None, sale(2, 129, Value::Int(-5)))];
    sink.write(&batch(STATE, None, 3, vec![(&SALES, next)])).await.unwrap();
    assert_eq!(cluster.committed(&topic).len(), 4);
    assert_eq!(seen(&cluster).len(), 1);
    // Another envelope is another layout: the target counts as empty, and is written over.
    cluster.config.envelope = Envelope::Debezium;
    let mut sink = cluster.sink_of(&[&SALES]);
    assert_eq!(sink.resume().await.unwrap(), None);
    let whole =
        || batch(STATE, None, 3, vec![(&SALES, vec![change(None, sale(2, 129, Value::Null))])]);
    sink.write(&whole()).await.unwrap();
    let next = change(sale(2, 129, Value::Null), sale(2, 130, Value::Null));
    sink.write(&batch(STATE, Some(3), 4, vec![(&SALES, vec![next])])).await.unwrap();
    let written = cluster.committed(&topic);
    let mut values = written.iter().filter_map(|seen| seen.value.as_ref());
    let (_, told) = values
        .rfind(|value| ids.read(value).1.contains_key("op"))
        .map_or_else(|| panic!("nothing is told as a change"), |value| ids.read(value));
    assert_eq!(told["op"], Avro::String("u".into()));
    assert_eq!(told["ts_ms"], Avro::Long(1_700_000_000_123));
    let row = |side: &str| match &told[side] {
        Avro::Union(1, row) => format!("{row:?}"),
        other => panic!("{other:?}"),
    };
    assert_ne!(row("before"), row("after"));
    // A snapshot finds the row after, whatever the change was.
    let count = written.len();
    let same = vec![change(None, sale(2, 130, Value::Null))];
    sink.write(&batch(STATE, None, 5, vec![(&SALES, same)])).await.unwrap();
    assert_eq!(cluster.committed(&topic).len(), count);
}
