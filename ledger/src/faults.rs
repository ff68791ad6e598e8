//! Faults of decoding, and the dead letters they are about.
//!
//! ```text
//! faults   fault's id ─▶ fault, its letter's id      claims   letter's id, fault's id
//! letters  letter's id ─▶ letter
//! ```
//!
//! Invariant: the letters kept are those that a kept fault names. A fault is told once when it
//! comes and once when it goes.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::fault::Fault;
use ionflux_schemas::letter::Letter;

use crate::codec::{self, CodecError, key};
use crate::entities::{Entities, Table, Write};
use crate::error::LedgerError;

/// A kept fault and the id of its letter, if it has one.
pub(crate) type Held = (Fault, Option<u128>);

pub(crate) type FaultKey = [u8; 16];

/// What an epoch says about faults.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) faults: Vec<(Fault, Option<u128>)>,
    pub(crate) letters: Vec<Letter>,
    pub(crate) resolved: Vec<String>,
    /// Faults that stay, or come under another name, with another letter.
    pub(crate) replaced: BTreeSet<FaultKey>,
}

/// The claims that come and go in an epoch, by letter.
#[derive(Debug, Default)]
struct Claims {
    come: BTreeMap<u128, BTreeSet<FaultKey>>,
    gone: BTreeMap<u128, BTreeSet<FaultKey>>,
}

/// Reads one fault.
pub(crate) fn held(entities: &dyn Entities, key: &FaultKey) -> Result<Option<Held>, LedgerError> {
    let bytes = entities.get(Table::Faults, key)?;
    Ok(bytes.map(|bytes| codec::decode(&bytes)).transpose()?)
}

/// Reads one letter.
pub(crate) fn letter(entities: &dyn Entities, id: u128) -> Result<Option<Letter>, LedgerError> {
    let bytes = entities.get(Table::Letters, &id.to_be_bytes())?;
    Ok(bytes.map(|bytes| codec::decode(&bytes)).transpose()?)
}

/// What the epoch changes: writes are added, and each fault that comes (+1) or goes (-1) is told.
///
/// A fault that is reported and resolved in one epoch stays: whoever reads a letter again
/// resolves all its faults and reports those that are left.
pub(crate) fn apply(
    entities: &dyn Entities,
    told: Told,
    writes: &mut Vec<Write>,
    mut tell: impl FnMut(Fault, i64),
) -> Result<(), LedgerError> {
    let mut claims = Claims::default();
    let mut reported: BTreeMap<FaultKey, Held> = BTreeMap::new();
    for (fault, letter) in told.faults {
        let Some(id) = key::fault(&fault.id()) else { continue };
        let known = reported.entry(id).or_insert((fault, None));
        known.1 = known.1.or(letter);
    }
    let resolved: BTreeSet<_> = told.resolved.iter().filter_map(|id| key::fault(id)).collect();
    for id in resolved.iter().filter(|id| !reported.contains_key(*id)) {
        let Some((fault, letter)) = held(entities, id)? else { continue };
        if let Some(letter) = letter {
            claims.gone.entry(letter).or_default().insert(*id);
        }
        writes.push(Write::remove(Table::Faults, &id[..]));
        tell(fault, -1);
    }
    for (id, (fault, letter)) in reported {
        let known = held(entities, &id)?;
        let lacking = known.as_ref().is_none_or(|(_, known)| known.is_none() && letter.is_some());
        let old = known.as_ref().and_then(|(_, known)| *known);
        let replaced = told.replaced.contains(&id) && old != letter;
        if !lacking && !replaced {
            continue;
        }
        if let (true, Some(old)) = (replaced, old) {
            claims.gone.entry(old).or_default().insert(id);
        }
        if let Some(letter) = letter {
            claims.come.entry(letter).or_default().insert(id);
        }
        let value = codec::encode(&(&fault, letter))?;
        writes.push(Write::put(Table::Faults, &id[..], value));
        if known.is_none() {
            tell(fault, 1);
        }
    }
    claims.apply(entities, told.letters, writes)
}

impl Claims {
    /// Keeps the claims, the letters that have one, and no others.
    fn apply(
        self,
        entities: &dyn Entities,
        letters: Vec<Letter>,
        writes: &mut Vec<Write>,
    ) -> Result<(), LedgerError> {
        for (letter, faults) in &self.gone {
            let gone = faults.iter().map(|fault| key::claim(*letter, *fault));
            writes.extend(gone.map(|claim| Write::remove(Table::Claims, &claim[..])));
            if !self.come.contains_key(letter) && !claimed(entities, *letter, faults)? {
                writes.push(Write::remove(Table::Letters, &letter.to_be_bytes()[..]));
            }
        }
        for (letter, faults) in &self.come {
            let come = faults.iter().map(|fault| key::claim(*letter, *fault));
            writes.extend(come.map(|claim| Write::put(Table::Claims, &claim[..], &[][..])));
        }
        let none = BTreeSet::new();
        let letters: BTreeMap<_, _> = letters.into_iter().map(|l| (l.id(), l)).collect();
        for (id, letter) in letters {
            let gone = self.gone.get(&id).unwrap_or(&none);
            let wanted = self.come.contains_key(&id) || claimed(entities, id, gone)?;
            if wanted && entities.get(Table::Letters, &id.to_be_bytes())?.is_none() {
                let value = codec::encode(&letter)?;
                writes.push(Write::put(Table::Letters, &id.to_be_bytes()[..], value));
            }
        }
        Ok(())
    }
}

/// Whether a letter has a fault in the store that does not go now.
fn claimed(
    entities: &dyn Entities,
    letter: u128,
    gone: &BTreeSet<FaultKey>,
) -> Result<bool, LedgerError> {
    for entry in entities.scan(Table::Claims, &letter.to_be_bytes()) {
        let (claim, _) = entry?;
        let fault = claim.last_chunk().ok_or(CodecError::Malformed("key"))?;
        if !gone.contains(fault) {
            return Ok(true);
        }
    }
    Ok(false)
}
