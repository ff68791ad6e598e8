//! Shopify's deliveries, as they came or inside events and messages.
//!
//! Invariant: a webhook is one webhook whatever carried it; what it asks about a person is read of
//! its own headers and its own body.

use std::borrow::Cow;

use ionflux_schemas::delivery::Delivery;

use crate::kafka::delivery as kafka;
use crate::platform::read::{SOURCE as EVENTS, webhook_in};
use crate::shopify::delivery::header;
use crate::shopify::webhook::canonical;

/// The delivery of Shopify that a delivery is, or that the event in it wraps.
pub(super) fn shopify(delivery: &Delivery) -> Option<Cow<'_, Delivery>> {
    match &*delivery.source {
        source if source.starts_with("shopify") => Some(Cow::Borrowed(delivery)),
        EVENTS => webhook_in(delivery).map(Cow::Owned),
        kafka::SOURCE => webhook_in(&kafka::event_in(delivery)?).map(Cow::Owned),
        _ => None,
    }
}

/// The topic of a delivery of Shopify, as `orders/create`.
pub(super) fn topic(delivery: &Delivery) -> Option<String> {
    header(delivery, "topic").and_then(canonical)
}
