//! What sinks ask of a schema registry; whose client it is, is not theirs to know.
//!
//! Invariant: an id never means another schema.

use crate::error::SinkError;

/// Who knows the ids of schemas: a registry. It is asked on a thread that may wait.
pub trait SchemaIds: Send + Sync {
    /// The id of a schema under a subject; one that is not there is registered.
    ///
    /// # Errors
    /// [`SinkError`], when the registry does not answer, or refuses the schema.
    fn id(&self, subject: &str, schema: &str) -> Result<u32, SinkError>;
}
