//! Samples of messages from Kafka: the events of the platform, as JSON and as framed Avro.

use ionflux_sources::conformance::{Described, Meant, Sample};
use ionflux_sources::registry::wire::frame;

use crate::platform::{METRIC, event};

const SCHEMA: &str = r#"{"type":"record","name":"platform_event","fields":[
    {"name":"event_id","type":"string"},
    {"name":"event_type","type":"string"},
    {"name":"event_timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"payload_json","type":"string"}]}"#;

/// An event in Avro.
fn datum(id: &str, kind: &str) -> Vec<u8> {
    let mut datum = Vec::new();
    let text = |datum: &mut Vec<u8>, text: &str| {
        datum.push(u8::try_from(text.len() * 2).unwrap());
        datum.extend(text.bytes());
    };
    text(&mut datum, id);
    text(&mut datum, kind);
    datum.extend([0xa0, 0x1f]);
    text(&mut datum, "{\"user_id\":\"u1\"}");
    datum
}

/// Messages as the consumer keeps them.
pub fn messages() -> Described {
    let sample = |name, meant, more: &[(&'static str, &'static str)], body| {
        let mut headers = vec![("topic", "events"), ("partition", "3"), ("offset", "41")];
        headers.extend(more);
        Sample { name, meant, headers, body }
    };
    let (schema, none) = ([("writer-schema", SCHEMA)], []);
    let known = "ionflux.platform.video_posted";
    let metric = event("m", "performance.metric.recorded", METRIC);
    let framed = |id, kind| frame(7, &datum(id, kind)).clone();
    let samples = vec![
        sample("JSON", Meant::Good(1), &none, metric.clone()),
        sample("Avro", Meant::Good(1), &schema, framed("e1", known)),
        sample("framed JSON", Meant::Good(1), &[("json-schema", "")], frame(8, &metric).clone()),
        sample("Avro without its schema", Meant::Broken, &none, framed("e1", known)),
        sample("half of Avro", Meant::Broken, &schema, framed("e1", known)[..20].to_vec()),
        sample("neither", Meant::Broken, &none, b"\x07neither".to_vec()),
        sample("lost", Meant::Broken, &[("trouble", "no registry answers")], metric),
        sample("unknown", Meant::Unknown(1), &none, event("u1", "nobody.knows", "{}")),
        sample("unknown in Avro", Meant::Unknown(1), &schema, framed("u2", "ionflux.nobody.knows")),
    ];
    Described { source: "kafka", dated: false, silent: false, samples }
}
