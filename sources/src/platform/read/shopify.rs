//! Shopify's events on the bus: the webhook they were made of, read as such.
//!
//! Invariant: an event means what its webhook would have meant; the mapping of types to topics is
//! one table, and the raw topic in the payload stands in where the type says nothing.

use std::borrow::Cow;

use ionflux_schemas::fault::FaultKind;

use super::{Told, payload};
use crate::platform::event::Event;
use crate::platform::fields::Fields;
use crate::reading::{Refusal, Setting};
use crate::shop;
use crate::shopify::record::NAMELESS;
use crate::shopify::webhook::{Webhook, records};

/// Entities of event types, and what topics call them.
const ENTITIES: &[(&str, &str)] = &[
    ("order", "orders"),
    ("refund", "refunds"),
    ("transaction", "order_transactions"),
    ("order_transaction", "order_transactions"),
    ("checkout", "checkouts"),
    ("cart", "carts"),
    ("draft_order", "draft_orders"),
    ("product", "products"),
    ("inventory_item", "inventory_items"),
    ("theme", "themes"),
    ("shop", "shop"),
    ("app", "app"),
    ("dispute", "disputes"),
    ("bulk_operation", "bulk_operations"),
    ("customer", "customers"),
];

/// Verbs of event types, and what topics say for them; others are the same.
const VERBS: &[(&str, &str)] = &[
    ("created", "create"),
    ("updated", "update"),
    ("deleted", "delete"),
    ("published", "publish"),
    ("finished", "finish"),
    ("redacted", "redact"),
    ("data_requested", "data_request"),
];

/// Why an event without a shop is refused; its readers may know more of where one could be.
pub(crate) const NO_SHOP: &str = "the event names no shop: give it a shop_domain in payload_json, \
                                  or name the shop with `ionflux faults replay --shop`";

/// The longest topic and the longest name of a shop that are looked at.
const HEADER_BYTES_MAX: usize = 512;

/// The topic of `order.created`: `orders/create`; also where the entity is in the plural.
pub fn topic(entity: &str, verb: &str) -> Option<String> {
    let singular = |(one, many): &&(&str, &str)| *one == entity || *many == entity;
    let (_, many) = ENTITIES.iter().find(singular)?;
    let verb = match (*many, verb) {
        ("orders", "updated") => "updated",
        _ => VERBS.iter().find(|(past, _)| *past == verb).map_or(verb, |(_, present)| present),
    };
    Some(format!("{many}/{verb}"))
}

/// A webhook inside an event.
pub struct Wrapped<'a> {
    /// Its topic.
    pub topic: Cow<'a, str>,
    /// Its shop, where the wrapper or the envelope names one.
    pub shop: Option<Cow<'a, str>>,
    /// Whether it is a test.
    pub test: bool,
    triggered_at: Cow<'a, str>,
    /// Its body.
    pub body: Cow<'a, str>,
}

/// `ionflux.shopify.<entity>.<verb>`, and `ionflux.shopify.unmapped` with the topic in the payload
pub fn read(event: &Event<'_>, parts: &[&str], setting: &Setting) -> Result<Option<Told>, Refusal> {
    let Some(wrapped) = wrapped(event, parts)? else { return Ok(None) };
    let Wrapped { topic, shop, test, triggered_at, body } = &wrapped;
    let webhook = Webhook {
        topic: Some(topic),
        shop: shop.as_deref(),
        triggered_at: Some(triggered_at),
        test: *test,
        body,
    };
    let mut outcomes = records(&webhook, setting);
    for refusal in outcomes.iter_mut().filter_map(|outcome| outcome.as_mut().err()) {
        if *refusal.reason == *NAMELESS {
            refusal.reason = NO_SHOP.into();
        }
    }
    Ok(Some(Told { shop: shop.as_deref().map(Into::into), outcomes }))
}

/// The webhook that an event of such a type wraps.
pub fn wrapped<'e>(event: &'e Event<'_>, parts: &[&str]) -> Result<Option<Wrapped<'e>>, Refusal> {
    let fields = payload(event)?;
    let headers = fields.object("headers", "payload_json.headers.")?;
    let header = |name: &str| headers.as_ref().and_then(|headers| headers.header(name));
    let inner = inner(&fields)?;
    // A bare order has a `test` of its own, and who knows what else.
    let beside = |names: &[&str]| inner.as_ref().and_then(|_| fields.quoted(names));
    let raw = || header("shopify-topic").or_else(|| fields.quoted(&["topic", "shopify_topic"]));
    let topic = match parts {
        [entity, verb] => topic(entity, verb),
        _ => None,
    };
    let Some(topic) = topic.map(Cow::Owned).or_else(raw) else { return Ok(None) };
    let named = ["shop_domain", "shop", "shopify_shop_id", "shop_id"].map(|n| fields.quoted(&[n]));
    let own = event.shops.iter().map(|name| Some(Cow::Borrowed(&**name)));
    let mut shops = [header("shopify-shop-domain")].into_iter().chain(named).chain(own).flatten();
    let first = shops.next();
    // A number of the shop may stand before its name.
    let shop = match &first {
        Some(text) if shop::name(text).is_err() => {
            shops.find(|text| shop::name(text).is_ok()).or(first)
        }
        _ => first,
    };
    if [Some(&topic), shop.as_ref()].into_iter().flatten().any(|t| t.len() > HEADER_BYTES_MAX) {
        let why = format!("or its shop has more than {HEADER_BYTES_MAX} bytes");
        return Err(fields.refuse(FaultKind::Field, "topic", &why));
    }
    let triggered_at = header("shopify-triggered-at").or_else(|| beside(&["triggered_at"]));
    let triggered_at = triggered_at.unwrap_or_else(|| event.at.to_string().into());
    let test = header("shopify-test").is_some_and(|test| !test.eq_ignore_ascii_case("false"));
    let body = inner.unwrap_or_else(|| Cow::Borrowed(&event.payload));
    Ok(Some(Wrapped { topic, shop, test, triggered_at, body }))
}

/// The body inside a wrapper: an object, or the text of one.
fn inner<'a>(fields: &Fields<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    // What has an id is the body itself.
    if fields.value(&["id"])?.is_some() {
        return Ok(None);
    }
    let Some(value) = fields.value(&["body", "webhook_body", "payload"])? else { return Ok(None) };
    match value.get() {
        text if text.starts_with('{') => Ok(Some(Cow::Borrowed(text))),
        text if text.starts_with('"') => Ok(serde_json::from_str(text).ok().map(Cow::Owned)),
        _ => Err(fields.refuse(FaultKind::Field, "body", "is neither an object nor its text")),
    }
}
