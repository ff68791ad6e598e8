//! A chargeback or an inquiry.
//!
//! Invariant: the body has no stamp of its last change, so that the delivery's is the first to
//! ask; without it, the latest of the stamps that a dispute collects on its way.

use ionflux_schemas::entity::{Body, Dispute, Entity};
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;

use super::{body, instant, said, word};
use crate::shopify::amounts::{Coin, code, currency_of, not_negative};
use crate::shopify::record::{Outcome, Record, about, field};
use crate::shopify::scalar::Scalar;

/// The dispute's envelope.
pub fn decode(dispute: &body::Dispute<'_>, record: &Record<'_>) -> Outcome {
    let id = dispute.id.id_or(dispute.admin_graphql_api_id, "the dispute")?;
    let id = id.ok_or_else(|| field("the dispute has no id"))?;
    let subject = format!("dispute {id}");
    read(dispute, id, record).map_err(|refusal| about(&subject, refusal))
}

fn read(dispute: &body::Dispute<'_>, id: Id, record: &Record<'_>) -> Outcome {
    let order = match &dispute.order {
        Some(order) => order.id.id_or(order.admin_graphql_api_id, "the order")?,
        None => dispute.order_id.id("the order")?,
    };
    let price = &dispute.amount.amount;
    let named =
        if code(price.currency_code).is_some() { price.currency_code } else { dispute.currency };
    let currency = currency_of(&[], named, record.setting)?;
    let amount = Coin(currency).plain(price.amount, "the amount")?;
    let amount = not_negative(amount.ok_or_else(|| field("it has no amount"))?, "the amount")?;
    let at = instant(&[(dispute.initiated_at, "initiated_at")], record)?;
    let at = at.ok_or_else(|| field("it has no initiated_at"))?;
    let time = |stamp: Scalar<'_>, name| stamp.time(name, record.setting);
    let sent = time(dispute.evidence_sent_on, "evidence_sent_on")?;
    let ended = time(dispute.finalized_on, "finalized_on")?;
    let latest = [Some(at), sent, ended].into_iter().flatten().max().unwrap_or(at);
    let changed_at = if record.raised_at == UtcMs(0) { latest } else { record.raised_at };
    let detailed = dispute.reason_details.as_ref().map(|details| details.reason);
    let dispute = Dispute {
        order,
        kind: word(dispute.kind),
        status: word(dispute.status),
        reason: word(detailed.unwrap_or(dispute.reason)),
        amount,
        currency,
    };
    let entity = Entity { id, at, body: Body::Dispute(dispute) };
    Ok(vec![said(entity, changed_at, record)])
}
