//! What the topic of a view holds while a snapshot replaces it.
//!
//! Invariant: a row is written again only where it differs, and a key stays only where the snapshot
//! has it, on the partition it belongs to.

use std::collections::{BTreeMap, HashMap};

use ionflux_schemas::key::content_hash;
use rdkafka::message::Message;

use super::encode::Encoder;
use super::moves::{Compared, Way};
use super::partition;
use super::reader::Reader;
use crate::error::SinkError;

/// The keys of one topic.
pub(super) struct Held {
    partitions: Vec<HashMap<Box<[u8]>, Found>>,
    /// What became of each row that was looked for, where that is kept.
    ways: Option<Vec<Option<Way>>>,
}

/// What stands under a key.
struct Found {
    /// Of the row.
    hash: u128,
    /// Whether the snapshot has the key.
    stays: bool,
}

impl Held {
    /// Reads the topics of some views, each with so many partitions.
    pub(super) fn read(
        reader: &Reader,
        encoders: &[Encoder],
        partitions: &[i32],
    ) -> Result<Vec<Self>, SinkError> {
        let places: BTreeMap<&str, usize> =
            encoders.iter().enumerate().map(|(at, e)| (e.topic.as_str(), at)).collect();
        let empty = |count: &i32| Self::new(*count);
        let mut held: Vec<Self> = partitions.iter().take(encoders.len()).map(empty).collect();
        let topics = encoders.iter().map(|e| e.topic.as_str()).zip(partitions.iter().copied());
        reader.all(topics, |message| {
            let (Some(at), Some(key)) = (places.get(message.topic()), message.key()) else {
                return;
            };
            held[*at].fold(&encoders[*at], message.partition(), (key, message.payload()));
        })?;
        Ok(held)
    }

    fn new(partitions: i32) -> Self {
        Self { partitions: (0..partitions).map(|_| HashMap::new()).collect(), ways: None }
    }

    /// The next record of a partition.
    fn fold(&mut self, encoder: &Encoder, partition: i32, (key, value): (&[u8], Option<&[u8]>)) {
        let Some(found) = self.partition(partition) else { return };
        match value {
            // A row that is not as it would be written has no hash of any row.
            Some(value) => {
                let hash = encoder.row_of(value).map_or(0, |row| content_hash(&row));
                found.insert(key.into(), Found { hash, stays: false });
            }
            None => {
                found.remove(key);
            }
        }
    }

    fn partition(&mut self, partition: i32) -> Option<&mut HashMap<Box<[u8]>, Found>> {
        self.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    /// Keeps what becomes of each row from now on.
    pub(super) fn watch(&mut self) {
        self.ways = Some(Vec::new());
    }

    /// Whether a row stands under its key already; the key stays.
    pub(super) fn has(&mut self, partition: i32, key: &[u8], row: &[u8]) -> bool {
        let found = self.partition(partition).and_then(|found| found.get_mut(key));
        let way = match found {
            None => Some(Way::Came),
            Some(found) => {
                found.stays = true;
                (found.hash != content_hash(row)).then_some(Way::Changed)
            }
        };
        if let Some(ways) = &mut self.ways {
            ways.push(way);
        }
        way.is_none()
    }

    /// What became of all rows, once those of the snapshot were looked for; nothing if that was
    /// not kept.
    pub(super) fn compared(&mut self) -> Compared {
        let Some(ways) = self.ways.take() else { return Compared::default() };
        let partitions = i32::try_from(self.partitions.len()).unwrap_or(i32::MAX);
        // A key that a stranger put where it does not belong says nothing of a row.
        let ours = |(at, key): &(i32, &[u8])| partition::of(key, partitions) == *at;
        let gone = self.left().into_iter().filter(ours).map(|(_, key)| key.into()).collect();
        Compared { ways, gone }
    }

    /// The keys that the snapshot does not have, with their partitions, in order.
    pub(super) fn left(&self) -> Vec<(i32, &[u8])> {
        let mut left: Vec<(i32, &[u8])> = Vec::new();
        for (partition, found) in (0..).zip(&self.partitions) {
            let gone = found.iter().filter(|(_, found)| !found.stays);
            left.extend(gone.map(|(key, _)| (partition, &**key)));
        }
        left.sort_unstable();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::Chunk;
    use super::super::config::{Envelope, Format, KafkaConfig};
    use super::super::encode::{Moment, Op, Told};
    use super::super::moves::Moves;
    use super::super::outputs::Outputs;
    use super::*;
    use crate::error::SinkError;
    use crate::registry::SchemaIds;
    use crate::sink::{Mark, Outgoing};
    use ionflux_schemas::snapshot::Change;
    use ionflux_schemas::time::{Epoch, UtcMs};
    use ionflux_schemas::view::{Row, Value, View};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    macro_rules! view {
        ($name:literal) => {
            View {
                name: $name,
                version: 1,
                schema: concat!(
                    r#"{"type": "record", "doc": "A view.", "name": ""#,
                    $name,
                    r#"", "ionflux.key": ["workspace_id", "shop_id", "user"], "fields": [
                    {"name": "workspace_id", "type": "string", "doc": "The tenant."},
                    {"name": "units", "type": "long", "doc": "Units."},
                    {"name": "shop_id", "type": "string", "doc": "The shop."},
                    {"name": "user", "type": "long", "doc": "The user."}]}"#
                ),
                width: 1,
                row: |_, _, _| Row(Vec::new()),
            }
        };
    }

