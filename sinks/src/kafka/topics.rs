//! The topics of the sink: looked at, and made where they are missing.
//!
//! Invariant: a mark is never left for topics that were just made: it goes first, so that they are
//! due a snapshot.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::runtime::Runtime;

use super::error::{Heard, refused};
use super::reader::{REQUEST_MAX, Reader};
use crate::error::SinkError;

/// The broker's own default number of copies.
const COPIES: TopicReplication<'static> = TopicReplication::Fixed(-1);
/// Marks are many and small: what is in the way of compaction is kept small too.
const MARK_SEGMENT_BYTES: &str = "1048576";

/// What becomes of old records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cleanup {
    /// The newest of each key stays.
    Compact,
    /// They go with time.
    Delete,
}

impl Cleanup {
    fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Delete => "delete",
        }
    }
}

/// A topic as it should be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// How many partitions it is made with.
    pub partitions: i32,
    pub(super) cleanup: Cleanup,
    /// Whether it holds the marks, without which nothing is exact.
    pub(super) marks: bool,
}

impl Wanted {
    /// Its settings by their Kafka names.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, &'static str)> {
        let mut settings = vec![("cleanup.policy", self.cleanup.name())];
        settings.extend(self.marks.then_some(("segment.bytes", MARK_SEGMENT_BYTES)));
        settings
    }
}

/// Who may see and make topics.
pub(super) struct Admin {
    client: AdminClient<Heard>,
    runtime: Runtime,
    options: AdminOptions,
    heard: Heard,
}

impl Admin {
    pub(super) fn new(client: &ClientConfig) -> Result<Self, SinkError> {
        let heard = Heard::default();
        let client = AdminClient::from_config_and_context(client, heard.clone());
        let client = client.map_err(|error| heard.failed("connect", error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime =
            runtime.map_err(|error| SinkError::transient("Kafka: no runtime").caused_by(error))?;
        let limit: Option<Duration> = Some(REQUEST_MAX);
        let options = AdminOptions::new().request_timeout(limit).operation_timeout(limit);
        Ok(Self { client, runtime, options, heard })
    }

    /// Makes topics and waits until they are there; one that somebody else makes at the same time
    /// is as good.
    pub(super) fn make(&self, wanted: &[&Wanted], reader: &Reader) -> Result<(), SinkError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let new: Vec<NewTopic<'_>> = wanted
            .iter()
            .map(|topic| {
                let new = NewTopic::new(&topic.name, topic.partitions, COPIES);
                topic.settings().into_iter().fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        let made = self.runtime.block_on(self.client.create_topics(&new, &self.options));
        for result in made.map_err(|error| self.heard.failed("make topics", error))? {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(refused(&format!("make {name}"), code)),
            }
        }
        reader.await_topics(&wanted.iter().map(|t| t.name.as_str()).collect::<Vec<_>>())
    }

    /// Checks what becomes of the old records of topics.
    pub(super) fn check(&self, wanted: &[&Wanted]) -> Result<(), SinkError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = wanted.iter().map(|t| ResourceSpecifier::Topic(&t.name)).collect();
        let told = self.runtime.block_on(self.client.describe_configs(&asked, &self.options));
        for resource in told.map_err(|error| self.heard.failed("look at topics", error))? {
            let resource = resource.map_err(|code| refused("look at topics", code))?;
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
            let held = resource.get("cleanup.policy").and_then(|entry| entry.value.as_deref());
            let Some(topic) = wanted.iter().find(|topic| topic.name == *name) else { continue };
            let due = topic.cleanup.name();
            if held.is_none_or(|held| held == due) {
                continue;
            }
            let held = held.unwrap_or_default();
            let what = format!("Kafka: the topic {name} has cleanup.policy={held}, not {due}");
            if topic.marks {
                return Err(SinkError::permanent(format!("{what}: set it, or it forgets marks")));
            }
            tracing::warn!("{what}: who reads it from the beginning will not see every row");
        }
        Ok(())
    }
}

/// A topic that is missing and must not be made.
pub(super) fn missing(wanted: &[&Wanted]) -> SinkError {
    let names: Vec<&str> = wanted.iter().map(|topic| topic.name.as_str()).collect();
    SinkError::permanent(format!(
        "Kafka: no topic {}: make it by ionflux topics apply, or set create_topics",
        names.join(", ")
    ))
}
