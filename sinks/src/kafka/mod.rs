//! Kafka: every view a changelog in a topic of its own, always at one epoch.
//!
//! Delivery: exactly once for whoever reads with `isolation.level=read_committed`. Records and mark
//! are one transaction of one producer. Invariant: a producer that is no longer the newest of its
//! name can commit nothing.
//!
//! ```text
//!   {prefix}marks              key: the sink's name    value: state and epoch     one partition
//!   {prefix}{view}             key: the primary key    value: the row, or none    compacted
//!   ionflux.agent.outputs      key: the workspace      value: a PlatformEvent     by option
//! ```
//!
//! A mark also remembers where partitions end, so that a topic that was made anew, or lost records,
//! is due a snapshot: at the next start, or within a minute of writes.
//!
//! A key stays on one partition. Where a topic was given more, the next session brings a snapshot,
//! which takes keys away from where they were.
//!
//! Events tell of each row that moved in the topics, once: changes say it themselves, a snapshot is
//! compared with what it replaces. That takes a mark of the same layout. Without one a snapshot
//! tells nothing: the first, and one that follows another format, envelope, choice or version of
//! views, id of a schema or number of partitions, or a topic that was taken away. What moved while
//! the target was behind such a change is not told.
//!
//! A batch is one transaction whatever its size, for only so an epoch is seen whole; it has to be
//! through before its timeout, which bounds a first snapshot of a slow cluster.

mod config;
mod error;

mod avro;
mod encode;
pub mod subjects;
mod text;

mod mark;
mod outputs;

mod held;
mod reader;
mod topics;

mod bounds;
mod chunk;
mod moves;
mod partition;
mod producer;
mod session;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ionflux_schemas::view::View;
use rdkafka::ClientConfig;

pub use self::config::{Access, Envelope, Format, KafkaConfig};
pub use self::producer::BATCHING;
use self::session::Session;
use self::topics::Cleanup;
pub use self::topics::Wanted;
use crate::error::{ConfigError, SinkError, wrong};
use crate::registry::Subject;
use crate::section::{Given, Section};
use crate::sink::{BoxFuture, Mark, Outgoing, Sink};

/// A name that no view may have, for it would be the topic of the marks.
const MARKS: &str = "marks";

/// A sink over one cluster.
struct Kafka {
    settings: Arc<Settings>,
    /// Taken while in use, so that one that is given up in the middle is gone.
    session: Option<Session>,
}

/// All that a session needs.
struct Settings {
    name: Box<str>,
    config: KafkaConfig,
    access: Access,
    views: Vec<&'static View>,
}

impl Settings {
    fn client(&self) -> ClientConfig {
        self.config.client(self.access.password.as_deref())
    }

    /// Two programs of one cluster are apart by their prefixes, not by the names of their sinks.
    fn transactional_id(&self) -> String {
        format!("{}{}", self.config.topic_prefix, self.name)
    }

    fn marks(&self) -> String {
        format!("{}{MARKS}", self.config.topic_prefix)
    }

    /// The topics as they should be.
    fn wanted(&self) -> Vec<Wanted> {
        topics(&self.config, &self.views)
    }
}

/// The topics that the sink of these views writes, as they should be.
#[must_use]
pub fn topics(config: &KafkaConfig, views: &[&'static View]) -> Vec<Wanted> {
    let (prefix, partitions, cleanup) = (&config.topic_prefix, config.partitions, Cleanup::Compact);
    let view =
        |view: &&View| Wanted { name: config.topic(view), partitions, cleanup, marks: false };
    let mut wanted: Vec<Wanted> = views.iter().map(view).collect();
    let marks = format!("{prefix}{MARKS}");
    wanted.push(Wanted { name: marks, partitions: 1, cleanup, marks: true });
    if config.outputs {
        let (name, cleanup) = (outputs::TOPIC.to_owned(), Cleanup::Delete);
        wanted.push(Wanted { name, partitions, cleanup, marks: false });
    }
    wanted
}

/// A sink of these views. Connects when it is first asked.
///
/// # Errors
/// [`ConfigError`] for options that cannot work.
pub fn build(
    name: &str,
    config: &KafkaConfig,
    access: Access,
    views: &[&'static View],
) -> Result<Box<dyn Sink>, ConfigError> {
    config.validate()?;
    if config.user.is_some() && access.password.is_none() {
        return Err(wrong("password_variable", "holds no password"));
    }
    config.check_registry(access.schema_ids.is_some())?;
    if views.iter().any(|view| view.name == MARKS) {
        return Err(wrong("views", "a view has the name of the marks topic"));
    }
    let settings =
        Settings { name: name.into(), config: config.clone(), access, views: views.to_vec() };
    Ok(Box::new(Kafka { settings: Arc::new(settings), session: None }))
}

impl Section for KafkaConfig {
    fn check(&self, registry: bool) -> Result<(), ConfigError> {
        self.validate()?;
        self.check_registry(registry)
    }

    fn relative_to(&mut self, folder: &Path) {
        self.ca_file = self.ca_file.take().map(|file| folder.join(file));
    }

    fn subjects(&self, views: &[&'static View]) -> Result<Vec<Subject>, String> {
        subjects::subjects(self, views).map_err(|problem| problem.to_string())
    }

    fn build(
        &self,
        name: &str,
        views: &[&'static View],
        given: &Given<'_>,
    ) -> Result<Box<dyn Sink>, ConfigError> {
        let variable = self.password_variable.as_ref();
        let password = variable.map(|name| (given.secret)(name, "the password of the Kafka user"));
        let password = password.transpose();
        let password = password.map_err(|problem| wrong("password_variable", problem))?;
        build(name, self, Access { password, schema_ids: given.schema_ids.clone() }, views)
    }
}

impl Kafka {
    async fn ask(&mut self) -> Result<Option<Mark>, SinkError> {
        // Only a new producer fences the others, and what of our own is still on its way.
        self.session = None;
        let session = Session::open(&self.settings).await?;
        let mark = session.held();
        self.session = Some(session);
        Ok(mark)
    }

    async fn put(&mut self, batch: &Outgoing) -> Result<(), SinkError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.settings).await?,
        };
        session.write(batch).await?;
        self.session = Some(session);
        Ok(())
    }
}

impl Sink for Kafka {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn answer_within(&self) -> Duration {
        Duration::from_secs(self.settings.config.answer_s.into())
    }

    fn resume(&mut self) -> BoxFuture<'_, Result<Option<Mark>, SinkError>> {
        Box::pin(self.ask())
    }

    fn write<'a>(&'a mut self, batch: &'a Outgoing) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.put(batch))
    }
}
