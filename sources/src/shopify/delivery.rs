//! One delivery of a Shopify webhook, as the journal kept it.
//!
//! Invariant: pure; what is said depends on the headers and the body alone, never on when or how
//! often the delivery came.

use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::key::content_hash;

use super::webhook::{Webhook, records};
use super::webhook_file::FORMAT;
use crate::draft::delivered;
use crate::reading::{Decoded, Refusal, Setting};

/// The name of the source.
pub const SOURCE: &str = FORMAT;

/// What a delivery says; `position` is where the journal has it.
#[must_use]
pub fn read(delivery: &Delivery, position: Position) -> Decoded {
    read_as(delivery, position, &Setting::of_delivery(delivery))
}

/// What a delivery says where its reader is told more than the delivery.
#[must_use]
pub fn read_as(delivery: &Delivery, position: Position, setting: &Setting) -> Decoded {
    let shop = header(delivery, "shop-domain").map(str::trim).filter(|shop| !shop.is_empty());
    let mut decoded = Decoded::default();
    let mut refused = |refusal: Refusal| {
        let place = Place { source: Arc::from(SOURCE), line: 0 };
        decoded.faults.push(named(refusal, delivery).at(setting.shop_key(shop), place));
    };
    let mut envelopes = Vec::new();
    match webhook(delivery) {
        Ok(webhook) => {
            for outcome in records(&webhook, setting) {
                match outcome {
                    Ok(said) => envelopes.extend(said),
                    Err(refusal) => refused(refusal),
                }
            }
        }
        Err(_) => refused(Refusal::new(FaultKind::Syntax, "", "not valid UTF-8")),
    }
    decoded.envelopes = envelopes;
    delivered(decoded, delivery, position, setting)
}

/// The webhook that a delivery is.
///
/// # Errors
/// When its body is no text.
pub fn webhook(delivery: &Delivery) -> Result<Webhook<'_>, std::str::Utf8Error> {
    let header = |name| header(delivery, name);
    Ok(Webhook {
        topic: header("topic"),
        shop: header("shop-domain").map(str::trim).filter(|shop| !shop.is_empty()),
        triggered_at: header("triggered-at"),
        test: header("test").is_some_and(|test| !test.eq_ignore_ascii_case("false")),
        body: std::str::from_utf8(&delivery.body)?,
    })
}

/// A header of a delivery. Webhooks have their names with `X-`, the newer events without.
pub fn header<'d>(delivery: &'d Delivery, name: &str) -> Option<&'d str> {
    let text = delivery.headers.get(format!("x-shopify-{name}").as_str());
    let text = text.or_else(|| delivery.headers.get(format!("shopify-{name}").as_str()));
    text.map(|text| &**text)
}

/// A refusal that is told from those of other deliveries, also about the same order, and is the
/// same when the delivery comes again. What no view counts is one fault for all deliveries of its
/// kind: a shop may send millions of them.
pub fn named(refusal: Refusal, delivery: &Delivery) -> Refusal {
    if refusal.kind == FaultKind::Unsupported {
        return refusal;
    }
    let hash = content_hash(&delivery.body) >> 64;
    let subject = match &*refusal.subject {
        "" => format!("delivery {hash:016x}"),
        subject => format!("{subject}, delivery {hash:016x}"),
    };
    Refusal { subject: subject.into(), ..refusal }
}
