//! What goes wrong with a target, and whether a later try could work; what is wrong with an option.
//!
//! Invariant: a message names the object and the place; it never holds a row's contents in a
//! product sink, nor a secret.

use std::error::Error;

use thiserror::Error;

/// What an error came from.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A target that did not take or tell what it was asked.
#[derive(Debug, Error)]
pub enum SinkError {
    /// A later try could work: unreachable, overloaded, restarted, an answer that got lost.
    #[error("{what}")]
    Transient {
        /// What did not work and where, in words.
        what: String,
        /// What the client library said.
        #[source]
        cause: Option<Cause>,
    },
    /// No try will ever work: refused credentials, a schema that differs, rows that are not ours.
    #[error("{what}")]
    Permanent {
        /// What does not work and where, in words.
        what: String,
        /// What the client library said.
        #[source]
        cause: Option<Cause>,
    },
}

impl SinkError {
    /// An error that a later try could get over.
    #[must_use]
    pub fn transient(what: impl Into<String>) -> Self {
        Self::Transient { what: what.into(), cause: None }
    }

    /// An error that no try gets over.
    #[must_use]
    pub fn permanent(what: impl Into<String>) -> Self {
        Self::Permanent { what: what.into(), cause: None }
    }

    /// The same error with what it came from.
    #[must_use]
    pub fn caused_by(mut self, error: impl Into<Cause>) -> Self {
        let (Self::Transient { cause, .. } | Self::Permanent { cause, .. }) = &mut self;
        *cause = Some(error.into());
        self
    }

    /// The same error, said of a target.
    #[must_use]
    pub fn within(mut self, target: &str) -> Self {
        let (Self::Transient { what, .. } | Self::Permanent { what, .. }) = &mut self;
        *what = format!("{target}: {what}");
        self
    }

    /// Whether a later try could work.
    #[must_use]
    pub fn passing(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }
}

/// An option of a sink that does not work.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{option}: {problem}")]
pub struct ConfigError {
    /// The option.
    pub option: &'static str,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

pub(crate) fn wrong(option: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError { option, problem: problem.into() }
}
