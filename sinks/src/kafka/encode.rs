//! Keys and values of a view's topic, in the format and the envelope of the options.
//!
//! Invariant: equal keys have equal bytes and so one partition; equal rows have equal bytes, so
//! that what a topic holds can be compared without being understood.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use ionflux_schemas::avro::{ColumnKind, Schema};
use ionflux_schemas::time::{Epoch, UtcMs};
use ionflux_schemas::view::{Row, Value, View};
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::avro;
use super::config::{Envelope, Format, KafkaConfig};
use super::text;
use crate::error::SinkError;
use crate::registry::SchemaIds;

/// When a batch was counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) epoch: Epoch,
    pub(super) as_of: UtcMs,
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Create,
    Update,
    Delete,
    /// It is part of a snapshot.
    Read,
}

impl Op {
    /// As Debezium names it.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
        }
    }
}

/// One change of a row.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) before: Option<&'a Row>,
    pub(super) after: Option<&'a Row>,
    pub(super) op: Op,
    pub(super) moment: Moment,
}

/// How one view is written.
pub(super) struct Encoder {
    pub(super) view: &'static View,
    pub(super) topic: String,
    pub(super) schema: Arc<Schema>,
    pub(super) envelope: Envelope,
    form: Form,
}

enum Form {
    Json(text::Fields),
    Avro(Box<avro::Form>),
}

impl Encoder {
    /// For a view; asks the registry where the format needs it.
    pub(super) fn new(
        view: &'static View,
        config: &KafkaConfig,
        ids: Option<&dyn SchemaIds>,
    ) -> Result<Self, SinkError> {
        let (schema, envelope) = (view.parsed(), config.envelope);
        let topic = config.topic(view);
        let form = match (config.format, ids) {
            (Format::Json, _) => Form::Json(text::Fields::new(&schema)),
            (Format::Avro, Some(ids)) => {
                Form::Avro(Box::new(avro::Form::new(view, &topic, envelope, ids)?))
            }
            (Format::Avro, None) => {
                return Err(SinkError::permanent("Kafka: Avro needs a registry of schemas"));
            }
        };
        Ok(Self { view, topic, schema, envelope, form })
    }

    /// What writes the rows of a batch.
    pub(super) fn pen(&self) -> Pen<'_> {
        let avro = match &self.form {
            Form::Avro(form) => Some(form.pen(self.view, &self.schema)),
            Form::Json(_) => None,
        };
        Pen { encoder: self, avro }
    }

    /// What stands before the tombstone of a row that nobody knows any more, where the envelope
    /// tells of rows that go.
    pub(super) fn farewell(&self, moment: Moment) -> Result<Option<Vec<u8>>, SinkError> {
        if self.envelope == Envelope::Upsert {
            return Ok(None);
        }
        let mut value = Vec::new();
        let told = Told { before: None, after: None, op: Op::Delete, moment };
        self.pen().value(&told, &mut value)?;
        Ok(Some(value))
    }

    /// The ids of the schemas of keys and of values, where they have any.
    pub(super) fn ids(&self) -> Option<[u32; 2]> {
        match &self.form {
            Form::Avro(form) => Some(form.ids()),
            Form::Json(_) => None,
        }
    }

    /// A row of which the texts of a key are known and nothing else; `None` if it is no key of the
    /// view.
    pub(super) fn row_of_key(&self, key: &[u8]) -> Option<Row> {
        let texts = match &self.form {
            Form::Avro(form) => form.texts(key)?,
            Form::Json(_) => serde_json::from_slice::<Vec<Json>>(key)
                .ok()?
                .into_iter()
                .map(|value| match value {
                    Json::String(text) => Some(text),
                    _ => None,
                })
                .collect(),
        };
        let mut row = Row(vec![Value::Null; self.schema.columns.len()]);
        for (place, text) in self.schema.key.iter().zip(&texts) {
            let text =
                text.as_deref().filter(|_| self.schema.columns[*place].kind == ColumnKind::Text);
            row.0[*place] = text.map_or(Value::Null, Value::text);
        }
        (texts.len() == self.schema.key.len()).then_some(row)
    }

    /// Whether two rows have the same key.
    pub(super) fn same_key(&self, a: &Row, b: &Row) -> bool {
        self.schema.key.iter().all(|place| a.0[*place] == b.0[*place])
    }

    /// The row within a value that the topic holds; `None` if it is not as it would be written.
    pub(super) fn row_of<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        match (&self.form, self.envelope) {
            (Form::Avro(form), envelope) => form.row_of(envelope, value).map(Cow::Owned),
            (Form::Json(_), Envelope::Upsert) => Some(Cow::Borrowed(value)),
            (Form::Json(_), Envelope::Debezium) => {
                let told: After<'v> = serde_json::from_slice(value).ok()?;
                Some(Cow::Borrowed(told.after.get().as_bytes()))
            }
        }
    }
}

