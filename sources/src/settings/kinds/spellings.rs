//! Other spellings of agents: what generations of documents call the same things.
//!
//! Invariant: a document in its one spelling is left as it is, and where two spellings of one
//! thing stand beside each other neither is taken in silence.

use serde_json::{Map, Value};

use crate::settings::problem::{Path, Problems};
use crate::settings::tree;

/// What something is also called, and what it is called here.
type Aliases = &'static [(&'static str, &'static str)];

const DEFINITION: Aliases = &[
    ("agent_id", "id"),
    ("agent_name", "name"),
    ("status", "definition_status"),
    ("stack_preferences", "stack"),
];
const CONFIGURATION: Aliases = &[
    ("agent_id", "agent_definition_id"),
    ("definition_id", "agent_definition_id"),
    ("configuration_id", "id"),
    ("yaml_config_text", "yaml_config"),
];
const TRIGGER: Aliases = &[
    ("trigger_definition_key", "key"),
    ("name", "key"),
    ("trigger_type", "type"),
    ("cron", "cron_expression"),
    ("topic", "kafka_topic_name"),
    ("consumer_group", "kafka_consumer_group_suffix"),
    ("group", "kafka_consumer_group_suffix"),
    ("path", "webhook_path_suffix"),
    ("filter", "event_filter_json"),
    ("event_filter", "event_filter_json"),
];
const TRIGGER_TYPES: Aliases =
    &[("stream", "event_stream"), ("event", "event_stream"), ("cron", "schedule")];
const PUT: Aliases = &[("name", "key"), ("key_name", "key"), ("event_type", "target_event_type")];
const PUT_TYPES: Aliases = &[
    ("md", "markdown"),
    ("text", "string"),
    ("str", "string"),
    ("bool", "boolean"),
    ("int", "number"),
    ("integer", "number"),
    ("float", "number"),
    ("object", "json"),
];
const OVERRIDE: Aliases = &[("key", "trigger_definition_key"), ("override", "config_override")];

/// Brings the definition of an agent into its one spelling.
pub fn definition(document: &mut Value, problems: &mut Problems) {
    let root = Path::Root;
    let Some(members) = document.as_object_mut() else { return };
    renamed(members, DEFINITION, &root, problems);
    if let Some(version) = members.get_mut("version") {
        *version = three_numbers(version);
    }
    let none = |memory: &Value| memory.is_null() || *memory == *"none";
    if members.get("memory").is_some_and(none) {
        members.remove("memory");
    }
    for (list, aliases, types) in [
        ("triggers", TRIGGER, TRIGGER_TYPES),
        ("inputs", PUT, PUT_TYPES),
        ("outputs", PUT, PUT_TYPES),
    ] {
        let elements = members.remove(list).map(listed);
        let Some(mut elements) = elements.filter(|elements| *elements != Value::Array(vec![]))
        else {
            continue;
        };
        let at = root.member(list);
        for (index, element) in elements.as_array_mut().into_iter().flatten().enumerate() {
            let Some(element) = element.as_object_mut() else { continue };
            renamed(element, aliases, &at.element(index), problems);
            typed(element, types);
            if let Some(Value::Bool(optional)) = element.remove("optional") {
                element.entry("required").or_insert(Value::Bool(!optional));
            }
            if list == "triggers" && !element.contains_key("key") {
                element.insert("key".to_owned(), format!("trigger_{}", index + 1).into());
            }
        }
        members.insert(list.to_owned(), elements);
    }
}

/// Brings the configuration of an agent into its one spelling.
pub fn configuration(document: &mut Value, problems: &mut Problems) {
    let root = Path::Root;
    let Some(members) = document.as_object_mut() else { return };
    renamed(members, CONFIGURATION, &root, problems);
    unfolded(members, problems);
    if members.get("triggers").is_some_and(|triggers| *triggers == Value::Array(vec![])) {
        members.remove("triggers");
    }
    let at = root.member("triggers");
    let triggers = members.get_mut("triggers").and_then(Value::as_array_mut);
    for (index, trigger) in triggers.into_iter().flatten().enumerate() {
        let Some(trigger) = trigger.as_object_mut() else { continue };
        let at = at.element(index);
        renamed(trigger, OVERRIDE, &at, problems);
        if let Some(Value::Object(changed)) = trigger.get_mut("config_override") {
            renamed(changed, TRIGGER, &at.member("config_override"), problems);
        }
    }
}

/// What a user wrote may stand in the configuration as one text.
fn unfolded(members: &mut Map<String, Value>, problems: &mut Problems) {
    let at = Path::Root.member("yaml_config");
    let Some(text) = members.remove("yaml_config") else { return };
    let inner = match text {
        Value::String(text) => {
            // Its problems would be told as those of other documents.
            let read = tree::yaml(&text, &mut Problems::default());
            match read.map(|mut items| (items.pop(), items.is_empty())) {
                Ok((Some((inner, _)), true)) => inner,
                Ok(_) => return problems.add(&at, "must be one document"),
                Err(reason) => return problems.add(&at, reason),
            }
        }
        inner => inner,
    };
    let Value::Object(inner) = inner else { return problems.add(&at, "must be an object") };
    for (name, value) in inner {
        if members.contains_key(&name) {
            problems.add(&at.member(&name), "stands beside it as well");
        }
        members.insert(name, value);
    }
}

fn renamed(
    members: &mut Map<String, Value>,
    aliases: Aliases,
    at: &Path<'_>,
    problems: &mut Problems,
) {
    for (other, name) in aliases {
        if let Some(value) = members.remove(*other) {
            if members.contains_key(*name) {
                let reason = format!("is another name of {name}, which is there as well");
                problems.add(&at.member(other), reason);
            }
            members.insert((*name).to_owned(), value);
        }
    }
}

fn typed(element: &mut Map<String, Value>, types: Aliases) {
    if let Some(Value::String(word)) = element.get_mut("type") {
        let known = types.iter().find(|(other, _)| other.eq_ignore_ascii_case(word));
        if let Some((_, name)) = known {
            *word = (*name).to_owned();
        }
    }
}

/// A list, also of what stands by its keys: `{shop: string}` is `[{key: shop, type: string}]`.
fn listed(elements: Value) -> Value {
    let Value::Object(elements) = elements else { return elements };
    let named = |(key, element): (String, Value)| {
        let mut element = match element {
            Value::Object(element) => element,
            word => Map::from_iter([("type".to_owned(), word)]),
        };
        element.entry("key").or_insert(key.into());
        Value::Object(element)
    };
    elements.into_iter().map(named).collect()
}

/// `0.2` is `0.2.0`, also where it was written as a number.
fn three_numbers(version: &Value) -> Value {
    let text = match version {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().trim_start_matches('v').to_owned(),
        other => return other.clone(),
    };
    let missing = 3_usize.saturating_sub(text.split('.').count());
    Value::String(if text.is_empty() { text } else { text + &".0".repeat(missing) })
}
