//! One webhook, or a body that was once one, read into envelopes.
//!
//! Invariant: pure; every record inside ends as envelopes or as one refusal with its reason.

use std::borrow::Cow;

use ionflux_schemas::entity::Kind;
use ionflux_schemas::event::Envelope;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::UtcMs;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::compliance::Asked;
use super::entities::{self, Beside};
use super::record::{Outcome, Record, field};
use super::scalar::Scalar;
use super::shape::{Members, Shape, trimmed};
use super::{body, broken, edit, order, redaction, refund, zone};
use crate::reading::{Refusal, Setting};
use crate::shop;

/// How deep lists and wrappers of records may stand in one another.
const NESTING_MAX: usize = 4;
/// Members with the name of the shop that a body is of.
const OWN_SHOP: [&str; 3] = ["myshopify_domain", "myshopifyDomain", "shop_domain"];
/// How much of a shop's name is told again.
const SHOP_CHARS_MAX: usize = 60;

/// A delivery: the headers that matter, where they are known, and the body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Webhook<'a> {
    /// `X-Shopify-Topic`, such as `orders/create`.
    pub topic: Option<&'a str>,
    /// `X-Shopify-Shop-Domain`.
    pub shop: Option<&'a str>,
    /// `X-Shopify-Triggered-At`.
    pub triggered_at: Option<&'a str>,
    /// Whether `X-Shopify-Test` was there.
    pub test: bool,
    /// The body as it came.
    pub body: &'a str,
}

/// Everything a webhook says, or the first reason why it does not all count.
///
/// # Errors
/// The [`Refusal`] of the first record that was refused; [`records`] gives each its own.
pub fn decode(webhook: &Webhook<'_>, setting: &Setting) -> Result<Vec<Envelope>, Refusal> {
    let outcomes = records(webhook, setting);
    let envelopes: Result<Vec<_>, _> = outcomes.into_iter().collect();
    envelopes.map(|envelopes| envelopes.into_iter().flatten().collect())
}

/// What each record of a webhook says: an order, each refund inside it, each element of a list.
#[must_use]
pub fn records(webhook: &Webhook<'_>, setting: &Setting) -> Vec<Result<Vec<Envelope>, Refusal>> {
    if webhook.test {
        return vec![unsupported("a test notification")];
    }
    if let Some(asked) = topic(webhook).and_then(|topic| Asked::of(&topic)) {
        return asked.records(webhook, setting);
    }
    let mut outcomes = Vec::new();
    Reading { webhook, setting, outcomes: &mut outcomes }.read(webhook.body, None, 0);
    outcomes
}

fn unsupported(what: &str) -> Outcome {
    Err(Refusal::new(FaultKind::Unsupported, "", format!("{what}: no view counts it")))
}

fn topic(webhook: &Webhook<'_>) -> Option<String> {
    webhook.topic.and_then(canonical)
}

/// A topic as `orders/create`, also from the `ORDERS_CREATE` of subscriptions.
pub fn canonical(topic: &str) -> Option<String> {
    let topic = Some(topic.trim()).filter(|topic| !topic.is_empty())?.to_ascii_lowercase();
    Some(if topic.contains('/') { topic } else { topic.replacen('_', "/", 1) })
}

impl Webhook<'_> {
    /// When it was raised. A stamp that only breaks ties is not worth a record: unreadable is as
    /// good as unsaid.
    pub fn raised_at(&self, setting: &Setting) -> UtcMs {
        let raised = self.triggered_at.and_then(|at| UtcMs::parse(at, &setting.zone).ok());
        raised.unwrap_or_default()
    }
}

