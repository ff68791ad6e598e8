//! The lines of an order: which are sales, what they were listed at, and their tax.
//!
//! Invariant: gift cards are a liability and tips are not sales, so neither is among the lines;
//! a tip's amount is kept beside them.

use ionflux_schemas::event::OrderLine;
use ionflux_schemas::key::Id;

use super::amounts::{Coin, bounded, not_negative};
use super::body::{Allocation, Line, Order, ShippingLine};
use super::list::each;
use super::record::field;
use super::spread::spread;
use super::tax::{Listed, on_line};
use crate::reading::Refusal;

/// The lines that are sales, with what they were listed at.
#[derive(Default)]
pub struct Lines {
    /// Id, product and units of each; amounts still zero.
    pub lines: Vec<OrderLine>,
    /// What each was listed at, in the same order.
    pub listed: Vec<Listed>,
    /// What tip lines came to.
    pub tips: i64,
    /// Whether any line, shipping included, names its tax.
    pub tax_named: bool,
}

/// The product of a line.
pub fn product(line: &Line<'_>) -> Result<Option<Id>, Refusal> {
    match &line.product {
        Some(product) => product.id.id_or(product.admin_graphql_api_id, "a product"),
        None => line.product_id.id("a product"),
    }
}

/// The sum of a line's discounts, from its allocations.
pub fn allocated(allocations: &[Allocation<'_>], coin: Coin) -> Result<i64, Refusal> {
    let mut sum = 0_i128;
    for part in allocations {
        let amount = coin.either(&part.amount_set, part.amount, "a discount")?;
        sum += i128::from(amount.unwrap_or_default());
    }
    not_negative(bounded(sum, "the discounts of a line")?, "the discounts of a line")
}

/// What a line was listed at, for all its units.
pub fn listed(line: &Line<'_>, units: i32, name: &str, coin: Coin) -> Result<Listed, Refusal> {
    let what = format!("the price of {name}");
    let Some(price) = coin.either(&line.price_set, line.price, &what)? else {
        return Err(field(format!("{name} has no price (price or originalUnitPriceSet)")));
    };
    let price = i128::from(not_negative(price, &what)?) * i128::from(units);
    let discount = match allocated(each(&line.discount_allocations), coin)? {
        // Drafts, scripts and the API fill this one instead.
        0 => coin.either(&line.total_discount_set, line.total_discount, "a discount")?,
        discount => Some(discount),
    };
    let discount = not_negative(discount.unwrap_or_default(), "the discounts of a line")?;
    let (tax, rate) = on_line(each(&line.tax_lines), coin)?;
    Ok(Listed { price: bounded(price, "price times quantity")?, discount, tax, rate })
}

/// A tip that came as a line: marked so, or by its title in an order that has tips.
fn tip(line: &Line<'_>, tipped: bool) -> bool {
    let titled = || line.title.text().is_some_and(|title| title.eq_ignore_ascii_case("tip"));
    let product = line.product_id.present() || line.product.is_some();
    line.tip.present() || (tipped && !product && !line.requires_shipping.flag() && titled())
}

/// The lines of an order that are sales.
pub fn of(order: &Order<'_>, coin: Coin, tipped: bool) -> Result<Lines, Refusal> {
    let mut found = Lines::default();
    for (at, line) in each(&order.line_items).iter().enumerate() {
        let id = line.id.id_or(line.admin_graphql_api_id, "a line")?;
        let id = id.unwrap_or_else(|| format!("#{}", at + 1).into());
        let name = format!("line {id}");
        let units = line.quantity.units(&name)?;
        let listed = listed(line, units, &name, coin)?;
        found.tax_named |= !each(&line.tax_lines).is_empty();
        if line.gift_card.flag() || tip(line, tipped) {
            if !line.gift_card.flag() {
                found.tips = bounded(i128::from(found.tips) + i128::from(listed.price), "tips")?;
            }
            continue;
        }
        let product = product(line)?;
        found.lines.push(OrderLine { id, product, units, gross: 0, discounts: 0 });
        found.listed.push(listed);
    }
    old_discounts(order, coin, &mut found.listed)?;
    Ok(found)
}

/// Before discounts were allocated to lines, only the order named them; they are spread here.
fn old_discounts(order: &Order<'_>, coin: Coin, listed: &mut [Listed]) -> Result<(), Refusal> {
    let allocated = each(&order.line_items).iter().any(|line| line.discount_allocations.is_some());
    if allocated || listed.iter().any(|line| line.discount != 0) {
        return Ok(());
    }
    let what = "the order's discounts";
    let total = coin.either(&order.total_discounts_set, order.total_discounts, what)?;
    let mut rest = i128::from(not_negative(total.unwrap_or_default(), what)?);
    for line in each(&order.shipping_lines) {
        if let Some(price) = coin.either(&line.price_set, line.price, "shipping")? {
            rest -= i128::from(price) - i128::from(charged(line, coin)?);
        }
    }
    let weights: Vec<i64> = listed.iter().map(|line| line.price).collect();
    let whole: i128 = weights.iter().map(|&price| i128::from(price)).sum();
    let parts = spread(bounded(rest.clamp(0, whole), what)?, &weights);
    for (line, part) in listed.iter_mut().zip(parts) {
        line.discount = part;
    }
    Ok(())
}

/// What was charged for one delivery, after its discounts.
fn charged(line: &ShippingLine<'_>, coin: Coin) -> Result<i64, Refusal> {
    if let Some(charged) =
        coin.either(&line.discounted_price_set, line.discounted_price, "shipping")?
    {
        return Ok(charged);
    }
    let price = coin.either(&line.price_set, line.price, "shipping")?.unwrap_or_default();
    Ok(price - allocated(each(&line.discount_allocations), coin)?)
}

/// What was charged for shipping and the tax on it.
pub fn shipping(order: &Order<'_>, coin: Coin) -> Result<(i64, i64), Refusal> {
    let Some(lines) = &order.shipping_lines else {
        let total = coin.set(&order.total_shipping_price_set, "shipping")?;
        return Ok((total.unwrap_or_default(), 0));
    };
    let (mut price, mut tax) = (0_i128, 0_i128);
    for line in &lines.0 {
        price += i128::from(charged(line, coin)?);
        tax += i128::from(on_line(each(&line.tax_lines), coin)?.0);
    }
    Ok((bounded(price, "shipping")?, bounded(tax, "the tax on shipping")?))
}
