//! Money that moved for an order, wherever it is mentioned: alone, in an order, in a refund.
//!
//! Invariant: the version is made of the transaction alone, so that every mention with the same
//! content is the same version, whatever carried it.
//!
//! A transaction has no stamp of its last change, but it goes only one way: from pending to its
//! end, and from less to more that is known of it. How far it has come leads the version; then
//! its instant, then its content.

use std::iter;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::entity::{Body, Entity, Transaction};
use ionflux_schemas::event::Event;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;

use super::{body, word};
use crate::reading::Refusal;
use crate::shopify::amounts::{Coin, bounded, code, currency_of, not_negative};
use crate::shopify::body::Amount;
use crate::shopify::list::{List, each};
use crate::shopify::record::{Outcome, Record, about, field, version};
use crate::shopify::scalar::Scalar;

/// What mentions a transaction.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// The order, where it is known.
    pub order: Option<Id>,
    /// The currency of amounts that name none.
    pub currency: Option<Currency>,
}

/// What each transaction of a list says.
pub fn all(
    transactions: &Option<List<body::Transaction<'_>>>,
    within: &Within,
    record: &Record<'_>,
) -> impl Iterator<Item = Outcome> {
    each(transactions).iter().map(|transaction| decode(transaction, within, record))
}

/// The transaction's envelope.
pub fn decode(
    transaction: &body::Transaction<'_>,
    within: &Within,
    record: &Record<'_>,
) -> Outcome {
    let id = transaction.id.id_or(transaction.admin_graphql_api_id, "the transaction")?;
    let id = id.ok_or_else(|| field("the transaction has no id"))?;
    let subject = format!("transaction {id}");
    read(transaction, id, within, record).map_err(|refusal| about(&subject, refusal))
}

fn read(
    transaction: &body::Transaction<'_>,
    id: Id,
    within: &Within,
    record: &Record<'_>,
) -> Outcome {
    let order = match (&within.order, &transaction.order) {
        (Some(order), _) => Some(order.clone()),
        (None, Some(order)) => order.id.id_or(order.admin_graphql_api_id, "the order")?,
        (None, None) => transaction.order_id.id("the order")?,
    };
    let order = order.ok_or_else(|| field("it names no order"))?;
    let kind = word(transaction.kind);
    if kind.is_empty() {
        return Err(field("it has no kind"));
    }
    let currency = match within.currency {
        Some(known) if transaction.amount_set.is_none() && code(transaction.currency).is_none() => {
            known
        }
        _ => currency_of(&[&transaction.amount_set], transaction.currency, record.setting)?,
    };
    let coin = Coin(currency);
    let amount = coin.either(&transaction.amount_set, transaction.amount, "the amount")?;
    let amount = not_negative(amount.ok_or_else(|| field("it has no amount"))?, "the amount")?;
    let time = |stamp: Scalar<'_>, name| stamp.time(name, record.setting);
    let at = match time(transaction.processed_at, "processed_at")? {
        Some(at) => at,
        None => time(transaction.created_at, "created_at")?
            .ok_or_else(|| field("it has neither processed_at nor created_at"))?,
    };
    let parent = match &transaction.parent {
        Some(parent) => parent.id.id_or(parent.admin_graphql_api_id, "the parent")?,
        None => transaction.parent_id.id("the parent")?,
    };
    let said = Transaction {
        order,
        kind,
        status: word(transaction.status),
        gateway: word(transaction.gateway),
        amount,
        currency,
        fee: fee(transaction, coin)?,
        parent,
        test: transaction.test.flag(),
    };
    let shops = transaction.amount_set.as_ref().is_some_and(|set| set.shop_money.is_some());
    let reached = reached(&said, shops);
    let entity = Entity { id, at, body: Body::Transaction(said) };
    let version = version(UtcMs(reached), at, &(&entity.at, &entity.body));
    Ok(vec![record.envelope(version, Event::Entity(Box::new(entity)))])
}

/// How far a transaction has come: its status first, then whether its fee and the shop's money
/// are known.
fn reached(transaction: &Transaction, shops: bool) -> i64 {
    let status = match &*transaction.status {
        "success" | "failure" | "error" => 2,
        "pending" | "awaiting_response" => 1,
        _ => 0,
    };
    status * 4 + i64::from(transaction.fee.is_some()) * 2 + i64::from(shops)
}

/// What the gateway kept, with the tax on it; unknown where a fee is in another currency than the
/// transaction.
fn fee(transaction: &body::Transaction<'_>, coin: Coin) -> Result<Option<i64>, Refusal> {
    let fees = each(&transaction.fees);
    let mut sum = 0_i128;
    for price in fees.iter().flat_map(|fee| iter::once(&fee.amount).chain(&fee.tax)) {
        let Amount { amount, currency_code } = price.amount;
        if code(currency_code).is_some_and(|code| !code.eq_ignore_ascii_case(coin.0.code())) {
            return Ok(None);
        }
        let Some(minor) = coin.plain(amount, "a fee")? else { return Ok(None) };
        sum += i128::from(minor);
    }
    let sum = bounded(sum, "the fees")?;
    Ok((!fees.is_empty()).then_some(sum))
}