/// What the bodies of topics are. Topics of the same family that are not here are not counted,
/// but for those of orders, which are orders.
const TOPICS: &[(&str, Shape)] = &[
    ("orders/create", Shape::Order),
    ("orders/updated", Shape::Order),
    ("orders/paid", Shape::Order),
    ("orders/delete", Shape::Id),
    ("orders/edited", Shape::Edit),
    ("orders/risk_assessment_changed", Shape::Unknown),
    ("refunds/create", Shape::Refund),
    ("order_transactions/create", Shape::Beside(Beside::Transaction)),
    ("checkouts/create", Shape::Beside(Beside::Checkout)),
    ("checkouts/update", Shape::Beside(Beside::Checkout)),
    ("checkouts/delete", Shape::Beside(Beside::Gone(Kind::Checkout))),
    ("carts/create", Shape::Beside(Beside::Cart)),
    ("carts/update", Shape::Beside(Beside::Cart)),
    ("products/create", Shape::Beside(Beside::Product)),
    ("products/update", Shape::Beside(Beside::Product)),
    ("products/delete", Shape::Beside(Beside::Gone(Kind::Product))),
    ("inventory_items/create", Shape::Beside(Beside::Item)),
    ("inventory_items/update", Shape::Beside(Beside::Item)),
    ("disputes/create", Shape::Beside(Beside::Dispute)),
    ("disputes/update", Shape::Beside(Beside::Dispute)),
    ("shop/update", Shape::Shop),
    ("themes/publish", Shape::Beside(Beside::Theme)),
    ("app/uninstalled", Shape::Beside(Beside::Uninstalled)),
    ("app/scopes_update", Shape::Beside(Beside::Scopes)),
    ("app_subscriptions/update", Shape::Beside(Beside::Subscription)),
    ("bulk_operations/finish", Shape::Beside(Beside::BulkOperation)),
];

/// What a topic's body is.
fn shape_of(topic: &str) -> Shape {
    // Subscriptions write `ORDER_TRANSACTIONS_CREATE`, where no slash says how long the name is.
    let plain = |byte: u8| if byte == b'/' { b'_' } else { byte };
    let same = |name: &str| name.bytes().map(plain).eq(topic.bytes().map(plain));
    let exact = TOPICS.iter().find(|(name, _)| *name == topic);
    match exact.or_else(|| TOPICS.iter().find(|(name, _)| same(name))) {
        Some((_, shape)) => *shape,
        None if topic.starts_with("orders/") => Shape::Order,
        None => Shape::Unknown,
    }
}

/// One webhook on its way.
struct Reading<'a> {
    webhook: &'a Webhook<'a>,
    setting: &'a Setting,
    outcomes: &'a mut Vec<Outcome>,
}

