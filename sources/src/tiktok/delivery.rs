//! One delivery of TikTok, as the journal kept it: a webhook, or an answer that was asked for.
//!
//! Invariant: pure; what is said depends on the headers and the body alone, never on when or how
//! often the delivery came.

use std::borrow::Cow;
use std::sync::Arc;

use ionflux_schemas::delivery::{Delivery, Position};
use ionflux_schemas::fault::{FaultKind, Place};
use ionflux_schemas::key::Id;

use super::api::{self, Told};
use super::record::Outcome;
use super::{developer, webhook};
use crate::draft::delivered;
use crate::reading::{Decoded, Refusal, Setting};
use crate::shopify::delivery::named;

/// Webhooks of TikTok Shop.
pub const SHOP_WEBHOOKS: &str = "tiktok-shop-webhooks";
/// Webhooks of TikTok for Developers.
pub const DEVELOPER_WEBHOOKS: &str = "tiktok-developer-webhooks";
/// Answers of the API of TikTok Shop.
pub const SHOP_API: &str = "tiktok-shop-api";
/// Samples of videos and accounts.
pub const SAMPLES: &str = "tiktok-samples";
/// Reports of TikTok Ads.
pub const ADS: &str = "tiktok-ads";

/// What a body says, and the shop it names.
pub(super) struct Said {
    pub(super) shop: Option<Id>,
    pub(super) outcomes: Vec<Outcome>,
}

/// What a webhook of TikTok Shop says.
#[must_use]
pub fn shop_webhook(delivery: &Delivery, position: Position, setting: &Setting) -> Decoded {
    read(delivery, position, setting, |text| of_shop(text, setting))
}

/// What a webhook of TikTok for Developers says.
#[must_use]
pub fn developer_webhook(delivery: &Delivery, position: Position, setting: &Setting) -> Decoded {
    read(delivery, position, setting, |text| of_developer(text, setting))
}

/// What an answer says.
#[must_use]
pub fn answer(delivery: &Delivery, position: Position, setting: &Setting) -> Decoded {
    read(delivery, position, setting, |text| {
        let header = |name: &str| delivery.headers.get(name).map(|text| Cow::from(&**text));
        of_answer(text, header, setting)
    })
}

pub(super) fn of_shop(text: &str, setting: &Setting) -> Said {
    let webhook::Said { shop, outcome } = webhook::decode(text, setting);
    Said { shop, outcomes: vec![outcome] }
}

pub(super) fn of_developer(text: &str, setting: &Setting) -> Said {
    Said { shop: None, outcomes: vec![developer::decode(text, setting)] }
}

pub(super) fn of_answer<'h>(
    text: &str,
    header: impl Fn(&str) -> Option<Cow<'h, str>>,
    setting: &Setting,
) -> Said {
    match Told::of(header, setting) {
        Ok(told) => {
            let outcomes = api::decode(text, &told);
            Said { shop: told.setting.shop, outcomes }
        }
        Err(refusal) => Said { shop: None, outcomes: vec![Err(refusal)] },
    }
}

fn read(
    delivery: &Delivery,
    position: Position,
    setting: &Setting,
    said: impl FnOnce(&str) -> Said,
) -> Decoded {
    let said = match std::str::from_utf8(&delivery.body) {
        Ok(text) => said(text),
        Err(_) => {
            let refusal = Refusal::new(FaultKind::Syntax, "", "not valid UTF-8");
            Said { shop: None, outcomes: vec![Err(refusal)] }
        }
    };
    let place = Place { source: Arc::from(&*delivery.source), line: 0 };
    let decoded = gathered(said, setting, &place, |refusal| named(refusal, delivery));
    delivered(decoded, delivery, position, setting)
}

/// Envelopes and faults of what was said.
pub(super) fn gathered(
    said: Said,
    setting: &Setting,
    place: &Place,
    named: impl Fn(Refusal) -> Refusal,
) -> Decoded {
    let mut decoded = Decoded::default();
    let shop = setting.shop_key(said.shop.as_deref());
    for outcome in said.outcomes {
        match outcome {
            Ok(envelopes) => decoded.envelopes.extend(envelopes),
            Err(refusal) => {
                decoded.faults.push(named(refusal).at(shop.clone(), place.clone()));
            }
        }
    }
    decoded
}
