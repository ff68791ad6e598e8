//! The topics that should be, as a file says, and what has to be done for it.
//!
//! Invariant: pure; a plan never has fewer partitions in it, and deletes only what was named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

/// The catalogue that is used unless another is given.
pub const DEFAULT: &str = include_str!("../../../config/topics.toml");
/// The most partitions of one topic, and the most topics of one catalogue.
const PARTITIONS_MAX: i32 = 10_000;
const TOPICS_MAX: usize = 20_000;
/// What our topics are called at the beginning; no other is ever deleted.
pub const OURS: &str = "ionflux.";

/// How a broker tidies a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Cleanup {
    /// What is old goes.
    #[serde(rename = "delete")]
    Delete,
    /// The last of every key stays.
    #[serde(rename = "compact")]
    Compact,
    /// The last of every key stays until it is old.
    #[serde(rename = "compact,delete")]
    Both,
}

impl Cleanup {
    fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::Both => "compact,delete",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    topic: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    partitions: i32,
    cleanup: Cleanup,
    retention_ms: Option<i64>,
}

/// A topic as it is or as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Topic {
    /// How many partitions.
    pub partitions: i32,
    /// Settings by their Kafka name; of a topic that is, those that were set for it.
    pub settings: BTreeMap<String, String>,
}

/// Topics by name.
pub type Topics = BTreeMap<String, Topic>;

/// The topics of a catalogue, each `{workspace}` for every workspace.
///
/// # Errors
/// What is wrong with the catalogue.
pub fn topics(text: &str, workspaces: &[String]) -> Result<Topics, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut topics = Topics::new();
    for entry in &file.topic {
        let Entry { name, partitions, cleanup, retention_ms } = entry;
        if !(1..=PARTITIONS_MAX).contains(partitions) {
            return Err(format!("topic {name}: partitions outside 1 to {PARTITIONS_MAX}"));
        }
        if retention_ms.is_some_and(|ms| ms < -1 || ms == 0) {
            return Err(format!("topic {name}: retention_ms is a positive number, or -1 for ever"));
        }
        let mut settings = BTreeMap::from([("cleanup.policy".into(), cleanup.name().into())]);
        settings.extend(retention_ms.map(|ms| ("retention.ms".into(), ms.to_string())));
        let topic = Topic { partitions: *partitions, settings };
        for name in names(name, workspaces)? {
            if topics.insert(name.clone(), topic.clone()).is_some() {
                return Err(format!("topic {name} is there twice"));
            }
        }
        if topics.len() > TOPICS_MAX {
            return Err(format!("more than {TOPICS_MAX} topics"));
        }
    }
    Ok(topics)
}

fn names(name: &str, workspaces: &[String]) -> Result<Vec<String>, String> {
    let names = match name.contains("{workspace}") {
        true => workspaces.iter().map(|id| name.replace("{workspace}", id)).collect(),
        false => vec![name.to_owned()],
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let wrong = |name: &&String| {
        name.is_empty() || name.len() > super::topics::TOPIC_BYTES_MAX || !name.chars().all(legal)
    };
    match names.iter().find(wrong) {
        Some(name) => Err(format!("{name:?} is no name of a topic: letters, digits, . _ and -")),
        None => Ok(names),
    }
}

/// One thing to do, or to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Make a topic.
    Create(String, Topic),
    /// Add partitions.
    Grow {
        /// The topic.
        topic: String,
        /// How many it has.
        from: i32,
        /// How many it should have.
        to: i32,
    },
    /// Change settings; every setting of the topic as it will be.
    Set {
        /// The topic.
        topic: String,
        /// Name, the value that is set, if one is, and the value that should be.
        changes: Vec<(String, Option<String>, String)>,
        /// All settings afterwards.
        settings: BTreeMap<String, String>,
    },
    /// Delete a topic that was named for it.
    Delete(String),
    /// It has more partitions than it should, which nothing can take back.
    Wide {
        /// The topic.
        topic: String,
        /// How many it has.
        from: i32,
        /// How many it should have.
        to: i32,
    },
    /// The catalogue does not name it.
    Unknown(String),
}

