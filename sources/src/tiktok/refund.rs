//! A return or a cancellation: what is taken back of an order, once that is final.
//!
//! Invariant: what comes back of a unit is what it had sold for. The buyer gets back the price
//! less TikTok's discount; the seller loses that discount too, for TikTok takes it back.
//!
//! Where the order comes in the same answer, the part of each unit is exact; without it, or where
//! no line names its unit, TikTok's discount is taken from what the return says of it. What was
//! read with its order outranks what was read without, of the same change, so that it never
//! matters which came first.

use ionflux_schemas::event::{Event, Refund, RefundLine};
use ionflux_schemas::key::Id;
use ionflux_schemas::money::div_half_even;
use ionflux_schemas::time::UtcMs;

use super::body::{self, RefundAmount, Reversal, ReversedLine};
use super::order::{amount, currency};
use super::record::{Outcome, Record, about, id, instant};
use crate::reading::Refusal;
use crate::shopify::amounts::{Coin, bounded};
use crate::shopify::record::field;
use crate::shopify::scalar::Scalar;
use crate::shopify::spread::spread;

/// What is given back, final: by a return for money only it is so as soon as it is granted.
const FINAL: [&str; 4] = [
    "RETURN_OR_REFUND_REQUEST_COMPLETE",
    "REPLACEMENT_REQUEST_REFUND_SUCCESS",
    "CANCELLATION_REQUEST_SUCCESS",
    "CANCELLATION_REQUEST_COMPLETE",
];
const GRANTED: &str = "RETURN_OR_REFUND_REQUEST_SUCCESS";

/// The refund, if it is final; nothing before.
pub fn decode(reversal: &Reversal<'_>, orders: &[body::Order<'_>], record: &Record<'_>) -> Outcome {
    let id = id(reversal.return_id, "the return or cancellation")?;
    let subject = format!("refund {id}");
    let order = reversal.order_id.id("the order")?;
    let order = order.ok_or_else(|| about(&subject, field("it names no order")))?;
    let subject = format!("{subject} of order {order}");
    read(reversal, (id, order), orders, record).map_err(|refusal| about(&subject, refusal))
}

