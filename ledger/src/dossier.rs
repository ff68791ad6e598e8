//! A dossier: everything known of one order, as the join of all that was ever said of it.
//!
//! ```text
//! join(a, b) = for each part the higher version; rows as a multiset;
//!              deleted or redacted if either is
//! ```
//!
//! Invariant: [`Dossier::merge`] is commutative, associative and idempotent, so that a dossier
//! depends on what was said and not on when it was heard.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ionflux_schemas::event::{Event, Order, OrderEdit, OrderRow, Refund, RowLine};
use ionflux_schemas::key::{Id, Version, addressed, pseudonymous};

/// The most rows one order may have, equal ones counted; a file that maps the wrong column as the
/// order's would otherwise gather everything in one dossier.
pub const ROWS_MAX: usize = 20_000;

/// Everything known of one order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dossier {
    /// The latest snapshot of the order itself.
    pub order: Option<(Version, Order)>,
    /// The buyer that another snapshot named than the latest: platforms forget buyers, and an
    /// order does not become another's by that. Held only where it differs.
    pub buyer: Option<(Version, Id)>,
    /// The order was removed from all reports; nothing undoes that.
    pub deleted: bool,
    /// The buyer asked to be forgotten: no id of a platform is held, whatever was or will be said.
    /// A pseudonym stays: without the vault's link it is a number and nobody.
    pub redacted: bool,
    /// The latest version of each refund.
    pub refunds: BTreeMap<Id, (Version, Refund)>,
    /// The latest version of each edit.
    pub edits: BTreeMap<Id, (Version, OrderEdit)>,
    /// Rows of files that know only lines, by the hash of their columns.
    pub rows: BTreeMap<u128, HeldRow>,
    /// How many rows that is, equal ones counted.
    held: usize,
}

/// A row and how many equal ones there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldRow {
    /// What the row says.
    pub line: RowLine,
    /// How many equal rows the file that has most of them has.
    pub times: u32,
    /// The reading that was counted last, and how many equal rows it has brought so far.
    pub(crate) reading: u64,
    pub(crate) seen: u32,
}

/// What merging an event did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merged {
    /// The dossier says something new.
    Changed,
    /// Only bookkeeping changed: it must be kept, but says nothing new.
    Noted,
    /// A duplicate, or older than what is known.
    Stale,
    /// The dossier has no room for another row.
    Full,
}

impl Dossier {
    /// Joins an event about this order. An event about a shop changes no dossier.
    pub fn merge(&mut self, version: Version, event: Event) -> Merged {
        match event {
            Event::Order(order) => self.merge_order(version, order),
            Event::Refund(refund) => newest(&mut self.refunds, refund.id.clone(), version, refund),
            Event::OrderEdit(edit) => newest(&mut self.edits, edit.id.clone(), version, edit),
            Event::OrderDeleted { .. } if self.deleted => Merged::Stale,
            Event::OrderDeleted { .. } => {
                self.deleted = true;
                Merged::Changed
            }
            Event::Row(row) => self.merge_row(row),
            Event::Redacted { .. } => self.redact(),
            Event::Zone { .. } | Event::Entity(_) => Merged::Stale,
        }
    }

    /// The buyer of the order, as far as one was ever named.
    #[must_use]
    pub fn customer(&self) -> Option<&Id> {
        let own = || self.order.as_ref()?.1.customer.as_ref();
        self.buyer.as_ref().map(|(_, buyer)| buyer).or_else(own)
    }

    /// The latest snapshot holds, and apart from it the foremost buyer that any snapshot named.
    fn merge_order(&mut self, version: Version, mut order: Order) -> Merged {
        if self.redacted {
            order.customer = order.customer.filter(|customer| pseudonymous(customer));
        }
        let own = |held: &Option<(Version, Order)>| {
            let (version, order) = held.as_ref()?;
            Some((*version, order.customer.clone()?))
        };
        let known = self.buyer.take().or_else(|| own(&self.order));
        let said = order.customer.clone().map(|customer| (version, customer));
        let names = |a: &(Version, Id), b: &(Version, Id)| outranks(b, a);
        let best = match (known.as_ref(), said) {
            (Some(known), Some(said)) if names(known, &said) => Some(said),
            (Some(known), _) => Some(known.clone()),
            (None, said) => said,
        };
        let renamed = best != known;
        let merged = newer(&mut self.order, version, order);
        self.buyer = best.filter(|best| own(&self.order).as_ref() != Some(best));
        if renamed { Merged::Changed } else { merged }
    }

