//! States of older releases read and written again in this release's format.
//!
//! ```text
//! old folder ─▶ frozen decoder ─▶ dossier ─▶ new folder; its format is written last of all
//! ```
//!
//! Invariant: the old folder is only read. A new folder is a state only once everything is in it;
//! before that it is refused.

mod v1;

use std::path::Path;

use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions};
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::time::Calendar;

use crate::codec::{self, CodecError, FORMAT, key};
use crate::disk::{Disk, database};
use crate::entities::{Entities, EntitiesError, Table, Write};
use crate::error::LedgerError;
use crate::rezone;
use crate::shop::{Directory, Shop, Zones};
use crate::state::{self, Stats};

/// Dossiers of one commit: enough to be quick, little enough for a small machine.
const COMMIT_DOSSIERS: usize = 20_000;

/// What a migration brought over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Migrated {
    /// Dossiers and their bytes in the new format.
    pub stats: Stats,
    /// Shops.
    pub shops: u64,
    /// Faults of decoding; states of format 1 have no letters.
    pub faults: u64,
}

/// Reads the state of format 1 in one folder and writes it into another, which must be new. Told
/// to `progress`: how many dossiers are done, and about how many there are.
///
/// # Errors
/// [`LedgerError::Format`] if the old state is of another format, [`LedgerError::NotEmpty`] if
/// there is something in the new one, and whatever reading or writing fails with. The new folder
/// must be removed then.
pub fn migrate(
    old_folder: &Path,
    new_folder: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Migrated, LedgerError> {
    let old = Old::open(old_folder)?;
    let mut moving = Moving::into(new_folder)?;
    for entry in old.entries(&old.shops) {
        let (key, value) = entry?;
        let (shop, _) = key::parse_shop(&key)?;
        let zones = v1::zones(&value)?;
        let place = moving.place(shop);
        moving.zones.insert(place, zones);
    }
    let (mut done, total) = (0, old.dossiers.approximate_len() as u64);
    for entry in old.entries(&old.dossiers) {
        let (key, value) = entry?;
        moving.dossier(&key, &value)?;
        done += 1;
        if moving.writes.len() >= COMMIT_DOSSIERS {
            moving.commit()?;
            progress(done, total.max(done));
        }
    }
    for entry in old.entries(&old.faults) {
        let (key, value) = entry?;
        let id = std::str::from_utf8(&key).ok().and_then(key::fault);
        let id = id.ok_or(CodecError::Malformed("key"))?;
        let value = codec::encode(&(v1::fault(&value)?, None::<u128>))?;
        moving.writes.push(Write::put(Table::Faults, &id[..], value));
        moving.migrated.faults += 1;
    }
    progress(done, done);
    moving.finish(&old)
}

/// A state of format 1.
struct Old {
    _database: Database,
    dossiers: Keyspace,
    shops: Keyspace,
    faults: Keyspace,
    meta: Keyspace,
}

impl Old {
    fn open(folder: &Path) -> Result<Self, LedgerError> {
        let database = database(folder)?;
        let open = |name| {
            let table = database.keyspace(name, KeyspaceCreateOptions::default);
            table.map_err(EntitiesError::from)
        };
        let [dossiers, shops] = [open("dossiers")?, open("shops")?];
        let [faults, meta] = [open("faults")?, open("meta")?];
        let format = meta.get(state::FORMAT_KEY).map_err(EntitiesError::from)?;
        if let Some(found) = format.and_then(|format| format.first().copied()) {
            return Err(LedgerError::Format { found });
        }
        Ok(Self { _database: database, dossiers, shops, faults, meta })
    }

    fn entries<'a>(
        &self,
        table: &'a Keyspace,
    ) -> impl Iterator<Item = Result<fjall::KvPair, EntitiesError>> + use<'a> {
        table.iter().map(|entry: Guard| Ok(entry.into_inner()?))
    }

    fn single(&self, key: &[u8]) -> Result<Option<fjall::Slice>, LedgerError> {
        Ok(self.meta.get(key).map_err(EntitiesError::from)?)
    }
}

/// A state that is being written.
struct Moving {
    disk: Disk,
    directory: Directory,
    zones: std::collections::BTreeMap<u32, Zones>,
    writes: Vec<Write>,
    space: Vec<u8>,
    migrated: Migrated,
    /// Numbers shops, which nothing here depends on.
    dictionary: Dictionary,
}

impl Moving {
    fn into(folder: &Path) -> Result<Self, LedgerError> {
        let disk = Disk::open(folder)?;
        for table in Table::ALL {
            if disk.scan(table, &[]).next().transpose()?.is_some() {
                return Err(LedgerError::NotEmpty);
            }
        }
        Ok(Self {
            disk,
            directory: Directory::default(),
            zones: Default::default(),
            writes: Vec::new(),
            space: Vec::new(),
            migrated: Migrated::default(),
            dictionary: Dictionary::new(),
        })
    }

    fn place(&mut self, key: ShopKey) -> u32 {
        if let Some(place) = self.directory.place(&key) {
            return place;
        }
        self.migrated.shops += 1;
        let number = self.dictionary.shops.number(&key);
        let calendar = Calendar::always(ionflux_schemas::time::Zone::UTC);
        self.directory.add(Shop { key, number, calendar }.into())
    }

    fn dossier(&mut self, key: &[u8], value: &[u8]) -> Result<(), LedgerError> {
        let (shop, order) = key::parse_shop(key)?;
        let order = std::str::from_utf8(order).map_err(|_| CodecError::Malformed("key"))?;
        let (_, key) = key::dossier(self.place(shop), order);
        self.space.clear();
        codec::dossier::encode(&v1::dossier(value)?, &mut self.space);
        self.migrated.stats.entities += 1;
        self.migrated.stats.bytes += (key.len() + self.space.len()) as u64;
        self.writes.push(Write::put(Table::Dossiers, key, &self.space));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        Ok(self.disk.commit(std::mem::take(&mut self.writes))?)
    }

    fn finish(mut self, old: &Old) -> Result<Migrated, LedgerError> {
        self.commit()?;
        self.disk.sync()?;
        let zones = std::mem::take(&mut self.zones);
        rezone::write(&self.directory, zones, &mut self.writes)?;
        for key in [state::EPOCH, state::READINGS] {
            if let Some(value) = old.single(key)? {
                let value = codec::encode(&v1::number(&value)?)?;
                self.writes.push(Write::put(Table::Meta, key, value));
            }
        }
        if let Some(value) = old.single(state::BASE_ZONE)? {
            let value = codec::encode(&v1::text(&value)?)?;
            self.writes.push(Write::put(Table::Meta, state::BASE_ZONE, value));
        }
        let put = |key, value| Write::put(Table::Meta, key, value);
        self.writes.push(put(state::STATS, codec::encode(&self.migrated.stats)?));
        self.writes.push(put(state::IDENTITY, codec::encode(&state::random())?));
        self.writes.push(put(state::FORMAT_KEY, vec![FORMAT]));
        self.commit()?;
        self.disk.sync()?;
        Ok(self.migrated)
    }
}
