//! The transactions of an order, with what the gateway kept of each.
//!
//! Invariant: a transaction is as new as the order it was seen in; fees are known only where the
//! shop's own payments name them, and are never guessed.

use ionflux_schemas::currency::Currency;
use ionflux_schemas::entity::{Body, Entity, Transaction};
use ionflux_schemas::event::Event;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use serde::Deserialize;

use crate::reading::Refusal;
use crate::shopify::amounts::{Coin, bounded, currency_of, not_negative};
use crate::shopify::body::{Amount, Bag, Reference};
use crate::shopify::list::{List, each};
use crate::shopify::record::{Outcome, Record, about, field};
use crate::shopify::scalar::Scalar;
use crate::shopify::webhook::parse;

/// The longest name of a kind, a status or a gateway that is kept.
const NAME_CHARS_MAX: usize = 100;

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct OrderNode<'a> {
    id: Scalar<'a>,
    #[serde(rename = "updatedAt")]
    updated_at: Scalar<'a>,
    transactions: Option<List<TransactionNode<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct TransactionNode<'a> {
    id: Scalar<'a>,
    kind: Scalar<'a>,
    status: Scalar<'a>,
    test: Scalar<'a>,
    gateway: Scalar<'a>,
    #[serde(rename = "createdAt")]
    created_at: Scalar<'a>,
    #[serde(rename = "processedAt")]
    processed_at: Scalar<'a>,
    #[serde(rename = "amountSet")]
    amount: Option<Bag<'a>>,
    #[serde(rename = "parentTransaction")]
    parent: Option<Reference<'a>>,
    fees: Option<List<FeeNode<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct FeeNode<'a> {
    amount: Option<Amount<'a>>,
    #[serde(rename = "taxAmount")]
    tax: Option<Amount<'a>>,
}

/// Each transaction of an order.
pub fn decode(text: &str, record: &Record<'_>) -> Vec<Outcome> {
    let node: OrderNode<'_> = match parse(text) {
        Ok(node) => node,
        Err(refusal) => return vec![Err(refusal)],
    };
    // Without an id the order is refused as a whole, and its reader has said so.
    let Ok(Some(order)) = node.id.id("the order") else { return Vec::new() };
    let subject = format!("order {order}");
    let changed_at = node.updated_at.time("updatedAt", record.setting).ok().flatten();
    let each = each(&node.transactions).iter();
    each.map(|node| {
        transaction(node, &order, changed_at, record).map_err(|refusal| about(&subject, refusal))
    })
    .collect()
}

fn transaction(
    node: &TransactionNode<'_>,
    order: &Id,
    changed_at: Option<UtcMs>,
    record: &Record<'_>,
) -> Outcome {
    let id = node.id.id("a transaction")?.ok_or_else(|| field("a transaction has no id"))?;
    let wrong = |refusal: Refusal| about(&format!("transaction {id} of order {order}"), refusal);
    let time = |scalar: Scalar<'_>, what| scalar.time(what, record.setting).map_err(wrong);
    let at = match time(node.processed_at, "processedAt")? {
        Some(at) => at,
        None => time(node.created_at, "createdAt")?
            .ok_or_else(|| wrong(field("it has neither processedAt nor createdAt")))?,
    };
    let currency =
        currency_of(&[&node.amount], Scalar::default(), record.setting).map_err(wrong)?;
    let amount = Coin(currency).set(&node.amount, "its amount").map_err(wrong)?;
    let amount = amount.ok_or_else(|| wrong(field("it has no amount")))?;
    let name = |scalar: Scalar<'_>| -> Id {
        let text = scalar.text().unwrap_or_default().to_lowercase();
        text.chars().take(NAME_CHARS_MAX).collect::<String>().into()
    };
    let parent = match &node.parent {
        Some(parent) => parent.id.id("the parent of a transaction").map_err(wrong)?,
        None => None,
    };
    let body = Body::Transaction(Transaction {
        order: order.clone(),
        kind: name(node.kind),
        status: name(node.status),
        gateway: name(node.gateway),
        amount: not_negative(amount, "its amount").map_err(wrong)?,
        currency,
        fee: fee(node, currency).map_err(wrong)?,
        parent,
        test: node.test.flag(),
    });
    let entity = Entity { id: id.clone(), at, body };
    let version = record.version(changed_at.unwrap_or(at), &entity);
    Ok(vec![record.envelope(version, Event::Entity(Box::new(entity)))])
}

/// What the gateway kept, tax on its fees included; unknown where a part is in another currency.
fn fee(node: &TransactionNode<'_>, currency: Currency) -> Result<Option<i64>, Refusal> {
    let fees = each(&node.fees);
    let mut sum = 0_i128;
    for part in fees.iter().flat_map(|fee| [&fee.amount, &fee.tax]).flatten() {
        let code = part.currency_code.text();
        if code.is_some_and(|code| !code.eq_ignore_ascii_case(currency.code())) {
            return Ok(None);
        }
        sum += i128::from(Coin(currency).plain(part.amount, "a fee")?.unwrap_or_default());
    }
    if fees.is_empty() { Ok(None) } else { bounded(sum, "the fees").map(Some) }
}
