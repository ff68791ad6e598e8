//! A row of a report of TikTok Ads: what a campaign cost in an hour or a day.
//!
//! Invariant: a row is a total as it stood when somebody looked, and the later look wins. Hours and
//! days are the advertiser's, and so is the currency.

use std::collections::BTreeMap;

use ionflux_schemas::entity::{Body, Entity, Spend};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use serde_json::value::RawValue;

use super::api::{ACCOUNT, Told};
use super::order::currency;
use super::record::{Outcome, Record};
use super::samples::count;
use crate::reading::Refusal;
use crate::shopify::amounts::Coin;
use crate::shopify::broken;
use crate::shopify::record::{about, field};
use crate::shopify::scalar::Scalar;
use crate::shopify::shape::Members;

/// Metrics, by the names TikTok has for them and by ours.
pub const METRICS: [(&str, &str); 3] =
    [("impressions", "impressions"), ("clicks", "clicks"), ("conversion", "conversions")];
/// The dimensions that say whose money it was, the finest last.
const LEVELS: [&str; 4] = ["advertiser_id", "campaign_id", "adgroup_id", "ad_id"];
const HOUR_MS: i64 = 3_600_000;

/// The spend of a row. Only campaigns and whole accounts are counted: their groups and ads hold the
/// same money again.
pub fn row(row: &Members<'_>, told: &Told) -> Outcome {
    let dimensions = members(row.get("dimensions"))?;
    let metrics = members(row.get("metrics"))?;
    let text = |members: &Members<'_>, name: &str| {
        let text = members.get(name).map(Scalar::of).and_then(Scalar::text);
        text.map(std::borrow::Cow::into_owned)
    };
    if let Some(level) = LEVELS[2..].iter().find(|level| dimensions.get(level).is_some()) {
        let why = format!("spend by {level} is in that of its campaign; ask for campaign_id");
        return Err(Refusal::new(FaultKind::Unsupported, "", why));
    }
    let own = dimensions.get("advertiser_id").map(Scalar::of).unwrap_or_default();
    let advertiser = own.id("the advertiser")?.or_else(|| told.account.clone());
    let advertiser = advertiser
        .ok_or_else(|| field(format!("the row does not say whose it is: give {ACCOUNT}")))?;
    let campaign = dimensions.get("campaign_id").map(Scalar::of).unwrap_or_default();
    let campaign = campaign.id("the campaign")?.unwrap_or_default();
    let subject = format!("spend of {advertiser}/{campaign}");
    let whole = |refusal| about(&subject, refusal);
    let (stamp, hourly) = match text(&dimensions, "stat_time_hour") {
        Some(hour) => (hour, true),
        None => {
            let day = text(&dimensions, "stat_time_day");
            (day.ok_or_else(|| whole(field("the row has no stat_time")))?, false)
        }
    };
    let at = civil(&stamp, told).map_err(whole)?;
    let span_ms = if hourly { HOUR_MS } else { day_ms(at, told) };
    let code = metrics.get("currency").map(Scalar::of).unwrap_or_default();
    let coin = Coin(currency(code, Scalar::default(), &told.setting).map_err(whole)?);
    let amount = text(&metrics, "spend").filter(|text| text != "-").unwrap_or_else(|| "0".into());
    let amount = spent(coin, &amount).map_err(whole)?;
    let mut counts: BTreeMap<Id, i64> = BTreeMap::new();
    for (name, ours) in METRICS {
        let scalar = metrics.get(name).map(Scalar::of).unwrap_or_default();
        counts.extend(count(scalar, name).map_err(whole)?.map(|count| (ours.into(), count)));
    }
    let span = if hourly { "hour" } else { "day" };
    let id = format!("tiktok/{advertiser}/{campaign}/{span}/{}", at.0).into();
    let platform = "tiktok".into();
    let spend = Spend { platform, campaign, amount, currency: coin.0, span_ms, counts };
    let record = Record::of(None, &told.setting)?;
    let observed_at = told.observed_at.unwrap_or(at);
    let entity = Entity { id, at, body: Body::Spend(spend) };
    Ok(vec![record.entity((observed_at, UtcMs(0)), entity)])
}

/// Reports give thousandths of a cent; spend is rounded to the currency's unit, half-even, row by
/// row.
fn spent(coin: Coin, text: &str) -> Result<i64, Refusal> {
    use ionflux_schemas::money::{Money, decimal};
    let wrong = |why: String| Refusal::new(FaultKind::Amount, "", format!("spend: {why}"));
    let exact = decimal(text).map_err(|error| wrong(error.to_string()))?;
    let money = Money::rounded(exact, coin.0).map_err(|error| wrong(error.to_string()))?;
    i64::try_from(money.minor)
        .ok()
        .filter(|minor| *minor >= 0)
        .ok_or_else(|| wrong("it is negative".into()))
}

fn members(value: Option<&RawValue>) -> Result<Members<'_>, Refusal> {
    let value = value.ok_or_else(|| field("the row has no dimensions or no metrics"))?;
    serde_json::from_str(value.get()).map_err(|error| broken::refusal(&error))
}

/// `2021-09-15 5:00:00`, with or without the zero, in the advertiser's zone.
fn civil(stamp: &str, told: &Told) -> Result<UtcMs, Refusal> {
    let (date, time) = stamp.trim().split_once(' ').unwrap_or((stamp.trim(), "00:00:00"));
    let time = if time.find(':') == Some(1) { format!("0{time}") } else { time.to_owned() };
    let wrong = |error: ionflux_schemas::time::TimeError| {
        Refusal::new(FaultKind::Time, "", format!("stat_time: {error}"))
    };
    UtcMs::parse(&format!("{date}T{time}"), &told.setting.zone).map_err(wrong)
}

/// How long the civil day is that begins at an instant: 23 to 25 hours.
fn day_ms(at: UtcMs, told: &Told) -> i64 {
    let zone = &told.setting.zone;
    let day = zone.day(at);
    let ends = (22..=26).map(|hours| hours * HOUR_MS);
    ends.into_iter().find(|length| zone.day(UtcMs(at.0 + length)) != day).unwrap_or(24 * HOUR_MS)
}
