//! A product with its variants, and what one unit of each costs.
//!
//! Invariant: a cost holds from its stock item's last change on; an unknown cost is said to be
//! unknown, which is not free.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::entity::{Body, Entity, Product, UnitCost, Variant};
use ionflux_schemas::event::Event;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::money::decimal;
use ionflux_schemas::time::UtcMs;
use serde::Deserialize;

use crate::reading::Refusal;
use crate::shopify::body::Amount;
use crate::shopify::list::{List, each};
use crate::shopify::record::{Outcome, Record, about, field};
use crate::shopify::scalar::Scalar;
use crate::shopify::webhook::parse;

/// The longest title and name of a variant that are kept.
const TITLE_CHARS_MAX: usize = 255;

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ProductNode<'a> {
    id: Scalar<'a>,
    title: Scalar<'a>,
    status: Scalar<'a>,
    #[serde(rename = "updatedAt")]
    updated_at: Scalar<'a>,
    variants: Option<List<VariantNode<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct VariantNode<'a> {
    id: Scalar<'a>,
    sku: Scalar<'a>,
    price: Scalar<'a>,
    #[serde(rename = "inventoryItem")]
    item: Option<ItemNode<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ItemNode<'a> {
    id: Scalar<'a>,
    #[serde(rename = "updatedAt")]
    updated_at: Scalar<'a>,
    #[serde(rename = "unitCost")]
    cost: Option<Amount<'a>>,
}

/// The product, and the cost of each of its variants.
pub fn decode(text: &str, record: &Record<'_>) -> Result<Vec<Outcome>, Refusal> {
    let node: ProductNode<'_> = parse(text)?;
    let id = node.id.id("the product")?.ok_or_else(|| field("the product has no id"))?;
    let subject = format!("product {id}");
    let wrong = |refusal: Refusal| about(&subject, refusal);
    let changed_at = time(node.updated_at, record).map_err(wrong)?;
    let mut outcomes = Vec::new();
    for variant in each(&node.variants) {
        if let Some(item) = &variant.item {
            outcomes.push(cost(item, variant, record).map_err(wrong));
        }
    }
    outcomes.push(product(&node, id.clone(), changed_at, record).map_err(wrong));
    Ok(outcomes)
}

fn time(at: Scalar<'_>, record: &Record<'_>) -> Result<UtcMs, Refusal> {
    at.time("updatedAt", record.setting)?.ok_or_else(|| field("it has no updatedAt"))
}

fn plain(scalar: Scalar<'_>) -> String {
    scalar.text().unwrap_or_default().chars().take(TITLE_CHARS_MAX).collect()
}

/// A decimal number in its shortest form.
fn number(scalar: Scalar<'_>, what: &str) -> Result<Option<Id>, Refusal> {
    let Some(text) = scalar.text() else { return Ok(None) };
    let wrong = |error| Refusal::new(FaultKind::Amount, "", format!("{what}: {error}"));
    Ok(Some(decimal(&text).map_err(wrong)?.normalize().to_string().into()))
}

fn product(node: &ProductNode<'_>, id: Id, changed_at: UtcMs, record: &Record<'_>) -> Outcome {
    let mut variants = Vec::new();
    for variant in each(&node.variants) {
        let item = variant.item.as_ref().map(|item| item.id.id("a stock item")).transpose()?;
        variants.push(Variant {
            id: variant.id.id("a variant")?.ok_or_else(|| field("a variant has no id"))?,
            sku: plain(variant.sku).into(),
            item: item.flatten(),
            price: number(variant.price, "the price of a variant")?,
        });
    }
    variants.sort_by(|a, b| a.id.cmp(&b.id));
    let (title, status) = (plain(node.title).into(), plain(node.status).to_lowercase().into());
    let body = Body::Product(Product { title, status, variants, partial: false });
    Ok(entity(Entity { id, at: changed_at, body }, changed_at, record))
}

fn cost(item: &ItemNode<'_>, variant: &VariantNode<'_>, record: &Record<'_>) -> Outcome {
    let id = item.id.id("a stock item")?.ok_or_else(|| field("a stock item has no id"))?;
    let from = time(item.updated_at, record)?;
    let (cost, currency) = match &item.cost {
        Some(amount) => {
            let wrong = |error| Refusal::new(FaultKind::Currency, "", format!("a cost: {error}"));
            let code = amount.currency_code.text();
            let currency = code.map(|code| Currency::parse(&code).map_err(wrong)).transpose()?;
            (number(amount.amount, "a cost")?, currency)
        }
        None => (None, None),
    };
    let body = UnitCost { item: id.clone(), sku: plain(variant.sku).into(), cost, currency };
    // A later cost is another entity, so that sales keep what they cost when they were made.
    let id = format!("{id}@{}", from.0).into();
    Ok(entity(Entity { id, at: from, body: Body::UnitCost(body) }, from, record))
}

fn entity(
    entity: Entity,
    changed_at: UtcMs,
    record: &Record<'_>,
) -> Vec<ionflux_schemas::event::Envelope> {
    let version = record.version(changed_at, &entity);
    vec![record.envelope(version, Event::Entity(Box::new(entity)))]
}
