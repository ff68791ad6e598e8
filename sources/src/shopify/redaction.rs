//! The request to forget a customer: from now on the orders it names have none.
//!
//! Invariant: every order named is redacted, whatever is wrong with another.

use ionflux_schemas::event::Event;
use ionflux_schemas::key::Version;

use super::body::Redaction;
use super::list::each;
use super::record::{Outcome, Record, field};
use super::scalar::Scalar;
use crate::reading::Refusal;

/// An outcome for each order of a request; a customer without orders gives none.
///
/// # Errors
/// A [`Refusal`] where the request has no list at all.
pub fn decode(request: &Redaction<'_>, record: &Record<'_>) -> Result<Vec<Outcome>, Refusal> {
    if request.orders_to_redact.is_none() {
        return Err(field("the redaction request has no orders_to_redact"));
    }
    let redacted = |order: &Scalar<'_>| {
        let order = order.id("an order to redact")?;
        let order = order.ok_or_else(|| field("an order to redact has no id"))?;
        // What a redaction says never changes, so that its version only has to be the same again.
        let version = Version::new(record.raised_at, record.raised_at, order.as_bytes());
        Ok(vec![record.envelope(version, Event::Redacted { order })])
    };
    Ok(each(&request.orders_to_redact).iter().map(redacted).collect())
}
