//! A refund: what was taken back of an order, wherever the body puts it.
//!
//! Invariant: shipping is counted once, from `refund_shipping_lines` where there are any, else
//! from the adjustments that carried it before API version 2024-10: by their kind, or by their
//! reason where the kind is gone.
//!
//! Whether a refund line's subtotal holds the tax in tax-inclusive shops is documented nowhere.
//! We take it that it does, as the line's price does, and take the tax out; `taxes_included` is
//! the enclosing order's, or is told by the lines' own tax where the refund comes alone. So what
//! was read inside its order outranks the same read alone, of the same second.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::event::{Event, Refund, RefundLine};
use ionflux_schemas::key::Id;
use ionflux_schemas::money::div_half_even;
use ionflux_schemas::time::UtcMs;

use super::amounts::{Coin, bounded, currency_of};
use super::body;
use super::entities::transaction::{self, Within};
use super::lines;
use super::list::each;
use super::record::{Outcome, Record, about, field, version};
use super::scalar::Scalar;
use super::tax;
use crate::reading::Refusal;

/// The order a refund is embedded in.
pub struct Enclosing<'b, 'a> {
    /// Its body.
    pub order: &'b body::Order<'a>,
    /// Its id.
    pub id: Id,
    /// Its currency.
    pub currency: Currency,
    /// When it last changed, which is when its refunds were last seen.
    pub changed_at: UtcMs,
}

/// How much earlier than raised a refund ranks that comes alone: more than any clock shows, so
/// that it stays below those of its second that came inside their order.
const ALONE_MS: i64 = 1 << 50;

/// The amounts of a refund while they are summed.
#[derive(Default)]
struct Sums {
    adjustment: i128,
    shipping: i128,
    taxes: i128,
    duties: i128,
}

/// A refund that comes alone, and each of its transactions.
pub fn alone(refund: &body::Refund<'_>, record: &Record<'_>) -> Vec<Outcome> {
    let mut outcomes = vec![decode(refund, None, record)];
    if !each(&refund.transactions).is_empty() {
        // Whatever is wrong with the refund is its own refusal's to say.
        let order = order(refund).ok().flatten();
        let within = Within { order, currency: currency(refund, record).ok() };
        outcomes.extend(transaction::all(&refund.transactions, &within, record));
    }
    outcomes
}

/// The order that a refund names.
fn order(refund: &body::Refund<'_>) -> Result<Option<Id>, Refusal> {
    match &refund.order {
        Some(order) => order.id.id_or(order.admin_graphql_api_id, "the order"),
        None => refund.order_id.id("the order"),
    }
}

/// The refund's envelope.
pub fn decode(
    refund: &body::Refund<'_>,
    enclosing: Option<&Enclosing<'_, '_>>,
    record: &Record<'_>,
) -> Outcome {
    let id = refund.id.id_or(refund.admin_graphql_api_id, "the refund")?;
    let id = id.ok_or_else(|| field("the refund has no id"))?;
    let order = match enclosing {
        Some(enclosing) => Some(enclosing.id.clone()),
        None => order(refund)?,
    };
    let order = order.ok_or_else(|| about(&format!("refund {id}"), field("it names no order")))?;
    let subject = format!("refund {id} of order {order}");
    read(refund, id, order, enclosing, record).map_err(|refusal| about(&subject, refusal))
}

