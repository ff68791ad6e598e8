//! The house checks: who may import whom, how long a file and a function may be, that every file
//! says what it owns, and which words do not belong here.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 8] =
    ["schemas", "operators", "ledger", "sources", "sinks", "service", "pipelines", "benches"];
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every Rust file of ours, with its text.
fn files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|name| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 50, "the files were not found");
    files.sort();
    files
}

fn check(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn crates_import_only_along_the_arrows() {
    let allowed = |name: &str, of: &str| match name {
        "schemas" => false,
        "pipelines" => of != "benches",
        "benches" => true,
        _ => of == "schemas",
    };
    let mut problems = Vec::new();
    for name in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let package = |of: &str| match of {
            "pipelines" => "ionflux.workspace".to_owned(),
            _ => format!("ionflux-{of}.workspace"),
        };
        let imported = |of: &&&str| manifest.lines().any(|line| line.starts_with(&package(of)));
        for of in CRATES.iter().filter(imported).filter(|of| !allowed(name, of)) {
            problems.push(format!("{name} imports {of}"));
        }
        for (word, homes) in [
            ("timely", &["operators", "pipelines"][..]),
            ("differential-dataflow", &["operators"]),
            ("tokio", &["service", "pipelines", "benches", "sources", "sinks"]),
            ("datafusion", &["service"]),
        ] {
            let used = manifest.lines().any(|line| line.starts_with(&format!("{word}.workspace")));
            if used && !homes.contains(&name) {
                problems.push(format!("{name} depends on {word}"));
            }
        }
    }
    check(problems);
}

#[test]
fn every_dependency_has_its_version_in_one_place() {
    let mut problems = Vec::new();
    for name in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let mut inside = false;
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                inside = line.contains("dependencies");
            } else if inside && !line.is_empty() && !line.contains("workspace = true") {
                problems.push(format!("{name}: {line}"));
            }
        }
    }
    check(problems);
}

#[test]
fn files_and_functions_are_short_and_say_what_they_own() {
    let mut problems = Vec::new();
    for (path, text) in files() {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        if !text.starts_with("//!") {
            problems.push(format!("{shown} does not open with //!"));
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            problems.push(format!("{shown} has {lines} lines"));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                problems.push(format!("{shown}:{} is wider than {COLUMNS_MAX}", number + 1));
            }
        }
        problems.extend(long_functions(&shown, &text));
    }
    check(problems);
}

/// Functions by their indentation: from the line of `fn` to the brace that closes it.
fn long_functions(shown: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut open: Option<(usize, String)> = None;
    // Expected text of tests is data: it counts no lines.
    let (mut expected, mut data) = (false, 0);
    for (number, line) in text.lines().enumerate() {
        expected |= line.contains("expect![[r#");
        data += usize::from(expected);
        expected &= !line.contains("\"#]]");
        let indent: String = line.chars().take_while(|c| *c == ' ').collect();
        let code = line.trim_start();
        let begins =
            ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "async fn ", "pub async fn "];
        if begins.iter().any(|begin| code.starts_with(begin)) && !code.ends_with(';') {
            open = Some((number, indent));
            data = 0;
        } else if let Some((from, outer)) = &open
            && line.strip_prefix(outer.as_str()).is_some_and(|rest| rest == "}")
        {
            let lines = number - from + 1 - data;
            if lines > FUNCTION_LINES_MAX {
                problems.push(format!("{shown}:{}: a function of {lines} lines", from + 1));
            }
            open = None;
        }
    }
    problems
}

#[test]
fn some_words_do_not_belong_here() {
    // Split, so that this file does not find itself.
    let banned: Vec<String> = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["FIX", "ME"],
        ["#[igno", "re"],
        ["dbg", "!("],
        ["thread::sl", "eep"],
        ["mod uti", "ls"],
        ["mod hel", "pers"],
        ["mod com", "mon"],
    ]
    .map(|[a, b]| format!("{a}{b}"))
    .to_vec();
    let mut problems = Vec::new();
    for (path, text) in files() {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        for (number, line) in text.lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(word.as_str())) {
                problems.push(format!("{shown}:{}: {word}", number + 1));
            }
        }
    }
    check(problems);
}

#[test]
fn no_float_comes_near_money() {
    let mut problems = Vec::new();
    for (path, text) in files() {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        let exact =
            ["schemas/", "operators/", "ledger/", "sources/src/shopify", "sources/src/files"];
        if exact.iter().any(|part| shown.starts_with(part)) && !shown.contains("/tests/") {
            for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains("f64"))
            {
                if !line.trim_start().starts_with("//") {
                    problems.push(format!("{shown}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    check(problems);
}
