//! What the sum of an order's refunds still counts beside the refunds themselves.
//!
//! A sum that names no lines is of all refunds, and gives way to any of them. One that names its
//! lines says which units were taken back: of those it counts what no refund took back itself.
//!
//! Invariant: pure, and told by the refunds alone, whichever came first; a unit is taken back once,
//! for what the refund says that names it.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::event::{Refund, RefundLine};
use ionflux_schemas::key::Id;

/// Units and money taken back.
#[derive(Clone, Copy, Default)]
struct Back {
    units: i32,
    amount: i64,
}

impl Back {
    fn add(&mut self, line: &RefundLine) {
        self.units = self.units.saturating_add(line.units);
        self.amount = self.amount.saturating_add(line.amount);
    }

    /// Takes from a line as much of this as it has.
    fn leave(&mut self, line: &mut RefundLine) {
        let units = self.units.clamp(0, line.units.max(0));
        let amount = self.amount.clamp(0, line.amount.max(0));
        (line.units, line.amount) = (line.units - units, line.amount - amount);
        (self.units, self.amount) = (self.units - units, self.amount - amount);
    }
}

/// What is left of a sum beside the single refunds of its order; `None` if nothing is.
pub(crate) fn rest(sum: &Refund, singles: &[&Refund]) -> Option<Refund> {
    let names = |refund: &Refund| refund.lines.iter().any(|line| line.line.is_some());
    if singles.is_empty() {
        return Some(sum.clone());
    }
    if !names(sum) {
        return None;
    }
    let mut back: BTreeMap<&Id, Back> = BTreeMap::new();
    for line in singles.iter().flat_map(|single| &single.lines) {
        if let Some(id) = &line.line {
            back.entry(id).or_default().add(line);
        }
    }
    let mut rest = sum.clone();
    rest.lines.retain_mut(|line| {
        let Some(back) = line.line.as_ref().and_then(|id| back.get_mut(id)) else { return true };
        // Taken back whole: whoever says so also says for how much.
        let whole = back.units >= line.units;
        back.leave(line);
        !whole
    });
    let of_sum: BTreeSet<&Id> = sum.lines.iter().filter_map(|line| line.line.as_ref()).collect();
    let shares = |single: &Refund| {
        let mut lines = single.lines.iter().filter_map(|line| line.line.as_ref());
        !names(single) || lines.any(|line| of_sum.contains(line))
    };
    let mut loose = Back::default();
    for single in singles.iter().filter(|single| shares(single)) {
        rest.shipping = less(rest.shipping, single.shipping);
        rest.taxes = less(rest.taxes, single.taxes);
        rest.duties_and_fees = less(rest.duties_and_fees, single.duties_and_fees);
        // Of which units it is nobody knows; counting it beside the sum would count it twice.
        if !names(single) {
            single.lines.iter().for_each(|line| loose.add(line));
            loose.amount = loose.amount.saturating_add(single.adjustment);
        }
    }
    rest.lines.iter_mut().for_each(|line| loose.leave(line));
    rest.lines.retain(|line| line.units != 0 || line.amount != 0);
    (!rest.lines.is_empty()).then_some(rest)
}

/// An amount less what is told elsewhere, and not below zero for it.
fn less(amount: i64, told: i64) -> i64 {
    amount.saturating_sub(told.max(0)).max(amount.min(0))
}
