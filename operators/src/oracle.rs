//! The same views by plain loops over the facts that are held: what every agent is tested against.

use std::collections::{BTreeMap, BTreeSet};

use ionflux_schemas::fact::{Fact, FactKind};
use ionflux_schemas::key::CustomerKey;
use ionflux_schemas::time::Day;

use crate::key::{self, Key};

/// The totals of one view by key, without keys that have only zeros.
pub type Contents = BTreeMap<Key, Vec<i128>>;

/// Every view's contents, by name, from the facts and faults that are held.
#[must_use]
pub fn views(facts: &[Fact], faults: &[u32]) -> BTreeMap<&'static str, Contents> {
    let mut views = BTreeMap::from([
        ("revenue_by_day", revenue_by_day(facts)),
        ("revenue_by_product_day", revenue_by_product_day(facts)),
        ("customers_by_day", customers_by_day(facts)),
        ("metrics_hourly", metrics_hourly(facts)),
        ("faults", faults.iter().map(|fault| (u128::from(*fault), vec![1])).collect()),
    ]);
    for contents in views.values_mut() {
        contents.retain(|_, totals| totals.iter().any(|total| *total != 0));
    }
    views
}

fn add(contents: &mut Contents, key: Key, width: usize, place: usize, amount: impl Into<i128>) {
    contents.entry(key).or_insert_with(|| vec![0; width])[place] += amount.into();
}

fn revenue_by_day(facts: &[Fact]) -> Contents {
    let mut rows = Contents::new();
    for fact in facts {
        let key = key::of_day(fact);
        let mut add = |place, amount: i64| add(&mut rows, key, 10, place, amount);
        match fact.kind {
            FactKind::Order => {
                add(5, 1);
                add(6, fact.amounts[0]);
                add(7, fact.amounts[1]);
            }
            FactKind::Extras => {
                add(8, fact.amounts[0]);
                add(9, fact.amounts[1]);
            }
            FactKind::Sale => {
                add(0, fact.units.into());
                add(2, fact.amounts[0]);
                add(3, fact.amounts[1]);
            }
            FactKind::Return => {
                add(1, fact.units.into());
                add(4, fact.amounts[0]);
            }
            FactKind::Refund => {
                add(6, -fact.amounts[0]);
                add(7, -fact.amounts[1]);
            }
        }
    }
    rows
}

fn revenue_by_product_day(facts: &[Fact]) -> Contents {
    let mut rows = Contents::new();
    for fact in facts.iter().filter(|fact| fact.product != 0) {
        let key = key::of_product_day(fact);
        if fact.kind == FactKind::Sale {
            add(&mut rows, key, 5, 0, fact.units);
            add(&mut rows, key, 5, 2, fact.amounts[0]);
            add(&mut rows, key, 5, 3, fact.amounts[1]);
        }
        if fact.kind == FactKind::Return {
            add(&mut rows, key, 5, 1, fact.units);
            add(&mut rows, key, 5, 4, fact.amounts[0]);
        }
    }
    rows
}

fn customers_by_day(facts: &[Fact]) -> Contents {
    let mut days: BTreeMap<(u32, CustomerKey), BTreeSet<Day>> = BTreeMap::new();
    for fact in facts {
        if fact.kind == FactKind::Order && fact.customer != CustomerKey::GUEST {
            days.entry((fact.shop, fact.customer)).or_default().insert(fact.day);
        }
    }
    let mut rows = Contents::new();
    for ((shop, _), days) in days {
        for (nth, day) in days.into_iter().enumerate() {
            add(&mut rows, key::of_shop_day(shop, day), 2, usize::from(nth > 0), 1);
        }
    }
    rows
}

fn metrics_hourly(facts: &[Fact]) -> Contents {
    let mut rows = Contents::new();
    for fact in facts {
        let (place, amount) = match fact.kind {
            FactKind::Order => (0, 1),
            FactKind::Sale => (1, fact.amounts[0] - fact.amounts[1]),
            FactKind::Refund => (2, 1),
            FactKind::Return => (3, fact.amounts[0]),
            FactKind::Extras => continue,
        };
        add(&mut rows, key::of_hour(fact), 4, place, amount);
    }
    rows
}