fn read(
    reversal: &Reversal<'_>,
    (id, order): (Id, Id),
    orders: &[body::Order<'_>],
    record: &Record<'_>,
) -> Outcome {
    if !settled(reversal)? {
        return Ok(Vec::new());
    }
    let created_at = instant(reversal.create_time, "create_time")?;
    let changed_at = instant(reversal.update_time, "update_time")?.or(created_at);
    let changed_at = changed_at.ok_or_else(|| field("it has neither update nor create_time"))?;
    let money = reversal.refund_amount.as_ref();
    let money = money.ok_or_else(|| field("it is final and has no refund_amount"))?;
    let coin = Coin(currency(money.currency, Scalar::default(), record.setting)?);
    let enclosing = orders.iter().find(|known| is(known.id, &order));
    let goods = goods(reversal, money, enclosing, coin)?;
    let fees = [money.retail_delivery_fee, money.buyer_service_fee];
    let fees = fees
        .into_iter()
        .try_fold(0, |sum, fee| Ok::<_, Refusal>(sum + i128::from(amount(coin, fee, "a fee")?)))?;
    let mut refund = Refund {
        id,
        order,
        aggregate: false,
        processed_at: changed_at,
        currency: coin.0,
        lines: goods.lines,
        adjustment: goods.adjustment,
        shipping: amount(coin, money.refund_shipping_fee, "the shipping")?,
        taxes: amount(coin, money.refund_tax, "the tax")?,
        duties_and_fees: bounded(fees, "the fees")?,
    };
    if reversal.next_return_id.id("the next return")?.is_some_and(|next| &*next != "0") {
        // Another took its place and tells the amounts; this one gives back what it once counted.
        refund.lines.clear();
        (refund.adjustment, refund.shipping) = (0, 0);
        (refund.taxes, refund.duties_and_fees) = (0, 0);
    }
    let rank = UtcMs(enclosing.is_some().into());
    let event = Event::Refund(refund.clone());
    Ok(vec![record.envelope((changed_at, rank), &refund, event)])
}

/// Whether money goes back for good.
fn settled(reversal: &Reversal<'_>) -> Result<bool, Refusal> {
    let text = reversal.return_status.text().ok_or_else(|| field("it has no status"))?;
    // One page of the documentation doubles an underscore.
    let words: Vec<&str> = text.split('_').filter(|word| !word.is_empty()).collect();
    let status = words.join("_").to_ascii_uppercase();
    Ok(FINAL.contains(&&*status) || (status == GRANTED && money_only(reversal)))
}

/// Whether goods stay with the buyer.
fn money_only(reversal: &Reversal<'_>) -> bool {
    reversal.return_type.text().is_some_and(|kind| kind.eq_ignore_ascii_case("REFUND"))
}

fn is(scalar: Scalar<'_>, id: &str) -> bool {
    scalar.text().is_some_and(|text| text == id)
}

struct Goods {
    lines: Vec<RefundLine>,
    adjustment: i64,
}

/// The units taken back, and what was given back beyond them.
fn goods(
    reversal: &Reversal<'_>,
    money: &RefundAmount<'_>,
    order: Option<&body::Order<'_>>,
    coin: Coin,
) -> Result<Goods, Refusal> {
    let whole = coin.plain(money.refund_subtotal, "the subtotal")?;
    let items = reversal.return_line_items.as_deref().unwrap_or_default();
    let units = items.iter().map(|item| Unit::of(item, order, coin));
    let units = units.collect::<Result<Vec<_>, _>>()?;
    let kept = money_only(reversal);
    let (mut lines, mut told, mut platform) = (Vec::with_capacity(items.len()), 0_i128, 0_i128);
    let paid = paid(items, &units, whole, coin)?;
    for ((item, unit), paid) in items.iter().zip(&units).zip(paid) {
        let id = item.order_line_item_id.id("a line")?.filter(|id| !id.is_empty());
        let line = match unit {
            Some(unit) => RefundLine { line: id, ..unit.taken(paid, kept)? },
            None => RefundLine { line: id, product: None, units: 1, amount: paid },
        };
        told += i128::from(paid);
        platform += i128::from(line.amount) - i128::from(paid);
        lines.push(line);
    }
    let mut adjustment = whole.map_or(0, |whole| i128::from(whole) - told);
    let unknown = units.is_empty() || units.iter().any(Option::is_none);
    if unknown && !order.is_some_and(free) {
        let mut discount = 0_i128;
        for discounted in reversal.discount_amount.iter().flatten() {
            let off = discounted.product_platform_discount;
            discount += i128::from(amount(coin, off, "TikTok's discount")?);
        }
        adjustment += (discount - platform).max(0);
    }
    lines.sort_by(|a: &RefundLine, b| (&a.line, a.amount).cmp(&(&b.line, b.amount)));
    Ok(Goods { lines, adjustment: bounded(adjustment, "the difference of the subtotals")? })
}

/// What the buyer gets back for each unit. What lines do not say, the sum does: it is shared out
/// among them by what the buyer had paid, where the order tells that of all of them.
fn paid(
    items: &[ReversedLine<'_>],
    units: &[Option<Unit>],
    whole: Option<i64>,
    coin: Coin,
) -> Result<Vec<i64>, Refusal> {
    let (mut paid, mut weights) = (Vec::with_capacity(items.len()), Vec::new());
    let mut rest = whole.unwrap_or_default();
    let mut known = true;
    for (item, unit) in items.iter().zip(units) {
        let said = item.refund_amount.as_ref().map(|money| money.refund_subtotal);
        let said = said.map(|said| coin.plain(said, "the subtotal of a line")).transpose()?;
        let said = said.flatten();
        known &= said.is_some() || unit.is_some();
        let buyer = unit.as_ref().map_or(0, |unit| unit.buyer);
        weights.push(if said.is_some() { 0 } else { bounded(buyer, "a line")? });
        rest = rest.saturating_sub(said.unwrap_or_default());
        paid.push(said.unwrap_or_default());
    }
    if known && rest > 0 {
        let parts = spread(rest, &weights);
        paid.iter_mut().zip(parts).for_each(|(paid, part)| *paid += part);
    }
    Ok(paid)
}

/// Whether an order brought no revenue.
fn free(order: &body::Order<'_>) -> bool {
    order.is_replacement_order.flag() || order.is_exchange_order.flag()
}

/// A unit of the order: what it had sold for, and what its buyer paid of that.
struct Unit {
    product: Option<Id>,
    price: i128,
    buyer: i128,
    free: bool,
}

impl Unit {
    /// The unit a line names, as the order has it.
    fn of(
        line: &ReversedLine<'_>,
        order: Option<&body::Order<'_>>,
        coin: Coin,
    ) -> Result<Option<Self>, Refusal> {
        let wanted = line.order_line_item_id.text();
        let units = order.and_then(|order| order.line_items.as_deref()).unwrap_or_default();
        let unit = wanted.and_then(|wanted| units.iter().find(|unit| is(unit.id, &wanted)));
        let Some(unit) = unit else { return Ok(None) };
        let of = |scalar, what| Ok::<_, Refusal>(i128::from(amount(coin, scalar, what)?));
        let price = of(unit.original_price, "the price of a line")?;
        let price = price - of(unit.seller_discount, "the seller's discount on a line")?;
        let buyer = price - of(unit.platform_discount, "TikTok's discount on a line")?;
        let product = unit.product_id.id("a product")?;
        Ok(Some(Self { product, price, buyer, free: order.is_some_and(free) }))
    }

    /// The unit taken back, for what it had sold for. Of money only, a part of the price takes no
    /// unit back: the buyer keeps it, for less.
    fn taken(&self, paid: i64, kept: bool) -> Result<RefundLine, Refusal> {
        let (price, buyer, paid) = (self.price, self.buyer, i128::from(paid));
        let exact = match paid {
            // No revenue, so that only money can go back.
            _ if self.free => paid,
            // Paid for by TikTok alone.
            _ if buyer <= 0 => price.max(0),
            _ if paid >= buyer => price + paid - buyer,
            _ => div_half_even(paid * price, buyer).unwrap_or(paid),
        };
        let units = i32::from(!(kept && paid < buyer));
        let (product, amount) = (self.product.clone(), bounded(exact, "a line")?);
        Ok(RefundLine { line: None, product, units, amount })
    }
}
