//! An order's snapshot, and the refunds and transactions inside it.
//!
//! Invariant: amounts are the shop's money without tax; a refund that cannot be read does not
//! take its order with it, and neither does the reverse.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::{Event, Order, OrderLine};
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;

use super::amounts::{Coin, bounded, currency_of};
use super::body;
use super::entities::transaction::{self, Within};
use super::lines::{self, Lines};
use super::list::each;
use super::record::{Outcome, Record, about, field};
use super::refund::{self, Enclosing};
use super::tax::{self, Listed};
use crate::reading::Refusal;

/// The longest name of a channel that is kept.
const CHANNEL_CHARS_MAX: usize = 100;

/// The order, each of its refunds, and each transaction of both.
pub fn decode(order: &body::Order<'_>, record: &Record<'_>) -> Vec<Outcome> {
    let id = match id(order) {
        Ok(id) => id,
        Err(refusal) => return vec![Err(refusal)],
    };
    let currency = currency_of(&bags(order), order.currency, record.setting);
    let mut outcomes = sales(order, &id, &currency, record);
    let within = Within { order: Some(id), currency: currency.ok() };
    outcomes.extend(transaction::all(&order.transactions, &within, record));
    for refund in each(&order.refunds) {
        outcomes.extend(transaction::all(&refund.transactions, &within, record));
    }
    outcomes
}

/// The order and each of its refunds.
fn sales(
    order: &body::Order<'_>,
    id: &Id,
    currency: &Result<Currency, Refusal>,
    record: &Record<'_>,
) -> Vec<Outcome> {
    let wrong = |refusal: Refusal| about(&format!("order {id}"), refusal);
    let stamped = match stamps(order, record) {
        Ok(stamped) => stamped,
        Err(refusal) => return vec![Err(wrong(refusal))],
    };
    let mut outcomes = vec![snapshot(order, id.clone(), &stamped, record).map_err(wrong)];
    for refund in each(&order.refunds) {
        let enclosing = currency.clone().map(|currency| Enclosing {
            order,
            id: id.clone(),
            currency,
            changed_at: stamped.changed_at,
        });
        outcomes.push(match enclosing {
            Ok(enclosing) => refund::decode(refund, Some(&enclosing), record),
            Err(refusal) => Err(wrong(refusal)),
        });
    }
    outcomes
}

/// The order's id; the digits of its global id where both are given.
pub fn id(order: &body::Order<'_>) -> Result<Id, Refusal> {
    let id = order.id.id_or(order.admin_graphql_api_id, "the order")?;
    id.ok_or_else(|| field("the order has no id"))
}

/// The sets that can tell an order's currency, the surest first.
fn bags<'b, 'a>(order: &'b body::Order<'a>) -> Vec<&'b Option<body::Bag<'a>>> {
    let totals = [&order.total_price_set, &order.total_tax_set, &order.total_shipping_price_set];
    totals.into_iter().chain(each(&order.line_items).iter().map(|line| &line.price_set)).collect()
}

/// When an order was placed and last changed.
struct Stamps {
    placed_at: UtcMs,
    changed_at: UtcMs,
}

fn stamps(order: &body::Order<'_>, record: &Record<'_>) -> Result<Stamps, Refusal> {
    let read = |scalar: super::scalar::Scalar<'_>, what| scalar.time(what, record.setting);
    // Imported orders carry the past in processed_at and the import in created_at.
    let processed_at = read(order.processed_at, "processed_at")?;
    let placed_at = match processed_at {
        Some(at) => at,
        None => read(order.created_at, "created_at")?
            .ok_or_else(|| field("the order has neither processed_at nor created_at"))?,
    };
    let changed_at = read(order.updated_at, "updated_at")?.unwrap_or(placed_at);
    Ok(Stamps { placed_at, changed_at })
}

fn snapshot(order: &body::Order<'_>, id: Id, stamps: &Stamps, record: &Record<'_>) -> Outcome {
    if order.line_items.is_none() {
        return Err(field("the order has no line items (line_items or lineItems)"));
    }
    let currency = currency_of(&bags(order), order.currency, record.setting)?;
    let coin = Coin(currency);
    let tips = coin.either(&order.total_tip_received_set, order.total_tip_received, "tips")?;
    let tips = tips.unwrap_or_default();
    let mut found = lines::of(order, coin, tips != 0)?;
    let (mut shipping, shipping_tax) = lines::shipping(order, coin)?;
    let taxes = taxes(order, coin)?;
    if order.taxes_included.flag() {
        let shipping_named =
            each(&order.shipping_lines).iter().any(|line| !each(&line.tax_lines).is_empty());
        if found.tax_named || shipping_named {
            shipping -= shipping_tax;
        } else {
            tax::spread_over(taxes, &mut found.listed, &mut shipping);
        }
    }
    let tips = if tips == 0 { found.tips } else { tips };
    let order = Order {
        id,
        placed_at: stamps.placed_at,
        currency,
        channel: channel(order),
        customer: match &order.customer {
            Some(customer) => customer.id.id_or(customer.admin_graphql_api_id, "the customer")?,
            None => None,
        },
        test: order.test.flag(),
        shipping,
        taxes,
        tips,
        duties_and_fees: duties_and_fees(order, coin)?,
        lines: priced(found, order.taxes_included.flag()),
    };
    let version = record.version(stamps.changed_at, &order);
    Ok(vec![record.envelope(version, Event::Order(order))])
}

/// The lines with their amounts, without tax.
fn priced(found: Lines, included: bool) -> Vec<OrderLine> {
    let price = |listed: &Listed| {
        if included { listed.without_tax() } else { (listed.price, listed.discount) }
    };
    let pairs = found.lines.into_iter().zip(&found.listed);
    let line = |(line, listed): (OrderLine, &Listed)| {
        let (gross, discounts) = price(listed);
        OrderLine { gross, discounts, ..line }
    };
    let mut lines: Vec<OrderLine> = pairs.map(line).collect();
    // Exports give the same lines in another order, which is no other version.
    lines.sort_by(|a, b| a.id.cmp(&b.id));
    lines
}

/// All tax of the order: its total, else the sum of its tax lines.
fn taxes(order: &body::Order<'_>, coin: Coin) -> Result<i64, Refusal> {
    match coin.either(&order.total_tax_set, order.total_tax, "the tax")? {
        Some(total) => Ok(total),
        None => Ok(tax::on_line(each(&order.tax_lines), coin)?.0),
    }
}

/// Duties and additional fees as first charged, else as they are now.
fn duties_and_fees(order: &body::Order<'_>, coin: Coin) -> Result<i64, Refusal> {
    let first = |original, current, what| match coin.set(original, what)? {
        Some(minor) => Ok::<i64, Refusal>(minor),
        None => Ok(coin.set(current, what)?.unwrap_or_default()),
    };
    let duties =
        first(&order.original_total_duties_set, &order.current_total_duties_set, "the duties")?;
    let fees = first(
        &order.original_total_additional_fees_set,
        &order.current_total_additional_fees_set,
        "the fees",
    )?;
    bounded(i128::from(duties) + i128::from(fees), "duties and fees")
}

/// Where the order came from, in lower case; empty if nobody says.
fn channel(order: &body::Order<'_>) -> Id {
    let app = order.app.as_ref().and_then(|app| app.name.text());
    let name = order.source_name.text().or(app).unwrap_or_default();
    name.to_lowercase().chars().take(CHANNEL_CHARS_MAX).collect::<String>().into()
}
