//! What asks a shop of TikTok Shop: for hinted orders at once, for all that changed in sweeps.
//!
//! ```text
//! webhook ─▶ hint ─▶ orders by id ───────────┐
//! every 15 min ─▶ search by update_time ──────┴─▶ intake ─▶ journal ─▶ cursor moves
//! ```
//!
//! Invariant: a cursor moves over a span of time only after everything that changed in it is
//! acknowledged; spans overlap, and the ledger counts once what is read twice. A return goes in
//! with its order, which tells what its units had sold for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ionflux_schemas::delivery::Delivery;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::{UtcMs, Zone};

use super::api::SHOP;
use super::body::Reversal;
use super::client::{Client, Filter, IDS_MAX, What};
use super::delivery::SHOP_API;
use super::hints::{Change, Hints};
use super::transport::CallError;
use super::{trimmed, zone};
use crate::clock::Clock;
use crate::cursor::Cursors;
use crate::intake::Intake;
use crate::poller::{Poll, PollError, Stop};

/// How far a sweep reaches back behind the last one, for what was written late.
const OVERLAP_S: i64 = 600;
/// The span of one search: less where a shop has more of it than pages can hold.
const SPAN_S: i64 = 86_400;
const SPAN_MIN_S: i64 = 60;
/// The pages of one search.
const PAGES_MAX: usize = 2_000;
/// The hints of one round; a shop that makes more of them is swept between two rounds.
const ROUND_HINTS_MAX: usize = 1_000;
/// What a person does about a refusal.
const REMEDY: &str = "authorise the shop again, put its tokens where the configuration looks for \
                      them, and restart";

/// Whose shop is asked, and how often.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The tenant.
    pub workspace: Id,
    /// The shop's id.
    pub shop: Id,
    /// The time between two sweeps, in milliseconds.
    pub sweep_every_ms: i64,
    /// How far the first sweep reaches back, in seconds.
    pub backfill_s: i64,
    /// The zone of its days; without one they stay as they are.
    pub zone: Option<Zone>,
}

/// What a poller is connected to.
pub struct Ends {
    /// The way into the journal.
    pub intake: Intake,
    /// How far sweeps went.
    pub cursors: Cursors,
    /// Our clock.
    pub clock: Arc<dyn Clock>,
    /// The hints of the shop.
    pub hints: Hints,
}

/// The poller of one shop.
pub struct ShopPoller {
    shop: Shop,
    client: Client,
    ends: Ends,
    next_sweep: UtcMs,
}

impl ShopPoller {
    /// A poller that sweeps in its first round.
    #[must_use]
    pub fn new(shop: Shop, client: Client, ends: Ends) -> Self {
        Self { shop, client, ends, next_sweep: UtcMs(i64::MIN) }
    }

    /// Tells the shop's zone, once; again when it is another.
    fn tell_zone(&mut self) -> Result<(), Ended> {
        let Shop { workspace, shop, zone, .. } = &self.shop;
        let Some(told) = zone else { return Ok(()) };
        let name = format!("tiktok-shop/{workspace}/{shop}/timezone");
        let known = self.ends.cursors.get(&name).map_err(Ended::of_cursor)?;
        if known.as_deref() != Some(told.name()) {
            let delivery = zone::delivery((workspace, shop), told, self.ends.clock.now());
            let kept = self.ends.intake.deliver_blocking(delivery);
            kept.map_err(|refused| Ended::Transient(refused.to_string()))?;
            self.ends.cursors.set(&name, told.name()).map_err(Ended::of_cursor)?;
        }
        self.shop.zone = None;
        Ok(())
    }

    /// Asks for the orders of hints.
    fn hinted(&mut self, stop: &Stop) -> Result<(), Ended> {
        let mut left = ROUND_HINTS_MAX;
        while left > 0 {
            let hints = self.ends.hints.take(IDS_MAX.min(left));
            if hints.is_empty() {
                return Ok(());
            }
            left -= hints.len();
            if let Err(ended) = self.fetch(&hints, stop) {
                self.ends.hints.put_back(hints);
                return Err(ended);
            }
        }
        self.ends.hints.wake_if_any();
        Ok(())
    }

    fn fetch(&mut self, hints: &[(Id, Change)], stop: &Stop) -> Result<(), Ended> {
        let ids: Vec<Id> = hints.iter().map(|(order, _)| order.clone()).collect();
        for order in self.client.orders(&ids, stop)? {
            self.deliver(What::Orders, &order, None)?;
        }
        let reversed = hints.iter().filter(|(_, change)| *change == Change::Reversal);
        let reversed: Vec<Id> = reversed.map(|(order, _)| order.clone()).collect();
        if reversed.is_empty() {
            return Ok(());
        }
        for what in [What::Returns, What::Cancellations] {
            if !self.pages(what, &Filter::Of(&reversed), stop)? {
                return Err(Ended::Transient("more returns of 50 orders than pages".into()));
            }
        }
        Ok(())
    }

