//! Revenue: what a shop sold and gave back, by day and by product.
//!
//! ```text
//! net_sales   = gross_sales - discounts - returns
//! total_sales = net_sales + shipping + taxes + duties_and_fees
//! ```
//!
//! Definitions: Shopify's analytics reports, "Sales" and "Finances". Invariant: both views are
//! linear in the facts; derived columns are computed when a row is made and never stored.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::fact::{Fact, FactKind};
use ionflux_schemas::money::Money;
use ionflux_schemas::view::{Row, Value, View};

use crate::agent::{Agent, Inputs, Outputs};
use crate::key::{self, Key};
use crate::totals::totals;

/// `revenue_by_day`: the totals of a shop, day, currency and channel.
pub static BY_DAY: View = View {
    name: "revenue_by_day",
    version: 1,
    schema: include_str!("../../../schemas/avro/views/revenue_by_day.avsc"),
    width: DAY_WIDTH,
    row: day_row,
};

/// `revenue_by_product_day`: the totals of a shop, day, currency and product.
pub static BY_PRODUCT_DAY: View = View {
    name: "revenue_by_product_day",
    version: 1,
    schema: include_str!("../../../schemas/avro/views/revenue_by_product_day.avsc"),
    width: PRODUCT_WIDTH,
    row: product_row,
};

const UNITS: usize = 0;
const UNITS_RETURNED: usize = 1;
const GROSS: usize = 2;
const DISCOUNTS: usize = 3;
const RETURNS: usize = 4;
const PRODUCT_WIDTH: usize = 5;
const ORDERS: usize = 5;
const SHIPPING: usize = 6;
const TAXES: usize = 7;
const TIPS: usize = 8;
const DUTIES_AND_FEES: usize = 9;
const DAY_WIDTH: usize = 10;

/// The revenue tracker's exact sales figures.
pub struct Revenue;

impl Agent for Revenue {
    fn views(&self) -> Vec<&'static View> {
        vec![&BY_DAY, &BY_PRODUCT_DAY]
    }

    fn build<'s>(&self, inputs: &Inputs<'s>, outputs: &mut Outputs<'_>) {
        let daily = totals(inputs.facts.clone(), "RevenueByDay", daily);
        outputs.view(&BY_DAY, daily);
        let products = totals(inputs.facts.clone(), "RevenueByProductDay", by_product);
        outputs.view(&BY_PRODUCT_DAY, products);
    }
}

/// What a fact adds to its shop's day.
#[inline]
pub(crate) fn daily(fact: &Fact) -> Option<(Key, [i64; DAY_WIDTH])> {
    let [a, b] = fact.amounts;
    let mut sums = [0; DAY_WIDTH];
    match fact.kind {
        FactKind::Order => {
            sums[ORDERS] = 1;
            sums[SHIPPING] = a;
            sums[TAXES] = b;
        }
        FactKind::Extras => {
            sums[TIPS] = a;
            sums[DUTIES_AND_FEES] = b;
        }
        FactKind::Refund => {
            sums[SHIPPING] = -a;
            sums[TAXES] = -b;
        }
        FactKind::Sale | FactKind::Return => goods(fact, &mut sums),
    }
    Some((key::of_day(fact), sums))
}

/// What a fact adds to its product's day; facts without a product belong to none.
#[inline]
pub(crate) fn by_product(fact: &Fact) -> Option<(Key, [i64; PRODUCT_WIDTH])> {
    let mut sums = [0; PRODUCT_WIDTH];
    goods(fact, &mut sums);
    (fact.product != 0).then(|| (key::of_product_day(fact), sums))
}

#[inline]
fn goods(fact: &Fact, sums: &mut [i64]) {
    let [amount, discounts] = fact.amounts;
    match fact.kind {
        FactKind::Sale => {
            sums[UNITS] = fact.units.into();
            sums[GROSS] = amount;
            sums[DISCOUNTS] = discounts;
        }
        FactKind::Return => {
            sums[UNITS_RETURNED] = fact.units.into();
            sums[RETURNS] = amount;
        }
        FactKind::Order | FactKind::Extras | FactKind::Refund => {}
    }
}

/// A count as a value; counts are far below 2^63.
pub(crate) fn count(total: i128) -> Value {
    Value::Int(i64::try_from(total).unwrap_or(i64::MAX))
}

/// Workspace, shop and time of a key, which lead every row.
pub(crate) fn lead(dictionary: &Dictionary, key: Key, time: Value) -> Vec<Value> {
    let shop = dictionary.shops.name(key::shop(key));
    vec![Value::text(&*shop.workspace), Value::text(&*shop.shop), time]
}

fn day_row(dictionary: &Dictionary, key: Key, totals: &[i128]) -> Row {
    let currency = Currency::from_number(key::currency(key));
    let money = |minor: i128| Value::Money(Money::new(minor, currency));
    let net = totals[GROSS] - totals[DISCOUNTS] - totals[RETURNS];
    let total = net + totals[SHIPPING] + totals[TAXES] + totals[DUTIES_AND_FEES];
    let mut row = lead(dictionary, key, Value::Day(key::day(key)));
    row.extend([
        Value::text(currency.code()),
        Value::text(&*dictionary.channels.name(key::name(key))),
        count(totals[ORDERS]),
        count(totals[UNITS]),
        count(totals[UNITS_RETURNED]),
        money(totals[GROSS]),
        money(totals[DISCOUNTS]),
        money(totals[RETURNS]),
        money(net),
        money(totals[SHIPPING]),
        money(totals[TAXES]),
        money(totals[TIPS]),
        money(totals[DUTIES_AND_FEES]),
        money(total),
    ]);
    Row(row)
}

fn product_row(dictionary: &Dictionary, key: Key, totals: &[i128]) -> Row {
    let currency = Currency::from_number(key::currency(key));
    let money = |minor: i128| Value::Money(Money::new(minor, currency));
    let mut row = lead(dictionary, key, Value::Day(key::day(key)));
    row.extend([
        Value::text(currency.code()),
        Value::text(&*dictionary.products.name(key::name(key))),
        count(totals[UNITS]),
        count(totals[UNITS_RETURNED]),
        money(totals[GROSS]),
        money(totals[DISCOUNTS]),
        money(totals[RETURNS]),
        money(totals[GROSS] - totals[DISCOUNTS] - totals[RETURNS]),
    ]);
    Row(row)
}
