//! Pulse: a shop's vital signs by clock hour, the ground the sentinel stands on.
//!
//! ```text
//! revenue = gross sales - discounts of what was sold in the hour
//! aov     = revenue / orders, half-even; null without orders
//! ```
//!
//! Definition of the average order value: Shopify's analytics, both parts without later returns.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::dictionary::Dictionary;
use ionflux_schemas::fact::{Fact, FactKind};
use ionflux_schemas::money::Money;
use ionflux_schemas::view::{Row, Value, View};

use crate::agent::{Agent, Inputs, Outputs};
use crate::key::{self, Key};
use crate::revenue::{count, lead};
use crate::totals::totals;

/// `metrics_hourly`: the pulse of a shop, hour and currency.
pub static METRICS_HOURLY: View = View {
    name: "metrics_hourly",
    version: 1,
    schema: include_str!("../../../schemas/avro/views/metrics_hourly.avsc"),
    width: WIDTH,
    row,
};

const ORDERS: usize = 0;
const REVENUE: usize = 1;
const REFUNDS: usize = 2;
const RETURNS: usize = 3;
const WIDTH: usize = 4;

/// The hourly metrics.
pub struct Pulse;

impl Agent for Pulse {
    fn views(&self) -> Vec<&'static View> {
        vec![&METRICS_HOURLY]
    }

    fn build<'s>(&self, inputs: &Inputs<'s>, outputs: &mut Outputs<'_>) {
        outputs.view(&METRICS_HOURLY, totals(inputs.facts.clone(), "MetricsHourly", hourly));
    }
}

/// What a fact adds to its shop's hour.
#[inline]
pub(crate) fn hourly(fact: &Fact) -> Option<(Key, [i64; WIDTH])> {
    let [amount, discounts] = fact.amounts;
    let mut sums = [0; WIDTH];
    match fact.kind {
        FactKind::Order => sums[ORDERS] = 1,
        FactKind::Sale => sums[REVENUE] = amount - discounts,
        FactKind::Refund => sums[REFUNDS] = 1,
        FactKind::Return => sums[RETURNS] = amount,
        FactKind::Extras => return None,
    }
    Some((key::of_hour(fact), sums))
}

fn row(dictionary: &Dictionary, key: Key, totals: &[i128]) -> Row {
    let currency = Currency::from_number(key::currency(key));
    let money = |minor: i128| Money::new(minor, currency);
    let aov = money(totals[REVENUE]).share(1, totals[ORDERS]);
    let mut row = lead(dictionary, key, Value::Instant(key::hour(key).start()));
    row.extend([
        Value::text(currency.code()),
        count(totals[ORDERS]),
        Value::Money(money(totals[REVENUE])),
        aov.map_or(Value::Null, Value::Money),
        count(totals[REFUNDS]),
        Value::Money(money(totals[RETURNS])),
    ]);
    Row(row)
}
