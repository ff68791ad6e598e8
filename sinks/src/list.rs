//! The sinks there are: a section of the configuration and a line each.
//!
//! Invariant: a section that is not there reaches no target.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use ionflux_schemas::view::View;
use serde::Deserialize;

#[cfg(feature = "kafka")]
use crate::kafka::{self, Access, KafkaConfig};
use crate::lake::{self, LakeConfig};
use crate::registry::{SchemaIds, Subject};
use crate::sink::Sink;
use crate::timescale::{self, TimescaleConfig};

/// The section of a sink that this program was built without.
#[cfg(not(feature = "kafka"))]
pub type KafkaConfig = serde::de::IgnoredAny;

/// The section `[sinks]`.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sinks {
    /// A PostgreSQL or TimescaleDB database.
    pub timescale: Option<TimescaleConfig>,
    /// A Kafka cluster that carries every view as a changelog.
    pub kafka: Option<KafkaConfig>,
    /// A data lake: Parquet files on a disk or in an object store.
    pub lake: Option<LakeConfig>,
}

/// What sinks need beside their sections.
pub struct Given<'a> {
    /// Looks up a secret by its name; the second text says what it holds.
    pub secret: &'a dyn Fn(&str, &str) -> Result<String, String>,
    /// The registry of schemas, if there is one.
    pub schema_ids: Option<Arc<dyn SchemaIds>>,
}

impl Sinks {
    /// Checks every section, before anything connects; `registry` says whether there is a registry
    /// of schemas.
    ///
    /// # Errors
    /// What is wrong, naming the option.
    pub fn check(&self, registry: bool) -> Result<(), String> {
        self.timescale.as_ref().map_or(Ok(()), |given| named("timescale", given.validate()))?;
        self.check_kafka(registry)?;
        self.lake.as_ref().map_or(Ok(()), |given| named("lake", given.validate()))
    }

    /// Takes paths as relative to the folder of the configuration.
    pub fn relative_to(&mut self, folder: &Path) {
        #[cfg(feature = "kafka")]
        if let Some(kafka) = &mut self.kafka {
            kafka.ca_file = kafka.ca_file.take().map(|file| folder.join(file));
        }
        #[cfg(not(feature = "kafka"))]
        let _ = folder;
    }

    /// The sinks of all sections, for these views; none of them has connected yet.
    ///
    /// # Errors
    /// A secret that is missing or makes no sense.
    pub fn build(
        &self,
        views: &[&'static View],
        given: &Given<'_>,
    ) -> Result<Vec<Box<dyn Sink>>, String> {
        let mut sinks = Vec::new();
        if let Some(section) = &self.timescale {
            let address =
                (given.secret)(&section.url_variable, "the address of a PostgreSQL database")?;
            let built = timescale::build("timescale", section, &address, views);
            sinks.push(named("timescale", built)?);
        }
        sinks.extend(self.build_kafka(views, given)?);
        if let Some(section) = &self.lake {
            sinks.push(named("lake", lake::build("lake", section, views))?);
        }
        Ok(sinks)
    }
}

#[cfg(feature = "kafka")]
impl Sinks {
    /// The subjects of a schema registry that sinks of these views need.
    ///
    /// # Errors
    /// What is wrong with the schema of a view.
    pub fn subjects(&self, views: &[&'static View]) -> Result<Vec<Subject>, String> {
        let Some(section) = &self.kafka else { return Ok(Vec::new()) };
        kafka::subjects::subjects(section, views).map_err(|problem| problem.to_string())
    }

    fn check_kafka(&self, registry: bool) -> Result<(), String> {
        let Some(section) = &self.kafka else { return Ok(()) };
        named("kafka", section.validate().and_then(|()| section.check_registry(registry)))
    }

    fn build_kafka(
        &self,
        views: &[&'static View],
        given: &Given<'_>,
    ) -> Result<Option<Box<dyn Sink>>, String> {
        let Some(section) = &self.kafka else { return Ok(None) };
        let name = section.password_variable.as_ref();
        let password = name.map(|name| (given.secret)(name, "the password of the Kafka user"));
        let access =
            Access { password: password.transpose()?, schema_ids: given.schema_ids.clone() };
        named("kafka", kafka::build("kafka", section, access, views)).map(Some)
    }
}

#[cfg(not(feature = "kafka"))]
impl Sinks {
    /// The subjects of a schema registry that sinks of these views need: there are none.
    ///
    /// # Errors
    /// None.
    pub fn subjects(&self, _: &[&'static View]) -> Result<Vec<Subject>, String> {
        Ok(Vec::new())
    }

    fn check_kafka(&self, _: bool) -> Result<(), String> {
        Ok(())
    }

    fn build_kafka(
        &self,
        _: &[&'static View],
        given: &Given<'_>,
    ) -> Result<Option<Box<dyn Sink>>, String> {
        let Given { secret: _, schema_ids: _ } = given;
        match &self.kafka {
            None => Ok(None),
            Some(_) => Err("sinks.kafka: this program was built without Kafka; install make, \
                            pkg-config and libssl-dev and build with --features kafka"
                .into()),
        }
    }
}

fn named<T>(section: &str, checked: Result<T, impl Display>) -> Result<T, String> {
    checked.map_err(|problem| format!("sinks.{section}.{problem}"))
}
