//! The topics of a cluster: asked for, and made as a plan says.
//!
//! Invariant: one step is one request; a step that was done is done again without an effect.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig as _;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Runtime;

use super::catalog::{Step, Topic, Topics};
use super::connection::Connection;

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// How many topics are described by one request.
const DESCRIBED_MAX: usize = 500;
/// The broker's own default number of copies.
const REPLICATION_DEFAULT: i32 = -1;

/// Who may see and change topics.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    runtime: Runtime,
    options: AdminOptions,
}

impl Admin {
    /// Connects to a cluster; nothing is asked yet.
    ///
    /// # Errors
    /// When the connection's options are not those of a client.
    pub fn new(connection: &Connection) -> Result<Self, String> {
        let client = AdminClient::from_config(&connection.client());
        let client = client.map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let options = AdminOptions::new();
        let options = options.request_timeout(Some(REQUEST_MAX));
        let options = options.operation_timeout(Some(REQUEST_MAX));
        Ok(Self { client, runtime, options })
    }

    /// The topics that are, without the brokers' own.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn topics(&self) -> Result<Topics, String> {
        let metadata = self.client.inner().fetch_metadata(None, REQUEST_MAX);
        let metadata = metadata.map_err(|error| error.to_string())?;
        let mut topics = Topics::new();
        for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
            let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            let found = Topic { partitions, settings: BTreeMap::new() };
            topics.insert(topic.name().to_owned(), found);
        }
        let names: Vec<String> = topics.keys().cloned().collect();
        for names in names.chunks(DESCRIBED_MAX) {
            let asked = names.iter().map(|name| ResourceSpecifier::Topic(name));
            let asked: Vec<_> = asked.collect();
            let described = self.client.describe_configs(&asked, &self.options);
            let described = self.runtime.block_on(described);
            for resource in described.map_err(|error| error.to_string())? {
                let resource = resource.map_err(|error| format!("settings: {error}"))?;
                let OwnedResourceSpecifier::Topic(name) = resource.specifier else { continue };
                let Some(topic) = topics.get_mut(&name) else { continue };
                let own = resource.entries.into_iter();
                let own = own.filter(|entry| entry.source == ConfigSource::DynamicTopic);
                topic.settings.extend(own.filter_map(|entry| Some((entry.name, entry.value?))));
            }
        }
        Ok(topics)
    }

    /// Does one step of a plan.
    ///
    /// # Errors
    /// What the broker says.
    pub fn apply(&self, step: &Step) -> Result<(), String> {
        match step {
            Step::Create(name, topic) => {
                let copies = TopicReplication::Fixed(REPLICATION_DEFAULT);
                let new = NewTopic::new(name, topic.partitions, copies);
                let new =
                    topic.settings.iter().fold(new, |new, (name, value)| new.set(name, value));
                let made = self.client.create_topics([&new], &self.options);
                done(self.runtime.block_on(made), RDKafkaErrorCode::TopicAlreadyExists)
            }
            Step::Grow { topic, to, .. } => {
                let new = NewPartitions::new(topic, usize::try_from(*to).unwrap_or(0));
                let made = self.client.create_partitions([&new], &self.options);
                done(self.runtime.block_on(made), RDKafkaErrorCode::NoError)
            }
            Step::Set { topic, settings, .. } => {
                // The request replaces all that was set: what is not ours to change goes with it.
                let specifier = ResourceSpecifier::Topic(topic);
                let alter = AlterConfig::new(specifier);
                let alter =
                    settings.iter().fold(alter, |alter, (name, value)| alter.set(name, value));
                let made = self.client.alter_configs([&alter], &self.options);
                let made = self.runtime.block_on(made).map_err(|error| error.to_string())?;
                let failed = made.into_iter().find_map(Result::err);
                failed.map_or(Ok(()), |(_, code)| Err(code.to_string()))
            }
            Step::Delete(name) => {
                let gone = self.client.delete_topics(&[name.as_str()], &self.options);
                done(self.runtime.block_on(gone), RDKafkaErrorCode::UnknownTopicOrPartition)
            }
            Step::Wide { .. } | Step::Unknown(_) => Ok(()),
        }
    }
}

/// Whether it is done, or was before.
fn done(results: KafkaResult<Vec<TopicResult>>, before: RDKafkaErrorCode) -> Result<(), String> {
    let results = results.map_err(|error| error.to_string())?;
    let failed = results.into_iter().filter_map(Result::err).find(|(_, code)| *code != before);
    failed.map_or(Ok(()), |(_, code)| Err(code.to_string()))
}
