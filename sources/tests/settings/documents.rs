//! Golden settings: every file of `fixtures/settings` beside what it sets or what is wrong with it.
//!
//! Invariant: a case is a file named by its kind, and its `.expect`; adding one adds no Rust.
//! `UPDATE_EXPECT=1` writes the answers of today, to be read before they are kept.

use std::fs;
use std::path::{Path, PathBuf};

use ionflux_schemas::time::UtcMs;
use ionflux_sources::settings::change::{Around, Change, line, read};
use ionflux_sources::settings::kinds::{self, KINDS};
use ionflux_sources::settings::problem::Problems;
use ionflux_sources::settings::{tree, upload};
use proptest::prelude::*;
use serde_json::Value;

const NOW: UtcMs = UtcMs(1_772_323_200_000);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/settings")
}

fn cases() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let mut cases: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|kind| kind != "expect")).collect();
    cases.sort();
    cases
}

fn changes(
    kind: &str,
    form: &str,
    text: &str,
    problems: &mut Problems,
) -> Result<Vec<Change>, String> {
    let items = match form {
        "json" => tree::json(text, problems),
        "yaml" => tree::yaml(text, problems),
        _ => upload::read(text, problems),
    }?;
    let definition = |id: &str, _: UtcMs| definitions().into_iter().find(|known| known["id"] == id);
    let around = Around { shop: None, zone: None, now: NOW, definition: Some(&definition) };
    Ok(read(kinds::of(kind).unwrap(), items, &around, problems))
}

/// The agents of the fixtures, in their one spelling.
fn definitions() -> Vec<Value> {
    let text = fs::read_to_string(folder().join("agent-definitions.good.yaml")).unwrap();
    let mut problems = Problems::default();
    let around = Around { shop: None, zone: None, now: NOW, definition: None };
    let items = tree::yaml(&text, &mut problems).unwrap();
    let changes = read(kinds::of("agent-definitions").unwrap(), items, &around, &mut problems);
    changes.into_iter().filter_map(|change| change.document).collect()
}

fn said(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    let (kind, form) = (name.split('.').next().unwrap(), name.rsplit('.').next().unwrap());
    let mut problems = Problems::default();
    let text = fs::read_to_string(path).unwrap();
    let changes = match changes(kind, form, &text, &mut problems) {
        Ok(changes) => changes,
        Err(reason) => return format!("refused: {reason}\n"),
    };
    match problems.count() {
        0 => changes.iter().map(|change| line(change) + "\n").collect(),
        _ => problems.told().iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

#[test]
fn every_fixture_says_what_is_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let expect = PathBuf::from(format!("{}.expect", case.display()));
        let said = said(&case);
        assert!(!said.is_empty(), "{} says nothing", case.display());
        if update {
            fs::write(&expect, &said).unwrap();
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- said\n{said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_has_a_good_and_a_bad_example() {
    let names: Vec<String> =
        cases().iter().map(|case| case.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    for kind in KINDS {
        for quality in ["good", "bad"] {
            let start = format!("{}.{quality}.", kind.name);
            assert!(names.iter().any(|name| name.starts_with(&start)), "{start}");
        }
    }
}

#[test]
fn what_was_set_is_set_again_as_it_is() {
    for case in cases() {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.contains(".good.") {
            continue;
        }
        let kind = name.split('.').next().unwrap();
        let text = fs::read_to_string(&case).unwrap();
        let form = name.rsplit('.').next().unwrap();
        let first = changes(kind, form, &text, &mut Problems::default()).unwrap();
        let documents: Vec<&Value> = first.iter().filter_map(|c| c.document.as_ref()).collect();
        let text = serde_json::to_string(&documents).unwrap();
        let mut problems = Problems::default();
        let again = changes(kind, "json", &text, &mut problems).unwrap();
        assert_eq!(problems.told(), [], "{name}");
        let documents_again: Vec<&Value> =
            again.iter().filter_map(|c| c.document.as_ref()).collect();
        assert_eq!(documents_again, documents, "{name}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "id",
        "name",
        "rule",
        "criteria",
        "count",
        "all",
        "at_least",
        "entries",
        "cost",
        "sku",
        "zone",
        "currency",
        "triggers",
        "inputs",
        "type",
        "removed",
        "valid_from",
        "shop",
        "steps",
        "EUR",
        "1",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_taken_or_refused_with_a_reason(
        value in any_value(),
        kind in prop::sample::select(KINDS.iter().collect::<Vec<_>>()),
    ) {
        let items = usize::from(!value.is_array()).max(value.as_array().map_or(0, Vec::len));
        let mut problems = Problems::default();
        let changes = changes(kind.name, "json", &value.to_string(), &mut problems).unwrap();
        prop_assert!(changes.len() == items || problems.count() > 0);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-a:{}\\[\\]\"'&*!|> \n0-9,]{0,80}") {
        let _ = tree::yaml(&text, &mut Problems::default());
        let _ = tree::json(&text, &mut Problems::default());
        let _ = upload::read(&text, &mut Problems::default());
    }
}
