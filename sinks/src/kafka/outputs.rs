//! What agents found, as events on the bus: a registry from changes of views to event types.
//!
//! Invariant: an event's id follows from state, epoch, view, key and type alone, so that an epoch
//! told again has equal ids. A snapshot tells what differs from what the topics held, once.
//!
//! All go to one topic, keyed by workspace: a workspace is input, and no topic is named by input.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::view::{Row, Value, View};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::avro;
use super::chunk::{Chunk, Record};
use super::config::{Format, KafkaConfig};
use super::encode::Encoder;
use super::moves::{Moved, Moves, Way};
use super::{subjects, text};
use crate::error::SinkError;
use crate::registry::SchemaIds;
use crate::sink::Outgoing;

/// Where they go.
pub(super) const TOPIC: &str = "ionflux.agent.outputs";
const SERVICE: &str = "AgentService";
const PAYLOAD_VERSION: &str = "v1.0";
const RUN_COMPLETED: &str = "ionflux.agent.run.completed";
const WORKSPACE: &str = "workspace_id";

/// Which changes are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// A row of a key that had none.
    Comes,
    /// A row that comes or changes.
    Stands,
    /// Any.
    Moves,
}

/// How often.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Each {
    /// For every row; of one that went only its key may be known.
    Row,
    /// Once for those that agree in these columns.
    Of(&'static [&'static str]),
}

/// A line of the registry: the changes of a view of an agent, and what they are called.
struct Rule {
    view: &'static str,
    agent: &'static str,
    event: &'static str,
    when: When,
    each: Each,
}

const fn rule(view: &'static str, event: [&'static str; 2], when: When) -> Rule {
    Rule { view, agent: event[0], event: event[1], when, each: Each::Row }
}

/// The registry.
const RULES: [Rule; 6] = [
    Rule {
        each: Each::Of(&[WORKSPACE, "shop_id"]),
        ..rule("revenue_by_day", ["revenuetracker", "dashboard_updated"], When::Moves)
    },
    rule("incidents", ["salessentinel", "anomaly_detected"], When::Comes),
    rule("incidents", ["salessentinel", "alert_generated"], When::Comes),
    rule("user_badges", ["badgemotivator", "badge_unlocked"], When::Comes),
    rule("user_xp", ["badgemotivator", "xp_awarded"], When::Stands),
    rule("rewards", ["badgemotivator", "reward_triggered"], When::Comes),
];

fn rules(view: &View) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(|rule| rule.view == view.name)
}

/// Whether any event tells of rows of the view.
pub(super) fn tells(view: &View) -> bool {
    rules(view).next().is_some()
}

/// Writes events.
pub(super) struct Outputs {
    /// The id of the schema, if they are Avro.
    schema: Option<u32>,
}

/// An event, by the names of the envelope.
#[derive(Serialize)]
struct Event<'a> {
    event_id: String,
    event_type: String,
    event_timestamp: &'a str,
    source_service_name: &'static str,
    workspace_id: Option<&'a str>,
    correlation_id: &'a str,
    payload_schema_version: &'static str,
    payload_json: Box<RawValue>,
}

