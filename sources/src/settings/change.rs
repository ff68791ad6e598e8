//! Changes: documents that were checked, each with what it names and from when it holds; and the
//! lines they are kept as.
//!
//! Invariant: a kept line needs no zone, no default and no kind to be read again: its instants are
//! instants, and its text is the same whichever way the document was written.

use std::collections::BTreeMap;

use ionflux_schemas::entity::ENTITY_ID_BYTES_MAX;
use ionflux_schemas::key::{Id, Version};
use ionflux_schemas::time::{UtcMs, Zone};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kinds::{FRAME, Kind, agents};
use super::leaf::{self, Scope};
use super::problem::{Path, Problems};
use super::shape::scope_of;
use super::tree::Item;
use crate::shop;

/// The largest document, in its canonical form.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// What an entity's id needs beside its kind and its name: two instants and a hash.
const STAMPS_BYTES: usize = 70;

/// One change of one setting.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The shop; empty for the workspace as a whole.
    pub shop: Id,
    /// The setting's name among those of its kind.
    pub name: Id,
    /// From when it holds; from when it came where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<UtcMs>,
    /// Until when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<UtcMs>,
    /// What was set; nothing takes the setting back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
}

/// The definitions of agents, by their ids and the instants at which they are asked for.
pub type Definitions<'a> = &'a dyn Fn(&str, UtcMs) -> Option<Value>;

/// What is known beside the documents.
pub struct Around<'a> {
    /// The shop of documents that name none.
    pub shop: Option<&'a str>,
    /// The zone of civil days where a document names none.
    pub zone: Option<Zone>,
    /// When the documents came.
    pub now: UtcMs,
    /// Gives the definition of an agent as it holds then; without it, configurations are checked
    /// by themselves.
    pub definition: Option<Definitions<'a>>,
}

