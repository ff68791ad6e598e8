//! One answer of an API of TikTok, read into orders, refunds, samples or spend.
//!
//! Invariant: pure; what an answer is is told by its members, so that a dump means the same as an
//! answer just fetched. One record that cannot be read takes no other with it.

use std::borrow::Cow;

use ionflux_schemas::currency::Currency;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::{UtcMs, Zone};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body;
use super::record::{Outcome, Record, instant, unsupported};
use super::{ads, order, refund, samples, zone};
use crate::reading::{Refusal, Setting};
use crate::shopify::broken;
use crate::shopify::record::field;
use crate::shopify::scalar::Scalar;
use crate::shopify::shape::{Members, trimmed};

/// The shop that was asked.
pub const SHOP: &str = "tiktok-shop-id";
/// When it was asked, in milliseconds.
pub const OBSERVED_AT: &str = "tiktok-observed-at";
/// The account that was asked: of a creator, of a business, or of an advertiser.
pub const ACCOUNT: &str = "tiktok-account";
/// The currency of an advertiser.
pub const CURRENCY: &str = "tiktok-currency";
/// The zone of an advertiser's days and hours.
pub const ZONE: &str = "tiktok-zone";

/// Members of answers that are read and count nowhere, and what they are.
const OTHERS: [(&str, &str); 10] = [
    ("payment_info", "an order of the API that was retired in 2024"),
    ("order_list", "orders of the API that was retired in 2024"),
    ("reverse_list", "returns of the API that was retired in 2024"),
    ("settlement_list", "settlements of the API that was retired in 2024"),
    ("statements", "statements of settlements"),
    ("payments", "payments of settlements"),
    ("sku_transactions", "a settled order"),
    ("transactions", "settled or unsettled orders"),
    ("performance", "analytics of a shop, whose amounts are no sales"),
    ("products", "analytics of products, whose amounts are no sales"),
];

/// How deep lists may stand in one another.
const NESTING_MAX: usize = 3;

/// What is told beside an answer.
pub struct Told {
    /// What every reader is told, with what the headers say.
    pub setting: Setting,
    /// When it was observed.
    pub observed_at: Option<UtcMs>,
    /// The account that was asked.
    pub account: Option<Id>,
}

impl Told {
    /// What headers tell, beside a setting that may be told otherwise later on.
    ///
    /// # Errors
    /// A refusal of a header that means nothing.
    pub fn of<'h>(
        header: impl Fn(&str) -> Option<Cow<'h, str>>,
        setting: &Setting,
    ) -> Result<Self, Refusal> {
        let mut setting = setting.clone();
        if let Some(shop) = header(SHOP).filter(|shop| !shop.trim().is_empty()) {
            setting.shop = Some(shop.trim().into());
        }
        let wrong = |kind, why: String| Refusal::new(kind, "", why);
        // What a person says later outranks what the configuration said.
        if let (Some(code), None) = (header(CURRENCY), setting.currency) {
            let currency = Currency::parse(&code);
            let currency = currency.map_err(|e| wrong(FaultKind::Currency, e.to_string()))?;
            setting.currency = Some(currency);
        }
        if let (Some(zone), true) = (header(ZONE), setting.zone == Zone::UTC) {
            let zone = Zone::parse(&zone);
            setting.zone = zone.map_err(|e| wrong(FaultKind::Time, e.to_string()))?;
        }
        let observed_at = match header(OBSERVED_AT) {
            None => None,
            Some(text) => {
                let quoted = RawValue::from_string(text.trim().to_owned());
                let raw = quoted.map_err(|_| wrong(FaultKind::Time, "no time".into()))?;
                instant(Scalar::of(&raw), OBSERVED_AT)?
            }
        };
        let account = header(ACCOUNT).map(|account| account.trim().into());
        Ok(Self { setting, observed_at, account })
    }
}

/// What each record of an answer says.
#[must_use]
pub fn decode(text: &str, told: &Told) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    read(text, told, 0, &mut outcomes);
    outcomes
}

fn read(text: &str, told: &Told, depth: usize, outcomes: &mut Vec<Outcome>) {
    let text = trimmed(text);
    if depth > NESTING_MAX {
        return outcomes.push(Err(unsupported("answers nested too deep")));
    }
    if text.starts_with('[') {
        return match parsed::<Vec<&RawValue>>(text) {
            Ok(elements) if elements.is_empty() => {
                outcomes.push(Err(unsupported("an empty list")));
            }
            Ok(elements) => {
                elements.iter().for_each(|one| read(one.get(), told, depth + 1, outcomes));
            }
            Err(refusal) => outcomes.push(Err(refusal)),
        };
    }
    match object(text, told, outcomes) {
        Ok(()) => {}
        Err(refusal) => outcomes.push(Err(refusal)),
    }
}

