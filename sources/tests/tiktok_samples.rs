//! Samples of videos and accounts, spend, webhooks for developers, and files of all of them.

#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::sync::Arc;

use ionflux_schemas::entity::{Body, Entity};
use ionflux_schemas::event::Event;
use ionflux_schemas::fault::FaultKind;
use ionflux_schemas::time::Zone;
use ionflux_sources::letters::{Changes, read_again};
use ionflux_sources::reading::{Decoded, Setting};
use ionflux_sources::tiktok::file::{Holds, Whence, read};
use proptest::prelude::*;
use serde_json::{Value, json};

const SEEN_MS: i64 = 1_752_900_000_000;

fn documents(text: &str, holds: Holds) -> Vec<Decoded> {
    let setting =
        Setting { workspace: "w".into(), shop: None, currency: None, zone: Zone::UTC, reading: 1 };
    let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
    let whence = Whence { source: Arc::from("a.json"), path: "a.json".into() };
    let decoded: Vec<Decoded> =
        read(reader, holds, whence, setting).map_while(Result::ok).collect();
    for answer in &decoded {
        assert_eq!(answer.faults.is_empty(), answer.letter.is_none());
        if let Some(letter) = &answer.letter {
            assert_eq!(read_again(letter, &Changes::default()).unwrap(), *answer);
        }
    }
    decoded
}

fn entities(decoded: &[Decoded]) -> Vec<Entity> {
    let envelopes = decoded.iter().flat_map(|answer| &answer.envelopes);
    let entity = |event: &Event| match event {
        Event::Entity(entity) => (**entity).clone(),
        other => panic!("{other:?}"),
    };
    envelopes.map(|envelope| entity(&envelope.event)).collect()
}

fn seen(body: &Value) -> Vec<Decoded> {
    let headers = json!({ "TikTok-Observed-At": SEEN_MS, "tiktok-account": ["me"],
        "tiktok-currency": "EUR", "tiktok-zone": "Europe/Berlin" });
    documents(&json!({ "headers": headers, "body": body }).to_string(), Holds::Answers)
}

fn counts(entity: &Entity) -> (String, String, Vec<(String, i64)>) {
    let Body::Counters(counters) = &entity.body else { panic!("{entity:?}") };
    let counts = counters.counts.iter().map(|(name, count)| (name.to_string(), *count));
    (counters.of.to_string(), counters.subject.to_string(), counts.collect())
}

fn named(counts: &[(&str, i64)]) -> Vec<(String, i64)> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn counters_are_kept_as_they_stood() {
    let video = |views: i64| {
        json!({ "id": "7", "view_count": views, "like_count": 3,
        "comment_count": 0, "share_count": null, "create_time": 1 })
    };
    let list = json!({ "data": { "videos": [video(100)], "cursor": 1, "has_more": false },
        "error": { "code": "ok", "message": "" } });
    let decoded = seen(&list);
    let [sample] = &entities(&decoded)[..] else { panic!("{decoded:?}") };
    assert_eq!((&*sample.id, sample.at.0), ("tiktok/video/7/1752900000000", SEEN_MS));
    let expected = named(&[("comments", 0), ("likes", 3), ("views", 100)]);
    assert_eq!(counts(sample), ("video".into(), "7".into(), expected));
    // It may fall: another sample, not another version of this one.
    let fallen = json!({ "data": { "videos": [video(90)] } });
    assert!(entities(&seen(&fallen))[0].body != sample.body);

    let business = json!({ "code": 0, "data": { "videos": [{ "item_id": "8", "video_views": 5,
        "likes": "-", "comments": "2", "average_time_watched": 1.5 }] } });
    let (_, subject, counted) = counts(&entities(&seen(&business))[0]);
    assert_eq!((subject, counted), ("8".into(), named(&[("comments", 2), ("views", 5)])));

    let user = json!({ "data": { "user": { "open_id": "u", "follower_count": 12,
        "display_name": "private" } }, "error": { "code": "ok" } });
    let account = entities(&seen(&user));
    let expected = ("account".into(), "u".into(), named(&[("followers", 12)]));
    assert_eq!(counts(&account[0]), expected);
    assert!(!format!("{account:?}").contains("private"));
}

