//! One webhook, or a body that was once one, read into envelopes.
//!
//! Invariant: pure; every record inside ends as envelopes or as one refusal with its reason.

use ionflux_schemas::event::Envelope;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::UtcMs;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::record::{Outcome, Record, field};
use super::scalar::Scalar;
use super::shape::{Members, Shape};
use super::{body, broken, edit, order, redaction, refund, zone};
use crate::reading::{Refusal, Setting};

/// How deep lists and wrappers of records may stand in one another.
const NESTING_MAX: usize = 4;

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
    let mut outcomes = Vec::new();
    read(webhook.body, webhook, setting, 0, &mut outcomes);
    outcomes
}

fn unsupported(what: &str) -> Outcome {
    Err(Refusal::new(FaultKind::Unsupported, "", format!("{what}: no view counts it")))
}

/// The topic as `orders/create`, also from the `ORDERS_CREATE` of subscriptions.
fn topic(webhook: &Webhook<'_>) -> Option<String> {
    let topic = webhook.topic.map(str::trim).filter(|topic| !topic.is_empty())?;
    let topic = topic.to_ascii_lowercase();
    Some(if topic.contains('/') { topic } else { topic.replacen('_', "/", 1) })
}

/// What a topic's body is, and how refusals call it.
fn shape_of(topic: &str) -> Shape {
    match topic {
        "orders/delete" => Shape::Id,
        "orders/edited" => Shape::Edit,
        "orders/risk_assessment_changed" => Shape::Unknown,
        "refunds/create" => Shape::Refund,
        "shop/update" => Shape::Shop,
        "customers/redact" => Shape::Redaction,
        "shop/redact" | "customers/data_request" => Shape::Request,
        _ if topic.starts_with("orders/") => Shape::Order,
        _ => Shape::Unknown,
    }
}

fn read(
    text: &str,
    webhook: &Webhook<'_>,
    setting: &Setting,
    depth: usize,
    outcomes: &mut Vec<Outcome>,
) {
    let text = text.trim();
    if depth > NESTING_MAX {
        outcomes.push(unsupported("lists and wrappers nested too deep"));
        return;
    }
    if text.starts_with('[') {
        return match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(elements) if elements.is_empty() => outcomes.push(unsupported("an empty list")),
            Ok(elements) => {
                for element in elements {
                    read(element.get(), webhook, setting, depth + 1, outcomes);
                }
            }
            Err(error) => outcomes.push(Err(broken::refusal(&error))),
        };
    }
    let members = match serde_json::from_str::<Members<'_>>(text) {
        Ok(members) => members,
        Err(error) => return outcomes.push(Err(broken::refusal(&error))),
    };
    match members.wrapped() {
        Some(("order_edit", inner)) => {
            let edits = topic(webhook).is_none_or(|topic| shape_of(&topic) == Shape::Edit);
            let shape = if edits { Shape::Edit } else { Shape::Unknown };
            outcomes.extend(one(inner.get(), &members, shape, webhook, setting));
        }
        Some((_, inner)) => read(inner.get(), webhook, setting, depth + 1, outcomes),
        None => {
            let shape = match topic(webhook) {
                Some(topic) => shape_of(&topic),
                None => members.shape(),
            };
            outcomes.extend(one(text, &members, shape, webhook, setting));
        }
    }
}

/// Reads a body of a known shape.
fn one(
    text: &str,
    members: &Members<'_>,
    shape: Shape,
    webhook: &Webhook<'_>,
    setting: &Setting,
) -> Vec<Outcome> {
    match typed(text, members, shape, webhook, setting) {
        Ok(outcomes) => outcomes,
        Err(refusal) => vec![Err(refusal)],
    }
}

fn typed(
    text: &str,
    members: &Members<'_>,
    shape: Shape,
    webhook: &Webhook<'_>,
    setting: &Setting,
) -> Result<Vec<Outcome>, Refusal> {
    let record = || {
        // A stamp that only breaks ties is not worth a record: unreadable is as good as unsaid.
        let raised = webhook.triggered_at.and_then(|at| UtcMs::parse(at, &setting.zone).ok());
        let domain = match shape {
            Shape::Redaction => "shop_domain",
            _ => "myshopify_domain",
        };
        let own = members.get(domain).map(Scalar::of).and_then(Scalar::text);
        Record::new(webhook.shop.or(own.as_deref()), raised.unwrap_or_default(), setting)
    };
    let topic = topic(webhook);
    match shape {
        Shape::Order => Ok(order::decode(&parse::<body::Order<'_>>(text)?, &record()?)),
        Shape::Refund => {
            Ok(vec![refund::decode(&parse::<body::Refund<'_>>(text)?, None, &record()?)])
        }
        Shape::Edit => Ok(vec![edit::decode(&parse::<body::Edit<'_>>(text)?, &record()?)]),
        Shape::Shop => Ok(vec![zone::decode(&parse::<body::Shop<'_>>(text)?, &record()?)]),
        Shape::Redaction => redaction::decode(&parse::<body::Redaction<'_>>(text)?, &record()?),
        Shape::Id if topic.is_some() => {
            Ok(vec![edit::deleted(&parse::<body::Reference<'_>>(text)?, &record()?)])
        }
        Shape::Id => Err(field("a deletion of something: only its topic says of what")),
        // Whoever feeds the ledger carries it out.
        Shape::Request => Ok(Vec::new()),
        Shape::Other(name) => Ok(vec![unsupported(name)]),
        Shape::Unknown => Ok(vec![unsupported(&match topic {
            Some(topic) => format!("topic {}", topic.chars().take(60).collect::<String>()),
            None => format!("a record of unknown shape ({})", keys(members)),
        })]),
    }
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
