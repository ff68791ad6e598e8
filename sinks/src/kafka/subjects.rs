//! The subjects of a schema registry under which topics are written, and their definitions.
//!
//! Invariant: the sink asks a registry for these and for no others: it takes them from here.

use ionflux_schemas::view::View;
use serde_json::{Error, Value as Json, json};

use super::config::{Envelope, Format, KafkaConfig};
use super::outputs;
use crate::error::SinkError;
use crate::registry::Subject;

/// The schema of the agents' events.
pub(super) const EVENT: &str = include_str!("../../../schemas/avro/events/platform_event.avsc");

/// The subjects that the sink of these views needs, in the order in which it asks for them.
///
/// # Errors
/// [`SinkError`], when the schema of a view makes no sense.
pub fn subjects(config: &KafkaConfig, views: &[&'static View]) -> Result<Vec<Subject>, SinkError> {
    let mut all = Vec::new();
    if config.format == Format::Json {
        return Ok(all);
    }
    for view in views {
        all.extend(of_view(view, &config.topic(view), config.envelope)?);
    }
    all.extend(config.outputs.then(of_outputs));
    Ok(all)
}

/// Those of keys and of values of a view's topic.
pub(super) fn of_view(
    view: &View,
    topic: &str,
    envelope: Envelope,
) -> Result<[Subject; 2], SinkError> {
    let derived = |made: Result<String, Error>| {
        let failed = |error| format!("Kafka: the view {}: its schema: {error}", view.name);
        made.map_err(|error| SinkError::permanent(failed(error)))
    };
    let value = match envelope {
        Envelope::Upsert => view.schema.to_owned(),
        Envelope::Debezium => derived(change(view.schema))?,
    };
    let subject = |part: &str, definition| Subject { name: format!("{topic}-{part}"), definition };
    Ok([subject("key", derived(key(view.schema))?), subject("value", value)])
}

/// That of the agents' events.
pub(super) fn of_outputs() -> Subject {
    Subject { name: format!("{}-value", outputs::TOPIC), definition: EVENT.to_owned() }
}

/// The schema of a view's key: a record of the key's columns in the key's order.
///
/// # Errors
/// When the view's schema is no JSON.
pub fn key(schema: &str) -> Result<String, Error> {
    let row: Json = serde_json::from_str(schema)?;
    let fields = row["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = row["ionflux.key"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |name: &Json| fields.iter().find(|field| field["name"] == *name).cloned();
    let fields: Vec<Json> = names.iter().filter_map(named).collect();
    let mut key = json!({"type": "record", "name": named_after(&row, "_key"), "fields": fields});
    if !row["namespace"].is_null() {
        key["namespace"] = row["namespace"].clone();
    }
    Ok(key.to_string())
}

/// The schema of a view's row before and after.
///
/// # Errors
/// When the view's schema is no JSON.
pub fn change(schema: &str) -> Result<String, Error> {
    let row: Json = serde_json::from_str(schema)?;
    let namespace = row["namespace"].as_str().unwrap_or_default().to_owned();
    let dot = if namespace.is_empty() { "" } else { "." };
    let again = format!("{namespace}{dot}{}", named_after(&row, ""));
    let (name, source) = (named_after(&row, "_change"), named_after(&row, "_source"));
    let fields = json!([
        {"name": "before", "type": ["null", row], "default": null},
        {"name": "after", "type": ["null", again], "default": null},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": "long"},
        {"name": "source", "type": {"type": "record", "name": source,
            "fields": [{"name": "epoch", "type": "long"}, {"name": "view", "type": "string"}]}},
    ]);
    let mut change = json!({"type": "record", "name": name, "fields": fields});
    if !namespace.is_empty() {
        change["namespace"] = Json::String(namespace);
    }
    Ok(change.to_string())
}

fn named_after(row: &Json, end: &str) -> String {
    format!("{}{end}", row["name"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::history::{COUNTS, SALES};
    use crate::kafka::{Access, Settings};
    use crate::registry::SchemaIds;

    /// A registry that remembers what it was asked for.
    #[derive(Default)]
    struct Asked(Mutex<Vec<Subject>>);

    impl SchemaIds for Asked {
        fn id(&self, subject: &str, schema: &str) -> Result<u32, SinkError> {
            let asked = Subject { name: subject.to_owned(), definition: schema.to_owned() };
            self.0.lock().unwrap().push(asked);
            Ok(7)
        }
    }

    #[test]
    fn the_sink_asks_for_these_and_no_others() {
        let views: Vec<&'static View> = vec![&COUNTS, &SALES];
        for envelope in [Envelope::Upsert, Envelope::Debezium] {
            for (format, outputs, count) in
                [(Format::Avro, false, 4), (Format::Avro, true, 5), (Format::Json, true, 0)]
            {
                let topic_prefix = "own.".to_owned();
                let config =
                    KafkaConfig { format, envelope, outputs, topic_prefix, ..<_>::default() };
                let told = subjects(&config, &views).unwrap();
                assert_eq!(told.len(), count);
                let (asked, views) = (Arc::new(Asked::default()), views.clone());
                let schema_ids: Arc<dyn SchemaIds> = asked.clone();
                let access = Access { password: None, schema_ids: Some(schema_ids) };
                Settings { name: "kafka".into(), config, access, views }.pens().unwrap();
                assert_eq!(*asked.0.lock().unwrap(), told);
            }
        }
    }

    #[test]
    fn names_are_those_of_the_topics_and_definitions_are_avro() {
        let config = KafkaConfig { format: Format::Avro, outputs: true, ..KafkaConfig::default() };
        let told = subjects(&config, &[&COUNTS]).unwrap();
        let names: Vec<&str> = told.iter().map(|subject| subject.name.as_str()).collect();
        let topic = "ionflux.views.conformance_counts";
        let [key, value] = ["key", "value"].map(|part| format!("{topic}-{part}"));
        assert_eq!(names, [&key, &value, "ionflux.agent.outputs-value"]);
        assert_eq!(told[1].definition, COUNTS.schema);
        for schema in [COUNTS.schema, SALES.schema] {
            for made in [super::key(schema).unwrap(), change(schema).unwrap()] {
                apache_avro::Schema::parse_str(&made).unwrap();
            }
            assert!(super::key("{").is_err() && change("{").is_err());
        }
    }
}
