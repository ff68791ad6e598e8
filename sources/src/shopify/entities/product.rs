//! A product with its variants, and what their stock items cost where the body says so.
//!
//! Invariant: variants come out in the order of their ids, whatever order they stand in, and
//! those that a body only names make the product partial.

use std::collections::BTreeSet;

use ionflux_schemas::entity::{Body, Entity, Product, Variant};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::money::decimal;
use ionflux_schemas::time::UtcMs;

use super::{body, instant, said, title, unit_cost, word};
use crate::reading::Refusal;
use crate::shopify::list::each;
use crate::shopify::record::{Outcome, Record, about, field};

/// The product, and each unit cost inside it.
pub fn decode(product: &body::Product<'_>, record: &Record<'_>) -> Vec<Outcome> {
    let id = match product.id.id_or(product.admin_graphql_api_id, "the product") {
        Ok(Some(id)) => id,
        Ok(None) => return vec![Err(field("the product has no id"))],
        Err(refusal) => return vec![Err(refusal)],
    };
    let subject = format!("product {id}");
    let stamps = [(product.updated_at, "updated_at"), (product.created_at, "created_at")];
    let changed_at = match instant(&stamps, record) {
        Ok(Some(at)) => at,
        Ok(None) => {
            let missing = field("it has neither updated_at nor created_at");
            return vec![Err(about(&subject, missing))];
        }
        Err(refusal) => return vec![Err(about(&subject, refusal))],
    };
    let read = read(product, id, changed_at, record);
    let mut outcomes = vec![read.map_err(|refusal| about(&subject, refusal))];
    for variant in each(&product.variants) {
        outcomes.extend(unit_cost::of_variant(variant, Some(changed_at), record));
    }
    outcomes
}

fn read(product: &body::Product<'_>, id: Id, at: UtcMs, record: &Record<'_>) -> Outcome {
    let mut variants = Vec::new();
    for given in each(&product.variants) {
        variants.push(variant(given)?);
    }
    variants.sort_by(|a, b| a.id.cmp(&b.id));
    // Two exports in one file overlap.
    variants.dedup_by(|a, b| a.id == b.id);
    let body = Product {
        title: title(product.title),
        status: word(product.status),
        partial: partial(product, &variants)?,
        variants,
    };
    let entity = Entity { id, at, body: Body::Product(body) };
    Ok(vec![said(entity, at, record)])
}

fn variant(variant: &body::Variant<'_>) -> Result<Variant, Refusal> {
    let id = variant.id.id_or(variant.admin_graphql_api_id, "a variant")?;
    let id = id.ok_or_else(|| field("a variant has no id"))?;
    let price = variant.price.amount.amount.text();
    Ok(Variant {
        sku: title(variant.sku),
        item: match &variant.inventory_item {
            Some(item) => item.id.id_or(item.admin_graphql_api_id, "a stock item")?,
            None => variant.inventory_item_id.id("a stock item")?,
        },
        price: price
            .map(|text| shortest(&text, &format!("the price of variant {id}")))
            .transpose()?,
        id,
    })
}

/// Whether there are variants that the body does not show.
fn partial(product: &body::Product<'_>, variants: &[Variant]) -> Result<bool, Refusal> {
    if product.variants.is_none() {
        return Ok(true);
    }
    let shown: BTreeSet<&str> = variants.iter().map(|variant| &*variant.id).collect();
    for variant in each(&product.variant_gids) {
        let id = variant.id.id_or(variant.admin_graphql_api_id, "a variant")?;
        if id.is_some_and(|id| !shown.contains(&*id)) {
            return Ok(true);
        }
    }
    let Some(count) = &product.variants_count else { return Ok(false) };
    let count = if count.count.present() { count.count.units("the variants")? } else { 0 };
    Ok(usize::try_from(count).is_ok_and(|count| count > variants.len()))
}

/// A price or a cost as a decimal number in its shortest form, zero or more.
pub fn shortest(text: &str, what: &str) -> Result<Id, Refusal> {
    let wrong = |why: String| Refusal::new(FaultKind::Amount, "", format!("{what}: {why}"));
    let exact = decimal(text).map_err(|error| wrong(error.to_string()))?;
    if exact.is_sign_negative() && !exact.is_zero() {
        return Err(wrong("it is negative".to_owned()));
    }
    Ok(exact.abs().normalize().to_string().into())
}