fn object(text: &str, told: &Told, outcomes: &mut Vec<Outcome>) -> Result<(), Refusal> {
    let answer: Members<'_> = parsed(text)?;
    failed(&answer)?;
    let data = answer.get("data").filter(|data| data.get().starts_with('{'));
    let inner = match data {
        Some(data) => parsed(data.get())?,
        None => answer,
    };
    let text = data.map_or(text, RawValue::get);
    let lists = ["orders", "return_orders", "cancellations", "videos", "list", "metrics"];
    let listed = |name: &&str| inner.get(name).is_some_and(|list| !list.get().starts_with('{'));
    let known = lists.iter().any(listed);
    if known || inner.get("user").is_some() {
        return lists_of(&inner, told, outcomes);
    }
    outcomes.push(alone(text, &inner, told));
    Ok(())
}

/// An answer that says that it is none.
fn failed(answer: &Members<'_>) -> Result<(), Refusal> {
    let code = |members: &Members<'_>| {
        let code = members.get("code").map(Scalar::of).and_then(Scalar::text)?;
        Some(code.chars().take(60).collect::<String>())
    };
    let error = match answer.get("error").filter(|error| error.get().starts_with('{')) {
        Some(error) => code(&parsed(error.get())?),
        None => code(answer),
    };
    match error {
        Some(code) if code != "0" && code != "ok" => {
            Err(field(format!("TikTok answered with the error {code}; fetch it again")))
        }
        _ => Ok(()),
    }
}

fn lists_of(inner: &Members<'_>, told: &Told, outcomes: &mut Vec<Outcome>) -> Result<(), Refusal> {
    let setting = &told.setting;
    let orders = texts(inner, "orders")?;
    // An order that cannot be read is refused once, as an order.
    let known: Vec<body::Order<'_>> =
        orders.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    outcomes.extend(orders.iter().map(|text| one_order(text, setting)));
    for name in ["return_orders", "cancellations"] {
        let reversals = texts(inner, name)?;
        outcomes.extend(reversals.iter().map(|text| reversal(text, &known, setting)));
    }
    let videos = texts(inner, "videos")?;
    let latest = inner.get("latest_available_date").map(Scalar::of).unwrap_or_default();
    outcomes.extend(videos.iter().map(|text| samples::video(parsed(text)?, latest, told)));
    if let Some(user) = inner.get("user") {
        outcomes.push(samples::account(&parsed(user.get())?, told));
    }
    let rows = texts(inner, "list")?;
    outcomes.extend(rows.iter().map(|text| ads::row(&parsed(text)?, told)));
    let days = texts(inner, "metrics")?;
    outcomes.extend(days.iter().map(|text| samples::day(&parsed(text)?, told)));
    Ok(())
}

/// The elements of a list that may be absent.
fn texts<'a>(members: &Members<'a>, name: &str) -> Result<Vec<&'a str>, Refusal> {
    let Some(list) = members.get(name) else { return Ok(Vec::new()) };
    let elements: Option<Vec<&RawValue>> = parsed(list.get())?;
    Ok(elements.unwrap_or_default().into_iter().map(RawValue::get).collect())
}

/// A record without its answer.
fn alone(text: &str, members: &Members<'_>, told: &Told) -> Outcome {
    let has = |name: &str| members.get(name).is_some();
    let setting = &told.setting;
    let object = |name: &str| members.get(name).is_some_and(|value| value.get().starts_with('{'));
    if let Some((_, what)) = OTHERS.iter().find(|(name, _)| has(name)) {
        return Err(unsupported(what));
    }
    if let Some(name) = members.get(zone::MEMBER) {
        return zone::decode(Scalar::of(name), told);
    }
    match () {
        () if object("payment") && has("line_items") => one_order(text, setting),
        () if has("return_id") || has("cancel_id") => reversal(text, &[], setting),
        () if has("dimensions") && has("metrics") => ads::row(&parsed(text)?, told),
        () if has("view_count") || has("item_id") => {
            samples::video(parsed(text)?, Scalar::default(), told)
        }
        () => {
            let short = |key: &str| key.chars().take(30).collect::<String>();
            let keys: Vec<String> = members.0.iter().take(5).map(|(key, _)| short(key)).collect();
            Err(unsupported(&format!("an answer of unknown shape ({})", keys.join(", "))))
        }
    }
}

fn one_order(text: &str, setting: &Setting) -> Outcome {
    order::decode(&parsed(text)?, &Record::of_shop(setting)?)
}

fn reversal(text: &str, orders: &[body::Order<'_>], setting: &Setting) -> Outcome {
    refund::decode(&parsed(text)?, orders, &Record::of_shop(setting)?)
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| broken::refusal(&error))
}
