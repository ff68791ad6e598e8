//! A definition that was released never changes under its version: whoever holds rows or events of
//! it, on disk, on a topic or in a target, could not tell old from new.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("avro").join(name)
}

/// Every definition of a folder: its file name without the ending, and its text.
fn definitions(name: &str) -> Vec<(String, String)> {
    let files = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let definition = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    let mut definitions: Vec<_> = files.map(definition).collect();
    definitions.sort();
    definitions
}

/// What is defined: what comes in and what goes out.
const FOLDERS: [&str; 2] = ["events", "views"];

/// The version in the namespace, such as the 2 of `ionflux.views.v2`.
fn version(name: &str, text: &str) -> u32 {
    let schema: serde_json::Value = serde_json::from_str(text).unwrap();
    let namespace = schema["namespace"].as_str().unwrap();
    let number = |folder: &&str| namespace.strip_prefix(&format!("ionflux.{folder}.v"));
    let version = FOLDERS.iter().find_map(number).and_then(|number| number.parse().ok());
    version.unwrap_or_else(|| panic!("{name}: the namespace {namespace} names no version"))
}

#[test]
fn a_changed_definition_has_a_new_version() {
    let released = definitions("released");
    for (name, text) in FOLDERS.into_iter().flat_map(definitions) {
        let copy = format!("{name}.v{}", version(&name, &text));
        let Some((_, frozen)) = released.iter().find(|(of, _)| *of == copy) else {
            panic!("{name} has no released copy: add schemas/avro/released/{copy}.avsc");
        };
        assert!(
            *frozen == text,
            "{name} differs from {copy}, which is released: count its version up, in the \
             namespace and in its View, and add the new copy"
        );
    }
    for (copy, text) in &released {
        let (name, number) = copy.rsplit_once(".v").unwrap();
        assert_eq!(version(name, text), number.parse::<u32>().unwrap(), "{copy}");
    }
}
