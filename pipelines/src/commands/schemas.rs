//! `ionflux schemas`: may what we write follow what was released, and the registry that holds it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ionflux_operators::list;
use ionflux_sources::poller::Stop;
use ionflux_sources::registry::check::follows;
use serde_json::Value;

use super::print;
use crate::config::Config;
use crate::failure::Failure;
use crate::secrets::Secrets;

/// The longest definition, in bytes.
const DEFINITION_BYTES_MAX: u64 = 1 << 20;

/// Check the Avro schemas against their releases, or put them into a registry
#[derive(Args, Debug)]
pub struct Schemas {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Check that each schema reads what its release wrote, and its release what it writes
    Check(Where),
    /// Put each schema into the registry of the section [registry] under its full name, and under
    /// those of its topics what a Kafka sink in Avro writes
    Register {
        /// The configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        place: Where,
    },
}

#[derive(Args, Debug)]
struct Where {
    /// The folder with events/, views/ and released/
    #[arg(long, value_name = "DIR", default_value = "schemas/avro")]
    folder: PathBuf,
}

/// One schema.
struct Definition {
    name: String,
    /// Such as `ionflux.views.v2`.
    namespace: String,
    version: u32,
    text: String,
    /// Whether it is of a view, whose rows have keys.
    view: bool,
}

impl Schemas {
    /// Checks or registers.
    ///
    /// # Errors
    /// When a schema may not follow its release, or the registry does not take it.
    pub fn execute(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Check(place) => check(&place.folder),
            Action::Register { config, place } => register(config, &place.folder),
        }
    }
}

