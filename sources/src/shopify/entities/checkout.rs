//! Checkouts and carts: how many were begun, what is in them, and whether they became an order.
//!
//! Invariant: both are named by their tokens, which orders repeat; of their buyers nothing is
//! read.

use ionflux_schemas::entity::{Body, Cart, Checkout, Entity};
use ionflux_schemas::event::UNITS_MAX;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;

use super::{body, instant, said};
use crate::reading::Refusal;
use crate::shopify::amounts::{Coin, code, currency_of, not_negative};
use crate::shopify::list::{List, each};
use crate::shopify::record::{Outcome, Record, about, field};

/// The checkout's envelope.
pub fn decode(checkout: &body::Checkout<'_>, record: &Record<'_>) -> Outcome {
    let id = checkout.token.id("the checkout")?;
    let id = id.ok_or_else(|| field("the checkout has no token"))?;
    let subject = format!("checkout {id}");
    read(checkout, id, record).map_err(|refusal| about(&subject, refusal))
}

fn read(checkout: &body::Checkout<'_>, id: Id, record: &Record<'_>) -> Outcome {
    let shops = code(checkout.currency).is_some();
    let named = if shops { checkout.currency } else { checkout.presentment_currency };
    let currency = currency_of(&[&checkout.total_price_set], named, record.setting)?;
    let what = "the total price";
    let amount = Coin(currency).either(&checkout.total_price_set, checkout.total_price, what)?;
    let amount = not_negative(amount.ok_or_else(|| field("it has no total price"))?, what)?;
    let created = (checkout.created_at, "created_at");
    let updated = (checkout.updated_at, "updated_at");
    let missing = || field("it has neither created_at nor updated_at");
    let at = instant(&[created, updated], record)?.ok_or_else(missing)?;
    let changed_at = instant(&[updated, created], record)?.ok_or_else(missing)?;
    let body = Checkout {
        completed_at: checkout.completed_at.time("completed_at", record.setting)?,
        number: checkout.id.id("the checkout")?,
        amount,
        currency,
        units: units(&checkout.line_items)?,
    };
    let entity = Entity { id, at, body: Body::Checkout(body) };
    Ok(vec![said(entity, changed_at, record)])
}

/// The cart's envelope.
pub fn cart(cart: &body::Cart<'_>, record: &Record<'_>) -> Outcome {
    let named = if cart.token.present() { cart.token } else { cart.id };
    let id = named.id("the cart")?.ok_or_else(|| field("the cart has no token"))?;
    let subject = format!("cart {id}");
    let read = || {
        let created = (cart.created_at, "created_at");
        let updated = (cart.updated_at, "updated_at");
        let missing = || field("it has neither created_at nor updated_at");
        let at = instant(&[created, updated], record)?.ok_or_else(missing)?;
        let changed_at = instant(&[updated, created], record)?.ok_or_else(missing)?;
        let units = units(&cart.line_items)?;
        let entity = Entity { id, at, body: Body::Cart(Cart { units }) };
        Ok(vec![said(entity, changed_at, record)])
    };
    read().map_err(|refusal| about(&subject, refusal))
}

/// How many units the lines have together.
fn units(lines: &Option<List<body::Item<'_>>>) -> Result<i32, Refusal> {
    let mut sum = 0_i64;
    for line in each(lines) {
        sum += i64::from(line.quantity.units("a line")?);
    }
    i32::try_from(sum).ok().filter(|units| *units <= UNITS_MAX).ok_or_else(|| {
        let reason = format!("its lines have more than {UNITS_MAX} units together");
        Refusal::new(FaultKind::Quantity, "", reason)
    })
}
