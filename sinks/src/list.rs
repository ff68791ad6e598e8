//! The sinks there are: a section of the configuration and a line each.
//!
//! Invariant: a section that is not there reaches no target.

use serde::Deserialize;

use crate::sink::Sink;

/// The section `[sinks]`.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sinks {}

/// Looks up a secret by its name; the second text says what it is for.
pub type Secret<'a> = dyn Fn(&str, &str) -> Result<String, String> + 'a;

impl Sinks {
    /// Checks every section, before anything connects.
    ///
    /// # Errors
    /// What is wrong, naming the option.
    pub fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The sinks of all sections; none of them has connected yet.
    ///
    /// # Errors
    /// A secret that is missing or makes no sense.
    pub fn build(&self, _secret: &Secret<'_>) -> Result<Vec<Box<dyn Sink>>, String> {
        Ok(Vec::new())
    }
}
