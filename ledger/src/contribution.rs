//! What a dossier contributes: the facts it counts as, and the faults it stands for.
//!
//! Invariant: pure. The same dossier, calendar and numbers give the same contribution, so that the
//! old one can be taken out exactly.

use std::collections::BTreeMap;

use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::event::{Order, OrderLine, Refund, RowLine};
use ionflux_schemas::fact::{Fact, FactKind, Scene};
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{CustomerKey, Id};
use ionflux_schemas::money::div_half_even;
use ionflux_schemas::time::UtcMs;

use crate::dossier::Dossier;
use crate::shop::Shop;

/// What a dossier counts as.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contribution {
    /// Facts for the dataflow.
    pub facts: Vec<Fact>,
    /// Parts that cannot count yet.
    pub faults: Vec<Fault>,
}

/// The contribution of an order's dossier in its shop.
#[must_use]
pub fn contribution(dossier: &Dossier, shop: &Shop, dictionary: &Dictionary) -> Contribution {
    let mut writer = Writer { shop, dictionary, out: Contribution::default() };
    match &dossier.order {
        _ if dossier.deleted => {}
        Some((_, order)) if order.test => {}
        Some((_, order)) => {
            writer.order(order, dossier);
            writer.refunds(dossier, &order.channel);
        }
        None if dossier.rows.is_empty() => writer.waiting(dossier),
        // Rows know only lines; a snapshot of the order, once known, outranks them.
        None => {
            writer.rows(dossier);
            writer.refunds(dossier, "");
        }
    }
    writer.out
}

struct Writer<'a> {
    shop: &'a Shop,
    dictionary: &'a Dictionary,
    out: Contribution,
}

