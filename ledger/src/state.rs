//! The single values of a state: its format, its identity, its epoch, how far sources were read.
//!
//! Invariant: a state without its format is of the first release, or not finished; either way it
//! is not this release's to open.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError, FORMAT};
use crate::entities::{Entities, Table, Write};
use crate::error::LedgerError;

pub(crate) const FORMAT_KEY: &[u8] = b"format";
pub(crate) const IDENTITY: &[u8] = b"identity";
pub(crate) const EPOCH: &[u8] = b"epoch";
pub(crate) const BASE_ZONE: &[u8] = b"base_zone";
pub(crate) const READINGS: &[u8] = b"readings";
pub(crate) const STATS: &[u8] = b"stats";
const PROGRESS: &str = "progress/";

/// How much a ledger holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Dossiers, one for each order ever mentioned.
    pub entities: u64,
    /// Bytes of their keys and values, before the store compresses them.
    pub bytes: u64,
}

/// The key of a source's progress.
pub(crate) fn progress_key(name: &str) -> String {
    format!("{PROGRESS}{name}")
}

/// A single value.
pub(crate) fn meta<T: DeserializeOwned>(
    entities: &dyn Entities,
    key: &[u8],
) -> Result<Option<T>, LedgerError> {
    let held = entities.get(Table::Meta, key)?;
    Ok(held.map(|bytes| codec::decode(&bytes)).transpose()?)
}

/// Makes a new state, or checks that an old one is of this release.
pub(crate) fn found(entities: &mut dyn Entities) -> Result<(), LedgerError> {
    if let Some(format) = entities.get(Table::Meta, FORMAT_KEY)? {
        return match format.first() {
            Some(&FORMAT) => Ok(()),
            Some(&found) => Err(LedgerError::Format { found }),
            None => Err(LedgerError::Codec(CodecError::Empty)),
        };
    }
    if entities.scan(Table::Meta, &[]).next().transpose()?.is_some() {
        // The first release had no format of the state, only of values.
        return Err(LedgerError::Format { found: 1 });
    }
    if entities.scan(Table::Dossiers, &[]).next().transpose()?.is_some() {
        return Err(LedgerError::Unfinished);
    }
    let identity = codec::encode(&random())?;
    entities.commit(vec![
        Write::put(Table::Meta, FORMAT_KEY, &[FORMAT][..]),
        Write::put(Table::Meta, IDENTITY, identity),
    ])?;
    Ok(entities.sync()?)
}

/// A random number, from the keys that the standard library draws for its hash tables.
pub(crate) fn random() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}