impl Reading<'_> {
    /// Reads a record, a list of them, or a wrapper around either; `hint` is what a wrapper said.
    fn read(&mut self, text: &str, hint: Option<Beside>, depth: usize) {
        let text = trimmed(text);
        if depth > NESTING_MAX {
            self.outcomes.push(unsupported("lists and wrappers nested too deep"));
            return;
        }
        if text.starts_with('[') {
            return match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(elements) if elements.is_empty() => {
                    self.outcomes.push(unsupported("an empty list"));
                }
                Ok(elements) => {
                    for element in elements {
                        self.read(element.get(), hint, depth + 1);
                    }
                }
                Err(error) => self.outcomes.push(Err(broken::refusal(&error))),
            };
        }
        let members = match serde_json::from_str::<Members<'_>>(text) {
            Ok(members) => members,
            Err(error) => return self.outcomes.push(Err(broken::refusal(&error))),
        };
        if let Some((what, inner)) = members.beside() {
            return self.read(inner.get(), Some(what), depth + 1);
        }
        match members.wrapped() {
            Some(("order_edit", inner)) => {
                let edits = topic(self.webhook).is_none_or(|topic| shape_of(&topic) == Shape::Edit);
                let shape = if edits { Shape::Edit } else { Shape::Unknown };
                self.one(inner.get(), &members, shape);
            }
            Some((_, inner)) => self.read(inner.get(), None, depth + 1),
            None => {
                let shape = match topic(self.webhook) {
                    Some(topic) => shape_of(&topic),
                    None => match (members.shape(), hint) {
                        (Shape::Id | Shape::Unknown, Some(what)) => Shape::Beside(what),
                        (shape, _) => shape,
                    },
                };
                self.one(text, &members, shape);
            }
        }
    }

    /// Reads a body of a known shape.
    fn one(&mut self, text: &str, members: &Members<'_>, shape: Shape) {
        match self.typed(text, members, shape) {
            Ok(outcomes) => self.outcomes.extend(outcomes),
            Err(refusal) => self.outcomes.push(Err(refusal)),
        }
    }

    fn typed(
        &self,
        text: &str,
        members: &Members<'_>,
        shape: Shape,
    ) -> Result<Vec<Outcome>, Refusal> {
        let Self { webhook, setting, .. } = self;
        let record = || {
            let shop = shop_of(webhook, members)?;
            Record::new(shop.as_deref(), webhook.raised_at(setting), setting)
        };
        let topic = topic(webhook);
        match shape {
            Shape::Order => Ok(order::decode(&parse::<body::Order<'_>>(text)?, &record()?)),
            Shape::Refund => Ok(refund::alone(&parse::<body::Refund<'_>>(text)?, &record()?)),
            Shape::Edit => Ok(vec![edit::decode(&parse::<body::Edit<'_>>(text)?, &record()?)]),
            Shape::Shop => {
                let (shop, record) = (parse::<body::Shop<'_>>(text)?, record()?);
                Ok(vec![zone::decode(&shop, &record), entities::store::settings(&shop, &record)])
            }
            Shape::Beside(what) => entities::decode(what, text, &record()?),
            Shape::Redaction => redaction::decode(&parse::<body::Redaction<'_>>(text)?, &record()?),
            Shape::Id if topic.is_some() => {
                Ok(vec![edit::deleted(&parse::<body::Reference<'_>>(text)?, &record()?)])
            }
            Shape::Id => Err(field("a deletion of something: only its topic says of what")),
            Shape::Other(name) => Ok(vec![unsupported(name)]),
            Shape::Unknown => Ok(vec![unsupported(&match topic {
                Some(topic) => format!("topic {}", topic.chars().take(60).collect::<String>()),
                None => format!("a record of unknown shape ({})", keys(members)),
            })]),
        }
    }
}

/// The shop of a record: as its delivery says, or else as it says itself.
fn shop_of<'a>(
    webhook: &Webhook<'a>,
    members: &Members<'a>,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    let (told, own) = (webhook.shop.filter(|shop| !shop.trim().is_empty()), own_shop(members));
    match (told, own) {
        // No signature covers what a delivery says beside its body.
        (Some(told), Some(own)) if contradicts(told, &own) => Err(elsewhere(&own)),
        (Some(told), Some(own)) if shop::name(told).is_err() => Ok(Some(own)),
        (Some(told), _) => Ok(Some(Cow::Borrowed(told))),
        (None, own) => Ok(own),
    }
}

/// The refusal of a body of another shop than its delivery says.
pub(super) fn elsewhere(own: &str) -> Refusal {
    let own: String = own.chars().take(SHOP_CHARS_MAX).collect();
    field(format!("its body is of the shop {own}, and its delivery names another"))
}

/// The shop that a record names itself.
pub(super) fn own_shop<'a>(members: &Members<'a>) -> Option<Cow<'a, str>> {
    let named = OWN_SHOP.iter().filter_map(|name| members.get(name));
    named.map(Scalar::of).find_map(Scalar::text)
}

/// Whether two names are of two shops on Shopify.
pub(super) fn contradicts(told: &str, own: &str) -> bool {
    let names = [told, own].map(shop::of_shopify);
    matches!(names, [Ok(told), Ok(own)] if told != own)
}

/// Reads a body into its typed shape.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| broken::refusal(&error))
}

/// The first names of a body's members, to recognise it by.
fn keys(members: &Members<'_>) -> String {
    let short = |key: &str| key.chars().take(30).collect::<String>();
    let keys: Vec<String> = members.0.iter().take(5).map(|(key, _)| short(key)).collect();
    if keys.is_empty() { "an empty object".to_owned() } else { keys.join(", ") }
}