fn read(
    refund: &body::Refund<'_>,
    id: Id,
    order: Id,
    enclosing: Option<&Enclosing<'_, '_>>,
    record: &Record<'_>,
) -> Outcome {
    if refund.refund_line_items.is_none()
        && refund.order_adjustments.is_none()
        && refund.refund_shipping_lines.is_none()
    {
        let reason = "it says nothing of what was refunded (refund_line_items or refundLineItems)";
        return Err(field(reason));
    }
    let time = |scalar: Scalar<'_>, what| scalar.time(what, record.setting);
    let processed_at = match time(refund.processed_at, "processed_at")? {
        Some(at) => at,
        None => time(refund.created_at, "created_at")?
            .ok_or_else(|| field("it has neither processed_at nor created_at"))?,
    };
    let own = time(refund.updated_at, "updated_at")?.unwrap_or(processed_at);
    let changed_at = enclosing.map_or(own, |enclosing| enclosing.changed_at);
    let currency = match enclosing {
        Some(enclosing) => enclosing.currency,
        None => currency(refund, record)?,
    };
    let coin = Coin(currency);
    let mut sums = Sums::default();
    let included = enclosing.map(|enclosing| enclosing.order.taxes_included.flag());
    let Goods { lines, inside } = goods(refund, enclosing, coin, included, &mut sums)?;
    // A refund without goods tells nothing of the shop's tax; on top is the common case.
    let included = included.unwrap_or(inside);
    shipping(refund, coin, included, &mut sums)?;
    adjustments(refund, coin, included, &mut sums)?;
    duties(refund, coin, &mut sums)?;
    let refund = Refund {
        id,
        order,
        aggregate: false,
        processed_at,
        currency,
        lines,
        adjustment: bounded(sums.adjustment, "the adjustment")?,
        shipping: bounded(sums.shipping, "the shipping")?,
        taxes: bounded(sums.taxes, "the tax")?,
        duties_and_fees: bounded(sums.duties, "the duties")?,
    };
    let raised_at = match enclosing {
        Some(_) => record.raised_at,
        None => UtcMs(record.raised_at.0.saturating_sub(ALONE_MS)),
    };
    let version = version(changed_at, raised_at, &refund);
    Ok(vec![record.envelope(version, Event::Refund(refund))])
}

/// The currency of a refund that comes alone; its payments are the last to ask, for they can be
/// in the buyer's.
fn currency(refund: &body::Refund<'_>, record: &Record<'_>) -> Result<Currency, Refusal> {
    let lines = each(&refund.refund_line_items).iter().map(|line| &line.subtotal_set);
    let shipping = each(&refund.refund_shipping_lines).iter().map(|line| &line.subtotal_amount_set);
    let adjusted = each(&refund.order_adjustments).iter().map(|line| &line.amount_set);
    let sets: Vec<_> =
        lines.chain(shipping).chain(adjusted).chain([&refund.total_duties_set]).collect();
    let named = sets.iter().any(|set| set.is_some());
    let paid = each(&refund.transactions).iter().map(|paid| paid.currency);
    let paid = paid.filter(|_| !named && record.setting.currency.is_none());
    let paid = paid.into_iter().find(|currency| currency.present()).unwrap_or_default();
    currency_of(&sets, paid, record.setting)
}

/// The line a refund line takes back, as far as anybody tells.
fn taken<'b, 'a>(
    line: &'b body::RefundLine<'a>,
    enclosing: Option<&Enclosing<'b, 'a>>,
) -> Result<Option<&'b body::Line<'a>>, Refusal> {
    let wanted = match &line.line_item {
        // A GraphQL node may select no more of its line than the id.
        Some(own) if own.product.is_some() || own.product_id.present() || own.price.present() => {
            return Ok(Some(own));
        }
        Some(own) => own.id.id_or(own.admin_graphql_api_id, "a line")?,
        None => line.line_item_id.id("a line")?,
    };
    if let (Some(wanted), Some(enclosing)) = (wanted, enclosing) {
        for candidate in each(&enclosing.order.line_items) {
            let id = candidate.id.id_or(candidate.admin_graphql_api_id, "a line")?;
            if id.as_ref() == Some(&wanted) || candidate.id.id("a line")?.as_ref() == Some(&wanted)
            {
                return Ok(Some(candidate));
            }
        }
    }
    Ok(line.line_item.as_ref())
}

/// Goods taken back, and whether their own tax shows that prices hold it.
struct Goods {
    lines: Vec<RefundLine>,
    inside: bool,
}