impl Step {
    /// Whether there is something to do.
    #[must_use]
    pub fn acts(&self) -> bool {
        !matches!(self, Self::Wide { .. } | Self::Unknown(_))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(name, topic) => {
                write!(f, "+ {name}  partitions={}", topic.partitions)?;
                topic.settings.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
            }
            Self::Grow { topic, from, to } => write!(f, "~ {topic}  partitions: {from} -> {to}"),
            Self::Set { topic, changes, .. } => {
                write!(f, "~ {topic} ")?;
                changes.iter().try_for_each(|(name, from, to)| {
                    let from = from.as_deref().unwrap_or("unset");
                    write!(f, " {name}: {from} -> {to}")
                })
            }
            Self::Delete(name) => write!(f, "- {name}"),
            Self::Wide { topic, from, to } => {
                write!(f, "! {topic}  has {from} partitions, not {to}: they cannot be fewer")
            }
            Self::Unknown(name) => write!(f, "? {name}  is not in the catalogue; left alone"),
        }
    }
}

/// The topics that may be deleted, of those that were named for it. A cluster has topics of others
/// that are called as ours are: only a name tells which is meant.
///
/// # Errors
/// Which may not be deleted, and why.
pub fn named(
    names: &[String],
    wanted: &Topics,
    workspaces: &[String],
) -> Result<BTreeSet<String>, String> {
    if workspaces.is_empty() && !names.is_empty() {
        return Err("nothing is deleted without kafka.workspaces: the catalogue does not name \
                    the topics of any workspace, and they may be in use"
            .into());
    }
    for name in names {
        if !name.starts_with(OURS) {
            return Err(format!("{name}: only topics called {OURS}* are deleted"));
        }
        if wanted.contains_key(name) {
            return Err(format!("{name}: the catalogue names it; take it out of there first"));
        }
    }
    Ok(names.iter().cloned().collect())
}

/// What has to be done so that the topics that are become those that should be; of those that the
/// catalogue does not name, `delete` goes.
#[must_use]
pub fn plan(wanted: &Topics, present: &Topics, delete: &BTreeSet<String>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, topic) in wanted {
        match present.get(name) {
            None => steps.push(Step::Create(name.clone(), topic.clone())),
            Some(found) => steps.extend(changes(name, topic, found)),
        }
    }
    let unknown: BTreeSet<&String> =
        present.keys().filter(|name| !wanted.contains_key(*name)).collect();
    for name in unknown.into_iter().filter(|name| name.starts_with(OURS)) {
        steps.push(match delete.contains(name) {
            true => Step::Delete(name.clone()),
            false => Step::Unknown(name.clone()),
        });
    }
    steps
}

fn changes(name: &str, wanted: &Topic, found: &Topic) -> Vec<Step> {
    let mut steps = Vec::new();
    let (topic, from, to) = (name.to_owned(), found.partitions, wanted.partitions);
    match from.cmp(&to) {
        std::cmp::Ordering::Less => steps.push(Step::Grow { topic: topic.clone(), from, to }),
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => steps.push(Step::Wide { topic: topic.clone(), from, to }),
    }
    let differs = |(name, to): (&String, &String)| {
        let from = found.settings.get(name);
        (from != Some(to)).then(|| (name.clone(), from.cloned(), to.clone()))
    };
    let changes: Vec<_> = wanted.settings.iter().filter_map(differs).collect();
    if !changes.is_empty() {
        let mut settings = found.settings.clone();
        settings.extend(wanted.settings.clone());
        steps.push(Step::Set { topic, changes, settings });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_is_named_is_deleted() {
        let workspaces = names(&["a"]);
        let wanted = topics(DEFAULT, &workspaces).unwrap();
        let of = |id: &str| format!("ionflux.shopify.workspace_{id}.events_raw");
        let mut present = wanted.clone();
        let others = [of("b"), of("c"), "ionflux.old".to_owned()];
        present.extend(others.iter().map(|name| (name.clone(), Topic::default())));
        let delete = named(&names(&["ionflux.old", "ionflux.gone"]), &wanted, &workspaces).unwrap();
        let steps = plan(&wanted, &present, &delete);
        let [b, c, old] = others;
        assert_eq!(steps, [Step::Delete(old), Step::Unknown(b), Step::Unknown(c)]);
    }

    #[test]
    fn what_may_be_in_use_is_not_deleted_though_it_is_named() {
        let wanted = topics(DEFAULT, &names(&["a"])).unwrap();
        let refused = |name: &str, workspaces: &[&str]| {
            named(&names(&[name]), &wanted, &names(workspaces)).unwrap_err()
        };
        let other = "ionflux.shopify.workspace_b.events_raw";
        assert!(refused(other, &[]).contains("kafka.workspaces"));
        assert!(refused("ionflux.platform.activity_events", &["a"]).contains("catalogue names it"));
        assert!(refused("orders_raw", &["a"]).contains("only topics called ionflux.*"));
        assert_eq!(named(&[], &wanted, &[]), Ok(BTreeSet::new()));
    }
}
