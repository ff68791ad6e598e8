//! Agents: what one is made of, and how a workspace runs it.
//!
//! Invariant: a configuration overrides only what its definition says may be overridden, and
//! gives every input that only a user can give.

use ionflux_schemas::money::decimal;
use serde_json::{Map, Value};

use super::{Kind, Named, anything, spellings};
use crate::settings::leaf::{self, Scope};
use crate::settings::problem::{Path, Problems, shown};
use crate::settings::shape::{Field, Shape, may, needs, object};

/// The longest name for people, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The longest description, in bytes.
const TEXT_BYTES_MAX: usize = 4_000;
/// The largest part of a document that only an agent understands, in bytes.
const PART_BYTES_MAX: usize = 64 << 10;
/// The most triggers, inputs or outputs of an agent.
const LISTED_MAX: usize = 100;

const NAME: Shape = Shape::Label(NAME_BYTES_MAX);
const PART: Shape = Shape::Any(PART_BYTES_MAX);

/// What agents are made of.
pub const DEFINITIONS: Kind = Kind {
    name: "agent-definitions",
    about: "what an agent is made of: triggers, inputs, outputs",
    named: Named::By("id"),
    of_shops: false,
    shape: Shape::Object(&[
        needs("id", Shape::Id),
        needs("name", NAME),
        needs("version", Shape::Version),
        may("definition_status", Shape::Id),
        may("description", Shape::Text(TEXT_BYTES_MAX)),
        may("triggers", Shape::List(&TRIGGER, LISTED_MAX)),
        may("inputs", Shape::List(&INPUT, LISTED_MAX)),
        may("outputs", Shape::List(&OUTPUT, LISTED_MAX)),
        may("memory", PART),
        may("stack", PART),
    ]),
    rule: keys_apart,
    normalise: spellings::definition,
};

const TRIGGER: Shape = Shape::Tagged("type", TRIGGER_BASE, TRIGGERS);
const TRIGGER_BASE: &[Field] = &[
    needs("key", Shape::Id),
    needs("type", Shape::Id),
    may("is_user_overridable", Shape::Bool),
    may("task", Shape::Id),
];
const TRIGGERS: &[(&str, &[Field])] = &[
    ("schedule", SCHEDULE),
    ("webhook", WEBHOOK),
    ("event_stream", EVENT_STREAM),
    ("manual", &[]),
];
const SCHEDULE: &[Field] = &[
    needs("cron_expression", Shape::Cron),
    may("timezone", Shape::Zone),
    may("workspace_id", NAME),
];
const WEBHOOK: &[Field] = &[
    needs("webhook_path_suffix", NAME),
    may("workspace_id_param", Shape::Id),
    may("shop_id_param", Shape::Id),
];
const EVENT_STREAM: &[Field] = &[
    needs("kafka_topic_name", NAME),
    may("kafka_consumer_group_suffix", NAME),
    may("event_filter_json", Shape::Filter),
];

/// An input is given by the user, by the event that triggers a run, or by who starts one.
const INPUT: Shape = Shape::Object(&[
    needs("key", Shape::Id),
    needs("type", Shape::OneOf(&["json", "string", "number", "boolean", "url"])),
    may("required", Shape::Bool),
    may("supplied_by", Shape::OneOf(&["user", "event", "run"])),
    may("is_user_overridable", Shape::Bool),
    may("default", PART),
    may("description", Shape::Text(TEXT_BYTES_MAX)),
]);

const OUTPUT: Shape = Shape::Object(&[
    needs("key", Shape::Id),
    needs("type", Shape::OneOf(&["json", "string", "markdown", "url", "event"])),
    may("target_event_type", Shape::Dotted),
    may("description", Shape::Text(TEXT_BYTES_MAX)),
]);

/// How workspaces run agents.
pub const CONFIGURATIONS: Kind = Kind {
    name: "agent-configurations",
    about: "how this workspace runs an agent: its inputs and what it overrides",
    named: Named::By("name"),
    of_shops: false,
    shape: Shape::Object(&[
        may("id", Shape::Id),
        needs("agent_definition_id", Shape::Id),
        needs("name", NAME),
        may("status", Shape::OneOf(&["active", "inactive", "archived", "error_requires_review"])),
        may("inputs", PART),
        may("triggers", Shape::List(&OVERRIDE, LISTED_MAX)),
        may("memory", PART),
        may("stack_preferences", PART),
        may("advanced_features", PART),
        may("snippet_preview_output_key", Shape::Id),
        may("output_to_canvas_block", CANVAS_BLOCK),
    ]),
    rule: anything,
    normalise: spellings::configuration,
};

const OVERRIDE: Shape = Shape::Object(&[
    needs("trigger_definition_key", Shape::Id),
    may("enabled", Shape::Bool),
    may("config_override", PART),
]);
const CANVAS_BLOCK: Shape =
    Shape::Object(&[needs("target_block_id", Shape::Id), needs("output_key_to_map", Shape::Id)]);

