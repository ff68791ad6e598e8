//! One webhook of TikTok Shop, read into changes of the store, or into a hint.
//!
//! Invariant: pure. No webhook carries money: what says that an order changed is a hint, and the
//! order is asked for. A webhook that is sent again, or years later by whoever captured it, says
//! nothing new: its notification's id names it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ionflux_schemas::entity::{Body, Entity, StoreChange};
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use serde_json::value::RawValue;

use super::body::{Named, ShopWebhook};
use super::changes::{self, Use};
use super::hints::{Change, Hint};
use super::record::{Outcome, Record, instant, unsupported};
use super::signature::sha256;
use super::trimmed;
use crate::reading::{Refusal, Setting};
use crate::shopify::broken;
use crate::shopify::record::field;
use crate::shopify::scalar::Scalar;
use crate::shopify::shape::Members;

/// The longest detail of a change that is kept.
const DETAIL_CHARS_MAX: usize = 300;

/// What a webhook says, and the shop it names.
pub struct Said {
    /// The shop's id.
    pub shop: Option<Id>,
    /// The envelopes, or why there are none.
    pub outcome: Outcome,
}

/// What a body says.
#[must_use]
pub fn decode(body: &str, setting: &Setting) -> Said {
    let webhook = match parsed(body) {
        Ok(webhook) => webhook,
        Err(refusal) => return Said { shop: None, outcome: Err(refusal) },
    };
    let shop = shop(&webhook);
    let outcome = read(&webhook, body, shop.as_deref(), setting);
    Said { shop, outcome }
}

/// What a body asks for: the order whose amounts are to be fetched.
#[must_use]
pub fn hint(body: &[u8]) -> Option<Hint> {
    let webhook = parsed(std::str::from_utf8(body).ok()?).ok()?;
    let (number, done) = kind(&webhook);
    if done != Some(Use::Hint) {
        return None;
    }
    let named: Named<'_> = serde_json::from_str(webhook.data?.get()).ok()?;
    let order = named.order_id.id("an order").ok()??;
    let change = if number == Some(1) { Change::Order } else { Change::Reversal };
    Some(Hint { shop: shop(&webhook)?, order, change })
}

/// A body as it is kept: whole, but for what is a buyer's.
#[must_use]
pub fn kept(body: &[u8]) -> Cow<'_, [u8]> {
    let text = std::str::from_utf8(body).ok();
    let webhook = text.and_then(|text| parsed(text).ok());
    match (webhook.map(|webhook| kind(&webhook).1), text) {
        (Some(Some(Use::Personal)), Some(text)) => {
            // What could be parsed once can be again.
            let kept = trimmed::object(text, trimmed::ENVELOPE).unwrap_or_default();
            Cow::Owned(kept.into_bytes())
        }
        _ => Cow::Borrowed(body),
    }
}

fn parsed(body: &str) -> Result<ShopWebhook<'_>, Refusal> {
    serde_json::from_str(body).map_err(|error| broken::refusal(&error))
}

/// The type's number, and what is done with it where it is known.
fn kind(webhook: &ShopWebhook<'_>) -> (Option<u32>, Option<Use>) {
    let number = webhook.kind.text().and_then(|text| text.parse().ok());
    (number, number.and_then(changes::of).map(|topic| topic.done))
}

/// Topics of creators name no shop: they are the workspace's. Those of sellers name the seller.
fn shop(webhook: &ShopWebhook<'_>) -> Option<Id> {
    let named = |scalar: Scalar<'_>| scalar.id("the shop").ok().flatten();
    named(webhook.shop_id).or_else(|| named(webhook.seller_open_id))
}

fn read(webhook: &ShopWebhook<'_>, body: &str, shop: Option<&str>, setting: &Setting) -> Outcome {
    let Some(number) = webhook.kind.text() else { return Err(field("it has no type")) };
    let number: String = number.chars().take(20).collect();
    let topic = number.parse().ok().and_then(changes::of);
    let Some(topic) = topic else { return Err(unsupported(&format!("type {number}"))) };
    match topic.done {
        Use::Hint | Use::Personal => Ok(Vec::new()),
        Use::Nothing => Err(unsupported(&format!("type {number} {}", topic.name))),
        Use::Change(change, places) => {
            let record = Record::of(shop, setting)?;
            let key = match webhook.tts_notification_id.id("the notification")? {
                Some(id) => id.into_string(),
                None => sha256(body.as_bytes()),
            };
            let sent_at = instant(webhook.timestamp, "timestamp")?;
            let data = members(webhook.data)?;
            let updated = data.get("update_time").map(Scalar::of).unwrap_or_default();
            let at = instant(updated, "update_time")?.or(sent_at);
            let at = at.ok_or_else(|| field("it has neither update_time nor timestamp"))?;
            let mut details: BTreeMap<Id, Box<str>> = BTreeMap::new();
            for (place, name) in places {
                details.extend(text_at(&data, place).map(|text| ((*name).into(), text)));
            }
            let creator = webhook.creator_open_id.id("the creator")?;
            details.extend(creator.map(|creator| ("creator".into(), creator)));
            let title = places.first().and_then(|(_, name)| details.get(*name).cloned());
            let change =
                StoreChange { change: change.into(), title: title.unwrap_or_default(), details };
            let id = format!("tiktok_shop/{}/{key}", topic.number).into();
            let entity = Entity { id, at, body: Body::StoreChange(change) };
            let stamps = (at, sent_at.unwrap_or(UtcMs(0)));
            Ok(vec![record.entity(stamps, entity)])
        }
    }
}

fn members(data: Option<&RawValue>) -> Result<Members<'_>, Refusal> {
    match data {
        None => Ok(Members(Vec::new())),
        Some(data) => serde_json::from_str(data.get()).map_err(|error| broken::refusal(&error)),
    }
}

/// The text at a place such as `audit.status`; lists of texts are joined with commas.
fn text_at(members: &Members<'_>, place: &str) -> Option<Box<str>> {
    let (name, rest) = place.split_once('.').map_or((place, None), |(a, b)| (a, Some(b)));
    let value = members.get(name)?;
    if let Some(rest) = rest {
        return text_at(&serde_json::from_str(value.get()).ok()?, rest);
    }
    let text = match value.get().starts_with('[') {
        true => {
            let parts: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            let parts = parts.into_iter().filter_map(|part| Scalar::of(part).text());
            parts.collect::<Vec<_>>().join(",")
        }
        false => Scalar::of(value).text()?.into_owned(),
    };
    Some(text.chars().take(DETAIL_CHARS_MAX).collect::<String>().into())
}
