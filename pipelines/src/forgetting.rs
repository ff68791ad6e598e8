//! Forgetting: requests about people, carried out where the journal meets the ledger.
//!
//! ```text
//! request in the journal ─▶ epoch: faults and letters scrubbed ─▶ ledger synced
//!           again later ┌─▶ links destroyed, receipt signed, request struck off ◀─┘
//!                       └── the disk refused
//! ```
//!
//! Invariant: a request is struck off after all of it is done and durable. Until then it is tried
//! again, also by the next start, and doing it twice is doing it once. No disk that refuses a
//! receipt keeps anything from being counted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use ionflux_ledger::Ledger;
use ionflux_ledger::scrub::{Forget, Scrubbed};
use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::health::{Condition, Health};
use ionflux_schemas::key::{Id, ShopKey, named};
use ionflux_schemas::letter::Letter;
use ionflux_schemas::time::UtcMs;
use ionflux_sources::list::read_delivery;
use ionflux_sources::reading::Decoded;
use ionflux_sources::subjects::error::SubjectError;
use ionflux_sources::subjects::raw::{self, LAID_ASIDE};
use ionflux_sources::subjects::receipts::{self, Erased};
use ionflux_sources::subjects::requests::{Deed, Request};
use ionflux_sources::subjects::{REQUEST, Subjects};
use serde_json::{Value, json};

use crate::failure::Failure;

/// How many orders an export holds.
const EXPORT_ORDERS_MAX: usize = 100_000;

/// The longest wait before something that the disk refused is tried again.
const BACKOFF_MAX_MS: i64 = 300_000;
/// How often exports are looked through for those that were kept long enough.
const EXPIRE_MS: i64 = 3_600_000;

/// The requests on their way from the journal to their receipts.
pub struct Forgetting {
    subjects: Arc<Subjects>,
    /// Met since the last epoch was counted.
    open: Round,
    /// Counted, and not durable yet.
    counted: Vec<(Request, Scrubbed)>,
    cleared: Vec<Box<str>>,
    /// Durable in the ledger, and to be carried out.
    due: Vec<Due>,
    /// Bodies that the disk did not let go.
    unclear: Vec<Box<str>>,
    expire_at: UtcMs,
    health: Arc<Mutex<Health>>,
}

#[derive(Default)]
struct Round {
    asked: Vec<Request>,
    /// Bodies laid aside that were understood after all.
    clear: Vec<Box<str>>,
}

/// A request that is carried out as soon as the disk lets it.
struct Due {
    request: Request,
    scrubbed: receipts::Scrubbed,
    erased: Erased,
    failures: u32,
    at: UtcMs,
}

impl Forgetting {
    /// Nothing on its way.
    #[must_use]
    pub fn new(subjects: Arc<Subjects>) -> Self {
        let (component, state, since) = ("subjects".into(), Condition::Running, subjects.now());
        let health = Health { component, state, since, reason: Box::default() };
        Self {
            subjects,
            open: Round::default(),
            counted: Vec::new(),
            cleared: Vec::new(),
            due: Vec::new(),
            unclear: Vec::new(),
            expire_at: UtcMs(0),
            health: Arc::new(Mutex::new(health)),
        }
    }

    /// What answers how it is, at any time.
    pub fn health(&self) -> impl Fn() -> Health + Send + Sync + 'static {
        let health = Arc::clone(&self.health);
        move || health.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let decoded = raw::not_kept(delivery, at);
        let mut decoded = decoded.unwrap_or_else(|| read_delivery(delivery, at));
        if let Some(name) = raw {
            // What could not be minimised has the ids of its platform.
            let after = self.subjects.rename(&mut decoded.envelopes)?;
            self.subjects.vault().durable_blocking(after)?;
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

    /// Carries out everything counted, once the ledger has synced it.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn finish(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        let due = self.counted.drain(..).map(|(request, scrubbed)| {
            let Scrubbed { letters, faults } = scrubbed;
            let scrubbed = receipts::Scrubbed { letters, faults };
            Due { request, scrubbed, erased: Erased::default(), failures: 0, at: UtcMs(0) }
        });
        self.due.extend(due);
        let cleared = std::mem::take(&mut self.cleared);
        self.clear(cleared);
        self.tend(ledger)
    }

    /// Does what is due by now of what the ledger has synced, and of what the disk refused before.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn tend(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        let now = self.subjects.now();
        if now >= self.expire_at {
            self.expire_at = UtcMs(now.0.saturating_add(EXPIRE_MS));
            let unclear = std::mem::take(&mut self.unclear);
            self.clear(unclear);
            if let Err(problem) = self.subjects.expire_exports() {
                tracing::error!("exports are kept too long: {problem}");
            }
        }
        if self.due.iter().all(|due| due.at > now) {
            return Ok(());
        }
        let (mut later, mut problem): (Vec<Due>, _) = (Vec::new(), None);
        for mut due in std::mem::take(&mut self.due) {
            // Those of one shop in the order they came: nobody is told of who was forgotten.
            let behind = later.iter().any(|other| {
                other.request.workspace == due.request.workspace
                    && other.request.shop == due.request.shop
            });
            if behind || due.at > now {
                later.push(due);
                continue;
            }
            name_shops(ledger, &mut due.request);
            let orders = match due.request.deed {
                Deed::Tell => Some(orders_of(ledger, &self.subjects, &due.request)?),
                _ => None,
            };
            if let Err(refused) = carry_out(&self.subjects, &mut due, orders) {
                let wait_ms = (1_000 << due.failures.min(10)).min(BACKOFF_MAX_MS);
                (due.failures, due.at) = (due.failures + 1, UtcMs(now.0.saturating_add(wait_ms)));
                tracing::error!("request {} is tried again: {refused}", due.request.id);
                problem = Some(refused);
                later.push(due);
            }
        }
        self.due = later;
        self.tell(problem, now);
        Ok(())
    }

    /// Removes bodies that no letter needs.
    fn clear(&mut self, names: Vec<Box<str>>) {
        for name in names {
            if let Err(problem) = self.subjects.clear(&name) {
                tracing::error!("a body that no letter needs stays for now: {problem}");
                self.unclear.push(name);
            }
        }
    }

    fn tell(&self, problem: Option<SubjectError>, now: UtcMs) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.due.len();
        let state = if waiting == 0 { Condition::Running } else { Condition::Stalled };
        if health.state != state {
            (health.state, health.since) = (state, now);
        }
        health.reason = match problem {
            _ if waiting == 0 => Box::default(),
            Some(problem) => format!("{waiting} requests about people wait: {problem}").into(),
            None => return,
        };
    }
}

fn carry_out(
    subjects: &Subjects,
    due: &mut Due,
    orders: Option<Vec<Value>>,
) -> Result<(), SubjectError> {
    if let Some(orders) = orders {
        subjects.keep_export(&due.request, orders)?;
    }
    subjects.carry_out(&due.request, due.scrubbed, &mut due.erased)
}

/// Lets a letter name the place of its bytes and hold none of them.
pub(crate) fn lay(letter: &mut Letter, name: &str) {
    letter.bytes = Box::default();
    letter.context.insert(LAID_ASIDE.into(), name.into());
}

/// Tells a request which shops it means where it names none.
fn name_shops(ledger: &Ledger, request: &mut Request) {
    if request.shop.is_empty() {
        request.shops = ledger.shops().of_workspace(&request.workspace);
    }
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
    let names = subjects.names_of(request).into_iter();
    let names: BTreeSet<Id> =
        names.flat_map(|name| [false, true].map(|addressed| named(name, addressed))).collect();
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
