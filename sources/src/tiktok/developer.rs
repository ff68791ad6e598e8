//! One webhook of TikTok for Developers, read into an activity or a change of the store.
//!
//! Invariant: pure. There is no id of an event, so an activity is named by what it is about, and
//! by a hash of the body where it is about nothing that has a name.

use std::collections::BTreeMap;

use ionflux_schemas::entity::{Activity, Body, Entity, StoreChange};
use ionflux_schemas::key::Id;
use ionflux_schemas::time::UtcMs;
use serde_json::value::RawValue;

use super::body::DeveloperWebhook;
use super::record::{Outcome, Record, instant, unsupported};
use super::signature::sha256;
use crate::reading::Setting;
use crate::shopify::broken;
use crate::shopify::record::field;
use crate::shopify::scalar::Scalar;
use crate::shopify::shape::Members;

/// The longest property that is kept.
const PROPERTY_CHARS_MAX: usize = 200;

/// Events, the activity each of them is, and the member of `content` that names it for good. The
/// last two are names of an older kit.
const ACTIVITIES: [(&str, &str, &str); 7] = [
    // The first moment a video has an id: several may come from one publish_id.
    ("post.publish.publicly_available", "video_posted", "post_id"),
    ("post.publish.complete", "video_published", "publish_id"),
    ("post.publish.failed", "video_publish_failed", "publish_id"),
    ("post.publish.inbox_delivered", "video_in_inbox", "publish_id"),
    // Spelled so by TikTok.
    ("post.publish.no_longer_publicaly_available", "video_withdrawn", "post_id"),
    ("video.publish.completed", "video_posted", "share_id"),
    ("video.upload.failed", "video_publish_failed", "share_id"),
];

/// What a body says; it is the workspace's as a whole unless the setting names a shop.
///
/// # Errors
/// The refusal of a body that is broken or that no view counts.
pub fn decode(body: &str, setting: &Setting) -> Outcome {
    let webhook: DeveloperWebhook<'_> =
        serde_json::from_str(body).map_err(|error| broken::refusal(&error))?;
    let event = webhook.event.text().ok_or_else(|| field("it has no event"))?;
    let at = || {
        instant(webhook.create_time, "create_time")?.ok_or_else(|| field("it has no create_time"))
    };
    let user = webhook.user_openid.id("the user")?;
    // JSON inside a string; a test delivery may carry plain text.
    let content = webhook.content.text().unwrap_or_default();
    let content: Members<'_> = serde_json::from_str(&content).unwrap_or(Members(Vec::new()));
    let of = |name: &str| text(content.get(name)?);
    let record = Record::of(None, setting)?;
    if event == "authorization.removed" {
        let reason = of("reason").map(|reason| ("reason".into(), reason));
        let user = user.map(|user| ("user".into(), user));
        let details: BTreeMap<Id, Box<str>> = reason.into_iter().chain(user).collect();
        let (change, title) = ("deauthorized".into(), "TikTok".into());
        let body = Body::StoreChange(StoreChange { change, title, details });
        return Ok(vec![said(&record, (&event, hash(&webhook)), at()?, body)]);
    }
    let Some((_, name, key)) = ACTIVITIES.iter().find(|(known, ..)| *known == event) else {
        let event: String = event.chars().take(60).collect();
        return Err(unsupported(&format!("event {event}")));
    };
    let key = of(key).map_or_else(|| hash(&webhook), String::from);
    let told = ["post_id", "publish_id", "share_id", "publish_type", "reason"];
    let properties = told.into_iter().filter_map(|name| Some((name.into(), of(name)?))).collect();
    let activity = Activity { name: (*name).into(), user, agent: None, properties };
    Ok(vec![said(&record, (name, key), at()?, Body::Activity(activity))])
}

fn said(
    record: &Record<'_>,
    (kind, key): (&str, String),
    at: UtcMs,
    body: Body,
) -> ionflux_schemas::event::Envelope {
    let entity = Entity { id: format!("tiktok/{kind}/{key}").into(), at, body };
    record.entity((at, UtcMs(0)), entity)
}

/// What tells one event from another where nothing else does.
fn hash(webhook: &DeveloperWebhook<'_>) -> String {
    let of = |scalar: Scalar<'_>| scalar.text().unwrap_or_default().into_owned();
    let DeveloperWebhook { event, create_time, user_openid, content } = webhook;
    let parts = [*event, *user_openid, *create_time, *content].map(of);
    sha256(parts.join("\0").as_bytes())
}

fn text(value: &RawValue) -> Option<Box<str>> {
    let text = Scalar::of(value).text()?;
    Some(text.chars().take(PROPERTY_CHARS_MAX).collect::<String>().into())
}