#[test]
fn a_sample_that_says_too_little_is_a_fault() {
    let fault = |decoded: Vec<Decoded>, kind: FaultKind, part: &str| {
        let fault = &decoded[0].faults[0];
        assert!(fault.kind == kind && fault.reason.contains(part), "{fault:?}");
    };
    let video = json!({ "data": { "videos": [{ "id": "7", "view_count": 1 }] } });
    fault(documents(&video.to_string(), Holds::Answers), FaultKind::Time, "tiktok-observed-at");
    let bare = json!({ "data": { "videos": [{ "id": "7" }] } });
    fault(seen(&bare), FaultKind::Field, "fields=");
    let odd = json!({ "data": { "videos": [{ "id": "7", "view_count": 1.5 }] } });
    fault(seen(&odd), FaultKind::Quantity, "whole number");
    let error = json!({ "data": {}, "error": { "code": "rate_limit_exceeded" } });
    fault(seen(&error), FaultKind::Field, "rate_limit_exceeded");
}

#[test]
fn days_of_a_business_account_are_metrics() {
    let day = json!({ "date": "2025-07-18", "video_views": 9, "profile_views": null,
        "followers_count": 4 });
    let days = json!({ "code": 0, "data": { "metrics": [day] } });
    let metrics = entities(&seen(&days));
    let shown: Vec<String> = metrics
        .iter()
        .map(|entity| {
            let Body::Metric(metric) = &entity.body else { panic!("{entity:?}") };
            format!("{} {}={} {}", entity.at, metric.name, metric.value, metric.span_ms)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2025-07-18T00:00:00Z tiktok_video_views=9 86400000",
            "2025-07-18T00:00:00Z tiktok_followers=4 86400000"
        ]
    );
}

#[test]
fn spend_is_of_the_advertisers_hours_and_days() {
    let row = |dimensions: Value, metrics: Value| {
        let row = json!({ "dimensions": dimensions, "metrics": metrics });
        json!({ "data": { "list": [row] } })
    };
    let of = |body: &Value| {
        let entity = entities(&seen(body)).remove(0);
        let Body::Spend(spend) = &entity.body else { panic!("{entity:?}") };
        let hours = spend.span_ms / 3_600_000;
        (entity.at.to_string(), spend.amount, spend.currency.code(), hours)
    };
    let hour = json!({ "campaign_id": "31", "stat_time_hour": "2025-07-18 5:00:00" });
    let body = row(hour.clone(), json!({ "spend": "12.345", "clicks": 1 }));
    assert_eq!(of(&body), ("2025-07-18T03:00:00Z".into(), 1_234, "EUR", 1));
    // The day on which Berlin's clocks go forward has 23 hours.
    let day = json!({ "stat_time_day": "2025-03-30 00:00:00" });
    assert_eq!(
        of(&row(day, json!({ "spend": "-" }))),
        ("2025-03-29T23:00:00Z".into(), 0, "EUR", 23)
    );
    for (dimensions, metrics, kind) in [
        (json!({ "ad_id": "1" }), json!({ "spend": "1" }), FaultKind::Unsupported),
        (json!({ "campaign_id": "1" }), json!({ "spend": "1" }), FaultKind::Field),
        (hour.clone(), json!({ "spend": "many" }), FaultKind::Amount),
        (hour.clone(), json!({ "spend": "-1" }), FaultKind::Amount),
        (json!({ "stat_time_hour": "soon" }), json!({}), FaultKind::Time),
    ] {
        assert_eq!(seen(&row(dimensions, metrics))[0].faults[0].kind, kind);
    }
}

