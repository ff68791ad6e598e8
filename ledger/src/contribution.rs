//! What a dossier contributes: the facts it counts as, and the faults it stands for.
//!
//! Invariant: pure. The same dossier, calendar and numbers give the same contribution, so that the
//! old one can be taken out exactly.

use std::collections::BTreeMap;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::{Order, OrderLine, Refund, RowLine};
use ionflux_schemas::fact::{Fact, FactKind, Hour, Scene};
use ionflux_schemas::fault::{Fault, FaultKind, Place};
use ionflux_schemas::key::{CustomerKey, Id};
use ionflux_schemas::money::div_half_even;
use ionflux_schemas::time::{Day, UtcMs};

use crate::aggregate;
use crate::codec::plain::PlainOrder;
use crate::codec::{CodecError, Text};
use crate::dossier::{Dossier, foremost};
use crate::numbers::Numbers;
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
pub fn contribution(dossier: &Dossier, shop: &Shop, numbers: &mut Numbers<'_>) -> Contribution {
    let mut writer = Writer::new(shop, numbers);
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

/// The contribution of a dossier that is nothing but an order: what [`contribution`] gives for
/// it, without a copy of its names.
///
/// # Errors
/// [`CodecError`] if the bytes are damaged.
pub fn plain(
    mut order: PlainOrder<'_>,
    shop: &Shop,
    numbers: &mut Numbers<'_>,
) -> Result<Vec<Fact>, CodecError> {
    let mut writer = Writer::new(shop, numbers);
    if order.test {
        return Ok(Vec::new());
    }
    let channel = writer.numbers.channel(order.channel);
    let scene = writer.scene(order.currency, channel);
    let at = order.placed_at;
    let [shipping, taxes, tips, duties_and_fees] = order.amounts;
    let customer = order.customer.map_or(CustomerKey::GUEST, Text::customer);
    writer.placed(&scene, (at, customer), [shipping, taxes]);
    writer.extras(&scene, at, tips, duties_and_fees);
    while let Some(line) = order.line()? {
        let goods = (writer.numbers.product(line.product), line.units);
        writer.sale(&scene, at, goods, [line.gross, line.discounts]);
    }
    Ok(writer.out.facts)
}

struct Writer<'a, 'd> {
    shop: &'a Shop,
    numbers: &'a mut Numbers<'d>,
    /// The instant met last: most facts of an order share theirs.
    moment: Option<(UtcMs, Day, Hour)>,
    out: Contribution,
}

impl<'a, 'd> Writer<'a, 'd> {
    fn new(shop: &'a Shop, numbers: &'a mut Numbers<'d>) -> Self {
        let out = Contribution { facts: numbers.list(), faults: Vec::new() };
        Self { shop, numbers, moment: None, out }
    }

    fn scene(&self, currency: Currency, channel: u32) -> Scene<'a> {
        Scene { shop: self.shop.number, calendar: &self.shop.calendar, currency, channel }
    }

    fn channel(&mut self, channel: &str) -> u32 {
        self.numbers.channel(Text::of(channel))
    }

    fn product(&mut self, product: Option<&Id>) -> u32 {
        self.numbers.product(product.map(|product| Text::of(product)))
    }

    fn fact(&mut self, scene: &Scene<'_>, at: UtcMs, kind: FactKind, amounts: [i64; 2]) -> Fact {
        let fact = match self.moment {
            Some((met, day, hour)) if met == at => Fact {
                shop: scene.shop,
                product: 0,
                customer: CustomerKey::GUEST,
                day,
                hour,
                currency: scene.currency.number(),
                channel: scene.channel,
                kind,
                units: 0,
                amounts,
            },
            _ => scene.fact(at, kind, amounts),
        };
        self.moment = Some((at, fact.day, fact.hour));
        fact
    }

    fn placed(
        &mut self,
        scene: &Scene<'_>,
        (at, customer): (UtcMs, CustomerKey),
        amounts: [i64; 2],
    ) {
        let placed = self.fact(scene, at, FactKind::Order, amounts);
        self.out.facts.push(Fact { customer, ..placed });
    }

    fn order(&mut self, order: &Order, dossier: &Dossier) {
        self.out.facts.reserve(order.lines.len() + 2);
        let channel = self.channel(&order.channel);
        let scene = self.scene(order.currency, channel);
        let at = order.placed_at;
        let customer = dossier.customer().map_or(CustomerKey::GUEST, |id| CustomerKey::of(id));
        self.placed(&scene, (at, customer), [order.shipping, order.taxes]);
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
            self.sale(scene, at, (product, added), amounts);
            units -= added;
            gross -= amounts[0];
            discounts -= amounts[1];
        }
        self.sale(scene, placed_at, (product, units), [gross, discounts]);
    }

    /// Units of a product sold; nothing sold for nothing is no fact.
    fn sale(&mut self, scene: &Scene<'_>, at: UtcMs, goods: (u32, i32), amounts: [i64; 2]) {
        if goods.1 > 0 || amounts != [0, 0] {
            self.goods(scene, at, FactKind::Sale, (goods, amounts));
        }
    }

    fn goods(
        &mut self,
        scene: &Scene<'_>,
        at: UtcMs,
        kind: FactKind,
        ((product, units), amounts): ((u32, i32), [i64; 2]),
    ) {
        let fact = self.fact(scene, at, kind, amounts);
        self.out.facts.push(Fact { product, units, ..fact });
    }

    /// Refunds, and of their sums what they do not say themselves.
    fn refunds(&mut self, dossier: &Dossier, channel: &str) {
        let refunds = || dossier.refunds.values().map(|(_, refund)| refund);
        let singles: Vec<&Refund> = refunds().filter(|refund| !refund.aggregate).collect();
        for refund in refunds() {
            if !refund.aggregate {
                self.refund(refund, channel);
            } else if let Some(rest) = aggregate::rest(refund, &singles) {
                self.refund(&rest, channel);
            }
        }
    }

    fn refund(&mut self, refund: &Refund, channel: &str) {
        let channel = self.channel(channel);
        let scene = self.scene(refund.currency, channel);
        let at = refund.processed_at;
        let amounts = [refund.shipping, refund.taxes];
        let processed = self.fact(&scene, at, FactKind::Refund, amounts);
        self.out.facts.push(processed);
        self.extras(&scene, at, 0, -refund.duties_and_fees);
        for line in &refund.lines {
            let goods = (self.product(line.product.as_ref()), line.units);
            self.goods(&scene, at, FactKind::Return, (goods, [line.amount, 0]));
        }
        if refund.adjustment != 0 {
            let adjustment = self.fact(&scene, at, FactKind::Return, [refund.adjustment, 0]);
            self.out.facts.push(adjustment);
        }
    }

    fn extras(&mut self, scene: &Scene<'_>, at: UtcMs, tips: i64, duties_and_fees: i64) {
        if tips != 0 || duties_and_fees != 0 {
            let extras = self.fact(scene, at, FactKind::Extras, [tips, duties_and_fees]);
            self.out.facts.push(extras);
        }
    }

    /// An order of which only lines are known: it was placed at its earliest line, if any line is
    /// a sale; each line counts at its own time; returns of one clock hour are one refund.
    fn rows(&mut self, dossier: &Dossier) {
        let mut rows: Vec<_> = dossier.rows.iter().collect();
        rows.sort_by_key(|(content, row)| (row.line.at, **content));
        let lines = || rows.iter().map(|(_, row)| &row.line);
        if let Some(first) = lines().next().filter(|_| lines().any(|line| !line.returned)) {
            // Of equal ones that of the earliest line.
            let customers = lines().rev().filter_map(|line| line.customer.as_ref());
            let customer = customers.max_by_key(|customer| foremost(customer));
            let customer = customer.map_or(CustomerKey::GUEST, |id| CustomerKey::of(id));
            let channel = self.channel(&first.channel);
            let scene = self.scene(first.currency, channel);
            self.placed(&scene, (first.at, customer), [0, 0]);
        }
        let mut refunds: BTreeMap<_, Fact> = BTreeMap::new();
        for (_, row) in &rows {
            let line = &row.line;
            let channel = self.channel(&line.channel);
            let scene = self.scene(line.currency, channel);
            let fact = self.row(&scene, line);
            self.out.facts.extend(std::iter::repeat_n(fact, row.times as usize));
            if line.returned {
                let refund = scene.fact(line.at, FactKind::Refund, [0, 0]);
                refunds.entry((fact.hour, fact.currency)).or_insert(refund);
            }
        }
        self.out.facts.extend(refunds.into_values());
    }

    fn row(&mut self, scene: &Scene<'_>, line: &RowLine) -> Fact {
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