/// What an agent did in a workspace: a run, with how many rows it changed.
type Runs = BTreeMap<(&'static str, Option<String>), u64>;

impl Outputs {
    /// Asks the registry where the format needs it.
    pub(super) fn new(
        config: &KafkaConfig,
        ids: Option<&dyn SchemaIds>,
    ) -> Result<Option<Self>, SinkError> {
        if !config.outputs {
            return Ok(None);
        }
        let schema = match (config.format, ids) {
            (Format::Avro, Some(ids)) => Some(subjects::of_outputs().id(ids)?),
            _ => None,
        };
        Ok(Some(Self { schema }))
    }

    /// Puts the events of what moved behind the rows of a batch.
    pub(super) fn put(
        &self,
        moves: &Moves<'_>,
        encoders: &[Encoder],
        chunk: &mut Chunk,
    ) -> Result<(), SinkError> {
        let (batch, topic) = (moves.batch(), encoders.len());
        let as_of = batch.to.as_of.to_string();
        let mut teller = Teller { outputs: self, batch, as_of, topic, chunk };
        let mut runs = Runs::new();
        for (place, encoder) in encoders.iter().enumerate().filter(|(_, e)| tells(e.view)) {
            let fields = text::Fields::new(&encoder.schema);
            let mut told = Told { encoder, fields, shared: BTreeSet::new() };
            for moved in moves.of(place, encoder) {
                let workspace = workspace(encoder, &moved.row);
                for rule in rules(encoder.view) {
                    teller.rule(rule, &moved, &mut told)?;
                }
                let agent = rules(encoder.view).next().map_or("", |rule| rule.agent);
                *runs.entry((agent, workspace)).or_default() += 1;
            }
        }
        for ((agent, workspace), rows) in runs {
            teller.run(agent, workspace.as_deref(), rows)?;
        }
        Ok(())
    }

    fn write(&self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), SinkError> {
        let Some(id) = self.schema else {
            return serde_json::to_writer(out, event).map_err(|_| garbled());
        };
        avro::head(id, out);
        for part in [&event.event_id, &event.event_type, event.event_timestamp, SERVICE] {
            avro::text(part, out);
        }
        for maybe in [event.workspace_id, None, None, Some(event.correlation_id)] {
            avro::long(i64::from(maybe.is_some()), out);
            maybe.into_iter().for_each(|part| avro::text(part, out));
        }
        avro::text(event.payload_schema_version, out);
        avro::text(event.payload_json.get(), out);
        // Neither a time of receipt nor a reference.
        avro::long(0, out);
        avro::long(0, out);
        Ok(())
    }
}

fn garbled() -> SinkError {
    SinkError::permanent("Kafka: an event of an agent cannot be written as JSON")
}

/// The workspace that a row is of.
fn workspace(encoder: &Encoder, row: &Row) -> Option<String> {
    let (place, _) = encoder.schema.column(WORKSPACE)?;
    match &row.0[place] {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

struct Teller<'a> {
    outputs: &'a Outputs,
    batch: &'a Outgoing,
    as_of: String,
    /// The place of the topic.
    topic: usize,
    chunk: &'a mut Chunk,
}

/// What an event is about.
struct About<'a> {
    view: &'a str,
    /// The key, as JSON.
    key: &'a [u8],
    event: String,
    agent: &'a str,
    workspace: Option<&'a str>,
}

/// What is told of a view.
struct Told<'a> {
    encoder: &'a Encoder,
    fields: text::Fields,
    /// What rows share that were told as one, by event.
    shared: BTreeSet<(&'static str, Vec<u8>)>,
}

impl Teller<'_> {
    fn rule(
        &mut self,
        rule: &Rule,
        moved: &Moved<'_>,
        told: &mut Told<'_>,
    ) -> Result<(), SinkError> {
        match rule.when {
            When::Comes if moved.way != Way::Came => return Ok(()),
            When::Stands if moved.way == Way::Went => return Ok(()),
            _ => {}
        }
        let row = &*moved.row;
        let (key, payload) = match rule.each {
            Each::Row => {
                let (mut key, mut payload) = (Vec::new(), Vec::new());
                text::key(&told.encoder.schema, row, &mut key);
                told.fields.row(row, &mut payload);
                (key, payload)
            }
            Each::Of(columns) => {
                let shown = shared(told.encoder, row, columns);
                if !told.shared.insert((rule.event, shown.clone())) {
                    return Ok(());
                }
                (shown.clone(), shown)
            }
        };
        let workspace = workspace(told.encoder, row);
        let (view, agent, workspace) = (rule.view, rule.agent, workspace.as_deref());
        let event = format!("ionflux.agent.{agent}.{}", rule.event);
        self.put(&About { view, key: &key, event, agent, workspace }, payload)
    }

    /// The end of what an agent did in a workspace.
    fn run(&mut self, agent: &str, workspace: Option<&str>, rows: u64) -> Result<(), SinkError> {
        let run_id = self.run_id(agent, workspace);
        let payload = serde_json::json!({
            "run_id": run_id, "agent": agent, "status": "success",
            "output_preview_text": format!("rows changed: {rows}"),
            "epoch": self.batch.to.epoch.0,
        });
        let (view, key) = ("", agent.as_bytes());
        let event = RUN_COMPLETED.to_owned();
        let about = About { view, key, event, agent, workspace };
        self.put(&about, payload.to_string().into_bytes())
    }

    fn run_id(&self, agent: &str, workspace: Option<&str>) -> String {
        self.id(&format!("run {agent} {}", workspace.unwrap_or_default()))
    }

    /// An id that follows from the epoch and from what it is of.
    fn id(&self, of: &str) -> String {
        let to = &self.batch.to;
        let name = format!("{:032x} {} {of}", to.state, to.epoch);
        let ours = Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"ionflux.agent.outputs");
        Uuid::new_v5(&ours, name.as_bytes()).to_string()
    }

    fn put(&mut self, about: &About<'_>, payload: Vec<u8>) -> Result<(), SinkError> {
        let payload = String::from_utf8(payload).map_err(|_| garbled())?;
        let payload_json = RawValue::from_string(payload).map_err(|_| garbled())?;
        let key = String::from_utf8_lossy(about.key);
        // An agent's run is of one workspace, which a key need not name.
        let of = about.workspace.unwrap_or_default();
        let event = Event {
            event_id: self.id(&format!("{} {of} {key} {}", about.view, about.event)),
            event_type: about.event.clone(),
            event_timestamp: &self.as_of,
            source_service_name: SERVICE,
            workspace_id: about.workspace,
            correlation_id: &self.run_id(about.agent, about.workspace),
            payload_schema_version: PAYLOAD_VERSION,
            payload_json,
        };
        let Chunk { bytes, records } = &mut *self.chunk;
        let from = bytes.len();
        bytes.extend_from_slice(about.workspace.unwrap_or_default().as_bytes());
        let key = from..bytes.len();
        self.outputs.write(&event, bytes)?;
        let value = Some(key.end..bytes.len());
        let row = key.end..key.end;
        records.push(Record { topic: self.topic, key, value, row });
        Ok(())
    }
}

