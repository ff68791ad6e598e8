//! The sinks there are: a section of the configuration and a line each.
//!
//! Invariant: a section that is not there reaches no target.

use std::fmt::Display;

use ionflux_schemas::view::View;
use serde::Deserialize;

use crate::sink::Sink;
use crate::timescale::{self, TimescaleConfig};

/// The section `[sinks]`.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sinks {
    /// A PostgreSQL or TimescaleDB database.
    pub timescale: Option<TimescaleConfig>,
}

/// Looks up a secret by its name; the second text says what it holds.
pub type Secret<'a> = dyn Fn(&str, &str) -> Result<String, String> + 'a;

impl Sinks {
    /// Checks every section, before anything connects.
    ///
    /// # Errors
    /// What is wrong, naming the option.
    pub fn check(&self) -> Result<(), String> {
        self.timescale.as_ref().map_or(Ok(()), |given| named("timescale", given.validate()))
    }

    /// The sinks of all sections, for these views; none of them has connected yet.
    ///
    /// # Errors
    /// A secret that is missing or makes no sense.
    pub fn build(
        &self,
        views: &[&'static View],
        secret: &Secret<'_>,
    ) -> Result<Vec<Box<dyn Sink>>, String> {
        let mut sinks = Vec::new();
        if let Some(given) = &self.timescale {
            let address = secret(&given.url_variable, "the address of a PostgreSQL database")?;
            let built = timescale::build("timescale", given, &address, views);
            sinks.push(named("timescale", built)?);
        }
        Ok(sinks)
    }
}

fn named<T>(section: &str, checked: Result<T, impl Display>) -> Result<T, String> {
    checked.map_err(|problem| format!("sinks.{section}.{problem}"))
}
