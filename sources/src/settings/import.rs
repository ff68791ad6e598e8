//! A file of documents of several kinds, sorted into the requests that set them.
//!
//! Invariant: a document whose kind nobody says and nobody can tell is refused, never guessed; the
//! requests are in the order in which one needs what another sets.

use ionflux_schemas::time::UtcMs;
use serde_json::Value;

use super::change::{self, Around};
use super::kinds::{self, KINDS, Kind, agents};
use super::problem::{Lines, Path, Problem, Problems, line_of, shown};
use super::tree;

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// The field that says of which kind a document is.
const KIND: &str = "kind";

/// The documents of a file that are of one kind.
pub struct Batch {
    /// The kind.
    pub kind: &'static Kind,
    /// The documents, as they were written.
    pub documents: Vec<Value>,
    /// The lines of each.
    lines: Vec<Lines>,
}

impl Batch {
    /// A problem that was told of a document of the batch, with its line.
    #[must_use]
    pub fn placed(&self, mut problem: Problem) -> Problem {
        let lines = self.lines.get(problem.item);
        problem.line = lines.and_then(|lines| line_of(lines, &problem.field)).or(problem.line);
        problem
    }
}

/// The batches of a YAML or JSON text.
///
/// # Errors
/// Everything that is wrong with it, as far as that can be known without what is set already.
pub fn read(text: &str) -> Result<Vec<Batch>, Vec<String>> {
    let mut problems = Problems::default();
    let items = tree::yaml(text, &mut problems).map_err(|reason| vec![reason])?;
    let mut batches: Vec<Batch> =
        KINDS.iter().map(|kind| Batch { kind, documents: Vec::new(), lines: Vec::new() }).collect();
    for (index, (mut document, lines)) in items.into_iter().enumerate() {
        problems.begin(index, lines.clone());
        let Some(kind) = kind_of(&mut document, &mut problems) else { continue };
        let batch = batches.iter_mut().find(|batch| batch.kind.name == kind.name);
        if let Some(batch) = batch {
            batch.documents.push(document);
            batch.lines.push(lines);
        }
    }
    batches.retain(|batch| !batch.documents.is_empty());
    let mut told: Vec<String> = problems.told().iter().map(ToString::to_string).collect();
    for batch in &batches {
        told.extend(wrong(batch));
    }
    match (told.is_empty(), batches.is_empty()) {
        (true, false) => Ok(batches),
        (true, true) => Err(vec!["there is no document in it".to_owned()]),
        (false, _) => Err(told),
    }
}

/// What is wrong with the documents of a batch by themselves.
fn wrong(batch: &Batch) -> Vec<String> {
    let mut problems = Problems::default();
    let items = batch.documents.iter().cloned().zip(batch.lines.iter().cloned()).collect();
    let around = Around { shop: None, zone: None, now: NEVER, definition: None };
    change::read(batch.kind, items, &around, &mut problems);
    problems.told().iter().map(ToString::to_string).collect()
}

/// Documents without an instant hold from one that only the door knows.
const NEVER: UtcMs = UtcMs(i64::MIN);

/// The kind a document says, which is no field of its own, or that its fields tell.
fn kind_of(document: &mut Value, problems: &mut Problems) -> Option<&'static Kind> {
    let Some(members) = document.as_object_mut() else {
        problems.add(&Path::Root, "must be an object");
        return None;
    };
    if let Some(told) = members.remove(KIND) {
        let known = told.as_str().and_then(kinds::of);
        if known.is_none() {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            let told = shown(told.as_str().unwrap_or_default());
            let reason = format!("{told:?} must be one of {}", names.join(", "));
            problems.add(&Path::Root.member(KIND), reason);
        }
        return known;
    }
    let has = |names: &[&str]| names.iter().any(|name| members.contains_key(*name));
    if has(&["version", "outputs"]) {
        return Some(&agents::DEFINITIONS);
    }
    if has(&["agent_definition_id", "definition_id", "agent_id"]) {
        return Some(&agents::CONFIGURATIONS);
    }
    let reason = "is neither the definition nor the configuration of an agent; say with \"kind\" \
                  what it is";
    problems.add(&Path::Root, reason);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_sorted_by_what_they_say_and_hold() {
        let text = "name: mine\nagent_definition_id: x\n---\nid: x\nname: X\nversion: 0.2\n---\n\
                    - {kind: budgets, id: a, false_incidents_per_week: \"1\"}\n\
                    - {kind: budgets, id: b, false_incidents_per_week: \"1\"}\n";
        let batches = read(text).unwrap_or_else(|told| panic!("{told:?}"));
        let shown: Vec<(&str, usize)> =
            batches.iter().map(|batch| (batch.kind.name, batch.documents.len())).collect();
        assert_eq!(shown, [("budgets", 2), ("agent-definitions", 1), ("agent-configurations", 1)]);
        let told = Problem { item: 1, line: None, field: "id".into(), reason: "taken".into() };
        assert_eq!(batches[0].placed(told).to_string(), "line 9: id: taken");
    }

    #[test]
    fn every_mistake_of_a_file_has_its_line() {
        let text = "- {kind: poems}\n- {id: x}\n- {kind: budgets, id: a}\n- 7\n";
        let Err(told) = read(text) else { panic!("it was taken") };
        let told = told.join("\n");
        for expected in [
            "line 1: kind: \"poems\" must be one of product-costs",
            "line 2: is neither",
            "line 3: false_incidents_per_week: is missing",
            "line 4: must be an object",
        ] {
            assert!(told.contains(expected), "{expected} is not in\n{told}");
        }
        assert!(read("").is_err() && read("a: [").is_err());
    }
}