/// The changes that documents ask for; what is wrong with any of them is told.
pub fn read(
    kind: &Kind,
    items: Vec<Item>,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Vec<Change> {
    let mut changes = Vec::with_capacity(items.len());
    let mut known: BTreeMap<(Id, Id, UtcMs), usize> = BTreeMap::new();
    for (index, (document, lines)) in items.into_iter().enumerate() {
        problems.begin(index, lines);
        let Some(change) = one(kind, document, around, problems) else { continue };
        let from = change.from(around.now);
        let key = (change.shop.clone(), change.name.clone(), from);
        match known.insert(key, index) {
            Some(earlier) => {
                problems.add(
                    &Path::Root,
                    format!("sets what item {earlier} sets from the same instant"),
                );
            }
            None => changes.push(change),
        }
    }
    problems.sort();
    changes
}

fn one(
    kind: &Kind,
    mut document: Value,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Option<Change> {
    let (root, before) = (Path::Root, problems.count());
    (kind.normalise)(&mut document, problems);
    let outer = Scope { currency: None, zone: around.zone.clone() };
    kind.check(&document, &outer, problems);
    let members = document.as_object_mut()?;
    let scope = scope_of(members, &outer);
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let instant = |name: &str| text(name).and_then(|text| leaf::moment(text, &scope).ok());
    let (valid_from, valid_until) = (instant("valid_from"), instant("valid_until"));
    let from = valid_from.unwrap_or(around.now);
    if valid_until.is_some_and(|until| until <= from) {
        problems.add(&root.member("valid_until"), "must be later than valid_from");
    }
    let named = text("shop").or(around.shop.filter(|_| kind.of_shops));
    let shop = shop::first(named).unwrap_or_else(|wrong| {
        problems.add(&root.member("shop"), wrong.to_string());
        None
    });
    let shop = shop.unwrap_or_default();
    if !shop.is_empty() && !kind.of_shops {
        problems.add(&root.member("shop"), "is not for this kind: it is the whole workspace's");
    }
    let removed = members.get("removed").and_then(Value::as_bool) == Some(true);
    members.retain(|name, value| name == "zone" || !framed(name) && !value.is_null());
    let Some(name) = kind.name_of(&document) else {
        if problems.count() == before {
            problems.add(&root.member(&kind.names().join(" or ")), "is missing");
        }
        return None;
    };
    if kind.name.len() + escaped(&name).len() + STAMPS_BYTES > ENTITY_ID_BYTES_MAX {
        let mut names = kind.names().into_iter();
        let field = names.find(|field| document.get(field).is_some()).unwrap_or_default();
        problems.add(&root.member(field), "is too long, with each / and % as three bytes");
    }
    if !removed && kind.name == agents::CONFIGURATIONS.name && problems.count() == before {
        configured(&document, from, around, problems);
    }
    if problems.count() > before {
        return None;
    }
    if canonical(&document).len() > DOCUMENT_BYTES_MAX {
        problems.add(&root, format!("is larger than {DOCUMENT_BYTES_MAX} bytes"));
        return None;
    }
    let document = (!removed).then_some(document);
    Some(Change { shop, name: name.into(), valid_from, valid_until, document })
}

fn framed(name: &str) -> bool {
    FRAME.iter().any(|field| field.name == name)
}

fn configured(document: &Value, from: UtcMs, around: &Around<'_>, problems: &mut Problems) {
    let Some(definition) = around.definition else { return };
    let field = "agent_definition_id";
    let id = document.get(field).and_then(Value::as_str).unwrap_or_default();
    match definition(id, from) {
        Some(definition) => agents::fits(document, &definition, problems),
        None => {
            let reason = "no such agent is defined then; set it as one of agent-definitions first";
            problems.add(&Path::Root.member(field), reason);
        }
    }
}

/// The lines that changes are kept as.
#[must_use]
pub fn lines(changes: &[Change]) -> Vec<u8> {
    let mut lines = Vec::new();
    for change in changes {
        lines.extend_from_slice(line(change).as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// The line a change is kept as.
#[must_use]
pub fn line(change: &Change) -> String {
    // Texts, numbers and objects with names of text always serialise.
    canonical(&serde_json::to_value(change).unwrap_or_default())
}

/// A value as the one text that says it: names in order, no blanks.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(list) => {
            text.push('[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(element, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(&Value::String(name.clone()), text);
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// The id of a change as an entity: those of one setting are neighbours, in order of the instants
/// from which they hold, and then of those at which they came.
#[must_use]
pub fn entity_id(
    (kind, name): (&str, &str),
    from: UtcMs,
    received_at: UtcMs,
    content: u128,
) -> String {
    let (name, from, received) = (escaped(name), stamp(from), stamp(received_at));
    format!("{kind}/{name}/@{from}/{received}-{:08x}", content >> 96)
}

impl Change {
    /// From when it holds, if it came at an instant.
    #[must_use]
    pub fn from(&self, received_at: UtcMs) -> UtcMs {
        self.valid_from.unwrap_or(received_at)
    }

    /// Its version, and its id as an entity, if it came at an instant.
    #[must_use]
    pub fn named(&self, kind: &str, received_at: UtcMs) -> (Version, String) {
        let version = Version::new(received_at, received_at, line(self).as_bytes());
        let from = self.from(received_at);
        (version, entity_id((kind, &self.name), from, received_at, version.content))
    }
}

/// A name without the sign that stands between the parts of an id.
#[must_use]
pub fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

/// An instant whose text sorts as the instant does: the years have four digits.
fn stamp(at: UtcMs) -> String {
    match Timestamp::from_millisecond(at.0) {
        Ok(instant) => instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        Err(_) => format!("{} ms", at.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_meaning_has_one_text() {
        let one = json!({"b": [1, {"z": null, "a": "x\"y"}], "a": 1.5});
        assert_eq!(canonical(&one), r#"{"a":1.5,"b":[1,{"a":"x\"y","z":null}]}"#);
        let read: Value = serde_json::from_str(&canonical(&one)).unwrap();
        assert_eq!(read, one);
    }

    #[test]
    fn ids_of_one_setting_are_neighbours_in_order() {
        let id = |name: &str, from: i64, at: i64| {
            entity_id(("k", name), UtcMs(from), UtcMs(at), 7 << 96)
        };
        assert_eq!(
            id("a/b", 0, 5),
            "k/a%2Fb/@1970-01-01T00:00:00.000Z/1970-01-01T00:00:00.005Z-00000007"
        );
        let mut ids = vec![id("a", -1, 9), id("a", 0, 1), id("a", 999, 0), id("a", 1_000, 0)];
        let sorted = ids.clone();
        ids.reverse();
        ids.push(id("a/@", 0, 0));
        ids.sort();
        ids.retain(|id| id.starts_with("k/a/"));
        assert_eq!(ids, sorted);
        let longest = entity_id((&"k".repeat(22), ""), UtcMs(0), UtcMs(0), u128::MAX);
        assert!(longest.len() <= 22 + STAMPS_BYTES);
    }
}
