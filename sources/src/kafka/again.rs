//! Messages whose schema was not to be had when they came: it is asked for once more.
//!
//! Invariant: a message is read with the schema whose id its own bytes say, and with no other.

use std::fmt::Display;

use ionflux_schemas::key::Id;
use ionflux_schemas::letter::Letter;

use super::delivery::{JSON_SCHEMA, SCHEMA, SOURCE, TROUBLE};
use crate::draft::HEADER;
use crate::registry::wire::{Content, content};
use crate::registry::{Language, Registered, Registry, RegistryError};

/// How a trouble begins that goes away with the schema.
const UNKNOWN: &str = "no schema ";

/// The trouble of a message whose schema is not to be had, and what to do about it.
#[cfg_attr(not(feature = "kafka"), allow(dead_code))]
pub(super) fn unknown(id: u32, why: &dyn Display) -> String {
    format!(
        "{UNKNOWN}{id}: {why}; once it is registered, `ionflux faults replay --config FILE` reads \
         the message, with the section [registry] of that file"
    )
}

/// The header that says a schema.
pub(super) fn header_of(found: &Registered) -> (Id, Id) {
    match found.language {
        Language::Avro => (SCHEMA.into(), Id::from(&*found.text)),
        Language::Json => (JSON_SCHEMA.into(), "".into()),
    }
}

/// Gives the letter of a message its schema, if that is what it lacks.
///
/// # Errors
/// [`RegistryError`] when the schema is still not to be had; the letter is as it was.
pub fn give_schema(letter: &mut Letter, registry: &mut Registry) -> Result<(), RegistryError> {
    let trouble = format!("{HEADER}{TROUBLE}");
    let lacks = letter.context.get(&*trouble).is_some_and(|why| why.starts_with(UNKNOWN));
    let Content::Framed { id, .. } = content(&letter.bytes) else { return Ok(()) };
    if &*letter.format != SOURCE || !lacks {
        return Ok(());
    }
    let (name, text) = header_of(&registry.schema(id)?);
    letter.context.remove(&*trouble);
    letter.context.insert(format!("{HEADER}{name}").into(), (&*text).into());
    Ok(())
}
