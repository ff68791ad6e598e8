//! What one unit of a stock item costs: of the item itself, or of the variant that it stocks.
//!
//! Invariant: a cost is named by the instant from which it is known to hold, so that a later one
//! leaves it alone; null is unknown, zero is free, and what is not mentioned is nothing said.

use ionflux_schemas::entity::{Body, Entity, UnitCost};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;

use super::product::shortest;
use super::{body, instant, said, title};
use crate::reading::Refusal;
use crate::shopify::amounts::{code, currency_of};
use crate::shopify::record::{Outcome, Record, about, field};

/// The cost of a stock item from its last change on.
pub fn decode(item: &body::Stock<'_>, record: &Record<'_>) -> Outcome {
    let id = item.id.id_or(item.admin_graphql_api_id, "the stock item")?;
    let id = id.ok_or_else(|| field("the stock item has no id"))?;
    if !item.cost.said {
        let reason = "a stock item without its cost: no view counts it";
        return Err(Refusal::new(FaultKind::Unsupported, "", reason));
    }
    let subject = format!("stock item {id}");
    let read = || {
        let stamps = [(item.updated_at, "updated_at"), (item.created_at, "created_at")];
        let at = instant(&stamps, record)?;
        let at = at.ok_or_else(|| field("it has neither updated_at nor created_at"))?;
        read(item, (&id, title(item.sku)), at, record)
    };
    read().map_err(|refusal| about(&subject, refusal))
}

/// The cost of the item that stocks a variant, where the body tells it; `known_at` is when the
/// product last changed.
pub fn of_variant(
    variant: &body::Variant<'_>,
    known_at: Option<UtcMs>,
    record: &Record<'_>,
) -> Option<Outcome> {
    let item = variant.inventory_item.as_ref().filter(|item| item.cost.said)?;
    let outcome = || {
        let id = item.id.id_or(item.admin_graphql_api_id, "the stock item")?;
        let id = id.ok_or_else(|| field("the stock item of a variant has no id"))?;
        let subject = format!("stock item {id}");
        let read = || {
            let own = item.updated_at.time("updated_at", record.setting)?;
            let stamps = [(variant.updated_at, "updated_at")];
            let at = match own.or(known_at) {
                Some(at) => at,
                None => instant(&stamps, record)?
                    .ok_or_else(|| field("nothing says since when it costs so (updatedAt)"))?,
            };
            let sku = if item.sku.present() { item.sku } else { variant.sku };
            read(item, (&id, title(sku)), at, record)
        };
        read().map_err(|refusal| about(&subject, refusal))
    };
    Some(outcome())
}

fn read(item: &body::Stock<'_>, (id, sku): (&Id, Id), at: UtcMs, record: &Record<'_>) -> Outcome {
    let price = &item.cost.amount;
    let cost = price.amount.text().map(|text| shortest(&text, "the cost")).transpose()?;
    let named = code(price.currency_code).is_some();
    let currency =
        named.then(|| currency_of(&[], price.currency_code, record.setting)).transpose()?;
    let body = UnitCost { item: id.clone(), sku, cost, currency };
    let entity = Entity { id: format!("{id}@{at}").into(), at, body: Body::UnitCost(body) };
    Ok(vec![said(entity, at, record)])
}
