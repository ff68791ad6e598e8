//! An order's snapshot, and what of it was cancelled.
//!
//! Invariant: revenue is the list price less what the seller gives off; what TikTok gives off is
//! paid to the seller by TikTok and lowers nothing.
//!
//! - An order that was not paid counts nowhere until it is: it is not sold yet, and most of those
//!   that are cancelled never were. Cash on delivery counts from the start, as it is shipped.
//! - A cancelled order stays sold on its day and is taken back on the day it was cancelled. Its
//!   cancellation tells the amounts; where only the order is known, the order itself does, as the
//!   sum of all that was taken back.
//! - A replacement or exchange has units and no revenue: the goods go out, the sale was counted.
//! - A sample counts nowhere.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::{Event, Order, OrderLine, Refund, RefundLine};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;

use super::body;
use super::record::{Outcome, Record, about, id, instant};
use crate::reading::{Refusal, Setting};
use crate::shopify::amounts::{Coin, bounded, not_negative};
use crate::shopify::record::field;
use crate::shopify::scalar::Scalar;
use crate::shopify::spread::spread;

/// Where every order of TikTok Shop came from.
pub const CHANNEL: &str = "tiktok_shop";
/// The id of what an order alone tells of its cancellation.
const CANCELLED: &str = "cancelled";

/// The order, and what was taken back of it as far as it says.
pub fn decode(order: &body::Order<'_>, record: &Record<'_>) -> Outcome {
    let id = id(order.id, "the order")?;
    let subject = format!("order {id}");
    read(order, id, record).map_err(|refusal| about(&subject, refusal))
}

fn read(body: &body::Order<'_>, id: Id, record: &Record<'_>) -> Outcome {
    let stamp = |scalar, what| instant(scalar, what);
    let placed_at = stamp(body.create_time, "create_time")?;
    let placed_at = placed_at.ok_or_else(|| field("the order has no create_time"))?;
    let changed_at = stamp(body.update_time, "update_time")?.unwrap_or(placed_at);
    let payment = body.payment.as_ref().ok_or_else(|| field("the order has no payment"))?;
    let units = body.line_items.as_deref().filter(|lines| !lines.is_empty());
    let units = units.ok_or_else(|| field("the order has no line_items"))?;
    let line = units.first().map(|line| line.currency).unwrap_or_default();
    let currency = currency(payment.currency, line, record.setting)?;
    let coin = Coin(currency);
    let free = body.is_replacement_order.flag() || body.is_exchange_order.flag();
    let mut lines = lines(units, payment, coin)?;
    if free {
        lines.iter_mut().for_each(|line| (line.gross, line.discounts) = (0, 0));
    }
    lines.sort_by(|a, b| a.id.cmp(&b.id));
    let paid_for = |minor| if free { 0 } else { minor };
    let order = Order {
        id,
        placed_at,
        currency,
        channel: CHANNEL.into(),
        customer: body.user_id.id("the buyer")?,
        test: body.is_sample_order.flag() || unpaid(body)?,
        lines,
        shipping: paid_for(amount(coin, payment.shipping_fee, "the shipping")?),
        taxes: paid_for(taxes(payment, coin)?),
        tips: 0,
        duties_and_fees: paid_for(fees(payment, units, coin)?),
    };
    let back = taken_back(body, &order, changed_at, coin)?;
    let stamps = (changed_at, UtcMs::default());
    let mut said = vec![record.envelope(stamps, &order, Event::Order(order.clone()))];
    said.extend(back.map(|back| record.envelope(stamps, &back, Event::Refund(back.clone()))));
    Ok(said)
}

/// The currency of a record: its own, its line's, or the setting's.
pub fn currency(own: Scalar<'_>, line: Scalar<'_>, setting: &Setting) -> Result<Currency, Refusal> {
    let refuse = |why: String| Refusal::new(FaultKind::Currency, "", why);
    match own.text().or_else(|| line.text()) {
        Some(code) => Currency::parse(&code).map_err(|error| refuse(error.to_string())),
        None => setting.currency.ok_or_else(|| refuse("no currency is named".into())),
    }
}

/// An amount that is zero where it is absent, and never below.
pub fn amount(coin: Coin, scalar: Scalar<'_>, what: &str) -> Result<i64, Refusal> {
    not_negative(coin.plain(scalar, what)?.unwrap_or_default(), what)
}

/// Whether a status says that everything was cancelled; webhooks spell it in another way.
pub fn cancelled(status: Scalar<'_>) -> bool {
    let is = |text: &str| ["CANCELLED", "CANCEL"].iter().any(|c| text.eq_ignore_ascii_case(c));
    status.text().is_some_and(|text| is(&text))
}

