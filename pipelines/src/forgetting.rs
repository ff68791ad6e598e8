//! Forgetting: requests about people, carried out where the journal meets the ledger.
//!
//! ```text
//! request in the journal ─▶ epoch: faults and letters scrubbed ─▶ ledger synced
//!                                        links destroyed, receipt signed, request struck off ◀─┘
//! ```
//!
//! Invariant: a request is struck off after all of it is done and durable. Until then the journal,
//! or the next start, brings it again, and doing it twice is doing it once.

use std::collections::BTreeSet;
use std::sync::Arc;

use ionflux_ledger::Ledger;
use ionflux_ledger::scrub::{Forget, Scrubbed};
use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::key::{Id, ShopKey};
use ionflux_schemas::letter::Letter;
use ionflux_sources::list::read_delivery;
use ionflux_sources::reading::Decoded;
use ionflux_sources::subjects::raw::LAID_ASIDE;
use ionflux_sources::subjects::receipts;
use ionflux_sources::subjects::requests::{Deed, Request};
use ionflux_sources::subjects::{REQUEST, Subjects};
use serde_json::{Value, json};

use crate::failure::Failure;

/// How many orders an export holds.
const EXPORT_ORDERS_MAX: usize = 100_000;

/// The requests on their way from the journal to their receipts.
pub struct Forgetting {
    subjects: Arc<Subjects>,
    /// Met since the last epoch was counted.
    open: Round,
    /// Counted, and not durable yet.
    counted: Vec<(Request, Scrubbed)>,
    cleared: Vec<Box<str>>,
}

#[derive(Default)]
struct Round {
    asked: Vec<Request>,
    /// Bodies laid aside that were understood after all.
    clear: Vec<Box<str>>,
}

impl Forgetting {
    /// Nothing on its way.
    #[must_use]
    pub fn new(subjects: Arc<Subjects>) -> Self {
        let (counted, cleared) = (Vec::new(), Vec::new());
        Self { subjects, open: Round::default(), counted, cleared }
    }

    /// What a delivery says, and whom it asks to forget.
    ///
    /// # Errors
    /// When the keyed place cannot be read.
    pub fn read(
        &mut self,
        delivery: &mut Delivery,
        at: Position,
    ) -> Result<(Decoded, Option<Forget>), Failure> {
        let raw = self.subjects.restore(delivery);
        let mut decoded = read_delivery(delivery, at);
        if let Some(name) = raw {
            match &mut decoded.letter {
                // Its bytes stay where they can be removed.
                Some(letter) => lay(letter, &name),
                None => self.open.clear.push(name),
            }
        }
        let asked = delivery.headers.get(REQUEST).map(|id| self.subjects.pending(id));
        let Some(request) = asked.transpose()?.flatten() else { return Ok((decoded, None)) };
        let known = self.open.asked.iter().any(|open| open.id == request.id);
        let forget = (!known).then(|| forget(&request));
        if !known {
            self.open.asked.push(request);
        }
        Ok((decoded, forget))
    }

    /// Notes that everything met so far is counted, with what was scrubbed for each.
    pub fn counted(&mut self, scrubbed: &[Scrubbed]) {
        let Round { asked, clear } = std::mem::take(&mut self.open);
        let scrubbed = scrubbed.iter().copied().chain(std::iter::repeat(Scrubbed::default()));
        self.counted.extend(asked.into_iter().zip(scrubbed));
        self.cleared.extend(clear);
    }

    /// Does what is left of everything counted, once the ledger has synced it.
    ///
    /// # Errors
    /// When the disk refuses; it is tried again at the next sync.
    pub fn finish(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        while let Some((request, scrubbed)) = self.counted.first() {
            if request.deed == Deed::Tell {
                self.subjects.keep_export(request, orders_of(ledger, &self.subjects, request)?)?;
            }
            let Scrubbed { letters, faults } = *scrubbed;
            self.subjects.complete(request, receipts::Scrubbed { letters, faults })?;
            self.counted.remove(0);
        }
        for name in self.cleared.drain(..) {
            self.subjects.clear(&name)?;
        }
        self.subjects.expire_exports()?;
        Ok(())
    }
}

/// Lets a letter name the place of its bytes and hold none of them.
pub(crate) fn lay(letter: &mut Letter, name: &str) {
    letter.bytes = Box::default();
    letter.context.insert(LAID_ASIDE.into(), name.into());
}

fn forget(request: &Request) -> Forget {
    let shop = ShopKey::new(&*request.workspace, &*request.shop);
    let tells = request.deed == Deed::Tell;
    let words = request.sought_words().filter(|_| !tells).map(Box::from).collect();
    Forget { shop, words, all: request.deed == Deed::ForgetShop }
}

/// The orders of a person as the ledger has them, and those the request names.
fn orders_of(
    ledger: &Ledger,
    subjects: &Subjects,
    request: &Request,
) -> Result<Vec<Value>, Failure> {
    let names = subjects.names_of(request).into_iter().map(|name| Id::from(name.to_string()));
    let names: BTreeSet<Id> = names.collect();
    let named: BTreeSet<&str> = request.orders.iter().map(|order| &**order).collect();
    let shop = ShopKey::new(&*request.workspace, &*request.shop);
    let mut orders = Vec::new();
    ledger.for_each_dossier(&shop, |dossier| {
        let theirs = dossier.customer().is_some_and(|customer| names.contains(customer));
        let Some((_, order)) = &dossier.order else { return Ok(()) };
        if (theirs || named.contains(&*order.id)) && orders.len() < EXPORT_ORDERS_MAX {
            let refunds: Vec<_> = dossier.refunds.values().map(|(_, refund)| refund).collect();
            orders.push(json!({
                "order": order.id,
                "placed_at": order.placed_at.to_string(),
                "currency": order.currency.code(),
                "amounts_in": "minor units",
                "lines": order.lines,
                "shipping": order.shipping,
                "taxes": order.taxes,
                "tips": order.tips,
                "refunds": refunds,
            }));
        }
        Ok::<_, Failure>(())
    })?;
    Ok(orders)
}
