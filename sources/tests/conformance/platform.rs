//! Samples of platform events.

use ionflux_sources::conformance::{Described, Meant, Sample};

/// An event of a type, by its id, with a payload.
pub fn event(id: &str, kind: &str, payload: &str) -> Vec<u8> {
    format!(
        "{{\"event_id\":\"{id}\",\"event_type\":\"ionflux.{kind}\",\
         \"event_timestamp\":\"2026-03-01T09:30:00Z\",\"payload_json\":{payload}}}"
    )
    .into_bytes()
}

pub const METRIC: &str = r#"{"shop_domain":"s","metric_name":"sessions","value":3}"#;

/// Events as their door keeps them.
pub fn events() -> Described {
    let sample = |name, meant, body| Sample { name, meant, headers: vec![("by", "ci")], body };
    let unknown = |name, id| sample(name, Meant::Unknown(1), event(id, "nobody.knows", "{}"));
    let metric = "performance.metric.recorded";
    let samples = vec![
        sample("a metric", Meant::Good(1), event("m", metric, METRIC)),
        sample("an activity", Meant::Good(1), event("a", "platform.saas_connected", "{}")),
        sample("a metric without a value", Meant::Broken, event("n", metric, "{}")),
        sample("half an event", Meant::Broken, event("m", metric, METRIC)[..70].to_vec()),
        sample("no text", Meant::Broken, vec![0xff; 40]),
        unknown("a type nobody knows", "u1"),
        unknown("the same type again", "u2"),
    ];
    Described { source: "platform-events", dated: false, silent: false, samples }
}
