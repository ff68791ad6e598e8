//! The sinks there are: a section of the configuration and a line each.
//!
//! Invariant: a section that is not there reaches no target.

use std::path::Path;

use ionflux_schemas::view::View;
use serde::Deserialize;

use crate::error::ConfigError;
use crate::registry::Subject;
use crate::section::{Given, Section};
use crate::sink::Sink;

/// A field for each sink, by the name of its section, and what is done with all of them.
macro_rules! sinks {
    ($($(#[$about:meta])* $name:ident: $section:ty,)*) => {
        /// The section `[sinks]`.
        #[derive(Clone, PartialEq, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Sinks {
            $($(#[$about])* pub $name: Option<$section>,)*
        }

        impl Sinks {
            fn each(
                &self,
                mut each: impl FnMut(&str, &dyn Section) -> Result<(), String>,
            ) -> Result<(), String> {
                $(if let Some(section) = &self.$name { each(stringify!($name), section)?; })*
                Ok(())
            }

            /// Takes paths as relative to the folder of the configuration.
            pub fn relative_to(&mut self, folder: &Path) {
                $(if let Some(section) = &mut self.$name { section.relative_to(folder); })*
            }
        }
    };
}

sinks! {
    /// A PostgreSQL or TimescaleDB database.
    timescale: crate::timescale::TimescaleConfig,
    /// A Kafka cluster that carries every view as a changelog.
    kafka: crate::kafka::KafkaConfig,
    /// A data lake: Parquet files on a disk or in an object store.
    lake: crate::lake::LakeConfig,
}

impl Sinks {
    /// Checks every section, before anything connects; `registry` says whether there is a registry
    /// of schemas.
    ///
    /// # Errors
    /// What is wrong, naming the option.
    pub fn check(&self, registry: bool) -> Result<(), String> {
        self.each(|name, section| section.check(registry).map_err(|wrong| named(name, &wrong)))
    }

    /// The subjects of a schema registry that sinks of these views need.
    ///
    /// # Errors
    /// What is wrong with the schema of a view.
    pub fn subjects(&self, views: &[&'static View]) -> Result<Vec<Subject>, String> {
        let mut subjects = Vec::new();
        self.each(|_, section| {
            subjects.extend(section.subjects(views)?);
            Ok(())
        })?;
        Ok(subjects)
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
        self.each(|name, section| {
            let built = section.build(name, views, given);
            sinks.push(built.map_err(|wrong| named(name, &wrong))?);
            Ok(())
        })?;
        Ok(sinks)
    }
}

fn named(section: &str, wrong: &ConfigError) -> String {
    format!("sinks.{section}.{wrong}")
}