/// Some columns of a row as an object.
fn shared(encoder: &Encoder, row: &Row, columns: &[&str]) -> Vec<u8> {
    let mut object = serde_json::Map::new();
    for name in columns {
        if let Some((place, _)) = encoder.schema.column(name) {
            object.insert((*name).to_owned(), row.0[place].to_string().into());
        }
    }
    serde_json::Value::Object(object).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::subjects::EVENT as SCHEMA;
    use super::*;
    use crate::sink::Mark;
    use apache_avro::reader::datum::GenericDatumReader;
    use apache_avro::types::Value as Avro;
    use ionflux_schemas::avro::{Column, ColumnKind, Schema};
    use ionflux_schemas::snapshot::Change;
    use ionflux_schemas::time::{Epoch, UtcMs};
    use ionflux_schemas::view::View;

    static XP: View = View {
        name: "user_xp",
        version: 1,
        schema: r#"{"type": "record", "name": "user_xp", "doc": "XP.",
            "ionflux.key": ["workspace_id", "user"], "fields": [
                {"name": "workspace_id", "type": "string", "doc": "The tenant."},
                {"name": "user", "type": "string", "doc": "The user."},
                {"name": "xp", "type": "long", "doc": "Points."}]}"#,
        width: 1,
        row: |_, key, totals| {
            Row(vec![Value::text("w"), Value::text(key.to_string()), Value::Int(totals[0] as i64)])
        },
    };

    /// Of a row that went by a snapshot nothing else is known.
    #[test]
    fn rows_that_go_are_told_by_texts_of_their_key() {
        let revenue = include_str!("../../../schemas/avro/views/revenue_by_day.avsc");
        let schema = Schema::parse(revenue).unwrap();
        for rule in RULES.iter().filter(|rule| rule.when == When::Moves) {
            assert_eq!(rule.view, "revenue_by_day");
            let Each::Of(columns) = rule.each else { panic!("{}: each row", rule.event) };
            let fits = |(place, column): (usize, &Column)| {
                schema.key.contains(&place) && column.kind == ColumnKind::Text
            };
            assert!(columns.iter().all(|name| schema.column(name).is_some_and(fits)));
        }
    }

    struct One;

    impl SchemaIds for One {
        fn id(&self, subject: &str, schema: &str) -> Result<u32, SinkError> {
            assert_eq!((subject, schema), ("ionflux.agent.outputs-value", SCHEMA));
            Ok(1)
        }
    }

    #[test]
    fn events_in_avro_are_those_of_the_schema() {
        let config = KafkaConfig { outputs: true, format: Format::Avro, ..KafkaConfig::default() };
        let outputs = Outputs::new(&config, Some(&One)).unwrap().unwrap();
        let row = |xp| Some(Row(vec![Value::text("w"), Value::text("u"), Value::Int(xp)]));
        let batch = Outgoing {
            from: Some(Epoch(1)),
            to: Mark { state: 3, epoch: Epoch(2), as_of: UtcMs(0) },
            views: vec![(&XP, vec![Change { old: row(1), new: row(2) }])],
        };
        let encoders = [Encoder::new(&XP, &KafkaConfig::default(), None).unwrap()];
        let mut chunk = Chunk::default();
        outputs.put(&Moves::new(&batch, None), &encoders, &mut chunk).unwrap();
        let schema = apache_avro::Schema::parse_str(SCHEMA).unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let mut told = Vec::new();
        for record in &chunk.records {
            assert_eq!((record.topic, &chunk.bytes[record.key.clone()]), (1, &b"w"[..]));
            let mut datum = &chunk.bytes[record.value.clone().unwrap()][5..];
            let Ok(Avro::Record(event)) = reader.read_value(&mut datum) else { panic!() };
            assert!(datum.is_empty());
            let text = |name: &str| match &event.iter().find(|(n, _)| n == name).unwrap().1 {
                Avro::String(text) => text.clone(),
                Avro::Union(_, inner) => format!("{inner:?}"),
                other => panic!("{other:?}"),
            };
            told.push((text("event_type"), text("workspace_id"), text("payload_json")));
        }
        let [(xp, of, row), (run, _, _)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(xp, "ionflux.agent.badgemotivator.xp_awarded");
        assert_eq!(of, r#"String("w")"#);
        assert_eq!(row, r#"{"workspace_id":"w","user":"u","xp":2}"#);
        assert_eq!(run, RUN_COMPLETED);
    }
}