    /// One for each kind of rule, and one of no rule.
    static AGENTS: [View; 4] =
        [view!("revenue_by_day"), view!("user_badges"), view!("user_xp"), view!("metrics_hourly")];

    /// The units of a workspace, a shop and a user, by view.
    type Rows = Vec<BTreeMap<(u8, u8, u8), i64>>;

    fn row((workspace, shop, user): (u8, u8, u8), units: i64) -> Row {
        let shop = Value::text(format!("s{shop}"));
        let workspace = Value::text(format!("w{workspace}"));
        Row(vec![workspace, Value::Int(units), shop, Value::Int(user.into())])
    }

    struct Same;

    impl SchemaIds for Same {
        fn id(&self, subject: &str, _: &str) -> Result<u32, SinkError> {
            Ok(u32::try_from(subject.len()).unwrap())
        }
    }

    /// The changes of each view between the rows before and after.
    fn changes(before: &Rows, after: &Rows) -> Vec<(&'static View, Vec<Change>)> {
        let of = |at: usize| {
            let keys: BTreeSet<_> = before[at].keys().chain(after[at].keys()).collect();
            let side = |rows: &Rows, key| rows[at].get(key).map(|units| row(*key, *units));
            let change = |key| Change { old: side(before, key), new: side(after, key) };
            keys.into_iter().map(change).filter(|change| change.old != change.new).collect()
        };
        AGENTS.iter().enumerate().map(|(at, view)| (view, of(at))).collect()
    }

    fn batch(from: Option<u64>, before: &Rows, after: &Rows) -> Outgoing {
        let to = Mark { state: 3, epoch: Epoch(9), as_of: UtcMs(5) };
        Outgoing { from: from.map(Epoch), to, views: changes(before, after) }
    }

    /// The topic of a view with these rows, as changes left them there.
    fn filled(encoder: &Encoder, rows: &BTreeMap<(u8, u8, u8), i64>) -> Held {
        let mut held = Held::new(3);
        let moment = Moment { epoch: Epoch(1), as_of: UtcMs(1) };
        for (at, units) in rows {
            let (old, new) = (row(*at, units - 1), row(*at, *units));
            let told = Told { before: Some(&old), after: Some(&new), op: Op::Update, moment };
            let (mut key, mut value) = (Vec::new(), Vec::new());
            encoder.pen().key(&new, &mut key).unwrap();
            encoder.pen().value(&told, &mut value).unwrap();
            held.fold(encoder, partition::of(&key, 3), (&key, Some(&value)));
            // What a stranger put elsewhere is none of ours.
            let elsewhere = (partition::of(&key, 3) + 1) % 3;
            held.fold(encoder, elsewhere, (&key, Some(b"strange")));
        }
        held.watch();
        held
    }

    fn compared(encoder: &Encoder, held: &mut Held, snapshot: &[Change]) -> Compared {
        let moment = Moment { epoch: Epoch(9), as_of: UtcMs(5) };
        for change in snapshot {
            let new = change.new.as_ref().unwrap();
            let told = Told { before: None, after: Some(new), op: Op::Read, moment };
            let (mut key, mut value) = (Vec::new(), Vec::new());
            encoder.pen().key(new, &mut key).unwrap();
            let placed = encoder.pen().value(&told, &mut value).unwrap();
            held.has(partition::of(&key, 3), &key, &value[placed]);
        }
        held.compared()
    }

    fn check(config: &KafkaConfig, before: &Rows, after: &Rows) {
        let config = KafkaConfig { outputs: true, ..config.clone() };
        let encoder = |view| Encoder::new(view, &config, Some(&Same)).unwrap();
        let encoders: Vec<Encoder> = AGENTS.iter().map(encoder).collect();
        let outputs = Outputs::new(&config, Some(&Same)).unwrap().unwrap();
        let told = |batch: &Outgoing, compared| {
            let mut chunk = Chunk::default();
            outputs.put(&Moves::new(batch, compared), &encoders, &mut chunk).unwrap();
            let value = |value: std::ops::Range<usize>| chunk.bytes[value].to_vec();
            let records = chunk.records.iter();
            let told: Vec<_> = records.map(|r| value(r.value.clone().unwrap())).collect();
            let set: BTreeSet<_> = told.iter().cloned().collect();
            assert_eq!(set.len(), told.len(), "told twice");
            set
        };
        let expected = told(&batch(Some(1), before, after), None);
        let snapshot = batch(None, &vec![BTreeMap::new(); AGENTS.len()], after);
        let of = |(at, encoder): (usize, &Encoder)| {
            compared(encoder, &mut filled(encoder, &before[at]), &snapshot.views[at].1)
        };
        let compared = encoders.iter().enumerate().map(of).collect();
        assert_eq!(told(&snapshot, Some(compared)), expected);
        assert_eq!(expected.is_empty(), before[..3] == after[..3]);
    }

    fn rows() -> impl Strategy<Value = Rows> {
        let one = prop::collection::btree_map((0..3_u8, 0..2_u8, 0..3_u8), 1..4_i64, 0..8);
        prop::collection::vec(one, AGENTS.len())
    }

    proptest! {
        /// A snapshot over held rows tells what changes from them to it would tell, to the byte.
        #[test]
        fn a_snapshot_tells_what_changes_would(before in rows(), after in rows()) {
            for format in [Format::Json, Format::Avro] {
                for envelope in [Envelope::Upsert, Envelope::Debezium] {
                    let config = KafkaConfig { format, envelope, ..KafkaConfig::default() };
                    check(&config, &before, &after);
                    check(&config, &after, &after);
                }
            }
        }
    }
}
