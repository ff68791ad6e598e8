//! Entities beside orders: the latest version of each, by kind, shop and id.
//!
//! ```text
//! key     kind: 1   workspace's length: 2   workspace   shop's length: 2   shop   id
//! value   version, instant, body
//! ```
//!
//! Invariant: of one name the higher version is kept, so that order of arrival and duplicates
//! cannot be seen. One shop's entities of a kind are neighbours.

use std::collections::BTreeMap;
use std::sync::Arc;

use ionflux_schemas::entity::{Body, ENTITY_ID_BYTES_MAX, Entity, Kind};
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{ShopKey, Version};
use ionflux_schemas::money::AMOUNT_MINOR_MAX;
use ionflux_schemas::time::UtcMs;

use crate::codec::{self, CodecError};
use crate::entities::{Bytes, Entities, EntitiesError, Table, Write};
use crate::error::LedgerError;

/// What an epoch said of one entity.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) shop: Arc<ShopKey>,
    pub(crate) version: Version,
    pub(crate) entity: Entity,
}

type Held = (Version, UtcMs, Body);

/// What the keys of a shop's entities of a kind begin with.
#[must_use]
pub fn prefix(kind: Kind, shop: &ShopKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(5 + shop.workspace.len() + shop.shop.len());
    key.push(kind as u8);
    for name in [&shop.workspace, &shop.shop] {
        // Names are far shorter; a longer one is cut to what fits and stays distinct by its text.
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(name.as_bytes());
    }
    key
}

/// The key of an entity.
#[must_use]
pub fn key(kind: Kind, shop: &ShopKey, id: &str) -> Vec<u8> {
    let mut key = prefix(kind, shop);
    key.extend_from_slice(id.as_bytes());
    key
}

/// Joins what an epoch said with what is held.
pub(crate) fn merge(
    entities: &dyn Entities,
    said: Vec<Said>,
    writes: &mut Vec<Write>,
) -> Result<(), LedgerError> {
    let mut newest: BTreeMap<Vec<u8>, Said> = BTreeMap::new();
    for said in said {
        let key = key(said.entity.kind(), &said.shop, &said.entity.id);
        match newest.get(&key) {
            Some(known) if known.version >= said.version => {}
            _ => drop(newest.insert(key, said)),
        }
    }
    for (key, Said { version, entity, .. }) in newest {
        let held = entities.get(Table::Records, &key)?;
        if let Some(held) = held {
            let (known, _, _): Held = codec::decode(&held)?;
            if known >= version {
                continue;
            }
        }
        let value: Held = (version, entity.at, entity.body);
        writes.push(Write::put(Table::Records, key, codec::encode(&value)?));
    }
    Ok(())
}

/// The entities of a ledger for threads that only look: as they are committed, at any time.
#[derive(Clone)]
pub struct Records {
    table: fjall::Keyspace,
}

impl Records {
    pub(crate) fn new(table: fjall::Keyspace) -> Self {
        Self { table }
    }

    /// An entity, with its version.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read.
    pub fn record(
        &self,
        kind: Kind,
        shop: &ShopKey,
        id: &str,
    ) -> Result<Option<(Version, Entity)>, LedgerError> {
        held(self.table.get(key(kind, shop, id)).map_err(EntitiesError::from)?, id)
    }

    /// Gives every entity of a kind of one shop, in order of its id.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read, or what `each` fails with.
    pub fn for_each_of<E: From<LedgerError>>(
        &self,
        kind: Kind,
        shop: &ShopKey,
        each: impl FnMut(ShopKey, Version, Entity) -> Result<(), E>,
    ) -> Result<(), E> {
        let entries = self.table.prefix(prefix(kind, shop));
        self::each(entries.map(|entry| Ok(entry.into_inner()?)), each)
    }
}

/// One entity and its version, from its bytes.
pub(crate) fn held(
    bytes: Option<Bytes>,
    id: &str,
) -> Result<Option<(Version, Entity)>, LedgerError> {
    bytes.map(|bytes| entity(id, &bytes)).transpose()
}

/// Gives every entity of some entries.
pub(crate) fn each<E: From<LedgerError>>(
    entries: impl Iterator<Item = Result<(Bytes, Bytes), EntitiesError>>,
    mut each: impl FnMut(ShopKey, Version, Entity) -> Result<(), E>,
) -> Result<(), E> {
    for entry in entries {
        let (key, value) = entry.map_err(LedgerError::from)?;
        let (shop, id) = parsed(&key).ok_or(LedgerError::Codec(CodecError::Malformed("key")))?;
        let (version, entity) = entity(id, &value)?;
        each(shop, version, entity)?;
    }
    Ok(())
}

fn entity(id: &str, bytes: &Bytes) -> Result<(Version, Entity), LedgerError> {
    let (version, at, body): Held = codec::decode(bytes)?;
    Ok((version, Entity { id: id.into(), at, body }))
}

fn parsed(key: &[u8]) -> Option<(ShopKey, &str)> {
    let name = |key: &'_ [u8]| {
        let (length, rest) = key.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        Some((String::from_utf8(name.to_vec()).ok()?, rest.len()))
    };
    let rest = key.get(1..)?;
    let (workspace, left) = name(rest)?;
    let rest = &rest[rest.len() - left..];
    let (shop, left) = name(rest)?;
    let id = std::str::from_utf8(&rest[rest.len() - left..]).ok()?;
    Some((ShopKey::new(workspace, shop), id))
}

/// An entity that was said to be larger than any may be.
pub(crate) fn too_large(shop: &ShopKey, entity: &Entity) -> Fault {
    let id: String = entity.id.chars().take(60).collect();
    let reason = format!(
        "an amount beyond {AMOUNT_MINOR_MAX} minor units, or an id that is empty or longer than \
         {ENTITY_ID_BYTES_MAX} bytes"
    );
    let subject = format!("{:?} {id}", entity.kind()).to_lowercase().into();
    let place = Place { source: "ledger".into(), line: 0 };
    Fault { shop: shop.clone(), kind: FaultKind::Amount, place, subject, reason: reason.into() }
}
