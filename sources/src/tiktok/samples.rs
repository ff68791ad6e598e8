//! Samples of videos and accounts: counters as they stood when somebody looked.
//!
//! Invariant: a counter is never taken apart here. It may fall, for TikTok takes back what it
//! counted wrongly; what grew between two samples is for whoever has both.

use std::collections::BTreeMap;

use ionflux_schemas::entity::{Body, Counters, Entity, Metric};
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::key::Id;
use ionflux_schemas::money::decimal;
use ionflux_schemas::time::{UtcMs, Zone};

use super::api::Told;
use super::record::{Outcome, Record, id};
use crate::reading::Refusal;
use crate::shopify::record::field;
use crate::shopify::scalar::Scalar;
use crate::shopify::shape::Members;

/// Counters by the names TikTok has for them, in its interfaces for creators and businesses.
const VIDEO: &[(&str, &str)] = &[
    ("view_count", "views"),
    ("video_views", "views"),
    ("like_count", "likes"),
    ("likes", "likes"),
    ("comment_count", "comments"),
    ("comments", "comments"),
    ("share_count", "shares"),
    ("shares", "shares"),
    ("reach", "reach"),
];
/// What a shop's analytics count of a video between two days.
const SHOP_VIDEO: &[(&str, &str)] =
    &[("views", "views"), ("sku_orders", "orders"), ("units_sold", "units")];
const ACCOUNT: &[(&str, &str)] = &[
    ("follower_count", "followers"),
    ("following_count", "following"),
    ("likes_count", "likes"),
    ("video_count", "videos"),
];
/// What a business account counts of a day.
const DAY: &[(&str, &str)] = &[
    ("video_views", "tiktok_video_views"),
    ("profile_views", "tiktok_profile_views"),
    ("followers_count", "tiktok_followers"),
    ("likes", "tiktok_likes"),
    ("comments", "tiktok_comments"),
    ("shares", "tiktok_shares"),
];
const DAY_MS: i64 = 86_400_000;

/// A video; `latest` is the last day a shop's analytics know of. Their amounts are left out: they
/// hold what TikTok gives off and what was cancelled later, and are no sales.
pub fn video(video: Members<'_>, latest: Scalar<'_>, told: &Told) -> Outcome {
    let member = |name: &str| video.get(name).map(Scalar::of).unwrap_or_default();
    let own = if member("id").present() { member("id") } else { member("item_id") };
    let subject = id(own, "the video")?;
    let analytics = member("sku_orders").present() || member("units_sold").present();
    let (of, names) = if analytics { ("shop_video", SHOP_VIDEO) } else { ("video", VIDEO) };
    let day = latest.time("latest_available_date", &told.setting)?.filter(|_| analytics);
    sample(&video, (of, subject), names, day.or(told.observed_at), told)
}

/// An account.
pub fn account(user: &Members<'_>, told: &Told) -> Outcome {
    let own = user.get("open_id").map(Scalar::of).unwrap_or_default().id("the account")?;
    let subject = own.or_else(|| told.account.clone());
    let subject = subject.ok_or_else(|| field("the account has no open_id"))?;
    sample(user, ("account", subject), ACCOUNT, told.observed_at, told)
}

fn sample(
    members: &Members<'_>,
    (of, subject): (&str, Id),
    names: &[(&str, &str)],
    at: Option<UtcMs>,
    told: &Told,
) -> Outcome {
    let at = at.ok_or_else(|| {
        let why =
            format!("the sample does not say when it was taken: give {}", super::api::OBSERVED_AT);
        Refusal::new(FaultKind::Time, format!("{of} {subject}"), why)
    })?;
    let mut counts = BTreeMap::new();
    for (name, ours) in names {
        let scalar = members.get(name).map(Scalar::of).unwrap_or_default();
        counts.extend(count(scalar, name)?.map(|count| (Id::from(*ours), count)));
    }
    if counts.is_empty() {
        let why = "the sample has no counters: ask for them by name with fields=";
        return Err(Refusal::new(FaultKind::Field, format!("{of} {subject}"), why));
    }
    let id = format!("tiktok/{of}/{subject}/{}", at.0).into();
    let body = Body::Counters(Counters { of: of.into(), subject, counts });
    let record = Record::of(None, &told.setting)?;
    let observed_at = told.observed_at.unwrap_or(at);
    Ok(vec![record.entity((observed_at, UtcMs(0)), Entity { id, at, body })])
}

/// A whole number, zero or more; absent where TikTok writes a dash or nothing.
pub fn count(scalar: Scalar<'_>, what: &str) -> Result<Option<i64>, Refusal> {
    let Some(text) = scalar.text().filter(|text| text != "-") else { return Ok(None) };
    let wrong = || Refusal::new(FaultKind::Quantity, "", format!("{what} is no whole number"));
    let exact = decimal(&text).map_err(|_| wrong())?;
    match i64::try_from(exact) {
        Ok(count) if count >= 0 && exact.fract().is_zero() => Ok(Some(count)),
        _ => Err(wrong()),
    }
}

/// A day of a business account, in UTC as its interface has it.
pub fn day(day: &Members<'_>, told: &Told) -> Outcome {
    let date = day.get("date").map(Scalar::of).and_then(Scalar::text);
    let date = date.ok_or_else(|| field("the day has no date"))?;
    let account = told.account.as_ref().ok_or_else(|| {
        field(format!("the day does not say whose it is: give {}", super::api::ACCOUNT))
    })?;
    let wrong = |error: ionflux_schemas::time::TimeError| {
        Refusal::new(FaultKind::Time, "", format!("date: {error}"))
    };
    let at = UtcMs::parse(&format!("{}T00:00:00", date.trim()), &Zone::UTC).map_err(wrong)?;
    // Days are restated while they are young: what was read later wins.
    let observed_at = told.observed_at.unwrap_or(at);
    let record = Record::of(None, &told.setting)?;
    let mut said = Vec::new();
    for (name, ours) in DAY {
        let scalar = day.get(name).map(Scalar::of).unwrap_or_default();
        let Some(value) = count(scalar, name)? else { continue };
        let id = format!("tiktok/{account}/{}/{ours}", at.0).into();
        let dimensions = BTreeMap::from([("account".into(), account.clone())]);
        let value = value.to_string().into();
        let metric = Metric { name: (*ours).into(), value, span_ms: DAY_MS, dimensions };
        let entity = Entity { id, at, body: Body::Metric(metric) };
        said.push(record.entity((observed_at, UtcMs(0)), entity));
    }
    Ok(said)
}