impl<'a> Writer<'a> {
    fn scene(&self, currency: ionflux_schemas::currency::Currency, channel: &str) -> Scene<'a> {
        let channel = self.dictionary.channels.number(&channel.into());
        Scene { shop: self.shop.number, calendar: &self.shop.calendar, currency, channel }
    }

    fn product(&self, product: Option<&Id>) -> u32 {
        product.map_or(0, |product| self.dictionary.products.number(product))
    }

    fn order(&mut self, order: &Order, dossier: &Dossier) {
        let scene = self.scene(order.currency, &order.channel);
        let at = order.placed_at;
        let customer = order.customer.as_ref().map_or(CustomerKey::GUEST, |id| CustomerKey::of(id));
        let placed = scene.fact(at, FactKind::Order, [order.shipping, order.taxes]);
        self.out.facts.push(Fact { customer, ..placed });
        self.extras(&scene, at, order.tips, order.duties_and_fees);
        let mut edits: Vec<_> = dossier.edits.values().map(|(_, edit)| edit).collect();
        edits.sort_by(|a, b| (a.edited_at, &a.id).cmp(&(b.edited_at, &b.id)));
        for line in &order.lines {
            let added = edits.iter().flat_map(|edit| {
                let of_line = edit.additions.iter().filter(|(id, _)| *id == line.id);
                of_line.map(|(_, units)| (edit.edited_at, *units))
            });
            self.line(&scene, at, line, added);
        }
    }

    /// A line sold when the order was placed, but for the units that edits added later: those are
    /// sold on the day of the edit (Shopify reports, "Editing orders"). Amounts follow the units,
    /// half-even, and what is left stays with the order's day, so that nothing is lost.
    fn line(
        &mut self,
        scene: &Scene<'_>,
        placed_at: UtcMs,
        line: &OrderLine,
        added: impl Iterator<Item = (UtcMs, i32)>,
    ) {
        let product = self.product(line.product.as_ref());
        let (mut units, mut gross, mut discounts) = (line.units, line.gross, line.discounts);
        let mut sale = |at, units, amounts| {
            self.out.facts.push(scene.goods(at, FactKind::Sale, (product, units), amounts));
        };
        for (at, added) in added {
            let added = added.clamp(0, units);
            if added == 0 {
                continue;
            }
            let part = |amount| share(amount, added, line.units);
            let amounts = match units - added {
                0 => [gross, discounts],
                _ => [part(line.gross), part(line.discounts)],
            };
            sale(at, added, amounts);
            units -= added;
            gross -= amounts[0];
            discounts -= amounts[1];
        }
        if units > 0 || gross != 0 || discounts != 0 {
            sale(placed_at, units, [gross, discounts]);
        }
    }

    /// An export knows only the sum of an order's refunds, which would count them twice.
    fn refunds(&mut self, dossier: &Dossier, channel: &str) {
        let refunds = || dossier.refunds.values().map(|(_, refund)| refund);
        let single = refunds().any(|refund| !refund.aggregate);
        for refund in refunds().filter(|refund| !(single && refund.aggregate)) {
            self.refund(refund, channel);
        }
    }

    fn refund(&mut self, refund: &Refund, channel: &str) {
        let scene = self.scene(refund.currency, channel);
        let at = refund.processed_at;
        let amounts = [refund.shipping, refund.taxes];
        self.out.facts.push(scene.fact(at, FactKind::Refund, amounts));
        self.extras(&scene, at, 0, -refund.duties_and_fees);
        for line in &refund.lines {
            let goods = (self.product(line.product.as_ref()), line.units);
            let back = scene.goods(at, FactKind::Return, goods, [line.amount, 0]);
            self.out.facts.push(back);
        }
        if refund.adjustment != 0 {
            let amounts = [refund.adjustment, 0];
            self.out.facts.push(scene.fact(at, FactKind::Return, amounts));
        }
    }

    fn extras(&mut self, scene: &Scene<'_>, at: UtcMs, tips: i64, duties_and_fees: i64) {
        if tips != 0 || duties_and_fees != 0 {
            let amounts = [tips, duties_and_fees];
            self.out.facts.push(scene.fact(at, FactKind::Extras, amounts));
        }
    }

    /// An order of which only lines are known: it was placed at its earliest line, if any line is
    /// a sale; each line counts at its own time; returns of one clock hour are one refund.
    fn rows(&mut self, dossier: &Dossier) {
        let mut rows: Vec<_> = dossier.rows.iter().collect();
        rows.sort_by_key(|(content, row)| (row.line.at, **content));
        let lines = || rows.iter().map(|(_, row)| &row.line);
        if let Some(first) = lines().next().filter(|_| lines().any(|line| !line.returned)) {
            let customer = lines().find_map(|line| line.customer.as_ref());
            let customer = customer.map_or(CustomerKey::GUEST, |id| CustomerKey::of(id));
            let scene = self.scene(first.currency, &first.channel);
            let placed = scene.fact(first.at, FactKind::Order, [0, 0]);
            self.out.facts.push(Fact { customer, ..placed });
        }
        let mut refunds: BTreeMap<_, Fact> = BTreeMap::new();
        for (_, row) in &rows {
            let line = &row.line;
            let scene = self.scene(line.currency, &line.channel);
            let fact = self.row(&scene, line);
            self.out.facts.extend(std::iter::repeat_n(fact, row.times as usize));
            if line.returned {
                let refund = scene.fact(line.at, FactKind::Refund, [0, 0]);
                refunds.entry((fact.hour, fact.currency)).or_insert(refund);
            }
        }
        self.out.facts.extend(refunds.into_values());
    }

    fn row(&self, scene: &Scene<'_>, line: &RowLine) -> Fact {
        let goods = (self.product(line.product.as_ref()), line.units);
        if line.returned {
            let back = [line.amount - line.discounts, 0];
            return scene.goods(line.at, FactKind::Return, goods, back);
        }
        scene.goods(line.at, FactKind::Sale, goods, [line.amount, line.discounts])
    }

    /// Refunds and edits whose order has not arrived: faults until it does.
    fn waiting(&mut self, dossier: &Dossier) {
        let refunds =
            dossier.refunds.values().map(|(_, refund)| ("refund", &refund.id, &refund.order));
        let edits = dossier.edits.values().map(|(_, edit)| ("edit", &edit.id, &edit.order));
        for (what, id, order) in refunds.chain(edits) {
            self.out.faults.push(Fault {
                shop: self.shop.key.clone(),
                kind: FaultKind::WaitingForOrder,
                place: Place { source: "ledger".into(), line: 0 },
                subject: format!("{what} {id} of order {order}").into(),
                reason: format!("order {order} has not arrived").into(),
            });
        }
    }
}

/// `part / whole` of an amount, half-even.
fn share(amount: i64, part: i32, whole: i32) -> i64 {
    let product = i128::from(amount) * i128::from(part);
    let share = div_half_even(product, i128::from(whole)).unwrap_or(0);
    // A part of an i64 is never larger than the i64.
    i64::try_from(share).unwrap_or(amount)
}