/// The part of a change that says what the row is now.
#[derive(Deserialize)]
struct After<'a> {
    #[serde(borrow)]
    after: &'a RawValue,
}

/// Writes the rows of one batch.
pub(super) struct Pen<'a> {
    pub(super) encoder: &'a Encoder,
    avro: Option<avro::Pen<'a>>,
}

impl Pen<'_> {
    /// Puts the key of a row behind what is there; gives where it stands.
    pub(super) fn key(&self, row: &Row, out: &mut Vec<u8>) -> Result<Range<usize>, SinkError> {
        let from = out.len();
        match &self.avro {
            Some(avro) => avro.key(row, out)?,
            None => text::key(&self.encoder.schema, row, out),
        }
        Ok(from..out.len())
    }

    /// Puts a value; gives where the row within it stands.
    pub(super) fn value(
        &self,
        told: &Told<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, SinkError> {
        match (&self.avro, &self.encoder.form, told.after, self.encoder.envelope) {
            (Some(avro), _, Some(row), Envelope::Upsert) => avro.upsert(row, out),
            (Some(avro), ..) => avro.debezium(told, out),
            (None, Form::Json(fields), Some(row), Envelope::Upsert) => {
                let from = out.len();
                fields.row(row, out);
                Ok(from..out.len())
            }
            (None, Form::Json(fields), ..) => Ok(self.change(fields, told, out)),
            (None, Form::Avro(_), ..) => Err(SinkError::permanent("Kafka: no pen for Avro")),
        }
    }

    /// Puts a row before and after as JSON.
    fn change(&self, fields: &text::Fields, told: &Told<'_>, out: &mut Vec<u8>) -> Range<usize> {
        let row = |row: Option<&Row>, out: &mut Vec<u8>| match row {
            Some(row) => fields.row(row, out),
            None => out.extend_from_slice(b"null"),
        };
        out.extend_from_slice(b"{\"before\":");
        row(told.before, out);
        out.extend_from_slice(b",\"after\":");
        let from = out.len();
        row(told.after, out);
        let placed = from..out.len();
        let (op, moment) = (told.op.letter(), told.moment);
        let rest = format!(
            ",\"op\":\"{op}\",\"ts_ms\":{},\"source\":{{\"epoch\":{},\"view\":\"{}\"}}}}",
            moment.as_of.0, moment.epoch, self.encoder.view.name
        );
        out.extend_from_slice(rest.as_bytes());
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{COUNTS, SALES};
    use ionflux_schemas::time::Day;

    /// A registry that gives out the number of asked subjects.
    #[derive(Default)]
    struct Ids(std::sync::Mutex<Vec<String>>);

    impl SchemaIds for Ids {
        fn id(&self, subject: &str, _: &str) -> Result<u32, SinkError> {
            let mut asked = self.0.lock().unwrap();
            asked.push(subject.to_owned());
            Ok(u32::try_from(asked.len()).unwrap())
        }
    }

    fn row(units: i64) -> Row {
        Row(vec![Value::text("a"), Value::Int(units)])
    }

    fn encoder(format: Format, envelope: Envelope) -> Encoder {
        let config = KafkaConfig { format, envelope, ..KafkaConfig::default() };
        Encoder::new(&COUNTS, &config, Some(&Ids::default())).unwrap()
    }

    fn written(encoder: &Encoder, before: Option<&Row>, after: Option<&Row>) -> (Vec<u8>, Vec<u8>) {
        let (mut out, moment) = (b"before".to_vec(), Moment { epoch: Epoch(4), as_of: UtcMs(9) });
        let told = Told { before, after, op: Op::Update, moment };
        let placed = encoder.pen().value(&told, &mut out).unwrap();
        (out[6..].to_vec(), out[placed].to_vec())
    }

    #[test]
    fn the_row_within_a_value_is_found_again_whatever_stood_before_it() {
        for format in [Format::Json, Format::Avro] {
            for envelope in [Envelope::Upsert, Envelope::Debezium] {
                let encoder = encoder(format, envelope);
                let (new, placed) = written(&encoder, Some(&row(-1)), Some(&row(2)));
                assert_eq!(encoder.row_of(&new).as_deref(), Some(&placed[..]), "{format:?}");
                let (again, same) = written(&encoder, None, Some(&row(2)));
                assert_eq!((same, again == new), (placed.clone(), envelope == Envelope::Upsert));
                assert_ne!(written(&encoder, Some(&row(-1)), Some(&row(3))).1, placed);
            }
        }
    }

    #[test]
    fn of_a_key_its_texts_are_known_and_strangers_have_none() {
        for format in [Format::Json, Format::Avro] {
            let config = KafkaConfig { format, ..KafkaConfig::default() };
            let encoder = Encoder::new(&SALES, &config, Some(&Ids::default())).unwrap();
            let mut row = Row(vec![Value::Null; encoder.schema.columns.len()]);
            (row.0[0], row.0[1]) = (Value::text("w\"é"), Value::Day(Day(3)));
            let mut key = Vec::new();
            encoder.pen().key(&row, &mut key).unwrap();
            row.0[1] = Value::Null;
            assert_eq!(encoder.row_of_key(&key), Some(row), "{format:?}");
            for strange in [&key[1..], b"nonsense", br#"["w"]"#, b""] {
                assert_eq!(encoder.row_of_key(strange), None, "{format:?}");
            }
        }
    }

    #[test]
    fn what_was_written_otherwise_is_no_row() {
        let upsert = encoder(Format::Avro, Envelope::Upsert);
        let (mut value, _) = written(&upsert, None, Some(&row(2)));
        value[4] += 1;
        assert_eq!(upsert.row_of(&value), None, "behind the id of another schema");
        let told = encoder(Format::Json, Envelope::Debezium);
        assert_eq!(told.row_of(b"nonsense"), None);
        assert_eq!(encoder(Format::Avro, Envelope::Debezium).row_of(b"{}"), None);
    }

    #[test]
    fn a_topic_has_the_subjects_of_its_name_and_a_farewell_only_where_deletions_are_told() {
        let (ids, config) = (Ids::default(), KafkaConfig::default());
        let config = KafkaConfig { format: Format::Avro, ..config };
        let encoder = Encoder::new(&COUNTS, &config, Some(&ids)).unwrap();
        let topic = "ionflux.views.conformance_counts";
        assert_eq!(encoder.topic, topic);
        assert_eq!(*ids.0.lock().unwrap(), [format!("{topic}-key"), format!("{topic}-value")]);
        assert!(Encoder::new(&COUNTS, &config, None).is_err());
        let moment = Moment { epoch: Epoch(4), as_of: UtcMs(9) };
        assert_eq!(encoder.farewell(moment).unwrap(), None);
        let told = self::encoder(Format::Json, Envelope::Debezium).farewell(moment).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told.unwrap()).unwrap();
        let source = serde_json::json!({"epoch": 4, "view": "conformance_counts"});
        let expected = serde_json::json!({
            "before": null, "after": null, "op": "d", "ts_ms": 9, "source": source
        });
        assert_eq!(told, expected);
    }
}