fn check(folder: &Path) -> Result<(), Failure> {
    let released = read(&folder.join("released"))?;
    let mut broken = Vec::new();
    for now in present(folder)? {
        let Definition { name, version, .. } = &now;
        let of = |definition: &&Definition| definition.name == *name;
        let Some(same) = released.iter().filter(of).find(|old| old.version == *version) else {
            broken.push(format!("{name} v{version} has no released copy {name}.v{version}.avsc"));
            continue;
        };
        match unbroken(same, &now) {
            Ok(()) => {
                print(format!("{name} v{version}: compatible in both directions\n").as_bytes())?
            }
            Err(why) => broken.push(format!("{name} v{version}: {why}")),
        }
        // A new version may break with the last one, but whoever reads this should know.
        let before = released.iter().filter(of).filter(|old| old.version < *version);
        if let Some(before) = before.max_by_key(|old| old.version)
            && let Err(why) = unbroken(before, &now)
        {
            let old = before.version;
            print(format!("{name} v{old} -> v{version}: a break, {why}\n").as_bytes())?;
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    let hint = "give new fields a default and keep the old ones, or count the version up in the \
                namespace and add the released copy";
    Err(Failure::world(broken.join("\n"), hint))
}

/// Whether a schema may follow a release of it, and so may what is derived from it.
fn unbroken(released: &Definition, now: &Definition) -> Result<(), String> {
    follows(&released.text, &now.text)?;
    if !now.view {
        return Ok(());
    }
    for (part, old, new) in derived(&released.text, &now.text)? {
        follows(&old, &new).map_err(|why| format!("{part} in a topic: {why}"))?;
    }
    Ok(())
}

/// What the Kafka sink derives from two schemas of a view, with what it is.
#[cfg(feature = "kafka")]
fn derived(released: &str, now: &str) -> Result<Vec<(&'static str, String, String)>, String> {
    use ionflux_sinks::kafka::subjects::{change, key};

    let both = |part, derive: fn(&str) -> serde_json::Result<String>| {
        let made = derive(released).and_then(|old| Ok((part, old, derive(now)?)));
        made.map_err(|error| error.to_string())
    };
    Ok(vec![both("its key", key)?, both("its change", change)?])
}

#[cfg(not(feature = "kafka"))]
fn derived(_: &str, _: &str) -> Result<Vec<(&'static str, String, String)>, String> {
    Ok(Vec::new())
}

fn register(config_file: &Path, folder: &Path) -> Result<(), Failure> {
    let config = Config::read(config_file)?;
    let Some(section) = &config.registry else {
        let problem = format!("{}: there is no section [registry]", config_file.display());
        return Err(Failure::usage(problem, "it names the registry: url = \"https://host\""));
    };
    let registry = section.client(&Secrets::of(&config, config_file)?)?;
    let (stop, hint) = (Stop::default(), "check registry.url, the user's rights and its rules");
    let failed = |problem: &dyn std::fmt::Display| Failure::world(problem, hint);
    let named =
        |Definition { name, namespace, text, .. }: Definition| (namespace + "." + &name, text);
    let mut subjects: Vec<_> = present(folder)?.into_iter().map(named).collect();
    let written = config.sinks.subjects(&list::views()).map_err(|problem| failed(&problem))?;
    subjects.extend(written.into_iter().map(|subject| (subject.name, subject.definition)));
    for (subject, text) in subjects {
        let known = registry.known(&subject, &text, &stop).map_err(|error| failed(&error))?;
        let id = if let Some(id) = known {
            id
        } else {
            let compatible = registry.compatible(&subject, &text, &stop);
            if let Err(why) = compatible.map_err(|error| failed(&error))? {
                return Err(failed(&format!("{subject}: the registry says it breaks: {why}")));
            }
            registry.register(&subject, &text, &stop).map_err(|error| failed(&error))?
        };
        print(format!("{subject}: schema {id}\n").as_bytes())?;
    }
    Ok(())
}

/// The schemas of events and views.
fn present(folder: &Path) -> Result<Vec<Definition>, Failure> {
    let mut found = read(&folder.join("views"))?;
    // A folder from before there were events has none.
    if folder.join("events").exists() {
        let events = read(&folder.join("events"))?;
        found.extend(events.into_iter().map(|event| Definition { view: false, ..event }));
    }
    Ok(found)
}

/// The schemas of a folder, by name.
fn read(folder: &Path) -> Result<Vec<Definition>, Failure> {
    let hint = "--folder names the folder with events/, views/ and released/, as in schemas/avro";
    let failed = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {why}", path.display()), hint)
    };
    let files = std::fs::read_dir(folder).map_err(|cause| failed(folder, &cause))?;
    let mut found = BTreeMap::new();
    for file in files {
        let path = file.map_err(|cause| failed(folder, &cause))?.path();
        if path.extension().is_none_or(|extension| extension != "avsc") {
            continue;
        }
        let bytes = std::fs::metadata(&path).map_err(|cause| failed(&path, &cause))?.len();
        if bytes > DEFINITION_BYTES_MAX {
            return Err(failed(&path, &"too long for a schema"));
        }
        let text = std::fs::read_to_string(&path).map_err(|cause| failed(&path, &cause))?;
        let schema: Value = serde_json::from_str(&text).map_err(|cause| failed(&path, &cause))?;
        let member = |name: &str| schema[name].as_str().unwrap_or_default().to_owned();
        let (name, namespace) = (member("name"), member("namespace"));
        let version = namespace.rsplit_once(".v").and_then(|(_, version)| version.parse().ok());
        let Some(version) = version.filter(|_| !name.is_empty()) else {
            return Err(failed(&path, &"no name, or no version at the end of its namespace"));
        };
        found.insert(path, Definition { name, namespace, version, text, view: true });
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schemas of this repository may follow what was released.
    #[test]
    fn ours_follow_their_releases() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/avro");
        check(&folder).unwrap();
    }

    #[test]
    fn a_break_under_the_same_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, version: u32, fields: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = format!(
                r#"{{"type":"record","name":"r","namespace":"n.v{version}","fields":[{fields}]}}"#
            );
            std::fs::write(path, text).unwrap();
        };
        let (a, b) = (r#"{"name":"a","type":"string"}"#, r#"{"name":"b","type":"string"}"#);
        put("released/r.v1.avsc", 1, a);
        put("views/r.avsc", 1, a);
        check(folder.path()).unwrap();
        put("views/r.avsc", 1, b);
        let refused = check(folder.path()).unwrap_err();
        assert!(refused.problem.contains("not backward") && refused.exit_code() == 1);
        put("views/r.avsc", 2, b);
        assert!(check(folder.path()).unwrap_err().problem.contains("no released copy r.v2.avsc"));
        put("released/r.v2.avsc", 2, b);
        check(folder.path()).unwrap();
        assert_eq!(check(Path::new("nowhere")).unwrap_err().exit_code(), 2);
    }

    /// The row of a view says nothing of its key, but the records of its topic do.
    #[cfg(feature = "kafka")]
    #[test]
    fn a_break_of_what_is_derived_from_a_view_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, key: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let fields = r#"{"name":"a","type":"string"},{"name":"b","type":"string"}"#;
            let text = format!(
                r#"{{"type":"record","name":"r","namespace":"n.v1","ionflux.key":[{key}],
                    "fields":[{fields}]}}"#
            );
            std::fs::write(path, text).unwrap();
        };
        put("released/r.v1.avsc", r#""a""#);
        put("views/r.avsc", r#""a""#);
        check(folder.path()).unwrap();
        put("views/r.avsc", r#""a","b""#);
        let refused = check(folder.path()).unwrap_err().problem;
        assert!(refused.starts_with("r v1: its key in a topic: not backward"), "{refused}");
        // An event is keyed by its workspace, whatever its schema says.
        std::fs::rename(folder.path().join("views"), folder.path().join("events")).unwrap();
        std::fs::create_dir(folder.path().join("views")).unwrap();
        check(folder.path()).unwrap();
    }
}
