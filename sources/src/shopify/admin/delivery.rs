//! A delivery of the Admin API, as the journal kept it: what we asked for ourselves.
//!
//! Invariant: pure, and an order means what it means in a webhook or an export, for the same
//! reader reads it. What was asked for beats a webhook of the same change, unless that was raised
//! later.

use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::time::UtcMs;

use crate::draft::delivered;
use crate::reading::{Decoded, Refusal, Setting};
use crate::shopify::body;
use crate::shopify::delivery::named;
use crate::shopify::entities::{self, Beside, store};
use crate::shopify::record::{Outcome, Record, field};
use crate::shopify::webhook::parse;
use crate::shopify::{order, zone};

/// The name of the source.
pub const SOURCE: &str = "shopify-admin";

/// The header with the name of the shop.
pub(super) const SHOP: &str = "x-shopify-shop-domain";
/// The header with what it is.
pub(super) const KIND: &str = "kind";
/// The header with the instant as which it was told, in milliseconds since 1970.
pub(super) const READ_AT: &str = "read-at";

/// An order with its lines, refunds and transactions.
pub(super) const ORDER: &str = "order";
/// A product with its variants and their costs.
pub(super) const PRODUCT: &str = "product";
/// The shop itself.
pub(super) const THE_SHOP: &str = "shop";
/// Lines of an export that are none of these.
pub(super) const STRAY: &str = "stray";

/// What a delivery says where its reader is told more than the delivery.
#[must_use]
pub fn read_as(delivery: &Delivery, position: Position, setting: &Setting) -> Decoded {
    let header = |name: &str| delivery.headers.get(name).map(|text| &**text);
    let shop = header(SHOP).map(str::trim).filter(|shop| !shop.is_empty());
    let read_at = header(READ_AT).and_then(|text| text.parse().ok()).map(UtcMs);
    let mut decoded = Decoded::default();
    let outcomes = match Record::new(shop, read_at.unwrap_or_default(), setting) {
        Ok(record) => outcomes(&delivery.body, header(KIND).unwrap_or_default(), &record),
        Err(refusal) => Err(refusal),
    };
    for outcome in outcomes.unwrap_or_else(|refusal| vec![Err(refusal)]) {
        match outcome {
            Ok(said) => decoded.envelopes.extend(said),
            Err(refusal) => {
                let place = Place { source: Arc::from(SOURCE), line: 0 };
                let fault = named(refusal, delivery).at(setting.shop_key(shop), place);
                decoded.faults.push(fault);
            }
        }
    }
    delivered(decoded, delivery, position, setting)
}

fn outcomes(body: &[u8], kind: &str, record: &Record<'_>) -> Result<Vec<Outcome>, Refusal> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Refusal::new(FaultKind::Syntax, "", "not valid UTF-8"))?;
    match kind {
        ORDER => Ok(order::decode(&parse::<body::Order<'_>>(text)?, record)),
        PRODUCT => entities::decode(Beside::Product, text, record),
        THE_SHOP => {
            let shop: body::Shop<'_> = parse(text)?;
            Ok(vec![zone::told(&shop, record), store::settings(&shop, record)])
        }
        STRAY => {
            // What is no JSON says so; what is, is at least no order and no product.
            for line in text.lines() {
                parse::<serde::de::IgnoredAny>(line)?;
            }
            Err(field("a line of the export belongs to no order and no product in it"))
        }
        other => {
            let kind: String = other.chars().take(60).collect();
            let reason = format!("nothing reads what is called {kind:?}");
            Err(Refusal::new(FaultKind::Unsupported, "", reason))
        }
    }
}
