//! What a sink is to the configuration: a section that is checked, and built.
//!
//! Invariant: nothing here connects to anything.

use std::path::Path;
use std::sync::Arc;

use ionflux_schemas::view::View;

use crate::error::ConfigError;
use crate::registry::{SchemaIds, Subject};
use crate::sink::Sink;

/// The section of one kind of sink.
pub trait Section {
    /// Checks its options; `registry` says whether there is a registry of schemas.
    ///
    /// # Errors
    /// [`ConfigError`], naming the option.
    fn check(&self, registry: bool) -> Result<(), ConfigError>;

    /// Takes paths as relative to the folder of the configuration.
    fn relative_to(&mut self, _folder: &Path) {}

    /// The subjects of a schema registry that its sink of these views needs.
    ///
    /// # Errors
    /// What is wrong with the schema of a view.
    fn subjects(&self, _views: &[&'static View]) -> Result<Vec<Subject>, String> {
        Ok(Vec::new())
    }

    /// Its sink of these views.
    ///
    /// # Errors
    /// [`ConfigError`]: a secret that is missing or makes no sense, options that cannot work.
    fn build(
        &self,
        name: &str,
        views: &[&'static View],
        given: &Given<'_>,
    ) -> Result<Box<dyn Sink>, ConfigError>;
}

/// What sinks need beside their sections.
pub struct Given<'a> {
    /// Looks up a secret by its name; the second text says what it holds.
    pub secret: &'a dyn Fn(&str, &str) -> Result<String, String>,
    /// The registry of schemas, if there is one.
    pub schema_ids: Option<Arc<dyn SchemaIds>>,
}