/// Goods taken back; gift cards were no sale, so they are no return either.
fn goods(
    refund: &body::Refund<'_>,
    enclosing: Option<&Enclosing<'_, '_>>,
    coin: Coin,
    included: Option<bool>,
    sums: &mut Sums,
) -> Result<Goods, Refusal> {
    let (mut goods, mut any) = (Vec::new(), false);
    for line in each(&refund.refund_line_items) {
        let units = line.quantity.units("a refunded line")?;
        let item = taken(line, enclosing)?;
        let whole = item.map(|item| whole(item, coin)).transpose()?.flatten();
        let subtotal = coin.either(&line.subtotal_set, line.subtotal, "a subtotal")?;
        let subtotal = match (subtotal, whole) {
            (Some(subtotal), _) => subtotal,
            (None, Some((all, charged, ..))) => pro_rata(charged, units, all)?,
            (None, None) => return Err(field("a refunded line has neither subtotal nor price")),
        };
        let tax = coin.either(&line.total_tax_set, line.total_tax, "the tax of a line")?;
        let tax = match (tax, whole) {
            (Some(tax), _) => tax,
            (None, Some((all, _, tax, _))) => pro_rata(tax, units, all)?,
            (None, None) => 0,
        };
        sums.taxes += i128::from(tax);
        let inside = included.unwrap_or_else(|| {
            whole.is_some_and(|(_, charged, tax, rate)| tax::inside_price(charged, tax, rate))
        });
        any |= inside;
        if item.is_some_and(|item| item.gift_card.flag()) {
            continue;
        }
        let amount = if inside { subtotal - tax } else { subtotal };
        let product = item.map(lines::product).transpose()?.flatten();
        goods.push(RefundLine { line: None, product, units, amount });
    }
    // Exports give the same lines in another order, which is no other version.
    goods.sort_by(|a: &RefundLine, b| {
        (&a.product, a.units, a.amount).cmp(&(&b.product, b.units, b.amount))
    });
    Ok(Goods { lines: goods, inside: any })
}

/// Units, charge, tax and rate of a whole line, where it names its price and quantity.
type Whole = (i32, i64, i64, Option<rust_decimal::Decimal>);

fn whole(item: &body::Line<'_>, coin: Coin) -> Result<Option<Whole>, Refusal> {
    let priced = item.price.present() || item.price_set.is_some();
    if !priced || !item.quantity.present() {
        return Ok(None);
    }
    let units = item.quantity.units("a line")?;
    let listed = lines::listed(item, units, "a refunded line", coin)?;
    Ok(Some((units, listed.price - listed.discount, listed.tax, listed.rate)))
}

/// The part of a whole line's amount that some of its units are.
fn pro_rata(amount: i64, units: i32, all: i32) -> Result<i64, Refusal> {
    let exact = div_half_even(i128::from(amount) * i128::from(units), i128::from(all));
    bounded(exact.unwrap_or_default(), "a part of a line")
}

/// Shipping given back since 2024-10.
fn shipping(
    refund: &body::Refund<'_>,
    coin: Coin,
    included: bool,
    sums: &mut Sums,
) -> Result<(), Refusal> {
    for line in each(&refund.refund_shipping_lines) {
        let amount = coin.set(&line.subtotal_amount_set, "refunded shipping")?.unwrap_or_default();
        let tax = coin.set(&line.tax_amount_set, "the tax of shipping")?.unwrap_or_default();
        sums.shipping += i128::from(if included { amount - tax } else { amount });
        sums.taxes += i128::from(tax);
    }
    Ok(())
}

/// Adjustments are booked from the merchant's side: less for the merchant is more given back.
fn adjustments(
    refund: &body::Refund<'_>,
    coin: Coin,
    included: bool,
    sums: &mut Sums,
) -> Result<(), Refusal> {
    let lines = !each(&refund.refund_shipping_lines).is_empty();
    for line in each(&refund.order_adjustments) {
        let shipping = match line.kind.text() {
            Some(kind) => kind.eq_ignore_ascii_case("shipping_refund"),
            None => line.reason.text().is_some_and(|reason| {
                ["shipping refund", "shipping_refund"]
                    .iter()
                    .any(|name| reason.eq_ignore_ascii_case(name))
            }),
        };
        if shipping && lines {
            continue;
        }
        let amount = coin.either(&line.amount_set, line.amount, "an adjustment")?;
        let tax = coin.either(&line.tax_amount_set, line.tax_amount, "the tax of an adjustment")?;
        let target = if shipping { &mut sums.shipping } else { &mut sums.adjustment };
        let (amount, tax) = (amount.unwrap_or_default(), tax.unwrap_or_default());
        *target -= i128::from(if included { amount - tax } else { amount });
        sums.taxes -= i128::from(tax);
    }
    Ok(())
}

fn duties(refund: &body::Refund<'_>, coin: Coin, sums: &mut Sums) -> Result<(), Refusal> {
    let duties = each(&refund.duties);
    for duty in duties {
        let amount = coin.either(&duty.amount_set, duty.amount, "a duty")?;
        sums.duties += i128::from(amount.unwrap_or_default());
    }
    if duties.is_empty() {
        let total = coin.set(&refund.total_duties_set, "the duties")?;
        sums.duties += i128::from(total.unwrap_or_default());
    }
    Ok(())
}