    /// Forgets the buyer, in what is held and in what will be said.
    fn redact(&mut self) -> Merged {
        if self.redacted {
            return Merged::Stale;
        }
        self.redacted = true;
        let mut known = self.buyer.take_if(|(_, buyer)| !pseudonymous(buyer)).is_some();
        let order = self.order.iter_mut().map(|(_, order)| &mut order.customer);
        let rows = self.rows.values_mut().map(|row| &mut row.line.customer);
        for customer in order.chain(rows) {
            known |= customer.take_if(|customer| !pseudonymous(customer)).is_some();
        }
        if known { Merged::Changed } else { Merged::Noted }
    }

    /// Whether nothing was ever said of the order.
    #[must_use]
    pub fn empty(&self) -> bool {
        self.order.is_none()
            && !self.deleted
            && !self.redacted
            && self.refunds.is_empty()
            && self.edits.is_empty()
            && self.rows.is_empty()
    }

    /// Counts the rows of a dossier that was put together from its parts.
    pub(crate) fn count_rows(&mut self) {
        self.held = self.rows.values().map(|row| row.times as usize).sum();
    }

    /// Counts equal rows within one reading of one file; the file with most of them decides. So
    /// reading a file again changes nothing, and rows that are truly there twice count twice.
    fn merge_row(&mut self, row: OrderRow) -> Merged {
        let full = self.held >= ROWS_MAX;
        let OrderRow { content, reading, mut line, .. } = row;
        if self.redacted {
            line.customer = line.customer.filter(|customer| pseudonymous(customer));
        }
        match self.rows.entry(content) {
            Entry::Vacant(_) if full => Merged::Full,
            Entry::Vacant(place) => {
                place.insert(HeldRow { line, times: 1, reading, seen: 1 });
                self.held += 1;
                Merged::Changed
            }
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                held.seen = if held.reading == reading { held.seen.saturating_add(1) } else { 1 };
                held.reading = reading;
                // Read under another currency or mapping, the same row may mean something else;
                // which meaning holds must not depend on which came first.
                let means_more = rank(&line) > rank(&held.line);
                if means_more {
                    held.line = line;
                }
                match held.seen > held.times {
                    true if full => Merged::Full,
                    true => {
                        held.times = held.seen;
                        self.held += 1;
                        Merged::Changed
                    }
                    false if means_more => Merged::Changed,
                    false => Merged::Noted,
                }
            }
        }
    }
}

/// Of two buyers the foremost, and of equal ones the one that a later snapshot named.
pub(crate) fn outranks(one: &(Version, Id), other: &(Version, Id)) -> bool {
    (foremost(&one.1), one.0) > (foremost(&other.1), other.0)
}

/// Which of several buyers an order has. A pseudonym goes before any id of a platform, so that
/// forgetting ids before or after comparing is the same; and a buyer with an id before one of whom
/// only an address is known. Among equal ones the later snapshot decides: a platform merges
/// customers, and nothing that arrives says which of two pseudonyms came first.
pub(crate) fn foremost(id: &str) -> impl Ord {
    (pseudonymous(id), !addressed(id))
}

/// Of two meanings of one row the higher ranked holds. The customer ranks last, for the same
/// reason.
fn rank(line: &RowLine) -> impl Ord {
    let RowLine { at, returned, product, units, amount, discounts, currency, customer, channel } =
        line;
    let customer = customer.as_ref().map(|customer| (foremost(customer), customer));
    ((at, returned, product, units), (amount, discounts, currency, channel), customer)
}

fn newer<T>(held: &mut Option<(Version, T)>, version: Version, value: T) -> Merged {
    if held.as_ref().is_some_and(|(known, _)| *known >= version) {
        return Merged::Stale;
    }
    *held = Some((version, value));
    Merged::Changed
}

fn newest<T>(held: &mut BTreeMap<Id, (Version, T)>, id: Id, version: Version, value: T) -> Merged {
    match held.entry(id) {
        Entry::Occupied(held) if held.get().0 >= version => Merged::Stale,
        Entry::Occupied(mut held) => {
            held.insert((version, value));
            Merged::Changed
        }
        Entry::Vacant(place) => {
            place.insert((version, value));
            Merged::Changed
        }
    }
}
