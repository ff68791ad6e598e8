//! Scrubbing: what faults and dead letters say of a person, taken out of them.
//!
//! ```text
//! fault, letter ─ names the person? ─▶ the same fault without its quoted words, a letter without
//!                                      bytes; what was there goes with difference -1
//! ```
//!
//! Invariant: as idempotent as the rest of the ledger: scrubbing what is scrubbed changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::fault::Fault;
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::letter::{Letter, holds};

use crate::codec;
use crate::codec::key;
use crate::dossier::Dossier;
use crate::entities::{Entities, Table};
use crate::error::LedgerError;
use crate::faults::{self, Told};
use crate::ledger::Ledger;

/// What takes the place of a word.
const REDACTED: &str = "redacted";

/// Whom to forget in what could not be counted.
#[derive(Clone, Debug)]
pub struct Forget {
    /// Whose faults; all of the workspace where the shop's name is empty.
    pub shop: ShopKey,
    /// What names the person.
    pub words: Vec<Box<str>>,
    /// Whether every letter of the shop goes, whatever is in it.
    pub all: bool,
}

/// What was scrubbed for one [`Forget`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scrubbed {
    /// Letters that lost their bytes.
    pub letters: u64,
    /// Faults that lost words.
    pub faults: u64,
}

impl Ledger {
    /// Gives every dossier of a shop, in no particular order.
    ///
    /// # Errors
    /// [`LedgerError`] if the store cannot be read, or what `each` fails with.
    pub fn for_each_dossier<E: From<LedgerError>>(
        &self,
        shop: &ShopKey,
        mut each: impl FnMut(Dossier) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(shop) = self.directory.place(shop) else { return Ok(()) };
        for shard in 0..key::SHARDS as u8 {
            for entry in self.entities.scan(Table::Dossiers, &key::shop_in_shard(shard, shop)) {
                let (_, value) = entry.map_err(LedgerError::from)?;
                each(codec::dossier::decode(&value).map_err(LedgerError::from)?)?;
            }
        }
        Ok(())
    }
}

/// Turns what names somebody into what does not, in what an epoch tells and in what is held.
pub(crate) fn scrub(
    entities: &dyn Entities,
    forget: &[Forget],
    told: &mut Told,
) -> Result<Vec<Scrubbed>, LedgerError> {
    let mut scrubbed = vec![Scrubbed::default(); forget.len()];
    if forget.is_empty() {
        return Ok(scrubbed);
    }
    let mut letters: BTreeMap<u128, Letter> =
        told.letters.drain(..).map(|letter| (letter.id(), letter)).collect();
    let mut faults = std::mem::take(&mut told.faults);
    let fresh = faults.len();
    for entry in entities.scan(Table::Faults, &[]) {
        let (_, value) = entry?;
        faults.push(codec::decode(&value)?);
    }
    let mut emptied = BTreeSet::new();
    for (place, (mut fault, mut letter)) in faults.into_iter().enumerate() {
        let before = fault.id();
        let mut touched = false;
        for (forget, scrubbed) in forget.iter().zip(&mut scrubbed) {
            if !forget.means(&fault.shop) {
                continue;
            }
            let known = match letter.filter(|id| !letters.contains_key(id)) {
                Some(id) => faults::letter(entities, id)?,
                None => None,
            };
            letters.extend(known.map(|known| (known.id(), known)));
            let held = letter.and_then(|id| letters.get(&id));
            let named = held.is_some_and(|held| !held.bytes.is_empty() && forget.named_in(held));
            if let (true, Some(held)) = (named, held) {
                let empty = emptied_letter(held);
                scrubbed.letters += u64::from(emptied.insert(held.id()));
                letter = Some(empty.id());
                letters.insert(empty.id(), empty);
            }
            let blanked = forget.blank(&mut fault, named);
            scrubbed.faults += u64::from(blanked);
            touched |= named || blanked;
        }
        if place < fresh {
            told.faults.push((fault, letter));
        } else if touched {
            told.replaced.extend(key::fault(&before));
            told.resolved.push(before);
            told.faults.push((fault, letter));
        }
    }
    letters.retain(|id, _| !emptied.contains(id));
    told.letters = letters.into_values().collect();
    Ok(scrubbed)
}

/// The letter without its bytes; that it has lost them is a part of its name.
fn emptied_letter(letter: &Letter) -> Letter {
    let mut empty = letter.clone();
    empty.bytes = Box::default();
    empty.context.insert(REDACTED.into(), "at the person's request".into());
    empty
}

impl Forget {
    fn means(&self, shop: &ShopKey) -> bool {
        let same = shop.shop == self.shop.shop;
        // What names no shop may be of any, and only its words tell whose it is.
        let any = self.shop.shop.is_empty() || shop.shop.is_empty();
        let any = same || any && !self.all;
        shop.workspace == self.shop.workspace && any
    }

    fn named_in(&self, letter: &Letter) -> bool {
        self.all || self.words.iter().any(|word| holds(&letter.bytes, word))
    }

    /// Takes the words out of a fault, and with them, or where its letter named somebody, all that
    /// it quotes; whether there were any.
    fn blank(&self, fault: &mut Fault, quoted: bool) -> bool {
        let before = fault.clone();
        for text in [&mut fault.subject, &mut fault.reason] {
            let named = self.words.iter().any(|word| holds(text.as_bytes(), word));
            if named || quoted {
                *text = unquoted(text);
            }
            for word in &self.words {
                if holds(text.as_bytes(), word) {
                    let left = text.replace(&**word, REDACTED);
                    // Written otherwise than in the request.
                    let still = holds(left.as_bytes(), word);
                    *text = if still { REDACTED.into() } else { left.into() };
                }
            }
        }
        *fault != before
    }
}

/// A text with nothing between its double quotes.
fn unquoted(text: &str) -> Box<str> {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('"').peekable();
    let mut inside = false;
    while let Some(part) = parts.next() {
        // A quote that is never closed quotes nothing.
        let closed = parts.peek().is_some();
        out.push_str(if inside && closed { REDACTED } else { part });
        if closed {
            out.push('"');
        }
        inside = !inside;
    }
    out.into()
}
