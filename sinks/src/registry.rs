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

/// A schema under the name that a sink asks for it by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The name.
    pub name: String,
    /// The schema, in Avro.
    pub definition: String,
}

impl Subject {
    /// Asks for its id.
    ///
    /// # Errors
    /// As [`SchemaIds::id`].
    pub fn id(&self, ids: &dyn SchemaIds) -> Result<u32, SinkError> {
        ids.id(&self.name, &self.definition)
    }
}