    /// Asks for all that changed since the last sweep, in spans of a day at most.
    fn sweep(&mut self, what: What, stop: &Stop) -> Result<(), Ended> {
        let now_s = self.ends.clock.now().0 / 1_000;
        let name =
            format!("tiktok-shop/{}/{}/{}", self.shop.workspace, self.shop.shop, what.list());
        let cursor = self.ends.cursors.get(&name).map_err(Ended::of_cursor)?;
        let cursor = cursor.and_then(|text| text.trim().parse::<i64>().ok());
        let backfill = now_s.saturating_sub(self.shop.backfill_s);
        let mut from = cursor.map_or(backfill, |at| at.saturating_sub(OVERLAP_S));
        let mut span = SPAN_S;
        while from < now_s {
            let to = from.saturating_add(span).min(now_s);
            if self.pages(what, &Filter::Changed(from, to), stop)? {
                self.ends.cursors.set(&name, &to.to_string()).map_err(Ended::of_cursor)?;
                from = to;
            } else if span > SPAN_MIN_S {
                span = (span / 2).max(SPAN_MIN_S);
            } else {
                let why = format!("{}: a minute holds more than {PAGES_MAX} pages", what.list());
                return Err(Ended::Transient(why));
            }
        }
        Ok(())
    }

    /// Every page of a search, delivered; says whether that was all of it.
    fn pages(&mut self, what: What, filter: &Filter<'_>, stop: &Stop) -> Result<bool, Ended> {
        let mut next = None;
        for _ in 0..PAGES_MAX {
            // A first sweep may take long: whoever waits for a webhook's order does not.
            if matches!(filter, Filter::Changed(..)) {
                self.hinted(stop)?;
            }
            let page = self.client.search(what, filter, next.as_deref(), stop)?;
            match what {
                What::Orders => {
                    for order in &page.records {
                        self.deliver(what, order, None)?;
                    }
                }
                What::Returns | What::Cancellations => {
                    self.reversals(what, &page.records, stop)?;
                }
            }
            match page.next {
                None => return Ok(true),
                // Followed, it would never end; taken as the end, it would lose the rest.
                again if again == next => {
                    let why = format!("{}: a page names itself as the next", what.list());
                    return Err(Ended::Transient(why));
                }
                further => next = further,
            }
        }
        Ok(false)
    }

    /// Returns or cancellations, each with its order.
    fn reversals(&mut self, what: What, records: &[String], stop: &Stop) -> Result<(), Ended> {
        let order = |record: &String| {
            let reversal: Reversal<'_> = serde_json::from_str(record).ok()?;
            reversal.order_id.id("the order").ok().flatten()
        };
        let ids: BTreeSet<Id> = records.iter().filter_map(order).collect();
        let ids: Vec<Id> = ids.into_iter().collect();
        let mut orders: BTreeMap<Id, String> = BTreeMap::new();
        for text in self.client.orders(&ids, stop)? {
            let known: Result<super::body::Order<'_>, _> = serde_json::from_str(&text);
            let id = known.ok().and_then(|known| known.id.id("the order").ok().flatten());
            orders.extend(id.map(|id| (id, text)));
        }
        for record in records {
            let order = order(record).and_then(|id| orders.get(&id));
            self.deliver(what, record, order)?;
        }
        Ok(())
    }

    /// Keeps a record, without what nobody needs of it, and the order it is of.
    fn deliver(&self, what: What, record: &str, order: Option<&String>) -> Result<(), Ended> {
        // What is no object holds nothing of a buyer; its reader refuses it and keeps it.
        let trimmed = match what {
            What::Orders => trimmed::order(record),
            What::Returns | What::Cancellations => trimmed::object(record, trimmed::REVERSAL),
        };
        let trimmed = trimmed.unwrap_or_else(|_| record.to_owned());
        let order = order.and_then(|order| trimmed::order(order).ok());
        let order = order.map_or_else(String::new, |order| format!(",\"orders\":[{order}]"));
        let body = format!("{{\"data\":{{\"{}\":[{trimmed}]{order}}}}}", what.list());
        let delivery = Delivery {
            source: SHOP_API.into(),
            workspace: self.shop.workspace.clone(),
            received_at: self.ends.clock.now(),
            headers: BTreeMap::from([(SHOP.into(), self.shop.shop.clone())]),
            body: body.into_bytes().into(),
        };
        let kept = self.ends.intake.deliver_blocking(delivery);
        kept.map(|_| ()).map_err(|refused| Ended::Transient(refused.to_string()))
    }
}

impl Poll for ShopPoller {
    fn poll(&mut self, stop: &Stop) -> Result<(), PollError> {
        let round = self.tell_zone().and_then(|()| self.hinted(stop)).and_then(|()| {
            let now = self.ends.clock.now();
            if now < self.next_sweep {
                return Ok(());
            }
            What::ALL.into_iter().try_for_each(|what| self.sweep(what, stop))?;
            self.next_sweep = UtcMs(now.0.saturating_add(self.shop.sweep_every_ms));
            Ok(())
        });
        match round {
            Ok(()) => Ok(()),
            Err(Ended::Call(error)) => error.ends(REMEDY),
            Err(Ended::Transient(why)) => Err(PollError::Transient(why)),
        }
    }
}

/// Why a round ended early.
enum Ended {
    Call(CallError),
    Transient(String),
}

impl Ended {
    fn of_cursor(cause: std::io::Error) -> Self {
        Self::Transient(format!("the cursor cannot be kept: {cause}"))
    }
}

impl From<CallError> for Ended {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}