/// Whether an order is not paid, or was cancelled before it ever was.
fn unpaid(order: &body::Order<'_>) -> Result<bool, Refusal> {
    let status = order.status.text().unwrap_or_default();
    let paid = instant(order.paid_time, "paid_time")?.is_some() || order.is_cod.flag();
    Ok(status.eq_ignore_ascii_case("UNPAID") || (cancelled(order.status) && !paid))
}

/// A line for each unit. Where lines do not say what the seller gives off, the order's is spread
/// over them by their price.
fn lines(
    units: &[body::Line<'_>],
    payment: &body::Payment<'_>,
    coin: Coin,
) -> Result<Vec<OrderLine>, Refusal> {
    let mut lines = Vec::with_capacity(units.len());
    for unit in units {
        let price = coin.plain(unit.original_price, "the price of a line")?;
        let price = price.ok_or_else(|| field("a line has no original_price"))?;
        lines.push(OrderLine {
            id: id(unit.id, "a line")?,
            product: unit.product_id.id("a product")?,
            units: 1,
            gross: not_negative(price, "the price of a line")?,
            discounts: amount(coin, unit.seller_discount, "the seller's discount on a line")?,
        });
    }
    if !units.iter().any(|unit| unit.seller_discount.present()) {
        let whole = amount(coin, payment.seller_discount, "the seller's discount")?;
        let weights: Vec<i64> = lines.iter().map(|line| line.gross).collect();
        let parts = spread(whole, &weights);
        lines.iter_mut().zip(parts).for_each(|(line, part)| line.discounts = part);
    }
    Ok(lines)
}

/// All tax of the order: its total, else that of goods and of shipping.
fn taxes(payment: &body::Payment<'_>, coin: Coin) -> Result<i64, Refusal> {
    if let Some(total) = coin.plain(payment.tax, "the tax")? {
        return not_negative(total, "the tax");
    }
    let goods = amount(coin, payment.product_tax, "the tax of goods")?;
    let shipping = amount(coin, payment.shipping_fee_tax, "the tax of shipping")?;
    bounded(i128::from(goods) + i128::from(shipping), "the tax")
}

/// What is collected from the buyer and passed on: never sales.
fn fees(payment: &body::Payment<'_>, units: &[body::Line<'_>], coin: Coin) -> Result<i64, Refusal> {
    let of_order = [
        payment.retail_delivery_fee,
        payment.small_order_fee,
        payment.buyer_service_fee,
        payment.handling_fee,
        payment.shipping_insurance_fee,
        payment.item_insurance_fee,
        payment.item_insurance_tax,
    ];
    let mut sum = 0_i128;
    for fee in of_order.into_iter().chain(units.iter().map(|unit| unit.pfand_fee)) {
        sum += i128::from(amount(coin, fee, "a fee")?);
    }
    bounded(sum, "the fees")
}

/// What an order says was taken back of it, for want of its cancellations: the whole of it, or the
/// units that were cancelled.
fn taken_back(
    body: &body::Order<'_>,
    order: &Order,
    changed_at: UtcMs,
    coin: Coin,
) -> Result<Option<Refund>, Refusal> {
    let whole = cancelled(body.status);
    let mut taxes = 0_i128;
    let mut lines = Vec::new();
    for unit in body.line_items.iter().flatten() {
        if !whole && !cancelled(unit.display_status) {
            continue;
        }
        for tax in unit.item_tax.iter().flatten() {
            taxes += i128::from(amount(coin, tax.tax_amount, "the tax of a line")?);
        }
        let unit = unit.id.id("a line")?;
        let line = order.lines.iter().find(|line| Some(&line.id) == unit.as_ref());
        lines.extend(line.map(|line| RefundLine {
            line: Some(line.id.clone()),
            product: line.product.clone(),
            units: line.units,
            amount: line.gross - line.discounts,
        }));
    }
    if lines.is_empty() || order.test {
        return Ok(None);
    }
    lines.sort_by(|a: &RefundLine, b| a.line.cmp(&b.line));
    let at = match instant(body.cancel_time, "cancel_time")? {
        Some(at) => at,
        None => instant(body.request_cancel_time, "request_cancel_time")?.unwrap_or(changed_at),
    };
    let of_whole = |minor| if whole { minor } else { 0 };
    Ok(Some(Refund {
        id: CANCELLED.into(),
        order: order.id.clone(),
        aggregate: true,
        processed_at: at,
        currency: order.currency,
        lines,
        adjustment: 0,
        shipping: of_whole(order.shipping),
        taxes: if whole { order.taxes } else { bounded(taxes, "the tax")? },
        duties_and_fees: of_whole(order.duties_and_fees),
    }))
}