#[test]
fn posts_of_our_app_are_activities_named_by_the_video() {
    let event = |event: &str, content: &str, at: i64| {
        json!({ "client_key": "ck", "event": event, "create_time": at, "user_openid":
            7_000_000_000_000_000_001_i64, "content": content })
        .to_string()
    };
    let of = |text: &str| {
        let decoded = documents(text, Holds::Webhooks);
        let entity = entities(&decoded).remove(0);
        assert_eq!(&*decoded[0].envelopes[0].shop.shop, "");
        (entity.id.to_string(), entity.at.to_string(), entity.body)
    };
    let content = r#"{"publish_id":"p1","post_id":"91","publish_type":"DIRECT_PUBLISH"}"#;
    let (id, at, body) = of(&event("post.publish.publicly_available", content, 1_752_894_700_622));
    assert_eq!((&*id, &*at), ("tiktok/video_posted/91", "2025-07-19T03:11:40.622Z"));
    let Body::Activity(activity) = body else { panic!("{body:?}") };
    assert_eq!(activity.user.as_deref(), Some("7000000000000000001"));
    assert_eq!((&*activity.name, activity.properties.len()), ("video_posted", 3));
    let (id, at, _) = of(&event("video.publish.completed", r#"{"share_id":"s"}"#, 1_752_894_700));
    assert_eq!((&*id, &*at), ("tiktok/video_posted/s", "2025-07-19T03:11:40Z"));

    let removed = event("authorization.removed", r#"{"reason":1}"#, 1_752_894_700);
    let (id, _, body) = of(&removed);
    let Body::StoreChange(change) = body else { panic!("{body:?}") };
    assert_eq!((&*change.change, change.details.len()), ("deauthorized", 2));
    let (later, ..) = of(&event("authorization.removed", r#"{"reason":1}"#, 1_752_894_701));
    assert_ne!(id, later);

    for (text, kind) in [
        (event("tiktok.ping", "testing, no JSON", 1), FaultKind::Unsupported),
        (event("video.publish.completed", "{}", 0), FaultKind::Field),
        (json!({ "event": null }).to_string(), FaultKind::Field),
    ] {
        assert_eq!(documents(&text, Holds::Webhooks)[0].faults[0].kind, kind);
    }
}

#[test]
fn a_file_of_webhooks_holds_both_kinds_and_broken_ones() {
    let text = concat!(
        r#"{"type":16,"shop_id":"749","tts_notification_id":"1","timestamp":1700000000,"#,
        r#""data":{"product_id":"5"}}"#,
        "\n",
        r#"{"headers":{"Authorization":"x"},"body":"{\"type\":1,\"shop_id\":\"749\"}"}"#,
        "\n{\"type\":12,\"data\":{\"a\":1 \"b\":2}}\n",
        r#"{"event":"tiktok.ping","create_time":1700000000}"#,
    );
    let decoded = documents(text, Holds::Webhooks);
    let shape: Vec<_> = decoded.iter().map(|d| (d.envelopes.len(), d.faults.len())).collect();
    assert_eq!(shape, [(1, 0), (0, 0), (0, 1), (0, 1)]);
    assert_eq!(
        (decoded[2].faults[0].kind, decoded[2].faults[0].place.line),
        (FaultKind::Syntax, 3)
    );
}

const ANSWERS: &str = r#"{"code":0,"data":{"orders":[{"id":"9","create_time":1700000000,
    "payment":{"currency":"USD"},"line_items":[{"id":"1","original_price":"1.00"}]}],
    "cancellations":[{"cancel_id":"4","order_id":"9","update_time":1700000000,"cancel_status":
    "CANCELLATION_REQUEST_SUCCESS","refund_amount":{"currency":"USD","refund_subtotal":"1"}}],
    "videos":[{"id":"7","view_count":1}],"list":[{"dimensions":{"stat_time_day":"2025-01-01"},
    "metrics":{"spend":"1"}}]}}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_answers_are_read_or_refused(
        at in any::<prop::sample::Index>(),
        length in 0_usize..40,
        put in "[\\[\\]{}\",:0-9a-z.-]{0,6}",
    ) {
        let mut text = ANSWERS.to_owned();
        let from = at.index(text.len());
        let to = (from + length).min(text.len());
        text.replace_range(from..to, &put);
        documents(&text, Holds::Answers);
        documents(&text, Holds::Webhooks);
        documents(&json!({ "headers": { "tiktok-observed-at": put }, "body": text }).to_string(),
            Holds::Answers);
    }
}