fn keys_apart(document: &Value, at: &Path<'_>, problems: &mut Problems) {
    for list in ["triggers", "inputs", "outputs"] {
        let keys: Vec<&str> = keyed(document, list).map(|(key, _)| key).collect();
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].contains(key) {
                let at = at.member(list);
                problems.add(&at.element(index).member("key"), "is the key of an earlier one");
            }
        }
    }
    for (index, (_, output)) in keyed(document, "outputs").enumerate() {
        let event = output.get("type").and_then(Value::as_str) == Some("event");
        if event != output.get("target_event_type").is_some_and(|target| !target.is_null()) {
            let at = at.member("outputs");
            let reason = "is for outputs of type event, and they need it";
            problems.add(&at.element(index).member("target_event_type"), reason);
        }
    }
    for (index, (_, input)) in keyed(document, "inputs").enumerate() {
        if let Some(given) = input.get("default").filter(|given| !given.is_null()) {
            let at = at.member("inputs");
            fits_type(given, input, &at.element(index).member("default"), problems);
        }
    }
}

/// The elements of a list of a document by their keys.
fn keyed<'a>(document: &'a Value, list: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let list = document.get(list).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|element| Some((element.get("key")?.as_str()?, element)))
}

/// Whether a flag is set; as `unsaid` where it is not there.
fn flag(value: &Value, name: &str, unsaid: bool) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(unsaid)
}

/// Checks a configuration against its definition.
pub fn fits(configuration: &Value, definition: &Value, problems: &mut Problems) {
    let none = Map::new();
    let at = Path::Root.member("inputs");
    let inputs = match configuration.get("inputs") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(inputs)) => inputs,
        Some(_) => return problems.add(&at, "must be an object"),
    };
    for (key, given) in inputs {
        let at = at.member(key);
        match keyed(definition, "inputs").find(|(known, _)| known == key) {
            None => {
                let known: Vec<&str> = keyed(definition, "inputs").map(|(key, _)| key).collect();
                problems.add(&at, format!("is no input of the agent; it has {}", known.join(", ")));
            }
            Some((_, input)) if !flag(input, "is_user_overridable", true) => {
                problems.add(&at, "may not be overridden");
            }
            Some((_, input)) => fits_type(given, input, &at, problems),
        }
    }
    for (key, input) in keyed(definition, "inputs") {
        let by_user = input.get("supplied_by").and_then(Value::as_str).unwrap_or("user") == "user";
        let unsaid =
            |from: &Map<String, Value>, key: &str| from.get(key).is_none_or(Value::is_null);
        let default = input.get("default").is_some_and(|default| !default.is_null());
        if flag(input, "required", false) && by_user && !default && unsaid(inputs, key) {
            problems.add(&at.member(key), "is missing: the agent requires it");
        }
    }
    triggers_fit(configuration, definition, problems);
    let outputs: Vec<&str> = keyed(definition, "outputs").map(|(key, _)| key).collect();
    let mut output = |value: Option<&Value>, at: &Path<'_>| {
        if let Some(key) = value.and_then(Value::as_str).filter(|key| !outputs.contains(key)) {
            let (key, outputs) = (shown(key), outputs.join(", "));
            problems.add(at, format!("{key:?} is no output of the agent; it has {outputs}"));
        }
    };
    let preview = "snippet_preview_output_key";
    output(configuration.get(preview), &Path::Root.member(preview));
    let block = Path::Root.member("output_to_canvas_block");
    let mapped = configuration.pointer("/output_to_canvas_block/output_key_to_map");
    output(mapped, &block.member("output_key_to_map"));
}

fn triggers_fit(configuration: &Value, definition: &Value, problems: &mut Problems) {
    let overrides = configuration.get("triggers").and_then(Value::as_array);
    let list = Path::Root.member("triggers");
    for (index, own) in overrides.into_iter().flatten().enumerate() {
        let at = list.element(index);
        let key = own.get("trigger_definition_key").and_then(Value::as_str).unwrap_or_default();
        let Some((_, trigger)) = keyed(definition, "triggers").find(|(known, _)| *known == key)
        else {
            let known: Vec<&str> = keyed(definition, "triggers").map(|(key, _)| key).collect();
            let reason = format!("is no trigger of the agent; it has {}", known.join(", "));
            problems.add(&at.member("trigger_definition_key"), reason);
            continue;
        };
        let at = at.member("config_override");
        let Some(changed) = own.get("config_override").filter(|changed| !changed.is_null()) else {
            continue;
        };
        if !flag(trigger, "is_user_overridable", false) {
            problems.add(&at, "may not be overridden");
            continue;
        }
        let kind = trigger.get("type").and_then(Value::as_str);
        let fields = TRIGGERS.iter().find(|(word, _)| Some(*word) == kind);
        // An override says what differs and leaves out the rest.
        let fields = fields.map_or(&[][..], |(_, fields)| fields).iter();
        let fields: Vec<Field> = fields.map(|field| may(field.name, field.shape)).collect();
        object(changed, &[&fields], (&at, &Scope::default()), problems);
    }
}

/// Checks a value against the type of an input.
fn fits_type(given: &Value, input: &Value, at: &Path<'_>, problems: &mut Problems) {
    let text = given.as_str();
    let (fits, reason) = match input.get("type").and_then(Value::as_str) {
        Some("string") => (text.is_some(), "must be a text"),
        Some("number") => {
            let number = given.is_number() || text.is_some_and(|text| decimal(text).is_ok());
            (number, "must be a number")
        }
        Some("boolean") => (given.is_boolean(), "must be true or false"),
        Some("url") => {
            (text.is_some_and(|text| leaf::url(text).is_ok()), "must be an address of the web")
        }
        _ => (true, ""),
    };
    if !fits {
        problems.add(at, reason);
    }
}
